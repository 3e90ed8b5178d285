//! Jobs and runs in the words of the contract.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::job_id;
use crate::api::openapi::{AttemptAnswer, words};
use crate::dispatch::Activity;
use crate::model::{Entry, Record, RecordKind, Revision, RunId, Schedule, TimeZone, Timestamp};
use crate::store::NewestRun;

/// A job: an entry with what is known of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct JobView<'a> {
    #[schema(value_type = words::JobId)]
    id: String,
    /// `identity:entry` as a text for people.
    name: String,
    #[schema(value_type = words::Identity)]
    identity: &'a str,
    #[schema(value_type = words::EntryName)]
    entry: &'a str,
    /// A trigger that is no cron expression stands as `@every 90s` or `@at 2026-…`.
    #[schema(value_type = String)]
    cron_expression: Cow<'a, str>,
    #[schema(value_type = words::TimeZone)]
    time_zone: &'static str,
    #[schema(value_type = Option<words::ZonedDate>, required)]
    next_run_on: Option<String>,
    #[schema(value_type = Option<words::ZonedDate>, required)]
    last_run_on: Option<String>,
    #[schema(value_type = Option<words::RunStatus>, required)]
    last_run_status: Option<&'static str>,
    #[schema(value_type = words::ActivityStatus)]
    activity_status: &'static str,
    /// Whether it fires by itself: the task is switched on, and the entry enabled.
    enabled: bool,
    #[schema(value_type = Vec<String>)]
    #[serde(skip_serializing_if = "<[Box<str>]>::is_empty")]
    tags: &'a [Box<str>],
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// The run that was just asked for.
    #[schema(value_type = words::RecordUuid)]
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
}

/// What a job's view is made of beside its definition.
pub(super) struct JobState {
    pub(super) next: Option<Timestamp>,
    pub(super) newest: Option<NewestRun>,
    pub(super) activity: Activity,
}

impl<'a> JobView<'a> {
    pub(super) fn new(revision: &'a Revision, entry: &'a Entry, state: &JobState) -> Self {
        let (zone, options) = (revision.task.time_zone, entry.options());
        let date = |instant: Timestamp| rfc3339(instant, zone);
        let running = state.activity.in_progress.iter().map(|run| run.instant()).max();
        let ended = state.newest.map(|newest| (newest.instant, status_of(newest.kind)));
        let last = running.map(|instant| (instant, IN_PROGRESS)).or(ended);
        Self {
            id: job_id::write(&revision.task.identity, &entry.name),
            name: format!("{}:{}", revision.task.identity, entry.name),
            identity: revision.task.identity.as_str(),
            entry: entry.name.as_str(),
            cron_expression: expression(&entry.schedule),
            time_zone: zone.name(),
            next_run_on: state.next.map(date),
            last_run_on: last.map(|(instant, _)| date(instant)),
            last_run_status: last.map(|(_, status)| status),
            activity_status: activity_word(&state.activity),
            enabled: revision.enabled && options.enabled,
            tags: &options.tags,
            description: options.description.as_deref(),
            run_id: None,
        }
    }

    /// With the run that was just asked for.
    pub(super) fn with_run(self, run: RunId) -> Self {
        Self { run_id: Some(run.to_string()), ..self }
    }
}

fn activity_word(activity: &Activity) -> &'static str {
    if activity.is_under_way {
        "RUNNING"
    } else if activity.in_progress.is_empty() && activity.waiting.is_none() {
        "IDLE"
    } else {
        "QUEUED"
    }
}

/// A trigger that is no cron expression in the words of one.
fn expression(schedule: &Schedule) -> Cow<'_, str> {
    match schedule {
        Schedule::Cron { text, .. } => Cow::Borrowed(text),
        Schedule::Every { text, .. } => Cow::Owned(format!("@every {text}")),
        Schedule::At { text, .. } => Cow::Owned(format!("@at {text}")),
    }
}

const IN_PROGRESS: &str = "IN_PROGRESS";

/// The status of a run in the words of the contract.
fn status_of(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Success => "SUCCEEDED",
        RecordKind::Started => IN_PROGRESS,
        RecordKind::Error
        | RecordKind::Skipped
        | RecordKind::Missed
        | RecordKind::Put
        | RecordKind::Delete
        | RecordKind::Running
        | RecordKind::Audit => "FAILED",
    }
}

/// The kind of record with this status.
pub(super) fn kind_of(status: &str) -> Option<RecordKind> {
    [RecordKind::Started, RecordKind::Success, RecordKind::Error].into_iter().find(|kind| status_of(*kind) == status)
}

/// What we read of the log document of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RunDocument<'a> {
    #[serde(borrow)]
    fire_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    due_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    started_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    trigger: Cow<'a, str>,
    #[serde(borrow)]
    run_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    args: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attempts: Option<&'a RawValue>,
    #[serde(borrow)]
    policy: Option<&'a RawValue>,
    #[serde(borrow)]
    rerun_of: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rerun_as: Option<Cow<'a, str>>,
    #[serde(borrow)]
    backfill: Option<Cow<'a, str>>,
    status: Option<u16>,
    lateness_ms: Option<u64>,
    duration_ms: Option<u64>,
    redelivered: bool,
    dead_letter: bool,
    /// What was answered, also where that is `null`; `None`: nothing was.
    #[serde(borrow, deserialize_with = "given")]
    pub(super) response: Option<&'a RawValue>,
    pub(super) response_truncated: bool,
    #[serde(borrow)]
    pub(super) response_lead: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) response_trail: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) content_type: Option<Cow<'a, str>>,
    pub(super) result_size: Option<u64>,
    pub(super) result_pieces: Option<u32>,
    pub(super) result_truncated: bool,
}

/// What stands there is given, whatever it is.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> RunDocument<'a> {
    /// Reads a record of a run.
    pub(super) fn of(record: &'a Record) -> Self {
        // It was written by this program; what an older version left out stays empty.
        serde_json::from_str(&record.source).unwrap_or_default()
    }

    fn attempts(&self) -> Vec<&'a RawValue> {
        self.attempts.and_then(|attempts| serde_json::from_str(attempts.get()).ok()).unwrap_or_default()
    }

    fn text(&self, kind: RecordKind) -> Option<String> {
        match kind {
            RecordKind::Started => Some(state_text(self.state.as_deref().unwrap_or_default()).to_owned()),
            RecordKind::Success => self.status.map(|status| format!("answered with status {status}")),
            _ => Some(self.message.join("\n")),
        }
    }
}

fn state_text(state: &str) -> &'static str {
    match state {
        "queued" => "waits for its turn",
        "backing_off" => "waits before the next attempt",
        _ => "waits for the answer",
    }
}

/// A run record.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct RunView<'a> {
    #[schema(value_type = words::RecordUuid)]
    id: String,
    #[schema(value_type = words::JobId)]
    job_id: String,
    job_name: String,
    #[schema(value_type = Option<words::ZonedDate>, required)]
    started_at: Option<String>,
    #[schema(value_type = Option<words::ZonedDate>, required)]
    finished_at: Option<String>,
    #[schema(value_type = words::RunStatus)]
    status: &'static str,
    /// What it waits for, or how it ended.
    #[schema(required)]
    message: Option<String>,
    /// `schedule`, `catch_up`, or who asked for it.
    run_by: String,
    #[schema(value_type = Option<String>, required)]
    rt_args: Option<Cow<'a, str>>,
    /// The planned instant, or when it was asked for.
    #[schema(value_type = Option<words::ZonedDate>, required)]
    fire_time: Option<String>,
    /// When it was to start, with its jitter.
    #[schema(value_type = words::ZonedDate)]
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[schema(value_type = words::TriggerWord)]
    trigger: Cow<'a, str>,
    /// How many attempts have ended.
    attempts: usize,
    #[schema(value_type = Option<words::Status>, required)]
    status_code: Option<u16>,
    #[schema(required)]
    lateness_ms: Option<u64>,
    #[schema(required)]
    duration_ms: Option<u64>,
    /// Bytes.
    #[schema(required)]
    result_size: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redelivered: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dead_letter: bool,
    #[schema(value_type = words::RecordUuid)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun_of: Option<Cow<'a, str>>,
    #[schema(value_type = words::RecordUuid)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun_as: Option<Cow<'a, str>>,
    #[schema(value_type = words::RecordUuid)]
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill: Option<Cow<'a, str>>,
    /// Each attempt, of one run only.
    #[schema(value_type = Vec<AttemptAnswer>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_details: Option<Vec<&'a RawValue>>,
    /// The options that decided, of one run only.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a RawValue>,
}

impl<'a> RunView<'a> {
    /// For a list.
    pub(in crate::api) fn new(record: &'a Record, zone: TimeZone) -> Self {
        let document = RunDocument::of(record);
        let date = |text: &Option<Cow<'_, str>>| {
            text.as_deref().and_then(Timestamp::parse_rfc3339).map(|instant| rfc3339(instant, zone))
        };
        let entry = record.entry();
        let has_ended = record.kind.is_fire();
        let run_by = document.run_by.as_deref().unwrap_or(&document.trigger).to_owned();
        Self {
            id: record.id.to_string(),
            job_id: entry.map(|entry| job_id::write(&record.identity, entry)).unwrap_or_default(),
            job_name: entry.map(|entry| format!("{}:{entry}", record.identity)).unwrap_or_default(),
            started_at: date(&document.started_at),
            finished_at: has_ended.then(|| rfc3339(record.time, zone)),
            status: status_of(record.kind),
            message: document.text(record.kind),
            run_by,
            fire_time: date(&document.fire_time),
            due_at: date(&document.due_at),
            attempts: document.attempts().len(),
            status_code: document.status,
            lateness_ms: document.lateness_ms,
            duration_ms: document.duration_ms,
            result_size: document.result_size,
            redelivered: document.redelivered,
            dead_letter: document.dead_letter,
            rt_args: document.args,
            trigger: document.trigger,
            rerun_of: document.rerun_of,
            rerun_as: document.rerun_as,
            backfill: document.backfill,
            attempt_details: None,
            policy: None,
        }
    }

    /// By itself, with its attempts.
    pub(super) fn whole(record: &'a Record, zone: TimeZone) -> Self {
        let document = RunDocument::of(record);
        let (attempts, policy) = (Some(document.attempts()), document.policy);
        Self { attempt_details: attempts, policy, ..Self::new(record, zone) }
    }
}

/// RFC 3339 with milliseconds and the offset of a zone.
pub(super) fn rfc3339(instant: Timestamp, zone: TimeZone) -> String {
    instant.rfc3339_millis_in(zone)
}
