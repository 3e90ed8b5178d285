//! Reads JSON objects so that every mistake names its place, what stands there, and what was expected.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::nearest_name;
use super::strict_json::{self, DEPTH_MAX};

pub use super::mistakes::{Mistake, Mistakes};

/// Some programs begin a text with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// How much of a wrong value is shown, in characters.
const SHOWN_MAX: usize = 40;

/// The members of a JSON object, in their order, not yet looked into.
pub struct Object<'a> {
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads the body of a request. `example` shows what was expected.
    pub fn read_body(bytes: &'a [u8], example: &str, mistakes: &mut Mistakes) -> Option<Self> {
        Self::read_whole(bytes, example, DEPTH_MAX, mistakes)
    }

    /// The same for a line in which the body of another request stands.
    pub fn read_frame(bytes: &'a [u8], example: &str, mistakes: &mut Mistakes) -> Option<Self> {
        Self::read_whole(bytes, example, DEPTH_MAX + 1, mistakes)
    }

    fn read_whole(bytes: &'a [u8], example: &str, depth_max: usize, mistakes: &mut Mistakes) -> Option<Self> {
        if bytes.starts_with(BYTE_ORDER_MARK) {
            mistakes.add("body", "begins with a byte order mark, expected UTF-8 without one");
            return None;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            mistakes.add("body", format_args!("is empty, expected a JSON object such as {example}"));
            return None;
        }
        match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(raw) => match strict_json::check(raw.get(), depth_max) {
                Ok(()) => Self::read(raw, String::new(), mistakes),
                Err(error) => {
                    mistakes.add("body", error);
                    None
                }
            },
            Err(error) => {
                mistakes.add("body", format_args!("is not JSON ({error}), expected an object such as {example}"));
                None
            }
        }
    }

    /// Reads an object that stands at `path`; the empty path is the body itself.
    pub fn read(raw: &'a RawValue, path: String, mistakes: &mut Mistakes) -> Option<Self> {
        let shown_path = if path.is_empty() { "body" } else { &path };
        if kind(raw) != Kind::Object {
            mistakes.add(shown_path, unexpected("an object", raw));
            return None;
        }
        let members = match serde_json::from_str::<Members<'a>>(raw.get()) {
            Ok(Members(members)) => members,
            Err(error) => {
                mistakes.add(shown_path, format_args!("cannot be read ({error})"));
                return None;
            }
        };
        let mut seen = HashSet::new();
        for (key, _) in &members {
            if !seen.insert(key.as_str()) {
                mistakes.add(&join(&path, key), "is given twice");
            }
        }
        Some(Self { path, members })
    }

    /// An object whose members were read elsewhere; no member is given twice.
    pub fn of(path: String, members: Vec<(String, &'a RawValue)>) -> Self {
        Self { path, members }
    }

    /// Where it stands itself; empty for the body.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where a member stands.
    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// A member; `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let member = self.members.iter().find(|(name, _)| name == key);
        member.map(|&(_, raw)| raw).filter(|&raw| kind(raw) != Kind::Null)
    }

    /// An object in this one; `null` counts as absent.
    pub fn object(&self, key: &str, mistakes: &mut Mistakes) -> Option<Self> {
        Self::read(self.get(key)?, self.path_of(key), mistakes)
    }

    /// The names of all members.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(key, _)| key.as_str())
    }

    /// All members, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|&(ref key, raw)| (key.as_str(), raw))
    }

    /// All members.
    pub fn into_members(self) -> Vec<(String, &'a RawValue)> {
        self.members
    }

    /// A member that must be there.
    pub fn required(&self, key: &str, expected: &str, mistakes: &mut Mistakes) -> Option<&'a RawValue> {
        let found = self.get(key);
        if found.is_none() {
            mistakes.add(&self.path_of(key), format_args!("is missing, expected {expected}"));
        }
        found
    }

    /// A string that must be there.
    pub fn string(&self, key: &str, mistakes: &mut Mistakes) -> Option<String> {
        let raw = self.required(key, "a string", mistakes)?;
        string(raw, &self.path_of(key), mistakes)
    }

    /// A boolean that must be there.
    pub fn boolean(&self, key: &str, mistakes: &mut Mistakes) -> Option<bool> {
        let raw = self.required(key, "true or false", mistakes)?;
        boolean(raw, &self.path_of(key), mistakes)
    }

    /// Refuses members that are not known, and names the nearest one that is.
    pub fn refuse_unknown(&self, known: &[&str], mistakes: &mut Mistakes) {
        for (key, _) in self.members.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            if mistakes.is_full() {
                // What is only counted needs no hint: finding one takes time.
                mistakes.add(&self.path_of(key), "is not known");
                continue;
            }
            match nearest_name(key, known.iter().copied()) {
                Some(near) => mistakes.add(&self.path_of(key), format_args!("is not known, did you mean `{near}`?")),
                None => {
                    let known = known.join(", ");
                    mistakes.add(&self.path_of(key), format_args!("is not known, expected one of {known}"));
                }
            }
        }
    }

    /// Warns of members that are not known, and names the nearest one that is.
    pub fn warn_of_unknown(&self, known: &[&str], mistakes: &mut Mistakes) {
        for (key, _) in self.members.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            if mistakes.has_all_warnings() {
                return;
            }
            let shown: String = key.chars().take(SHOWN_MAX).collect();
            match nearest_name(key, known.iter().copied()) {
                Some(near) => mistakes.warn(&self.path, format_args!("unknown key `{shown}`, did you mean `{near}`?")),
                None => mistakes.warn(&self.path, format_args!("unknown key `{shown}`, it is not kept")),
            }
        }
    }
}

/// A string at `path`.
pub fn string(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<String> {
    if kind(raw) != Kind::String {
        mistakes.add(path, unexpected("a string", raw));
        return None;
    }
    match serde_json::from_str(raw.get()) {
        Ok(text) => Some(text),
        Err(error) => {
            mistakes.add(path, format_args!("is no valid string ({error})"));
            None
        }
    }
}

/// A boolean at `path`.
pub fn boolean(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            mistakes.add(path, unexpected("true or false", raw));
            None
        }
    }
}

/// An array at `path` with a number of values within `range`.
pub fn array<'a>(
    raw: &'a RawValue,
    path: &str,
    expected: &str,
    range: std::ops::RangeInclusive<usize>,
    mistakes: &mut Mistakes,
) -> Option<Vec<&'a RawValue>> {
    if kind(raw) != Kind::Array {
        mistakes.add(path, unexpected(&format!("an array of {expected}"), raw));
        return None;
    }
    let values: Vec<&RawValue> = serde_json::from_str(raw.get())
        .map_err(|error| mistakes.add(path, format_args!("cannot be read ({error})")))
        .ok()?;
    if range.contains(&values.len()) {
        return Some(values);
    }
    let (count, min, max) = (values.len(), range.start(), range.end());
    mistakes.add(path, format_args!("has {count} values, expected {min} to {max}"));
    None
}

/// What the word at `path` means to `parse`, if it is one of `words`.
pub fn word<T>(
    raw: &RawValue,
    path: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    words: &[&str],
    mistakes: &mut Mistakes,
) -> Option<T> {
    let text = string(raw, path, mistakes)?;
    let meaning = parse(&text);
    if meaning.is_none() {
        mistakes.add(path, format_args!("is `{}`, expected one of {}", shown(&text), words.join(", ")));
    }
    meaning
}

/// A text that is no secret, as far as a mistake shows it.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// A whole number at `path` within `range`.
pub fn integer(
    raw: &RawValue,
    path: &str,
    range: std::ops::RangeInclusive<i64>,
    mistakes: &mut Mistakes,
) -> Option<i64> {
    let number = raw.get().parse::<i64>().ok().filter(|number| range.contains(number));
    if number.is_none() {
        let expected = match (*range.start(), *range.end()) {
            (start, i64::MAX) => format!("a whole number of at least {start}"),
            (start, end) => format!("a whole number from {start} to {end}"),
        };
        mistakes.add(path, unexpected(&expected, raw));
    }
    number
}

fn join(path: &str, key: &str) -> String {
    let key = shown(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Anything else that is JSON.
    Number,
    /// `true`, `false`
    Boolean,
    /// `null`
    Null,
}

/// What a JSON value is.
pub fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// Says what stands there. Strings and what is inside objects and arrays may be secret: they are not shown.
pub fn unexpected(expected: &str, raw: &RawValue) -> String {
    let shown: String = raw.get().chars().take(SHOWN_MAX).collect();
    match kind(raw) {
        Kind::Object => format!("is an object, expected {expected}"),
        Kind::Array => format!("is an array, expected {expected}"),
        Kind::String => format!("is a string, expected {expected}"),
        Kind::Number | Kind::Boolean | Kind::Null => format!("is `{shown}`, expected {expected}"),
    }
}

/// Serde keeps one of two equal keys in a map; here each is kept, so that the second is noticed.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
