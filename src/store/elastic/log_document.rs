//! Log documents in Elasticsearch: the record's own JSON, and beside it, in `record`, what our searches need.
//!
//! The record's text is never changed, so what comes back is what was written. Only JSON that Elasticsearch cannot read (a name
//! twice in one object, a thousand levels, numbers of a thousand digits) is kept as a text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::mappings::log_mapping;
use crate::model::{EntryName, Record, RecordId, RecordKind, RunState, Settled, Stretch, Timestamp};
use crate::store::log_words::Looked;

/// How much of a document that was refused is kept as a text, in bytes.
const PARKED_MAX: usize = 1024 * 1024;
/// What a client or a target brought, of any form.
const FOREIGN: [&str; 5] = ["header", "body", "response", "before", "after"];
/// How a document of ours begins.
const BEGIN: &str = "{\"record\":";
/// Stands in the place of a policy that is in the extract.
const NO_POLICY: &str = "[]";

/// What our searches need of a record.
#[derive(Debug, Serialize, Deserialize)]
struct Extract<'a> {
    /// Grows with each record: the order of records of one millisecond, and what a clear has hidden.
    seq: u64,
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// The instant that it belongs to: what runs, and searches by fire time, are ordered by.
    #[serde(skip_serializing_if = "Option::is_none")]
    instant: Option<i64>,
    /// It tells of a run. Earlier versions did not say so: there every fire of an instant is one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    run: bool,
    /// The phase of its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<u32>,
    /// A run that failed for good, and nobody has dealt with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dead: bool,
    /// What decided on a run. The field of that name in the document is for the word of one policy.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    policy: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    /// The words of URL, message and response: apart, so that a host or a number with a point is no single word.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
}

/// The document of a record.
pub(super) fn write(record: &Record, seq: u64) -> Bytes {
    let looked = Looked::at(&record.source);
    let stretch = record.settled.as_ref().map(|settled| settled.stretch);
    let policy = looked.policy.filter(|policy| policy.get().starts_with('{'));
    let extract = Extract {
        seq,
        at: record.time.millis(),
        first: stretch.map(|stretch| stretch.first.millis()),
        last: stretch.map(|stretch| stretch.last.millis()),
        count: stretch.map(|stretch| stretch.count),
        instant: Some(record.instant().millis()),
        run: record.is_of_run(),
        phase: record.run.as_ref().map(|run| run.phase),
        dead: record.run.as_ref().is_some_and(|run| run.is_dead_letter),
        policy,
        target: looked.url.as_deref().and_then(target).map(Cow::Owned),
        text: looked.all_words().map(Cow::Owned),
    };
    let mut document = Vec::with_capacity(record.source.len() + 160);
    document.extend_from_slice(BEGIN.as_bytes());
    serde_json::to_writer(&mut document, &extract).expect("an extract can be written as JSON");
    let source = policy.map_or(Cow::Borrowed(&*record.source), |policy| replaced(&record.source, policy, NO_POLICY));
    let rest = source.trim_start().strip_prefix('{').unwrap_or("}").trim_start();
    if !rest.starts_with('}') {
        document.push(b',');
    }
    document.extend_from_slice(rest.as_bytes());
    document.into()
}

/// A text with another one in the place of a value that was found in it.
fn replaced<'a>(text: &str, found: &RawValue, by: &str) -> Cow<'a, str> {
    let begin = found.get().as_ptr().addr() - text.as_ptr().addr();
    let end = begin + found.get().len();
    Cow::Owned(format!("{}{by}{}", &text[..begin], &text[end..]))
}

/// Scheme, host and port of a URL.
fn target(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    Some(format!("{}://{host}:{port}", url.scheme()))
}

/// The same document with the JSON that others brought as text.
pub(super) fn with_foreign_as_text(record: &Record) -> Record {
    rewritten(record, |name, value| {
        let is_text = !matches!(name, "body" | "response" | "before" | "after")
            || value.get().starts_with('"')
            || value.get() == "null";
        Some(if is_text { value.to_owned() } else { quoted(value.get()) })
    })
}

fn quoted(text: &str) -> Box<RawValue> {
    to_raw_value(&text[..text.floor_char_boundary(PARKED_MAX)]).expect("a text can be written as JSON")
}

/// A document that was refused even so: what is ours stands as it was, the whole as a text, and why it was refused.
pub(super) fn parked(record: &Record, why: &str) -> Record {
    let mapping = log_mapping();
    let is_ours = |name: &str| !FOREIGN.contains(&name) && mapping["properties"].get(name).is_some();
    let mut parked = rewritten(record, |name, value| is_ours(name).then(|| value.to_owned()));
    let source = parked.source.strip_suffix('}').unwrap_or_default();
    let comma = if source.len() > 1 { "," } else { "" };
    let (why, whole) = (to_raw_value(why).expect("a text can be written as JSON"), quoted(&record.source));
    parked.source = format!("{source}{comma}\"parked\":{},\"parked_source\":{}}}", why.get(), whole.get()).into();
    parked
}

fn rewritten(record: &Record, rewrite: impl Fn(&str, &RawValue) -> Option<Box<RawValue>>) -> Record {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(&record.source).unwrap_or_default();
    let rewritten: BTreeMap<&str, Box<RawValue>> =
        fields.iter().filter_map(|(name, value)| Some((&**name, rewrite(name, value)?))).collect();
    let source = serde_json::to_string(&rewritten).expect("a log document can be written as JSON").into();
    Record { source, ..record.clone() }
}

#[derive(Deserialize)]
struct Ours<'a> {
    r#type: Cow<'a, str>,
    /// An audit record may belong to no task.
    #[serde(borrow, default)]
    identity: Cow<'a, str>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    policy: Option<&'a RawValue>,
    #[serde(default)]
    time: i64,
}

/// The number of a document of ours.
pub(super) fn seq_of(source: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered<'a> {
        #[serde(borrow)]
        record: Extract<'a>,
    }
    serde_json::from_str::<Numbered<'_>>(source).ok().map(|document| document.record.seq)
}

/// Reads a document, ours or one that the mirrored service wrote. `None`: it is neither.
pub(super) fn read(id: &str, source: &str) -> Option<Record> {
    let document: Ours<'_> = serde_json::from_str(source).ok()?;
    let extract: Option<Extract<'_>> = document.record.and_then(|record| serde_json::from_str(record.get()).ok());
    let at = extract.as_ref().map(|extract| Timestamp::from_millis(extract.at));
    let stretch = extract.as_ref().and_then(|it| Some(stretch(it.first?, it.last?, it.count?)));
    let entry = document.key.as_deref().and_then(|key| EntryName::parse(key).ok());
    let kind = RecordKind::parse(&document.r#type)?;
    Some(Record {
        id: RecordId::parse(id).unwrap_or_else(|| RecordId::from_bytes(foreign_id(id))),
        identity: Record::identity_of(kind, &document.identity).ok()?,
        kind,
        run: extract.as_ref().and_then(|extract| extract.run_state(entry.clone(), kind)),
        settled: entry.zip(stretch).map(|(entry, stretch)| Settled { entry, stretch }),
        time: at.unwrap_or(Timestamp::from_secs(document.time)),
        source: as_given(source, &document, extract.as_ref().and_then(|extract| extract.policy)).into(),
    })
}

impl Extract<'_> {
    /// What it says of a run, or of a callback that has not ended.
    fn run_state(&self, entry: Option<EntryName>, kind: RecordKind) -> Option<RunState> {
        let is_run = self.run || (kind.is_fire() && self.last.is_some());
        let entry = entry.filter(|_| is_run);
        let phase = self.phase.unwrap_or(RunState::ENDED);
        let is_told = entry.is_some() || kind == RecordKind::Started;
        is_told.then_some(RunState { entry, phase, is_dead_letter: self.dead })
    }
}

/// The mirrored service lets Elasticsearch choose ids: the same one always gets the same name here.
fn foreign_id(id: &str) -> [u8; 16] {
    *Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).as_bytes()
}

fn stretch(first: i64, last: i64, count: u64) -> Stretch {
    Stretch { first: Timestamp::from_millis(first), last: Timestamp::from_millis(last), count }
}

/// The document as it was given.
fn as_given<'a>(source: &'a str, document: &Ours<'_>, policy: Option<&RawValue>) -> Cow<'a, str> {
    let Some(extract) = document.record.filter(|_| source.starts_with(BEGIN)) else { return Cow::Borrowed(source) };
    let source = match policy.zip(document.policy) {
        Some((policy, place)) => replaced(source, place, policy.get()),
        None => Cow::Borrowed(source),
    };
    let rest = &source[BEGIN.len() + extract.get().len()..];
    Cow::Owned(format!("{{{}", rest.strip_prefix(',').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Identity, RunId};

    fn record(source: &str) -> Record {
        let (identity, entry) = (Identity::parse("t").unwrap(), EntryName::parse("e").unwrap());
        let instant = Timestamp::from_millis(1_800_000_000_123);
        let id = RunId::planned(&identity, &entry, instant).into();
        let run = Some(RunState::ended(entry.clone()));
        let settled = Some(Settled { entry, stretch: Stretch::one(instant) });
        Record { id, identity, kind: RecordKind::Success, settled, run, time: instant, source: source.into() }
    }

    #[test]
    fn a_document_comes_back_as_it_was_written() {
        let sources = [
            r#"{"type":"success","identity":"t","key":"e","body":1.50,"response":{"b":1,"a":[1e400,{"record":2}]}}"#,
            r#"{"type":"success","identity":"t","key":"e","response":"} \" \\ {\"record\":"}"#,
            r#"{"type":"success","identity":"t","key":"e"}"#,
        ];
        for source in sources {
            let record = record(source);

            let read = read(&record.id.to_string(), std::str::from_utf8(&write(&record, 7)).unwrap()).unwrap();

            assert_eq!(read, record);
        }
    }

    /// What a store writes, as it reads it.
    fn comes_back(record: &Record) -> Record {
        read(&record.id.to_string(), std::str::from_utf8(&write(record, 7)).unwrap()).unwrap()
    }

    #[test]
    fn what_a_record_says_of_a_run_comes_back() {
        let ended = record(r#"{"type":"error","identity":"t","key":"e"}"#);
        let started = Record { kind: RecordKind::Started, ..record(r#"{"type":"started","identity":"t","key":"e"}"#) };
        let run = |phase, is_dead_letter| Some(RunState { entry: EntryName::parse("e").ok(), phase, is_dead_letter });
        let error = Record { kind: RecordKind::Error, ..ended };
        let callback = started.clone();
        let put = record(r#"{"type":"put","identity":"t"}"#);

        for record in [
            Record { run: run(RunState::ENDED + 3, true), ..error.clone() },
            Record { run: run(0, false), settled: None, ..started.clone() },
            Record { run: run(7, false), ..started },
            // A callback tells of no run of its own, but of how far it has come.
            Record { run: Some(RunState { entry: None, phase: 3, is_dead_letter: false }), settled: None, ..callback },
            Record { run: None, settled: None, ..error.clone() },
            Record { kind: RecordKind::Put, run: None, settled: None, ..put },
        ] {
            assert_eq!(comes_back(&record), record);
        }
        // Earlier versions did not say what is a run.
        assert_eq!(comes_back(&Record { run: None, ..error.clone() }), error);
    }

    #[test]
    fn the_policies_of_a_run_stand_beside_the_word_of_one_policy_and_come_back_to_the_byte() {
        let sources = [
            r#"{"type":"success","identity":"t","key":"e","policy":{ "retry" : {"on":[408,"5xx"]},"n":1.50 },"time":5}"#,
            r#"{ "type":"success","identity":"t","key":"e","response":{"policy":[]},"policy":{}}"#,
        ];
        let words = r#"{"type":"success","identity":"t","key":"e","policy":"misfire skip"}"#;
        let document =
            |source: &str| -> serde_json::Value { serde_json::from_slice(&write(&record(source), 1)).unwrap() };

        for source in sources {
            let written = document(source);
            assert!(written["record"]["policy"].is_object() && written["policy"] == serde_json::json!([]), "{written}");
            assert_eq!(comes_back(&record(source)).source.replace(' ', ""), source.replace(' ', ""));
        }
        assert_eq!(&*comes_back(&record(sources[0])).source, sources[0]);
        let written = document(words);
        assert_eq!((&written["policy"], written["record"].get("policy")), (&"misfire skip".into(), None));
    }

    #[test]
    fn the_words_of_a_document_and_its_target_can_be_found() {
        let document =
            |source: &str| -> serde_json::Value { serde_json::from_slice(&write(&record(source), 1)).unwrap() };

        let json = document(r#"{"url":"https://EXAMPLE.com/a?b","response":{"error":"no disk"}}"#);
        let plain = document(r#"{"url":"http://[::1]:81/","response":"3.14"}"#);

        assert_eq!(json["record"]["target"], "https://example.com:443");
        assert_eq!(json["record"]["text"], "https EXAMPLE com a b error no disk");
        assert_eq!(plain["record"]["target"], "http://[::1]:81");
        assert_eq!(plain["record"]["text"], "http 1 81 3 14");
    }

    #[test]
    fn foreign_json_can_be_kept_as_text_and_a_parked_document_keeps_what_is_ours() {
        let source = r#"{"type":"success","identity":"t","unknown":1,"body":{"a":1,"a":2},"header":{"x":"y"},"response":"text","time":5}"#;

        let text: serde_json::Value = serde_json::from_str(&with_foreign_as_text(&record(source)).source).unwrap();
        let parked: serde_json::Value = serde_json::from_str(&parked(&record(source), "because").source).unwrap();

        assert_eq!((text["body"].as_str(), text["response"].as_str()), (Some(r#"{"a":1,"a":2}"#), Some("text")));
        assert_eq!((parked["parked"].as_str(), parked["time"].as_i64()), (Some("because"), Some(5)));
        assert_eq!((parked["parked_source"].as_str(), parked.get("body")), (Some(source), None));
        // Not every field that a newer version writes is known to an index.
        assert_eq!(parked.get("unknown"), None);
    }

    #[test]
    fn a_document_of_the_mirrored_service_is_read_and_one_of_nobody_is_not() {
        let source = r#"{"type":"error","identity":"t","key":"e","message":["x"],"time":1700000000}"#;

        let found = read("AYx_1", source).unwrap();

        assert_eq!((found.kind, found.time), (RecordKind::Error, Timestamp::from_secs(1_700_000_000)));
        assert_eq!((&*found.source, found.settled), (source, None));
        assert!(read("1", r#"{"other":1}"#).is_none() && read("1", r#"{"type":"x","identity":"t"}"#).is_none());
    }
}
