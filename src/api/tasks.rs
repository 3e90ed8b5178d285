//! The task endpoints: plain functions from a body to an answer.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use warp::reply::Response;

use super::caller::Caller;
use super::parts::{Page, Question, Scan, covered, gather, is_of, page, scan, shards_of};
use super::reply::{self, ApiError};
use super::view::{Dates, TaskView};
use super::wire::{self, Parsed};
use super::{Services, changes, quota, targets};
use crate::catalog::Put;
use crate::model::{Identity, Revision, ShardSet};

/// How large the answer of one `/lists` may become, in bytes. Beyond it the client is told to ask for fewer.
const LISTS_ANSWER_MAX: usize = 64 * 1024 * 1024;
/// How many names a node gives at once.
const NAMES_AT_ONCE: usize = 20_000;

pub(super) async fn put(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let Parsed { value, warnings } = targets::put(&body, &services.terms(), &services.targets)?;
    // Who does not know of revisions gets the answer that it knows.
    let is_conditional = value.revision.is_some();
    if let Some(trail) = caller.trail() {
        trail.of_task(&value.task.identity);
    }
    let place = quota::place(&services, &caller, &value.task.identity).await?;
    let put = Put { by: Some(caller.shared()), asked_by: caller.asked_by(), ..value };
    let revision = services.catalog.put_in(place, put).await?;
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

pub(super) async fn get(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let (identity, details) = wire::task(&body)?.value;
    match services.catalog.get(&identity) {
        Some(revision) => {
            let dates = dates(&services, &revision).await?;
            let mask = services.mask(caller.sees_credentials());
            Ok(reply::data(TaskView::for_client(&revision, &dates, details, mask)))
        }
        None => Ok(reply::data(())),
    }
}

pub(super) async fn lists(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let (mut identities, details) = wire::tasks(&body, services.put_limits.lists_max)?.value;
    // As if they were not there.
    identities.retain(|identity| caller.prefixes().cover(identity));
    let has_credentials = caller.sees_credentials();
    let names = identities.iter().map(|identity| identity.as_str().to_owned()).collect();
    let views = Views { identities: names, details, has_credentials };
    let shards = shards_of(identities.iter().map(Identity::as_str));
    let answers = gather(&services, &views, shards).await?;
    let too_large = || {
        ApiError::Refused(format!("identity: the answer is larger than {LISTS_ANSWER_MAX} bytes, ask for fewer tasks"))
    };
    let mut found = HashMap::new();
    for answer in answers {
        found.extend(answer.ok_or_else(too_large)?);
    }
    let tasks: Vec<&RawValue> =
        identities.iter().filter_map(|identity| found.get(identity.as_str()).map(Box::as_ref)).collect();
    if tasks.iter().map(|task| task.get().len()).sum::<usize>() > LISTS_ANSWER_MAX {
        return Err(too_large());
    }
    Ok(reply::data(tasks))
}

/// Some tasks as clients see them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Views {
    identities: BTreeSet<String>,
    details: bool,
    /// Whether whoever asks sees credentials.
    has_credentials: bool,
}

impl Question for Views {
    const NAME: &'static str = "views";
    /// By their names, those that there are. `None`: they are too large together.
    type Answer = Option<Vec<(String, Box<RawValue>)>>;

    async fn answer(&self, services: &Services, _shards: ShardSet) -> Result<Self::Answer, ApiError> {
        let (mut tasks, mut size) = (Vec::new(), 0);
        for name in &self.identities {
            let identity = Identity::parse(name).map_err(|error| ApiError::Unreadable(error.to_string()))?;
            let Some(revision) = services.catalog.get(&identity) else { continue };
            let dates = dates(services, &revision).await?;
            let view = TaskView::for_client(&revision, &dates, self.details, services.mask(self.has_credentials));
            let task: Box<RawValue> = to_raw_value(&view).expect("a task can be written as JSON");
            size += task.get().len();
            if size > LISTS_ANSWER_MAX {
                return Ok(None);
            }
            tasks.push((name.clone(), task));
        }
        Ok(Some(tasks))
    }

    fn of(&self, shards: ShardSet) -> Self {
        let identities = self.identities.iter().filter(|identity| is_of(identity, shards)).cloned().collect();
        Self { identities, ..*self }
    }
}

pub(super) async fn all(services: Services, _body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let (mut names, mut question) = (Vec::new(), Names { covered: caller.prefixes().to_texts(), after: None });
    loop {
        let Page { items, through } = page(&services, &question).await?;
        names.extend(items.into_iter().map(|(name, ())| name));
        if through.is_none() {
            return Ok(reply::data(names));
        }
        question.after = through;
    }
}

/// The names of all tasks, a page of them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Names {
    /// The tasks that the caller knows of.
    #[serde(default)]
    covered: Vec<String>,
    after: Option<String>,
}

impl Question for Names {
    const NAME: &'static str = "names";
    type Answer = Page<()>;

    async fn answer(&self, services: &Services, shards: ShardSet) -> Result<Self::Answer, ApiError> {
        let mut items = Vec::new();
        let (covered, after) = (covered(&self.covered)?, self.after.as_deref());
        let place = Scan { shards, prefix: "", covered, after, tasks_max: NAMES_AT_ONCE };
        let through = scan(services, place, |revision| {
            items.push((revision.task.identity.as_str().to_owned(), ()));
            true
        });
        let through = through.await?;
        Ok(Page { items, through })
    }
}

async fn dates(services: &Services, revision: &Revision) -> Result<Vec<Dates>, ApiError> {
    let last_fires = services.catalog.last_fires(revision).await?;
    let dates = |(entry, last)| Dates { next: services.catalog.next_fire(revision, entry), last };
    Ok(revision.task.entries.iter().zip(last_fires).map(dates).collect())
}
