//! The log documents: the contract's fields, then ours.

use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::{RawValue, to_raw_value};

use crate::model::{
    EntryName, Fire, Header, Identity, JsonText, Record, RecordId, RecordKind, RunId, Settled, Stretch, Timestamp,
};

/// What stands in a record in place of a header value that is a credential.
const MASK: &str = "***";

/// How a fire ended.
#[derive(Clone, Debug)]
pub struct FireOutcome {
    /// When the first attempt began.
    pub started_at: Timestamp,
    /// How long the attempt took.
    pub duration: Duration,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The answer's body, as far as it was kept.
    pub response: Option<Vec<u8>>,
    /// Whether the answer was longer than what was kept.
    pub response_truncated: bool,
    /// Why it is no success; empty for a success.
    pub messages: Vec<String>,
}

#[derive(Serialize)]
struct FireDocument<'a> {
    r#type: &'static str,
    identity: &'a str,
    key: &'a str,
    url: &'a str,
    header: Option<MaskedHeaders<'a>>,
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    message: &'a [String],
    time: i64,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    run_id: String,
    fire_time: String,
    trigger: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redelivered: bool,
    started_at: String,
    lateness_ms: u64,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    response_truncated: bool,
}

/// The record of a fire that was sent.
pub(super) fn fire_record(fire: &Fire, outcome: &FireOutcome) -> Record {
    let (entry, run_id) = (fire.entry(), fire.run_id());
    let kind = if outcome.messages.is_empty() { RecordKind::Success } else { RecordKind::Error };
    let time = outcome.started_at.plus(outcome.duration);
    let document = FireDocument {
        r#type: kind.as_str(),
        identity: fire.identity().as_str(),
        key: entry.name.as_str(),
        url: entry.request.url.as_str(),
        header: entry.request.headers.as_deref().map(MaskedHeaders),
        body: entry.request.body.as_ref().map(JsonText::as_raw),
        response: outcome.response.as_deref().map(response_value),
        message: &outcome.messages,
        time: time.secs(),
        timestamp: time.to_string(),
        run_id: run_id.to_string(),
        fire_time: fire.fire_time.to_string(),
        trigger: fire.trigger.as_str(),
        redelivered: fire.redelivered,
        started_at: outcome.started_at.to_string(),
        lateness_ms: millis(outcome.started_at.since(fire.fire_time)),
        duration_ms: millis(outcome.duration),
        status: outcome.status,
        response_truncated: outcome.response_truncated,
    };
    Record {
        id: run_id.into(),
        identity: fire.identity().clone(),
        kind,
        settled: Some(Settled { entry: entry.name.clone(), stretch: Stretch::one(fire.fire_time) }),
        time,
        source: json(&document),
    }
}

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
    unfired_record(RecordKind::Skipped, identity, entry, stretch, policy, time)
}

/// The record of instants that could not be fired.
pub fn missed_record(
    identity: &Identity,
    entry: &EntryName,
    stretch: Stretch,
    reason: &str,
    time: Timestamp,
) -> Record {
    unfired_record(RecordKind::Missed, identity, entry, stretch, reason, time)
}

fn unfired_record(
    kind: RecordKind,
    identity: &Identity,
    entry: &EntryName,
    stretch: Stretch,
    why: &str,
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
        time: time.secs(),
        timestamp: time.to_string(),
    };
    Record {
        id: RunId::planned(identity, entry, stretch.last).into(),
        identity: identity.clone(),
        kind,
        settled: Some(Settled { entry: entry.clone(), stretch }),
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
    Record { id: RecordId::random(), identity: identity.clone(), kind, settled: None, time, source: json(&document) }
}

/// Headers as a JSON object whose credentials are masked.
#[derive(Clone, Copy, Debug)]
pub struct MaskedHeaders<'a>(pub &'a [Header]);

impl Serialize for MaskedHeaders<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for header in self.0 {
            map.serialize_entry(header.name(), if header.is_credential() { MASK } else { header.value() })?;
        }
        map.end()
    }
}

/// An answer that is JSON stands in the record as JSON, any other as text.
fn response_value(bytes: &[u8]) -> Box<RawValue> {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(value) => value.to_owned(),
        Err(_) => to_raw_value(&String::from_utf8_lossy(bytes)).expect("a string can be written as JSON"),
    }
}

fn json(document: &impl Serialize) -> Box<str> {
    serde_json::to_string(document).expect("a log document can be written as JSON").into()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
