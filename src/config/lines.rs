//! Reads a file line by line before the parser does, so that each slip is told with its line.
//!
//! Left alone, the parser joins a line without `=` with the next one, reads on behind an open quote, turns `\t` into a
//! tab, and forgets the first of two sections with one name.

use std::collections::HashMap;

use super::mistakes::shown;

/// The same lines with every value in the parser's own words. Lines with a mistake are left out, so that the parser
/// can tell of the others.
pub(super) fn checked(text: &str, origin: &str, mistakes: &mut Vec<String>) -> String {
    let mut lines =
        Lines { section: String::new(), section_is_unknown: false, seen: HashMap::new(), clean: String::new() };
    for (number, line) in (1..).zip(text.lines()) {
        if let Err(why) = lines.take(number, line.trim()) {
            mistakes.push(format!("{origin}: line {number}: {why}"));
        }
    }
    lines.clean
}

struct Lines {
    section: String,
    /// Behind a broken `[section` nobody knows where a key belongs: to complain about it would mislead.
    section_is_unknown: bool,
    /// The lines of sections (with an empty key) and of keys, all in lower case: `Port` is a slip for `port`.
    seen: HashMap<(String, String), usize>,
    clean: String,
}

impl Lines {
    fn take(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with(['#', ';']) {
            Ok(())
        } else if let Some(rest) = line.strip_prefix('[') {
            self.take_section(number, rest)
        } else {
            self.take_key(number, line)
        }
    }

    fn take_section(&mut self, number: usize, rest: &str) -> Result<(), String> {
        let name = rest.strip_suffix(']').filter(|name| !name.contains(']'));
        self.section_is_unknown = name.is_none();
        let name = name.ok_or("expected `[section]` and nothing behind it")?.trim();
        self.section = name.to_lowercase();
        self.clean.push_str(&format!("[{}]\n", escaped(name)));
        match self.seen.insert((self.section.clone(), String::new()), number) {
            Some(first) => Err(format!("[{}] is given twice, first in line {first}", shown(name))),
            None => Ok(()),
        }
    }

    fn take_key(&mut self, number: usize, line: &str) -> Result<(), String> {
        // The line is not shown: it may hold a secret.
        let parts = line.split_once(['=', ':']).map(|(key, value)| (key.trim(), value.trim()));
        let (key, value) =
            parts.filter(|(key, _)| !key.is_empty()).ok_or("expected `key = value`, `[section]` or `# comment`")?;
        if self.section_is_unknown {
            return Ok(());
        }
        let place = (self.section.clone(), key.to_lowercase());
        if self.seen.insert(place, number).is_some() {
            return Err(format!("[{}] {} is given twice", shown(&self.section), shown(&key.to_lowercase())));
        }
        self.clean.push_str(&format!("{} = {}\n", escaped(key), escaped(unquoted(value))));
        Ok(())
    }
}

/// A pair of quotes around a value is taken off; all else stands for itself.
fn unquoted(value: &str) -> &str {
    let inside = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

/// A text that the parser reads back as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\r' => escaped.push_str("\\r"),
            '\\' | '"' | '\'' => escaped.extend(['\\', letter]),
            _ => escaped.push(letter),
        }
    }
    escaped
}
