//! From a file and the environment to values, each with the place it came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat, Map};

use super::DEFAULT_FILE;
use super::key::Key;
use super::keys::keys;
use super::lines;
use super::mistakes::{hint, one_line, shown};
use super::secrets;
use crate::model::{SecretName, SecretText};

/// Names of environment variables that are read begin with this.
const PREFIX: &str = "SCHEDULE__";
/// Between section and key in the name of a variable.
const SEPARATOR: &str = "__";
/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What was given, by section and key. Only known keys are in it.
#[derive(Debug, Default)]
pub(super) struct Values {
    given: BTreeMap<(&'static str, &'static str), Given>,
    /// Those that the environment gives.
    pub(super) secrets: BTreeMap<SecretName, SecretText>,
}

#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    /// The file or the variable, for the text of a mistake.
    pub(super) origin: String,
}

impl Values {
    /// The value of a key, or its default.
    pub(super) fn get(&self, key: &Key) -> Given {
        let given = self.given.get(&(key.section, key.name)).cloned();
        given.unwrap_or_else(|| Given { text: key.default.to_owned(), origin: "default".to_owned() })
    }

    /// Every key with its value; secrets are masked.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |key: &Key| {
            let Given { text, origin } = self.get(key);
            format!("{}.{} = {}  ({origin})", key.section, key.name, one_line(&key.masked(&text)))
        };
        keys().map(line).collect()
    }
}

/// Reads both sources. The environment wins.
pub(super) fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    mistakes: &mut Vec<String>,
) -> Values {
    let mut values = Values::default();
    if let Some(path) = file.map(Path::to_owned).or_else(default_file) {
        read_file(&path, &mut values, mistakes);
    }
    let begins = |name: &OsString, prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    let is_ours = |(name, _): &(OsString, OsString)| begins(name, PREFIX) || begins(name, secrets::PREFIX);
    let mut variables: Vec<(OsString, OsString)> = environment.into_iter().filter(is_ours).collect();
    variables.sort();
    let (secret, variables): (Vec<_>, Vec<_>) =
        variables.into_iter().partition(|(name, _)| begins(name, secrets::PREFIX));
    for (name, text) in secret {
        values.secrets.extend(secrets::of_variable(&name.to_string_lossy(), text, mistakes));
    }
    for (name, text) in variables {
        take_variable(&name.to_string_lossy(), text, &mut values, mistakes);
    }
    values
}

/// Only a file that is not there may be passed over: one that cannot be read, or a link to nowhere, is a mistake.
fn default_file() -> Option<PathBuf> {
    match fs::symlink_metadata(DEFAULT_FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Ok(_) | Err(_) => Some(DEFAULT_FILE.into()),
    }
}

fn read_file(path: &Path, values: &mut Values, mistakes: &mut Vec<String>) {
    let origin = one_line(&path.display().to_string());
    let text = match read_text(path) {
        Ok(text) => text,
        Err(why) => return mistakes.push(format!("{origin}: {why}")),
    };
    let text = lines::checked(&text, &origin, mistakes);
    let parsed = Config::builder().add_source(File::from_str(&text, FileFormat::Ini)).build();
    let sections = parsed.and_then(|parsed| parsed.try_deserialize::<Map<String, config::Value>>());
    let sections = match sections {
        Ok(sections) => sections,
        Err(error) => {
            let why = shown(&error.to_string());
            return mistakes
                .push(format!("{origin}: is no INI file ({why}), expected `[section]` and `key = value` lines"));
        }
    };
    let mut sections: Vec<_> = sections.into_iter().collect();
    sections.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (section, value) in sections {
        take_section(&section, value, &origin, values, mistakes);
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    // The size is not asked for beforehand: a pipe or a device has none.
    let file = fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    let size = file.map_err(|error| format!("cannot be read: {error}"))?;
    if size as u64 > FILE_MAX {
        return Err(format!("is too long, expected at most {FILE_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text).to_owned())
}

fn take_section(section: &str, value: config::Value, origin: &str, values: &mut Values, mistakes: &mut Vec<String>) {
    let Ok(keys) = value.into_table() else {
        let section = shown(section);
        return mistakes.push(format!("{origin}: `{section}` stands before the first [section]"));
    };
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in keys {
        let text = value.into_string().unwrap_or_default();
        take(section, &name, Given { text, origin: origin.to_owned() }, values, mistakes);
    }
}

fn take_variable(variable: &str, text: OsString, values: &mut Values, mistakes: &mut Vec<String>) {
    let path = variable.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let origin = format!("environment variable {}", one_line(variable));
    match (path.split_once(SEPARATOR), text.into_string()) {
        (Some((section, name)), Ok(text)) => take(section, name, Given { text, origin }, values, mistakes),
        (Some(_), Err(_)) => mistakes.push(format!("{origin}: is not UTF-8")),
        (None, _) => mistakes.push(format!("{origin}: expected {PREFIX}SECTION{SEPARATOR}KEY")),
    }
}

fn take(section: &str, name: &str, given: Given, values: &mut Values, mistakes: &mut Vec<String>) {
    let origin = &given.origin;
    if let Some(key) = keys().find(|key| key.section == section && key.name == name) {
        values.given.insert((key.section, key.name), given);
    } else if keys().any(|key| key.section == section) {
        let hint = hint(name, keys().filter(|key| key.section == section).map(|key| key.name));
        mistakes.push(format!("{origin}: [{section}] unknown key `{}`{hint}", shown(name)));
    } else {
        let hint = hint(section, keys().map(|key| key.section));
        mistakes.push(format!("{origin}: unknown section [{}]{hint}", shown(section)));
    }
}
