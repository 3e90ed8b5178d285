//! Where a request is done: here, or by the node that owns its task. Each route says where its requests belong, and all of them
//! pass through here.

mod pass_on;
pub(super) mod place;

use std::sync::Arc;

use http::StatusCode;
use warp::reply::Response;

pub(super) use self::pass_on::relay;
use super::Services;
use super::asked::{Asked, Refuse};
use super::reply::ApiError;
use crate::catalog::CatalogError;
use crate::cluster::{AskError, Member, Overdue, Owner};
use crate::model::{Identity, Shard};

/// Where a request belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    /// Every node can answer it by itself: from the store, or as it is not understood.
    Anywhere,
    /// The same of what the store holds of this task.
    Stored(Identity),
    /// The handler asks all nodes, or those that it needs.
    Everywhere,
    /// The owner of this task tells something.
    Read(Identity),
    /// The owner of this task does something.
    Change(Identity),
}

impl Belongs {
    /// The task that is asked for; `None`: none, or several, of which the handler leaves out what the caller does not know of.
    fn task(&self) -> Option<&Identity> {
        match self {
            Self::Stored(identity) | Self::Read(identity) | Self::Change(identity) => Some(identity),
            Self::Anywhere | Self::Everywhere => None,
        }
    }
}

/// Says where a request belongs. It may note what it has chosen for that.
pub(super) type Place = fn(&Services, &mut Asked) -> Belongs;

impl Services {
    /// Whether this node acts for a shard now, and has its tasks.
    pub(super) fn acts_for(&self, shard: Shard) -> bool {
        self.peers.owner(shard) == Owner::Here && self.catalog.shards().contains(shard)
    }
}

/// Has a request done where it belongs.
pub(super) async fn answer<H, F>(
    services: Services,
    mut asked: Asked,
    place: Place,
    handler: H,
    refuse: Refuse,
) -> Response
where
    H: Fn(Services, Arc<Asked>) -> F,
    F: Future<Output = Response> + Send,
{
    let is_alone = services.peers.is_alone();
    // It is known by this which task is asked for, so it is decided here whether the caller knows of that.
    let trail = asked.caller.trail().cloned();
    let needs_place = asked.caller.is_limited() || trail.as_ref().is_some_and(|trail| trail.wants_task());
    let belongs = if is_alone && !needs_place { Belongs::Anywhere } else { place(&services, &mut asked) };
    if let Some((trail, identity)) = trail.as_ref().zip(belongs.task()) {
        trail.of_task(identity);
    }
    if let Some(identity) = belongs.task()
        && let Err(error) = asked.caller.check_task(identity)
    {
        return refuse(error);
    }
    let (identity, is_change) = match belongs {
        Belongs::Read(_) | Belongs::Change(_) if is_alone => {
            return handler(services, Arc::new(asked)).await;
        }
        Belongs::Read(identity) => (identity, false),
        Belongs::Change(identity) => (identity, true),
        Belongs::Anywhere | Belongs::Stored(_) | Belongs::Everywhere => {
            let reply = handler(services, Arc::new(asked)).await;
            return if is_misdirected(&reply) { refuse(nobody()) } else { reply };
        }
    };
    let (shard, asked) = (Shard::of(&identity), Arc::new(asked));
    let mut search = services.peers.search();
    loop {
        match services.peers.owner(shard) {
            Owner::Here if services.catalog.shards().contains(shard) => {
                let reply = handler(services.clone(), asked.clone()).await;
                // What was read counts only if nobody else can have changed it meanwhile.
                if !is_misdirected(&reply) && (is_change || services.acts_for(shard)) {
                    return reply;
                }
            }
            Owner::At(member) if !asked.is_from_peer => match passed_on(&services, &member, &asked, is_change).await {
                Ok(Some(reply)) => {
                    trail.iter().for_each(|trail| trail.note_passed_on());
                    return reply;
                }
                Ok(None) => {}
                Err(error) => return refuse(error),
            },
            Owner::Here | Owner::At(_) | Owner::Nobody => {}
        }
        if asked.is_from_peer {
            return refuse(ApiError::Elsewhere);
        }
        if let Err(Overdue) = search.again().await {
            return refuse(nobody());
        }
    }
}

/// The answer of a member; `None`: nothing was done, or it may be asked again.
async fn passed_on(
    services: &Services,
    member: &Member,
    asked: &Asked,
    is_change: bool,
) -> Result<Option<Response>, ApiError> {
    match pass_on::pass_on(&services.peers, member, asked).await {
        Ok(reply) if is_misdirected(&reply) => Ok(None),
        Ok(reply) => Ok(Some(reply)),
        Err(AskError::NotSent(_)) => Ok(None),
        Err(AskError::BrokeOff(_)) if !is_change => Ok(None),
        Err(AskError::BrokeOff(_)) => Err(CatalogError::BrokeOff.into()),
        Err(error) => Err(cannot_ask(&error)),
    }
}

/// What asking again does not mend, and what is told of it.
pub(super) fn cannot_ask(error: &AskError) -> ApiError {
    match error {
        AskError::NoKey | AskError::KeyRefused(_) => {
            ApiError::Busy(format!("another node owns this task, and {error}"))
        }
        AskError::Path(_) => ApiError::Unclear(error.to_string()),
        AskError::NotSent(_) | AskError::BrokeOff(_) => ApiError::Busy(error.to_string()),
    }
}

/// Nobody has answered in all the time that a request waits.
pub(super) fn nobody() -> ApiError {
    ApiError::Busy("no node owns this task at the moment".to_owned())
}

fn is_misdirected(reply: &Response) -> bool {
    reply.status() == StatusCode::MISDIRECTED_REQUEST
}
