//! The task endpoints: plain functions from a body to an answer.

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use warp::reply::Response;

use super::Services;
use super::reply::{self, ApiError};
use super::view::{Dates, TaskView};
use super::wire::{self, Misunderstood, Parsed};
use crate::model::{Identity, Revision};

/// How large the answer of one `/lists` may become, in bytes. Beyond it the client is told to ask for fewer.
const LISTS_ANSWER_MAX: usize = 64 * 1024 * 1024;

pub(super) async fn put(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let Parsed { value, warnings } = wire::put(&body)?;
    services.catalog.put(value).await?;
    Ok(reply::done(&warnings))
}

/// What `/put` says of a body before anything is stored: its warnings, or why it is refused, one line for each mistake.
pub fn check_put(body: &[u8], body_max: usize) -> Result<Vec<String>, String> {
    if body.len() > body_max {
        return Err(ApiError::TooLarge { max: body_max }.to_string());
    }
    wire::put(body).map(|parsed| parsed.warnings).map_err(|Misunderstood(text)| text)
}

pub(super) async fn delete(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let identity = wire::identity(&body)?.value;
    let request = request_body(&serde_json::json!({ "identity": identity.as_str() }));
    services.catalog.remove(identity, request).await?;
    Ok(reply::done(&[]))
}

pub(super) async fn running(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let (identity, running) = wire::switch(&body)?.value;
    let request = request_body(&serde_json::json!({ "identity": identity.as_str(), "running": running }));
    services.catalog.switch(identity, running, request).await?;
    Ok(reply::done(&[]))
}

pub(super) async fn get(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let identity = wire::identity(&body)?.value;
    match services.catalog.get(&identity) {
        Some(revision) => {
            let dates = dates(&services, &revision).await?;
            Ok(reply::data(TaskView::for_client(&revision.task, revision.enabled, &dates)))
        }
        None => Ok(reply::data(())),
    }
}

pub(super) async fn lists(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let identities = wire::identities(&body)?.value;
    let (mut tasks, mut size) = (Vec::new(), 0);
    for identity in &identities {
        let Some(revision) = services.catalog.get(identity) else { continue };
        let dates = dates(&services, &revision).await?;
        let view = TaskView::for_client(&revision.task, revision.enabled, &dates);
        let task: Box<RawValue> = to_raw_value(&view).expect("a task can be written as JSON");
        size += task.get().len();
        if size > LISTS_ANSWER_MAX {
            let text = format!("identity: the answer is larger than {LISTS_ANSWER_MAX} bytes, ask for fewer tasks");
            return Err(ApiError::Refused(text));
        }
        tasks.push(task);
    }
    Ok(reply::data(tasks))
}

pub(super) async fn all(services: Services, _body: Bytes) -> Result<Response, ApiError> {
    let identities = services.catalog.identities();
    Ok(reply::data(identities.iter().map(Identity::as_str).collect::<Vec<_>>()))
}

async fn dates(services: &Services, revision: &Revision) -> Result<Vec<Dates>, ApiError> {
    let last_fires = services.catalog.last_fires(revision).await?;
    let dates = |(entry, last)| Dates { next: services.catalog.next_fire(revision, entry), last };
    Ok(revision.task.entries.iter().zip(last_fires).map(dates).collect())
}

fn request_body(body: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(body).expect("a value can be written as JSON")
}
