//! The section `[secrets]`, and the variables of the environment that are secrets.

use std::ffi::OsString;
use std::path::PathBuf;

use http::HeaderName;
use secrecy::zeroize::Zeroize;

use super::mistakes::shown;
use super::node_settings::Reader;
use crate::model::{Masking, SecretName, SecretText};
use crate::secrets::Settings;

const SECTION: &str = "secrets";
/// What the name of a variable begins with that is a secret. The name of the secret follows, in its own letters.
pub(super) const PREFIX: &str = "SCHEDULE_SECRET_";

/// The secret that a variable is.
pub(super) fn of_variable(
    variable: &str,
    text: OsString,
    mistakes: &mut Vec<String>,
) -> Option<(SecretName, SecretText)> {
    let mut tell = |why: String| mistakes.push(format!("environment variable {}: {why}", shown(variable)));
    let name = match SecretName::parse(variable.strip_prefix(PREFIX).unwrap_or_default()) {
        Ok(name) => name,
        Err(error) => {
            tell(error.to_string());
            return None;
        }
    };
    let Ok(mut text) = text.into_string() else {
        tell("is not UTF-8".to_owned());
        return None;
    };
    let (len, max) = (text.len(), SecretText::LEN_MAX);
    let secret = (1..=max).contains(&len).then(|| SecretText::new(&text));
    text.zeroize();
    if secret.is_none() {
        tell(format!("is {len} bytes long, expected 1 to {max}"));
    }
    secret.map(|secret| (name, secret))
}

impl Reader<'_> {
    pub(super) fn secrets(&mut self) -> Settings {
        Settings {
            environment: self.values.secrets.clone(),
            folder: self.path("folder"),
            key_file: self.path("key_file"),
            core_dumps: self.text(SECTION, "core_dumps") == "true",
        }
    }

    pub(super) fn masking(&mut self) -> Masking {
        let (masked, shown) = (self.header_names("mask_headers"), self.header_names("show_headers"));
        if let Some(both) = masked.iter().find(|name| shown.contains(name)) {
            self.wrong(SECTION, "show_headers", &format!("names that mask_headers does not hold, too, such as {both}"));
        }
        Masking::new(&masked, &shown)
    }

    fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        let path = self.text(SECTION, name);
        (!path.is_empty()).then(|| path.into())
    }

    /// In small letters.
    fn header_names(&mut self, key: &'static str) -> Vec<String> {
        let text = self.text(SECTION, key);
        let given = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names: Result<Vec<String>, _> =
            given.map(|name| HeaderName::from_bytes(name.as_bytes()).map(|name| name.as_str().to_owned())).collect();
        names.unwrap_or_else(|_| {
            self.wrong(SECTION, key, "names of headers such as X-Customer, separated by commas");
            Vec::new()
        })
    }
}
