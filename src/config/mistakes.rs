use std::fmt;

use crate::model::nearest_name;

/// All mistakes of a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The mistakes.
    pub mistakes: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        write!(f, "the configuration has {count} mistake{}", if count == 1 { "" } else { "s" })?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for ConfigError {}

/// How much of a wrong value is shown, in characters.
const SHOWN_MAX: usize = 60;

/// A value as it may be shown in one line, cut where it is long.
pub(super) fn shown(value: &str) -> String {
    let cut = value.char_indices().nth(SHOWN_MAX).map(|(index, _)| index);
    match cut {
        Some(index) => one_line(&value[..index]) + "…",
        None => one_line(value),
    }
}

/// A text without anything that would break its line or could not be seen.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '"' | '\'' => line.push(letter),
            _ => line.extend(letter.escape_debug()),
        }
    }
    line
}

/// `, did you mean …?` for the nearest of the names, if one is near enough.
pub(super) fn hint<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    nearest_name(name, names).map(|other| format!(", did you mean `{other}`?")).unwrap_or_default()
}
