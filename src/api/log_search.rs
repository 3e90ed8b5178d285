//! What `/logs/search` is asked: from a body to the question that every store understands.

use serde_json::value::RawValue;

use super::wire::{Understood, kind_word, known_word, understand};
use crate::model::object::{Kind, Mistakes, Object, integer, kind, string, unexpected};
use crate::model::{EntryName, Identity, NameError, Prefixes, RecordId, RecordKind, Timestamp};
use crate::store::{LogCursor, LogFilter, LogQuery, LogSort, StatusRange, Within, Words};

const KEYS: [&str; 13] = [
    "query",
    "identity",
    "entry",
    "type",
    "status",
    "run_id",
    "fire_time",
    "time",
    "lateness_ms",
    "duration_ms",
    "sort",
    "limit",
    "cursor",
];
const RANGE_KEYS: [&str; 2] = ["gte", "lte"];
/// How many values one key may list. More are refused.
const VALUES_MAX: usize = 100;
/// How many records a page holds when nothing is said.
const LIMIT_DEFAULT: usize = 100;
/// How much of a wrong word is shown, in characters.
const SHOWN_MAX: usize = 40;

/// A question, and where its answer goes on.
#[derive(Debug)]
pub(super) struct LogSearch {
    pub(super) query: LogQuery,
    pub(super) after: Option<LogCursor>,
}

/// `/logs/search`: which records. Unknown keys are refused: a condition that is not understood would show too much.
/// A cursor leads on only for who knows of the same tasks.
pub(super) fn read(bytes: &[u8], prefixes: &Prefixes) -> Understood<LogSearch> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"query":"timeout","status":"5xx","limit":100}"#, mistakes)?;
        body.refuse_unknown(&KEYS, mistakes);
        let filter = LogFilter { prefixes: prefixes.clone(), ..filter(&body, mistakes) };
        if filter.kinds.contains(&RecordKind::Audit) && !filter.is_of_audit() {
            mistakes
                .add("type", "has `audit` beside others, expected `audit` alone: the audit is apart from the history");
        }
        let sort = body.get("sort").and_then(|raw| sort(raw, mistakes)).unwrap_or_default();
        let limit = body.get("limit").and_then(|raw| limit(raw, mistakes)).unwrap_or(LIMIT_DEFAULT);
        let query = LogQuery { filter, sort, limit };
        let after = body.get("cursor").and_then(|raw| cursor(raw, &query, mistakes));
        Some(LogSearch { query, after })
    })
}

fn filter(body: &Object<'_>, mistakes: &mut Mistakes) -> LogFilter {
    LogFilter {
        words: body.get("query").and_then(|raw| words(raw, mistakes)).unwrap_or_default(),
        identities: several(body, "identity", mistakes, |raw, path, mistakes| {
            name(raw, path, mistakes, Identity::parse)
        }),
        entries: several(body, "entry", mistakes, |raw, path, mistakes| name(raw, path, mistakes, EntryName::parse)),
        kinds: several(body, "type", mistakes, |raw, path, mistakes| {
            let word = string(raw, path, mistakes)?;
            kind_word(&word, path, mistakes)
        }),
        statuses: several(body, "status", mistakes, status),
        run_id: body.get("run_id").and_then(|raw| run_id(raw, mistakes)),
        fire_time: range(body, "fire_time", mistakes, |raw, path, _, mistakes| date(raw, path, mistakes)),
        time: range(body, "time", mistakes, time),
        lateness_ms: range(body, "lateness_ms", mistakes, millis),
        duration_ms: range(body, "duration_ms", mistakes, millis),
        ..LogFilter::default()
    }
}

fn words(raw: &RawValue, mistakes: &mut Mistakes) -> Option<Words> {
    let text = string(raw, "query", mistakes)?;
    Words::parse(&text).map_err(|error| mistakes.add("query", error)).ok()
}

/// One value or an array of some.
fn several<'a, T, C: FromIterator<T> + Default>(
    body: &Object<'a>,
    key: &str,
    mistakes: &mut Mistakes,
    read: impl Fn(&'a RawValue, &str, &mut Mistakes) -> Option<T>,
) -> C {
    let Some(raw) = body.get(key) else { return C::default() };
    if kind(raw) != Kind::Array {
        return read(raw, key, mistakes).into_iter().collect();
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    if items.is_empty() || items.len() > VALUES_MAX {
        // None at all could mean every one or no one.
        mistakes.add(key, format_args!("has {} values, expected 1 to {VALUES_MAX}", items.len()));
        return C::default();
    }
    let items = items.into_iter().enumerate();
    items.filter_map(|(index, raw)| read(raw, &format!("{key}[{index}]"), mistakes)).collect()
}

fn name<T>(
    raw: &RawValue,
    path: &str,
    mistakes: &mut Mistakes,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Option<T> {
    let text = string(raw, path, mistakes)?;
    parse(&text).map_err(|error| mistakes.add(path, error)).ok()
}

fn status(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<StatusRange> {
    const EXPECTED: &str = "a status from 100 to 999 or a class such as \"4xx\"";
    let range = match kind(raw) {
        Kind::Number => raw.get().parse().ok().and_then(StatusRange::one),
        Kind::String => {
            let word = string(raw, path, mistakes)?;
            let class = StatusRange::class(&word);
            if class.is_none() {
                mistakes.add(path, format_args!("is `{}`, expected {EXPECTED}", shown(&word)));
            }
            return class;
        }
        Kind::Object | Kind::Array | Kind::Boolean | Kind::Null => None,
    };
    if range.is_none() {
        mistakes.add(path, unexpected(EXPECTED, raw));
    }
    range
}

fn run_id(raw: &RawValue, mistakes: &mut Mistakes) -> Option<RecordId> {
    let text = string(raw, "run_id", mistakes)?;
    let id = RecordId::parse(&text);
    if id.is_none() {
        mistakes.add("run_id", format_args!("is `{}`, expected a UUID", shown(&text)));
    }
    id
}

fn sort(raw: &RawValue, mistakes: &mut Mistakes) -> Option<LogSort> {
    let word = string(raw, "sort", mistakes)?;
    known_word(LogSort::parse(&word), &word, "sort", LogSort::ALL.map(LogSort::as_str), mistakes)
}

#[expect(clippy::cast_possible_wrap, reason = "a small constant")]
fn limit(raw: &RawValue, mistakes: &mut Mistakes) -> Option<usize> {
    usize::try_from(integer(raw, "limit", 1..=LogQuery::LIMIT_MAX as i64, mistakes)?).ok()
}

/// Looked at when all else is understood: it is about the query.
fn cursor(raw: &RawValue, query: &LogQuery, mistakes: &mut Mistakes) -> Option<LogCursor> {
    let text = string(raw, "cursor", mistakes)?;
    if text.len() > LogCursor::LEN_MAX {
        mistakes.add("cursor", format_args!("is {} bytes long, expected at most {}", text.len(), LogCursor::LEN_MAX));
        return None;
    }
    if !mistakes.is_empty() {
        return None;
    }
    LogCursor::parse(&text, query).map_err(|error| mistakes.add("cursor", error)).ok()
}

/// Which end of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

fn range<T: Copy + Ord>(
    body: &Object<'_>,
    key: &str,
    mistakes: &mut Mistakes,
    read: impl Fn(&RawValue, &str, End, &mut Mistakes) -> Option<T>,
) -> Within<T> {
    let object = body.get(key).and_then(|raw| Object::read(raw, key.to_owned(), mistakes));
    let Some(object) = object else { return Within::default() };
    object.refuse_unknown(&RANGE_KEYS, mistakes);
    let mut end = |key: &str, end: End| object.get(key).and_then(|raw| read(raw, &object.path_of(key), end, mistakes));
    let (gte, lte) = (end("gte", End::First), end("lte", End::Last));
    if gte.zip(lte).is_some_and(|(gte, lte)| gte > lte) {
        mistakes.add(key, "ends before it begins, expected gte to be at most lte");
    }
    Within { gte, lte }
}

fn date(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Timestamp> {
    let text = string(raw, path, mistakes)?;
    let date = Timestamp::parse_rfc3339(&text);
    if date.is_none() {
        let shown = shown(&text);
        mistakes.add(path, format_args!("is `{shown}`, expected a date and time such as 2026-11-21T07:15:30Z"));
    }
    date
}

/// A date, or seconds since the Unix epoch: then the last one counts whole.
fn time(raw: &RawValue, path: &str, end: End, mistakes: &mut Mistakes) -> Option<Timestamp> {
    if kind(raw) != Kind::Number {
        return date(raw, path, mistakes);
    }
    let millis = Timestamp::from_secs(integer(raw, path, i64::MIN..=i64::MAX, mistakes)?).millis();
    Some(Timestamp::from_millis(if end == End::Last { millis.saturating_add(999) } else { millis }))
}

fn millis(raw: &RawValue, path: &str, _: End, mistakes: &mut Mistakes) -> Option<i64> {
    integer(raw, path, 0..=i64::MAX, mistakes)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{is_told, json};
    use super::*;
    use crate::model::RecordKind;

    const VALID: &str = r#"{"query":"Disk full","identity":["a","b"],"entry":"e","type":["error","missed"],
        "status":[404,"5xx"],"run_id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "fire_time":{"gte":"2026-11-21T07:15:30+01:00","lte":"2026-11-22T00:00:00Z"},"time":{"gte":1700000000,"lte":1900000000},
        "lateness_ms":{"gte":0},"duration_ms":{"lte":30000},"sort":"fire_time_asc","limit":1000,"cursor":null}"#;

    fn read(bytes: &[u8]) -> Understood<LogSearch> {
        super::read(bytes, &Prefixes::all())
    }

    fn refusal(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().0
    }

    #[test]
    fn every_key_is_read_and_none_is_needed() {
        let all = read(VALID.as_bytes()).unwrap().value;
        let none = read(b"{}").unwrap().value;

        let LogFilter { words, identities, entries, kinds, statuses, run_id, fire_time, time, .. } = all.query.filter;
        assert_eq!(words.iter().collect::<Vec<_>>(), ["disk", "full"]);
        assert_eq!((identities.len(), entries.len(), statuses.len(), run_id.is_some()), (2, 1, 2, true));
        assert_eq!(kinds, [RecordKind::Error, RecordKind::Missed].into());
        assert_eq!(fire_time.gte.unwrap().to_string(), "2026-11-21T06:15:30.000Z");
        assert_eq!((time.gte.unwrap().millis(), time.lte.unwrap().millis()), (1_700_000_000_000, 1_900_000_000_999));
        assert_eq!((all.query.filter.lateness_ms.gte, all.query.filter.duration_ms.lte), (Some(0), Some(30_000)));
        assert_eq!((all.query.sort, all.query.limit), (LogSort::FireTimeAsc, 1_000));
        assert_eq!((none.query.sort, none.query.limit, none.after), (LogSort::TimeDesc, 100, None));
        assert!(none.query.filter.identities.is_empty() && none.query.filter.time.is_open());
    }

    #[test]
    fn every_mistake_is_told_with_its_place_what_stands_there_and_what_was_expected() {
        let told = refusal(
            r#"{"query":7,"identity":[],"entry":["",3],"type":"put ","status":[99,"4x",true],"run_id":"x","statuss":1,
                "fire_time":{"gte":"today","gt":1},"time":{"gte":5,"lte":4},"lateness_ms":{"gte":-1},"duration_ms":5,
                "sort":"newest","limit":1001,"cursor":1}"#,
        );

        let expected = [
            "statuss: is not known, did you mean `status`?",
            "query: is `7`, expected a string",
            "identity: has 0 values, expected 1 to 100",
            "entry[0]: is empty, expected 1 to 256 bytes",
            "entry[1]: is `3`, expected a string",
            "type: is `put `, expected one of put, delete, running, success, error, skipped, missed, started, audit",
            "status[0]: is `99`, expected a status from 100 to 999 or a class such as \"4xx\"",
            "status[1]: is `4x`, expected a status from 100 to 999 or a class such as \"4xx\"",
            "status[2]: is `true`, expected a status from 100 to 999 or a class such as \"4xx\"",
            "run_id: is `x`, expected a UUID",
            "fire_time.gt: is not known, did you mean `gte`?",
            "fire_time.gte: is `today`, expected a date and time such as 2026-11-21T07:15:30Z",
            "time: ends before it begins, expected gte to be at most lte",
            "lateness_ms.gte: is `-1`, expected a whole number of at least 0",
            "duration_ms: is `5`, expected an object",
            "sort: is `newest`, expected one of time_desc, time_asc, fire_time_desc, fire_time_asc",
            "limit: is `1001`, expected a whole number from 1 to 1000",
            "cursor: is `1`, expected a string",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = vec!["\"x\""; 101].join(",");

        assert_eq!(refusal(&format!("{{\"identity\":[{many}]}}")), "identity: has 101 values, expected 1 to 100");
        assert_eq!(
            refusal(&format!("{{\"query\":\"{}\"}}", "a ".repeat(33))),
            "query: has 33 words, expected at most 32"
        );
        let long = "a".repeat(LogCursor::LEN_MAX + 1);
        assert_eq!(
            refusal(&format!("{{\"cursor\":\"{long}\"}}")),
            "cursor: is 65537 bytes long, expected at most 65536"
        );
        assert!(refusal(r#"{"cursor":"x"}"#).starts_with("cursor: is none that this service gave"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn bytes_of_any_kind_are_refused_with_a_place(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).err().is_none_or(|refused| is_told(&refused.0)));
        }

        #[test]
        fn json_of_any_shape_is_read_or_refused_with_a_place(text in json(4, &KEYS)) {
            prop_assert!(read(text.as_bytes()).err().is_none_or(|refused| is_told(&refused.0)), "{text}");
        }

        #[test]
        fn a_valid_body_with_a_few_bytes_changed_is_read_or_refused_with_a_place(
            changes in prop::collection::vec((0..VALID.len(), any::<u8>()), 1..4), cut in 0..VALID.len(),
        ) {
            let mut bytes = VALID.as_bytes().to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            prop_assert!(read(&bytes).err().is_none_or(|refused| is_told(&refused.0)));
            prop_assert!(read(&bytes[..cut]).err().is_none_or(|refused| is_told(&refused.0)));
        }

        #[test]
        fn a_cursor_of_any_form_is_read_or_refused_with_a_place(text in "[0-9a-f]{0,16}\\.?[0-9-]{0,6}\\.?[^\"\\\\]{0,30}") {
            let body = serde_json::json!({ "cursor": text }).to_string();
            prop_assert!(read(body.as_bytes()).err().is_none_or(|refused| is_told(&refused.0)), "{body}");
        }
    }
}
