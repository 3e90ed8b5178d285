//! How many tasks a key may have: counted are those that it is for, whoever has put them.
//!
//! The owner of a new task keeps a place for it, and then asks all nodes how many there are, with all places. So there are never
//! more than allowed, and of two that come to two nodes at the same moment for the last place, both may be refused.

use serde::{Deserialize, Serialize};

use super::Services;
use super::caller::Caller;
use super::parts::{Question, covered, gather};
use super::reply::ApiError;
use crate::catalog::{Place, Reserved};
use crate::model::{Identity, ShardSet};

/// A place for a task that somebody puts. `None`: it needs none, as it replaces one, or as nobody counts.
pub(super) async fn place(
    services: &Services,
    caller: &Caller,
    identity: &Identity,
) -> Result<Option<Place>, ApiError> {
    let Some(max) = caller.tasks_max() else { return Ok(None) };
    let place = match services.catalog.reserve(identity, caller.prefixes(), max) {
        Reserved::Present => return Ok(None),
        Reserved::Full(count) => return Err(full(caller, count, max)),
        Reserved::Kept(place) => place,
    };
    if !services.peers.is_alone() {
        let question = TasksCounted { covered: caller.prefixes().to_texts() };
        let count: u64 = gather(services, &question, ShardSet::ALL).await?.into_iter().sum();
        if count > max {
            return Err(full(caller, count - 1, max));
        }
    }
    Ok(Some(place))
}

fn full(caller: &Caller, count: u64, max: u64) -> ApiError {
    let texts: Vec<String> = caller.prefixes().iter().map(|prefix| format!("`{}`", prefix.escape_debug())).collect();
    let of_these =
        if texts.is_empty() { String::new() } else { format!(" whose identity begins with {}", texts.join(" or ")) };
    let name = caller.name();
    ApiError::Refused(format!(
        "identity: the key `{name}` may have {max} tasks (its tasks_max, or [limits] tasks_per_key_max), and there are {count}{of_these}"
    ))
}

/// How many tasks there are, with those that are being put.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TasksCounted {
    covered: Vec<String>,
}

impl Question for TasksCounted {
    const NAME: &'static str = "tasks-counted";
    type Answer = u64;

    async fn answer(&self, services: &Services, shards: ShardSet) -> Result<Self::Answer, ApiError> {
        Ok(services.catalog.count(&covered(&self.covered)?, shards))
    }
}
