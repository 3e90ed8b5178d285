//! Reads the configuration whole and complains about it whole.
//!
//! A file in INI form, then the environment (`SCHEDULE__SERVER__PORT=3001`), then checks: each mistake names section,
//! key, value, what was expected, and where it came from.

mod access;
mod access_keys;
mod audit;
mod elasticsearch;
mod key;
mod keys;
mod limits;
mod lines;
mod mistakes;
mod node_settings;
mod secrets;
mod sharing;
mod source;
mod targets;
mod tls;

pub use self::key::Key;
pub use self::keys::keys;
pub use self::mistakes::ConfigError;
pub use self::node_settings::{NodeSettings, StoreSettings};
pub use self::sharing::Sharing;

use std::ffi::OsString;
use std::path::Path;

/// The file that is read when none is named and this one is there.
pub const DEFAULT_FILE: &str = "config.ini";

/// Reads the file (`None`: [`DEFAULT_FILE`], if there is one) and the environment.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<NodeSettings, ConfigError> {
    let mut mistakes = Vec::new();
    let values = source::read(file, environment, &mut mistakes);
    let settings = NodeSettings::from_values(&values, &mut mistakes);
    if mistakes.is_empty() { Ok(settings) } else { Err(ConfigError { mistakes }) }
}

/// The settings in force, as lines of `section.key = value`; secrets are masked.
pub fn effective(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<String>, ConfigError> {
    let mut mistakes = Vec::new();
    let values = source::read(file, environment, &mut mistakes);
    NodeSettings::from_values(&values, &mut mistakes);
    if mistakes.is_empty() { Ok(values.lines()) } else { Err(ConfigError { mistakes }) }
}

#[cfg(test)]
mod tests;
