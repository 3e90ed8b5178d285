//! What clients say: from bytes to the model's words, with every mistake at once.

use serde_json::value::{RawValue, to_raw_value};

use super::object::{Kind, Mistakes, Object, integer, kind, string, unexpected};
use super::view::TaskView;
use crate::catalog::Put;
use crate::model::cron::CronExpr;
use crate::model::{
    Entry, EntryName, Header, Identity, JsonText, LastFire, RecordKind, Request, TargetUrl, Task, TimeZone,
};
use crate::store::Search;

/// How many identities one `/lists` may name. More are refused.
const LISTS_MAX: usize = 10_000;

const TASK_KEYS: [&str; 4] = ["identity", "time_zone", "start", "entries"];
/// The dates are ours: clients put back what they got.
const ENTRY_KEYS: [&str; 6] = ["cron_time", "url", "headers", "body", "next_date", "last_date"];

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

/// `/get`, `/delete`, `/clear`: which task.
pub(super) fn identity(bytes: &[u8]) -> Understood<Identity> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup"}"#, mistakes)?;
        identity_of(&body, mistakes)
    })
}

/// `/lists`: which tasks.
pub(super) fn identities(bytes: &[u8]) -> Understood<Vec<Identity>> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":["backup","report"]}"#, mistakes)?;
        let raw = body.required("identity", "an array of strings", mistakes)?;
        if kind(raw) != Kind::Array {
            mistakes.add("identity", unexpected("an array of strings", raw));
            return None;
        }
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        if items.len() > LISTS_MAX {
            mistakes.add("identity", format_args!("names {} tasks, expected at most {LISTS_MAX}", items.len()));
            return None;
        }
        let read = |(index, raw): (usize, &&RawValue)| parse_identity(raw, &format!("identity[{index}]"), mistakes);
        Some(items.iter().enumerate().filter_map(read).collect())
    })
}

/// `/running`: which task, and where the switch goes.
pub(super) fn switch(bytes: &[u8]) -> Understood<(Identity, bool)> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup","running":true}"#, mistakes)?;
        let (identity, running) = (identity_of(&body, mistakes), body.boolean("running", mistakes));
        identity.zip(running)
    })
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
    kind_word(&word, "type", mistakes)
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

fn identity_of(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Identity> {
    let raw = body.required("identity", "a string", mistakes)?;
    parse_identity(raw, "identity", mistakes)
}

fn parse_identity(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Identity> {
    let text = string(raw, path, mistakes)?;
    Identity::parse(&text).map_err(|error| mistakes.add(path, error)).ok()
}

/// `/put`: the task, whole.
pub(super) fn put(bytes: &[u8]) -> Understood<Put> {
    const EXAMPLE: &str = r#"{"identity":"backup","time_zone":"UTC","start":true,"entries":{"nightly":{"cron_time":"0 0 3 * * *","url":"https://example.com/backup"}}}"#;
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        let identity = identity_of(&body, mistakes);
        let time_zone = time_zone_of(&body, mistakes);
        let start = body.boolean("start", mistakes);
        let entries = entries_of(&body, mistakes);
        body.warn_of_unknown(&TASK_KEYS, mistakes);
        let task = Task { identity: identity?, time_zone: time_zone?, entries: entries? };
        let enabled = start?;
        let view = TaskView::for_log(&task, enabled);
        let request = to_raw_value(&view).expect("a task can be written as JSON");
        Some(Put { task, enabled, request })
    })
}

fn time_zone_of(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<TimeZone> {
    let name = body.string("time_zone", mistakes)?;
    TimeZone::parse(&name).map_err(|error| mistakes.add("time_zone", error)).ok()
}

fn entries_of(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Box<[Entry]>> {
    let raw = body.required("entries", "an object of entries", mistakes)?;
    let members = Object::read(raw, "entries".to_owned(), mistakes)?.into_members();
    if members.len() > Task::ENTRIES_MAX {
        mistakes.add("entries", format_args!("are {}, expected at most {}", members.len(), Task::ENTRIES_MAX));
        return None;
    }
    let mut entries: Vec<Entry> = members.into_iter().filter_map(|(name, raw)| entry(&name, raw, mistakes)).collect();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Some(entries.into())
}

fn entry(name: &str, raw: &RawValue, mistakes: &mut Mistakes) -> Option<Entry> {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    let path = format!("entries.{shown}");
    let name = EntryName::parse(name).map_err(|error| mistakes.add("entries", format_args!("a name {error}"))).ok();
    let members = Object::read(raw, path, mistakes)?;
    let cron = cron_of(&members, mistakes);
    let url = url_of(&members, mistakes);
    let headers = members.get("headers").map(|raw| headers(raw, members.path_of("headers"), mistakes));
    let body = members.get("body").and_then(JsonText::from_raw);
    members.warn_of_unknown(&ENTRY_KEYS, mistakes);
    let (cron_time, cron) = cron?;
    Some(Entry {
        name: name?,
        cron_time,
        cron,
        request: Request { url: url?, headers, body },
        last_fire: LastFire::never(),
    })
}

fn cron_of(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<(Box<str>, CronExpr)> {
    let text = members.string("cron_time", mistakes)?;
    match CronExpr::parse(&text) {
        Ok(cron) => Some((text.into(), cron)),
        Err(error) => {
            mistakes.add(&members.path_of("cron_time"), error);
            None
        }
    }
}

fn url_of(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<TargetUrl> {
    let text = members.string("url", mistakes)?;
    TargetUrl::parse(&text).map_err(|error| mistakes.add(&members.path_of("url"), error)).ok()
}

fn headers(raw: &RawValue, path: String, mistakes: &mut Mistakes) -> Box<[Header]> {
    let Some(members) = Object::read(raw, path, mistakes) else { return Box::default() };
    let paths: Vec<String> = members.keys().map(|key| members.path_of(key)).collect();
    let mut read = |((name, raw), path): ((String, &RawValue), String)| {
        let value = string(raw, &path, mistakes)?;
        Header::parse(&name, &value).map_err(|error| mistakes.add(&path, error)).ok()
    };
    members.into_members().into_iter().zip(paths).filter_map(&mut read).collect()
}
