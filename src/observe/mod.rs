//! What people and machines see of the inside: log lines.

mod logs;
mod settings;

pub use self::logs::{init, is_filter};
pub use self::settings::{LogFormat, Settings};
