//! The task endpoints: plain functions from a body to an answer.

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use warp::reply::Response;

use super::caller::Caller;
use super::{Services, changes};

use super::reply::{self, ApiError};
use super::view::{Dates, TaskView};
use super::wire::{self, Parsed};
use super::wire_put;
use crate::catalog::Put;
use crate::model::{Identity, Revision};

/// How large the answer of one `/lists` may become, in bytes. Beyond it the client is told to ask for fewer.
const LISTS_ANSWER_MAX: usize = 64 * 1024 * 1024;

pub(super) async fn put(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let Parsed { value, warnings } = wire_put::put(&body, services.catalog.now())?;
    // Who does not know of revisions gets the answer that it knows.
    let is_conditional = value.revision.is_some();
    let revision = services.catalog.put(Put { by: Some(caller.shared()), ..value }).await?;
    Ok(if is_conditional { reply::done_as(revision, &warnings) } else { reply::done(&warnings) })
}

pub(super) async fn delete(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    services.catalog.remove(changes::removal(&body, &caller)?.value).await?;
    Ok(reply::done(&[]))
}

pub(super) async fn running(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    services.catalog.switch(changes::switch(&body, &caller)?.value).await?;
    Ok(reply::done(&[]))
}

pub(super) async fn get(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let (identity, details) = wire::task(&body)?.value;
    match services.catalog.get(&identity) {
        Some(revision) => {
            let dates = dates(&services, &revision).await?;
            Ok(reply::data(TaskView::for_client(&revision, &dates, details)))
        }
        None => Ok(reply::data(())),
    }
}

pub(super) async fn lists(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let (identities, details) = wire::tasks(&body)?.value;
    let (mut tasks, mut size) = (Vec::new(), 0);
    for identity in &identities {
        let Some(revision) = services.catalog.get(identity) else { continue };
        let dates = dates(&services, &revision).await?;
        let view = TaskView::for_client(&revision, &dates, details);
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
