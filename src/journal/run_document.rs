//! What the log documents of a run say of it, while it goes and when it has ended.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::documents::millis;
use crate::model::{Attempt, Fire, JsonText, Timestamp};

/// An attempt as it stands in a log document.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptDocument<'a> {
    attempt: u32,
    #[serde(borrow)]
    started_at: Cow<'a, str>,
    duration_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    #[serde(default)]
    bytes: u64,
}

impl<'a> AttemptDocument<'a> {
    pub(super) fn of(attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.number,
            started_at: attempt.started_at.to_string().into(),
            duration_ms: millis(attempt.duration),
            status: attempt.status,
            error: attempt.error.as_deref().map(Cow::Borrowed),
            bytes: attempt.bytes,
        }
    }

    pub(super) fn read(self) -> Option<Attempt> {
        Some(Attempt {
            number: self.attempt,
            started_at: Timestamp::parse_rfc3339(&self.started_at)?,
            duration: Duration::from_millis(self.duration_ms),
            status: self.status,
            error: self.error.map(|text| text.into_owned().into()),
            bytes: self.bytes,
        })
    }
}

/// The part of a log document that says what a run is: the same while it goes and when it has ended.
#[derive(Serialize)]
pub(super) struct RunDocument<'a> {
    run_id: String,
    fire_time: String,
    trigger: &'static str,
    run_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redelivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill_at_once: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_of: Option<String>,
}

impl<'a> RunDocument<'a> {
    pub(super) fn of(fire: &'a Fire) -> Self {
        let (asked, notice) = (fire.asked.as_deref(), fire.notice.as_deref());
        let backfill = asked.and_then(|asked| asked.backfill);
        Self {
            run_id: fire.run_id().to_string(),
            fire_time: fire.fire_time.to_string(),
            trigger: fire.trigger.as_str(),
            run_by: fire.run_by(),
            args: asked.map(|asked| &*asked.args).filter(|args| !args.is_empty()),
            redelivered: fire.redelivered,
            rerun_of: asked.and_then(|asked| asked.rerun_of).map(|run| run.to_string()),
            backfill: backfill.map(|backfill| backfill.id.to_string()),
            backfill_at_once: backfill.map(|backfill| backfill.at_once),
            callback: notice.map(|notice| notice.occasion.as_str()),
            callback_of: notice.map(|notice| notice.about.to_string()),
        }
    }
}

/// What a fire carries: the body that was given, or the event that it tells.
pub(super) fn body_of(fire: &Fire) -> Option<&JsonText> {
    let event = || fire.notice.as_ref().and_then(|notice| notice.event.as_ref());
    fire.request().and_then(|request| request.body.as_ref()).or_else(event)
}
