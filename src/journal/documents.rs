//! The log documents: the contract's fields, then ours.

use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::model::{
    EntryName, Header, Identity, Masking, Pause, Record, RecordId, RecordKind, RunId, Settled, Stretch, Timestamp,
};

#[derive(Serialize)]
struct UnfiredDocument<'a> {
    r#type: &'static str,
    identity: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Who paused it, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    time: i64,
    #[serde(rename = "@timestamp")]
    timestamp: String,
}

/// The record of instants that a policy decided not to fire.
pub fn skipped_record(
    identity: &Identity,
    entry: &EntryName,
    stretch: Stretch,
    policy: &str,
    time: Timestamp,
) -> Record {
    unfired_record(RecordKind::Skipped, identity, entry, stretch, policy, None, time)
}

/// The record of instants that were not fired because somebody paused firing: all of it, or entries with a tag.
pub fn paused_record(
    identity: &Identity,
    entry: &EntryName,
    stretch: Stretch,
    (tag, pause): (Option<&str>, &Pause),
    time: Timestamp,
) -> Record {
    unfired_record(RecordKind::Skipped, identity, entry, stretch, &paused_by(tag), Some(pause), time)
}

/// What a record calls the policy, when a pause of a tag, or of all firing, kept an instant from being fired.
pub fn paused_by(tag: Option<&str>) -> String {
    tag.map_or("paused: all firing".to_owned(), |tag| format!("paused: tag {tag}"))
}

/// The record of instants that could not be fired.
pub fn missed_record(
    identity: &Identity,
    entry: &EntryName,
    stretch: Stretch,
    reason: &str,
    time: Timestamp,
) -> Record {
    unfired_record(RecordKind::Missed, identity, entry, stretch, reason, None, time)
}

fn unfired_record(
    kind: RecordKind,
    identity: &Identity,
    entry: &EntryName,
    stretch: Stretch,
    why: &str,
    pause: Option<&Pause>,
    time: Timestamp,
) -> Record {
    let is_one = stretch.first == stretch.last;
    let document = UnfiredDocument {
        r#type: kind.as_str(),
        identity: identity.as_str(),
        key: entry.as_str(),
        fire_time: is_one.then(|| stretch.last.to_string()),
        first: (!is_one).then(|| stretch.first.to_string()),
        last: (!is_one).then(|| stretch.last.to_string()),
        count: stretch.count,
        policy: (kind == RecordKind::Skipped).then_some(why),
        reason: (kind == RecordKind::Missed).then_some(why),
        by: pause.map(|pause| &*pause.by),
        note: pause.and_then(|pause| pause.note.as_deref()),
        time: time.secs(),
        timestamp: time.to_string(),
    };
    Record {
        id: RunId::planned(identity, entry, stretch.last).into(),
        identity: identity.clone(),
        kind,
        settled: Some(Settled { entry: entry.clone(), stretch }),
        run: None,
        time,
        source: json(&document),
    }
}

#[derive(Serialize)]
struct ChangeDocument<'a, B> {
    r#type: &'static str,
    identity: &'a str,
    body: &'a B,
    time: i64,
    #[serde(rename = "@timestamp")]
    timestamp: String,
}

/// The record of a put, a delete or a switch. `body` is the request, its credentials masked.
pub fn change_record(kind: RecordKind, identity: &Identity, body: &impl Serialize, time: Timestamp) -> Record {
    let document = ChangeDocument {
        r#type: kind.as_str(),
        identity: identity.as_str(),
        body,
        time: time.secs(),
        timestamp: time.to_string(),
    };
    Record {
        id: RecordId::random(),
        identity: identity.clone(),
        kind,
        settled: None,
        run: None,
        time,
        source: json(&document),
    }
}

/// Headers as a JSON object whose credentials are masked.
#[derive(Clone, Copy, Debug)]
pub struct MaskedHeaders<'a>(pub &'a [Header], pub &'a Masking);

impl Serialize for MaskedHeaders<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for header in self.0 {
            map.serialize_entry(header.name(), self.1.shown(header))?;
        }
        map.end()
    }
}

pub(super) fn json(document: &impl Serialize) -> Box<str> {
    serde_json::to_string(document).expect("a log document can be written as JSON").into()
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
