//! From a file and the environment to values, each with the place it came from.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use config::{Config, File, FileFormat, Map};

use super::DEFAULT_FILE;
use super::keys::{KEYS, Key};
use super::mistakes::{hint, shown};

/// Names of environment variables that are read begin with this.
const PREFIX: &str = "SCHEDULE__";
/// Between section and key in the name of a variable.
const SEPARATOR: &str = "__";
/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// What was given, by section and key. Only known keys are in it.
#[derive(Debug, Default)]
pub(super) struct Values {
    given: BTreeMap<(&'static str, &'static str), Given>,
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
            let text = if key.is_secret() && !text.is_empty() { "***".to_owned() } else { text };
            format!("{}.{} = {text}  ({origin})", key.section, key.name)
        };
        KEYS.iter().map(line).collect()
    }
}

/// Reads both sources. The environment wins.
pub(super) fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    mistakes: &mut Vec<String>,
) -> Values {
    let mut values = Values::default();
    let chosen = file
        .map(Path::to_owned)
        .or_else(|| Some(DEFAULT_FILE.into()).filter(|path: &std::path::PathBuf| path.exists()));
    if let Some(path) = chosen {
        read_file(&path, &mut values, mistakes);
    }
    let mut variables: Vec<(String, String)> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, text) in variables {
        take_variable(&name, text, &mut values, mistakes);
    }
    values
}

fn read_file(path: &Path, values: &mut Values, mistakes: &mut Vec<String>) {
    let origin = path.display().to_string();
    let text = match read_text(path) {
        Ok(text) => text,
        Err(why) => return mistakes.push(format!("{origin}: {why}")),
    };
    tell_of_repetitions(&text, &origin, mistakes);
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
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > FILE_MAX {
        return Err(format!("is {size} bytes long, expected at most {FILE_MAX}"));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// The parser takes the last of two equal keys; a person would not notice.
fn tell_of_repetitions(text: &str, origin: &str, mistakes: &mut Vec<String>) {
    let (mut section, mut seen) = (String::new(), HashSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_lowercase();
        } else if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) {
            let key = key.trim().to_lowercase();
            if !seen.insert((section.clone(), key.clone())) {
                let (section, key) = (shown(&section), shown(&key));
                mistakes.push(format!("{origin}: line {number}: [{section}] {key} is given twice"));
            }
        }
    }
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

fn take_variable(variable: &str, text: String, values: &mut Values, mistakes: &mut Vec<String>) {
    let path = variable.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let given = Given { text, origin: format!("environment variable {variable}") };
    match path.split_once(SEPARATOR) {
        Some((section, name)) => take(section, name, given, values, mistakes),
        None => mistakes.push(format!("environment variable {variable}: expected {PREFIX}SECTION{SEPARATOR}KEY")),
    }
}

fn take(section: &str, name: &str, given: Given, values: &mut Values, mistakes: &mut Vec<String>) {
    let origin = &given.origin;
    if let Some(key) = KEYS.iter().find(|key| key.section == section && key.name == name) {
        values.given.insert((key.section, key.name), given);
    } else if KEYS.iter().any(|key| key.section == section) {
        let hint = hint(name, KEYS.iter().filter(|key| key.section == section).map(|key| key.name));
        mistakes.push(format!("{origin}: [{section}] unknown key `{}`{hint}", shown(name)));
    } else {
        let hint = hint(section, KEYS.iter().map(|key| key.section));
        mistakes.push(format!("{origin}: unknown section [{}]{hint}", shown(section)));
    }
}
