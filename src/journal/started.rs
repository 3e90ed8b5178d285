//! Records of runs that have not ended: what a crash leaves of a run, and how it is read back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::documents::{MaskedHeaders, json};
use super::run_document::{AttemptDocument, RunDocument, body_of};
use crate::model::{
    Asked, Attempt, Backfill, EntryName, Fire, JsonText, Masking, Notice, Occasion, Progress, Record, RecordKind,
    Revision, RunId, RunState, Settled, Stretch, Timestamp, Trigger,
};

/// How far a run has come that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStage {
    /// Nothing was sent yet.
    Queued,
    /// A request is under way.
    Running,
    /// An attempt failed, another one will be made.
    BackingOff,
}

impl RunStage {
    const ALL: [Self; 3] = [Self::Queued, Self::Running, Self::BackingOff];

    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::BackingOff => "backing_off",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

#[derive(Serialize)]
struct StartedDocument<'a> {
    r#type: &'static str,
    identity: &'a str,
    key: &'a str,
    url: Option<Cow<'a, str>>,
    header: Option<MaskedHeaders<'a>>,
    body: Option<&'a RawValue>,
    time: i64,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(flatten)]
    run: RunDocument<'a>,
    state: &'static str,
    phase: u32,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptDocument<'a>>,
}

/// A run that has not ended, as its record tells of it.
#[derive(Clone, Debug)]
pub struct Started {
    /// The run.
    pub fire: Fire,
    /// Where it stands.
    pub stage: RunStage,
    /// The attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// Grows with each record of the run.
    pub phase: u32,
    /// Since when it stands there.
    pub at: Timestamp,
    /// When the next attempt is to be made.
    pub resume_at: Option<Timestamp>,
}

impl Started {
    /// The record, its credentials masked. That of a callback has a phase as well, so that a crash finds it; its outcome has none.
    pub fn record(&self, masking: &Masking) -> Record {
        let (fire, at) = (&self.fire, self.at);
        let (entry, request) = (fire.entry(), fire.request());
        let is_sent = self.stage == RunStage::Running;
        let started_at = self.attempts.first().map(|first| first.started_at).or(is_sent.then_some(at));
        let document = StartedDocument {
            r#type: RecordKind::Started.as_str(),
            identity: fire.identity().as_str(),
            key: entry.name.as_str(),
            url: request.map(|request| request.url.masked()),
            header: request
                .and_then(|request| request.headers.as_deref())
                .map(|headers| MaskedHeaders(headers, masking)),
            body: body_of(fire).map(JsonText::as_raw),
            time: at.secs(),
            timestamp: at.to_string(),
            run: RunDocument::of(fire),
            state: self.stage.as_str(),
            phase: self.phase,
            revision: fire.revision.number,
            started_at: started_at.map(|at| at.to_string()),
            resume_at: self.resume_at.map(|at| at.to_string()),
            attempts: self.attempts.iter().map(AttemptDocument::of).collect(),
        };
        let settled = || Settled { entry: entry.name.clone(), stretch: Stretch::one(fire.fire_time) };
        let of_run = fire.notice.is_none().then(|| entry.name.clone());
        let run = RunState { entry: of_run, phase: self.phase, is_dead_letter: false };
        Record {
            id: fire.run_id().into(),
            identity: fire.identity().clone(),
            kind: RecordKind::Started,
            settled: fire.is_planned().then(settled),
            run: Some(run),
            time: at,
            source: json(&document),
        }
    }
}

/// The record of a run that has not ended, with the usual masks. Of a running one, `now` is when the attempt was sent.
#[cfg(test)]
pub(crate) fn started_record(fire: &Fire, stage: RunStage, attempts: &[Attempt], phase: u32, now: Timestamp) -> Record {
    Started { fire: fire.clone(), stage, attempts: attempts.to_vec(), phase, at: now, resume_at: None }
        .record(&Masking::default())
}

/// What a record tells of a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedRun {
    /// The entry that runs.
    pub entry: EntryName,
    /// The planned instant, or the moment it was asked for.
    pub fire_time: Timestamp,
    /// Why it went out.
    pub trigger: Trigger,
    /// A crash had left it uncertain whether it was sent.
    pub redelivered: bool,
    /// Who asked for it; `None`: the schedule.
    pub asked: Option<Asked>,
    /// It tells of the end of another run.
    pub notice: Option<Notice>,
    /// How far it had come.
    pub progress: Progress,
    /// The number of the task's revision that it ran.
    pub revision: u64,
}

impl StartedRun {
    /// The same run on its way again, by a state of its task. `None`: that has no such entry, or no such callback.
    pub fn into_fire(self, revision: &Arc<Revision>) -> Option<Fire> {
        let entry = revision.entry(&self.entry)?;
        let fire = Fire {
            redelivered: self.redelivered,
            asked: self.asked.map(Arc::new),
            progress: Some(Arc::new(self.progress)),
            notice: self.notice.map(Arc::new),
            ..Fire::planned(revision.clone(), entry, self.fire_time, self.trigger)
        };
        fire.request().is_some().then_some(fire)
    }
}

#[derive(Deserialize)]
struct ReadDocument<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    fire_time: Cow<'a, str>,
    #[serde(borrow)]
    trigger: Cow<'a, str>,
    #[serde(borrow)]
    run_by: Cow<'a, str>,
    #[serde(borrow, default)]
    args: Cow<'a, str>,
    #[serde(default)]
    redelivered: bool,
    #[serde(borrow)]
    rerun_of: Option<Cow<'a, str>>,
    #[serde(borrow)]
    backfill: Option<Cow<'a, str>>,
    backfill_at_once: Option<usize>,
    #[serde(borrow)]
    callback: Option<Cow<'a, str>>,
    #[serde(borrow)]
    callback_of: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    phase: u32,
    revision: u64,
    #[serde(borrow)]
    resume_at: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    attempts: Vec<AttemptDocument<'a>>,
}

impl ReadDocument<'_> {
    fn backfill(&self) -> Option<Backfill> {
        let at_once = self.backfill_at_once.unwrap_or(1).max(1);
        self.backfill.as_deref().and_then(RunId::parse).map(|id| Backfill { id, at_once })
    }

    /// A callback of a run that was asked for says by whom, as that run does.
    fn is_asked(&self, settles_nothing: bool, is_notice: bool) -> bool {
        settles_nothing && (!is_notice || self.run_by != self.trigger)
    }

    fn asked(&self, run_id: RunId) -> Asked {
        Asked {
            run_id,
            run_by: (&*self.run_by).into(),
            args: (&*self.args).into(),
            rerun_of: self.rerun_of.as_deref().and_then(RunId::parse),
            backfill: self.backfill(),
        }
    }

    fn notice(&self, run_id: RunId) -> Option<Notice> {
        Some(Notice {
            run_id,
            about: self.callback_of.as_deref().and_then(RunId::parse)?,
            occasion: self.callback.as_deref().and_then(Occasion::parse)?,
            event: self.body.and_then(JsonText::from_raw),
        })
    }
}

/// Reads what [`Started::record`] wrote. `None`: it tells of something else, or cannot be read.
pub fn read_started(record: &Record) -> Option<StartedRun> {
    if record.kind != RecordKind::Started {
        return None;
    }
    let document: ReadDocument<'_> = serde_json::from_str(&record.source).ok()?;
    let run_id = RunId::from(record.id);
    let notice = document.notice(run_id);
    let is_asked = document.is_asked(record.settled.is_none(), notice.is_some());
    let stage = RunStage::parse(&document.state)?;
    Some(StartedRun {
        entry: EntryName::parse(&document.key).ok()?,
        fire_time: Timestamp::parse_rfc3339(&document.fire_time)?,
        trigger: Trigger::parse(&document.trigger)?,
        redelivered: document.redelivered,
        asked: is_asked.then(|| document.asked(notice.as_ref().map_or(run_id, |notice| notice.about))),
        notice,
        revision: document.revision,
        progress: Progress {
            is_under_way: stage == RunStage::Running,
            phase: document.phase,
            resume_at: document.resume_at.as_deref().and_then(Timestamp::parse_rfc3339),
            attempts: document.attempts.into_iter().map(AttemptDocument::read).collect::<Option<_>>()?,
            given_up: None,
            is_elsewhere: false,
        },
    })
}

/// What is told of a run only while it goes.
const OF_STARTED: [&str; 8] = ["type", "time", "@timestamp", "message", "state", "phase", "revision", "resume_at"];

/// The record of a run that is given up by who finds its started record: an error. `None`: that cannot be read.
pub fn abandoned_record(started: &Record, message: &str, now: Timestamp) -> Option<Record> {
    #[derive(Serialize)]
    struct Abandoned<'a> {
        r#type: &'static str,
        message: [&'a str; 1],
        time: i64,
        #[serde(rename = "@timestamp")]
        timestamp: String,
        #[serde(flatten)]
        rest: BTreeMap<Cow<'a, str>, &'a RawValue>,
    }
    let mut rest: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(&started.source).ok()?;
    rest.retain(|name, _| !OF_STARTED.contains(&&**name));
    let kind = RecordKind::Error;
    let (time, timestamp) = (now.secs(), now.to_string());
    let document = Abandoned { r#type: kind.as_str(), message: [message], time, timestamp, rest };
    let run = started.run.as_ref().and_then(|run| run.entry.clone()).map(RunState::ended);
    Some(Record { kind, run, time: now, source: json(&document), ..started.clone() })
}

#[cfg(test)]
mod tests;
