//! What clients say: from bytes to the model's words, with every mistake at once.

use serde_json::value::RawValue;

use super::put_limits::LISTS_MAX;
use crate::model::object::{Mistakes, Object, array, boolean, integer, string};
use crate::model::{Identity, RecordKind};
use crate::store::Search;

/// A request that was understood, and what was odd about it.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    pub(super) value: T,
    pub(super) warnings: Vec<String>,
}

/// Why a request was not understood: one line for each mistake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misunderstood(pub(super) String);

pub(super) type Understood<T> = Result<Parsed<T>, Misunderstood>;

/// Reads a body with `read` and gives its value, or every mistake it made.
pub(super) fn understand<T>(read: impl FnOnce(&mut Mistakes) -> Option<T>) -> Understood<T> {
    let mut mistakes = Mistakes::default();
    match read(&mut mistakes) {
        Some(value) if mistakes.is_empty() => Ok(Parsed { value, warnings: mistakes.warnings }),
        Some(_) | None => Err(Misunderstood(mistakes.text())),
    }
}

/// `/delete`, `/clear`: which task.
pub(super) fn identity(bytes: &[u8]) -> Understood<Identity> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup"}"#, mistakes)?;
        identity_of(&body, mistakes)
    })
}

/// `/get`: which task, and whether in detail.
pub(super) fn task(bytes: &[u8]) -> Understood<(Identity, bool)> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup"}"#, mistakes)?;
        let (identity, details) = (identity_of(&body, mistakes), details_of(&body, mistakes));
        Some((identity?, details))
    })
}

/// `/lists`: which tasks, at most `max`, and whether in detail.
pub(super) fn tasks(bytes: &[u8], max: usize) -> Understood<(Vec<Identity>, bool)> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":["backup","report"]}"#, mistakes)?;
        let details = details_of(&body, mistakes);
        let raw = body.required("identity", "an array of strings", mistakes)?;
        let items = array(raw, "identity", "strings", 0..=max.min(LISTS_MAX), mistakes)?;
        let read = |(index, raw): (usize, &&RawValue)| parse_identity(raw, &format!("identity[{index}]"), mistakes);
        Some((items.iter().enumerate().filter_map(read).collect(), details))
    })
}

fn details_of(body: &Object<'_>, mistakes: &mut Mistakes) -> bool {
    body.get("details").and_then(|raw| boolean(raw, "details", mistakes)).unwrap_or_default()
}

/// `/search`: which records.
pub(super) fn search(bytes: &[u8]) -> Understood<Search> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup","limit":20,"skip":0}"#, mistakes)?;
        let identity = identity_of(&body, mistakes);
        let limit = number_of(&body, "limit", 1..=100, mistakes);
        let skip = number_of(&body, "skip", 0..=i64::from(u32::MAX), mistakes);
        let kind = body.get("type").and_then(|raw| record_kind(raw, mistakes));
        let (since_secs, until_secs) = time_range(&body, mistakes);
        Some(Search { identity: identity?, kind, since_secs, until_secs, limit: limit?, skip: skip? })
    })
}

fn number_of(
    body: &Object<'_>,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
    mistakes: &mut Mistakes,
) -> Option<usize> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    let raw = body.required(key, &expected, mistakes)?;
    usize::try_from(integer(raw, key, range, mistakes)?).ok()
}

/// An empty type is none, as in the mirrored service.
fn record_kind(raw: &RawValue, mistakes: &mut Mistakes) -> Option<RecordKind> {
    let word = string(raw, "type", mistakes).filter(|word| !word.is_empty())?;
    let (kind, words) = (RecordKind::parse(&word), RecordKind::HISTORY.map(RecordKind::as_str));
    known_word(kind.filter(|kind| RecordKind::HISTORY.contains(kind)), &word, "type", words, mistakes)
}

/// The kind with this word.
pub(super) fn kind_word(word: &str, path: &str, mistakes: &mut Mistakes) -> Option<RecordKind> {
    known_word(RecordKind::parse(word), word, path, RecordKind::ALL.map(RecordKind::as_str), mistakes)
}

/// What a word means, if it is one of those that are known.
pub(super) fn known_word<T, const N: usize>(
    meaning: Option<T>,
    word: &str,
    path: &str,
    words: [&str; N],
    mistakes: &mut Mistakes,
) -> Option<T> {
    if meaning.is_none() {
        let shown: String = word.chars().take(32).flat_map(char::escape_debug).collect();
        mistakes.add(path, format_args!("is `{shown}`, expected one of {}", words.join(", ")));
    }
    meaning
}

/// Zero is the same as absent, as in the mirrored service.
fn time_range(body: &Object<'_>, mistakes: &mut Mistakes) -> (Option<i64>, Option<i64>) {
    let Some(raw) = body.get("time") else { return (None, None) };
    let Some(time) = Object::read(raw, "time".to_owned(), mistakes) else { return (None, None) };
    let mut bound = |key: &str| {
        let raw = time.get(key)?;
        integer(raw, &time.path_of(key), i64::MIN..=i64::MAX, mistakes).filter(|&secs| secs != 0)
    };
    (bound("gte"), bound("lte"))
}

pub(super) fn identity_of(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Identity> {
    let raw = body.required("identity", "a string", mistakes)?;
    parse_identity(raw, &body.path_of("identity"), mistakes)
}

fn parse_identity(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Identity> {
    let text = string(raw, path, mistakes)?;
    Identity::parse(&text).map_err(|error| mistakes.add(path, error)).ok()
}
