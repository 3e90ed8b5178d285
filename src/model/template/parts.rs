//! Texts with slots, `{{identity}}` and `${secret:NAME}`, taken apart and put together.

use std::borrow::Cow;

use memchr::memchr2_iter;

use super::Name;
use crate::model::SecretName;

/// The longest name of a template that is looked at, in bytes. What is longer is text.
const NAME_LEN_MAX: usize = 32;
/// How a template begins.
const TEMPLATE: &str = "{{";
/// How a reference to a secret begins.
pub(super) const SECRET: &str = "${secret:";

/// Where something is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot<'t> {
    Value(Name),
    /// The secret with this name.
    Secret(&'t str),
}

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Slot(Slot<'t>),
    /// A template with a name that is not known: it stays as it is.
    Unknown {
        whole: &'t str,
        name: &'t str,
    },
    /// The beginning of a reference that names no secret: it stays as it is.
    Nameless(&'t str),
}

/// Takes a text apart. What is filled in is never looked at again.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = match opening(rest) {
            Some(0) => slot(rest).unwrap_or_else(|| (Part::Text(&rest[..1]), &rest[1..])),
            found => {
                rest.split_at_checked(found.unwrap_or(rest.len())).map(|(text, after)| (Part::Text(text), after))?
            }
        };
        rest = after;
        Some(part)
    })
}

/// Where the next slot may begin. One look at each byte, however many of them look like a beginning.
fn opening(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let begins = |at: &usize| {
        let rest = &bytes[*at..];
        rest.starts_with(TEMPLATE.as_bytes()) || rest.starts_with(SECRET.as_bytes())
    };
    memchr2_iter(b'{', b'$', bytes).find(begins)
}

/// The slot at the start of a text, and what follows it.
fn slot(text: &str) -> Option<(Part<'_>, &str)> {
    text.strip_prefix(SECRET).map_or_else(|| template(text), |inside| Some(reference(text, inside)))
}

fn reference<'t>(text: &'t str, inside: &'t str) -> (Part<'t>, &'t str) {
    // No further than a name can reach: many beginnings without an end would take for ever.
    let end = inside.bytes().take(SecretName::LEN_MAX + 1).position(|byte| byte == b'}');
    let named = end.map(|end| (&inside[..end], &inside[end + 1..]));
    let named = named.filter(|(name, _)| SecretName::parse(name).is_ok());
    match named {
        Some((name, after)) => (Part::Slot(Slot::Secret(name)), after),
        None => (Part::Nameless(&text[..SECRET.len()]), inside),
    }
}

/// Takes a text apart in which nothing but secrets is filled in.
pub(super) fn references(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (part, after) = match rest.find(SECRET) {
            None if rest.is_empty() => return None,
            None => (Part::Text(rest), ""),
            Some(0) => reference(rest, &rest[SECRET.len()..]),
            Some(at) => (Part::Text(&rest[..at]), &rest[at..]),
        };
        rest = after;
        Some(part)
    })
}

/// The template at the start of a text, and what follows it.
fn template(text: &str) -> Option<(Part<'_>, &str)> {
    let inside = text.strip_prefix(TEMPLATE)?.trim_start_matches(' ');
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (name, after) = inside.split_at(inside.find(|letter| !is_name(letter)).unwrap_or(inside.len()));
    let after = after.trim_start_matches(' ').strip_prefix("}}")?;
    let whole = &text[..text.len() - after.len()];
    match Name::parse(name) {
        Some(name) => Some((Part::Slot(Slot::Value(name)), after)),
        None if (1..=NAME_LEN_MAX).contains(&name.len()) => Some((Part::Unknown { whole, name }, after)),
        None => None,
    }
}

/// Whether there is anything to fill in.
pub(super) fn has_slots(text: &str) -> bool {
    (text.contains(TEMPLATE) || text.contains(SECRET)) && parts(text).any(|part| matches!(part, Part::Slot(_)))
}

/// The names of the secrets that stand in a text, as often as they stand there.
pub(super) fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let text = if text.contains(SECRET) { text } else { "" };
    names(parts(text))
}

/// The names of secrets among these stretches.
pub(super) fn names<'t>(parts: impl Iterator<Item = Part<'t>>) -> impl Iterator<Item = &'t str> {
    parts.filter_map(|part| match part {
        Part::Slot(Slot::Secret(name)) => Some(name),
        Part::Slot(Slot::Value(_)) | Part::Text(_) | Part::Unknown { .. } | Part::Nameless(_) => None,
    })
}

/// Whether a text is one reference to a secret and nothing else.
pub(in crate::model) fn is_reference(text: &str) -> bool {
    let mut parts = parts(text);
    matches!(parts.next(), Some(Part::Slot(Slot::Secret(_)))) && parts.next().is_none()
}

/// Fills a text in. `None`: it would be longer than `max` bytes.
pub(super) fn fill<'v>(text: &str, max: usize, value: impl Fn(Slot<'_>) -> Cow<'v, str>) -> Option<String> {
    joined(parts(text), max, value)
}

/// Puts these stretches together again, filled in. `None`: they would be longer than `max` bytes.
pub(super) fn joined<'t, 'v>(
    parts: impl Iterator<Item = Part<'t>>,
    max: usize,
    value: impl Fn(Slot<'t>) -> Cow<'v, str>,
) -> Option<String> {
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(text) | Part::Unknown { whole: text, .. } | Part::Nameless(text) => filled.push_str(text),
            Part::Slot(slot) => filled.push_str(&value(slot)),
        }
        if filled.len() > max {
            return None;
        }
    }
    Some(filled)
}
