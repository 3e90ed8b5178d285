//! Where tasks go: this service while it runs, or nowhere at all, to see what it would say.

use bytes::Bytes;
use serde_json::json;

use super::compare::differences;
use super::report::{Fate, Outcome};
use crate::api;
use crate::cli::client::{Answer, CallError, Service};
use crate::cli::task::Task;
use crate::clock::{Clock, SystemClock};

/// The largest answer that one task may bring, in bytes. Beyond it the task counts as not verified.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Takes tasks.
pub(super) enum Destination {
    /// A running service.
    Running(Service),
    /// The reader of `/put`, for bodies of so many bytes at most; nothing is put.
    DryRun { body_max: usize },
}

impl Destination {
    /// Only this program is put to: a wrong address must not change the old service.
    pub(super) async fn check(&self) -> Result<(), CallError> {
        match self {
            Self::Running(service) if !service.is_ours().await? => {
                let text = "it is not this program that answers there: check --to; the old service is only read";
                Err(service.failed("/healthz", text))
            }
            Self::Running(_) | Self::DryRun { .. } => Ok(()),
        }
    }

    /// Puts a task and reads it back. Only what makes going on senseless is an error.
    pub(super) async fn take(&self, task: &Task<'_>, start: Option<bool>) -> Result<Outcome, CallError> {
        let put = task.to_put(start, None);
        let (fate, warnings) = match self {
            Self::DryRun { body_max } => match api::check_put(&put, *body_max, SystemClock.now()) {
                Ok(warnings) => (Fate::Acceptable, warnings),
                Err(reason) => (Fate::Refused(reason), Vec::new()),
            },
            Self::Running(service) => match service.post("/put", put.clone(), ANSWER_MAX).await {
                Ok(Answer { warnings, .. }) => (read_back(service, &task.identity, &put).await?, warnings),
                Err(CallError::Refused(reason)) => (Fate::Refused(reason), Vec::new()),
                Err(error @ CallError::TooLarge { .. }) => return Err(service.failed("/put", error)),
                Err(error @ CallError::Failed(_)) => return Err(error),
            },
        };
        Ok(Outcome { identity: task.identity.clone(), fate, warnings })
    }
}

async fn read_back(service: &Service, identity: &str, put: &Bytes) -> Result<Fate, CallError> {
    let question = json!({ "identity": identity }).to_string();
    let got = match service.post("/get", question.into(), ANSWER_MAX).await {
        Ok(answer) => answer.data,
        Err(error @ CallError::Failed(_)) => return Err(error),
        Err(error @ (CallError::Refused(_) | CallError::TooLarge { .. })) => {
            return Ok(Fate::Differs(format!("it was put, but cannot be read back: {error}")));
        }
    };
    if got.is_empty() {
        return Ok(Fate::Differs("it was put, but is not there".to_owned()));
    }
    match differences(put, &got) {
        Ok(places) if places.is_empty() => Ok(Fate::Verified),
        Ok(places) => Ok(Fate::Differs(format!("it reads back otherwise than it was put: {}", places.join(", ")))),
        Err(error) => Ok(Fate::Differs(format!("it was put, but what reads back is not understood ({error})"))),
    }
}
