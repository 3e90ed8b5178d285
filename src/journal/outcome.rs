//! How a run ended, and the log document of it.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::documents::{MaskedHeaders, json, millis};
use super::response::Response;
use super::run_document::{AttemptDocument, RunDocument, body_of};
use crate::model::{
    Attempt, EntryOptions, Fire, JsonText, Masking, Record, RecordKind, RunState, Settled, Stretch, Timestamp,
};

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct FireOutcome {
    /// All attempts; none, if it was given up before anything was sent.
    pub attempts: Vec<Attempt>,
    /// When it was over.
    pub ended_at: Timestamp,
    /// When it was to start, if that was later than its instant on purpose.
    pub due_at: Option<Timestamp>,
    /// What came back at last, if anything did.
    pub answer: Option<KeptAnswer>,
    /// Why it is no success; empty for a success.
    pub messages: Vec<String>,
    /// It failed for good, and somebody should look at it.
    pub is_dead_letter: bool,
}

/// What is kept of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// The body, as far as it stands in the record.
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub is_truncated: bool,
    /// How many bytes of the body were read.
    pub size: u64,
    /// What the target says that it is.
    pub content_type: Option<Box<str>>,
    /// How many pieces of it are kept beside the record.
    pub pieces: u32,
    /// Whether not all of it is kept, in the record or beside it.
    pub result_is_truncated: bool,
    /// Why nothing is kept beside the record that should be.
    pub result_error: Option<String>,
    /// How many redirects were followed to come by it.
    pub redirects: u32,
    /// Where the last of them led, its password masked; `None`: none was followed.
    pub last_url: Option<Box<str>>,
}

impl FireOutcome {
    /// When the first attempt began.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.attempts.first().map(|first| first.started_at)
    }

    /// The status of what came back at last; of a run that was given up between two attempts, what the last one got.
    pub fn status(&self) -> Option<u16> {
        let of_answer = self.answer.as_ref().map(|answer| answer.status);
        of_answer.or_else(|| self.attempts.last().and_then(|last| last.status))
    }

    /// From the first attempt to the end.
    fn duration(&self) -> Option<Duration> {
        match &self.attempts[..] {
            [] => None,
            // Of a single attempt it was measured, whatever was done to the clock meanwhile.
            [only] => Some(only.duration),
            [first, ..] => Some(self.ended_at.since(first.started_at)),
        }
    }
}

/// When a run was to start: what its lateness is measured from. `later`: if it was to start later than its instant on purpose.
pub fn due_at(fire: &Fire, later: Option<Timestamp>) -> Timestamp {
    let asked_at = fire.asked.as_ref().map_or(fire.fire_time, |asked| asked.run_id.instant());
    later.unwrap_or(fire.fire_time).max(asked_at)
}

#[derive(Serialize)]
struct FireDocument<'a> {
    r#type: &'static str,
    identity: &'a str,
    key: &'a str,
    url: Option<Cow<'a, str>>,
    header: Option<MaskedHeaders<'a>>,
    body: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    response_lead: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    response_trail: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    message: &'a [String],
    time: i64,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(flatten)]
    run: RunDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lateness_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    response_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policies<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptDocument<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dead_letter: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_pieces: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    result_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirects: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_url: Option<&'a str>,
}

/// The record of a run that has ended.
pub(super) fn fire_record(fire: &Fire, outcome: &FireOutcome, masking: &Masking) -> Record {
    let (entry, request, run_id) = (fire.entry(), fire.request(), fire.run_id());
    let kind = if outcome.messages.is_empty() { RecordKind::Success } else { RecordKind::Error };
    let (time, answer) = (outcome.ended_at, outcome.answer.as_ref());
    let due_at = due_at(fire, outcome.due_at);
    let lateness = outcome.started_at().filter(|_| fire.notice.is_none()).map(|at| at.since(due_at));
    let response = answer.map(|answer| Response::of(&answer.body));
    let space = response.as_ref().map_or(("", ""), |response| (response.lead, response.trail));
    let document = FireDocument {
        r#type: kind.as_str(),
        identity: fire.identity().as_str(),
        key: entry.name.as_str(),
        url: request.map(|request| request.url.masked()),
        header: request.and_then(|request| request.headers.as_deref()).map(|headers| MaskedHeaders(headers, masking)),
        body: body_of(fire).map(JsonText::as_raw),
        response_lead: space.0,
        response_trail: space.1,
        response: response.map(|response| response.value),
        message: &outcome.messages,
        time: time.secs(),
        timestamp: time.to_string(),
        run: RunDocument::of(fire),
        due_at: outcome.due_at.map(|at| at.to_string()),
        started_at: outcome.started_at().map(|at| at.to_string()),
        lateness_ms: lateness.map(millis),
        duration_ms: outcome.duration().map(millis),
        status: outcome.status(),
        response_truncated: answer.is_some_and(|answer| answer.is_truncated),
        policy: Policies::of(fire),
        attempts: outcome.attempts.iter().map(AttemptDocument::of).collect(),
        dead_letter: outcome.is_dead_letter,
        result_size: answer.map(|answer| answer.size),
        content_type: answer.and_then(|answer| answer.content_type.as_deref()),
        result_pieces: answer.map(|answer| answer.pieces).filter(|&pieces| pieces > 0),
        result_truncated: answer.is_some_and(|answer| answer.result_is_truncated),
        result_error: answer.and_then(|answer| answer.result_error.as_deref()),
        redirects: answer.map(|answer| answer.redirects).filter(|&redirects| redirects > 0),
        last_url: answer.and_then(|answer| answer.last_url.as_deref()),
    };
    let settled = || Settled { entry: entry.name.clone(), stretch: Stretch::one(fire.fire_time) };
    let ended = RunState::ended(entry.name.clone());
    // The record of a node that was cut off may come later than that of the one that sent again: that it was sent again must stay.
    let phase = ended.phase + u32::from(fire.redelivered);
    let run = || RunState { is_dead_letter: outcome.is_dead_letter, phase, ..ended };
    Record {
        id: run_id.into(),
        identity: fire.identity().clone(),
        kind,
        settled: fire.is_planned().then(settled),
        run: fire.notice.is_none().then(run),
        time,
        source: json(&document),
    }
}

/// The options that decide what becomes of a run.
const DECIDING: [&str; 9] =
    ["timeout", "success", "redirects_max", "retry", "overlap", "misfire", "catch_up_window", "delivery", "jitter"];

/// The policies that an entry gives, as it gives them.
struct Policies<'a>(&'a EntryOptions);

impl<'a> Policies<'a> {
    /// `None`: the entry gives none.
    fn of(fire: &'a Fire) -> Option<Self> {
        let policies = Self(fire.entry().options());
        (fire.notice.is_none() && policies.given().next().is_some()).then_some(policies)
    }

    fn given(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        let given = self.0.given.iter().filter(|(name, _)| DECIDING.contains(&&**name));
        given.map(|(name, value)| (&**name, value.as_raw()))
    }
}

impl Serialize for Policies<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.given())
    }
}

#[cfg(test)]
mod tests;
