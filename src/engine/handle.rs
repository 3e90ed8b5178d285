//! What other rooms hold of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::agenda::Agenda;
use crate::dispatch::{Cancelled, Dispatch};
use crate::journal::Unsettled;
use crate::model::{Claim, Epoch, Identity, Revision, Timestamp};

/// Why the engine did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The node is going down. Ask another one, or later.
    #[error("the engine has stopped")]
    Stopped,
    /// Instants that have come cannot be claimed, as the store is away. Try again later.
    #[error("the store is away, instants that have come cannot be claimed")]
    CannotClaim,
}

/// Orders to the run loop.
pub(super) enum Order {
    Plan,
    Hold(Identity, oneshot::Sender<Result<(Timestamp, Epoch), EngineError>>),
    Settle(Identity, Option<Arc<Revision>>, oneshot::Sender<()>),
    Release(Identity),
    Stop(oneshot::Sender<Stopped>),
}

/// What the engine shows of itself.
#[derive(Debug, Default)]
pub struct Status {
    pub(super) entries: AtomicUsize,
    pub(super) is_claiming: AtomicBool,
    pub(super) is_fenced: AtomicBool,
    pub(super) plannings_overdue: AtomicU64,
    pub(super) fires: AtomicU64,
}

impl Status {
    /// How many entries have an instant to come.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether the last claim was written.
    pub fn is_claiming(&self) -> bool {
        self.is_claiming.load(Ordering::Relaxed)
    }

    /// Whether another node took this node's shards: it must stop.
    pub fn is_fenced(&self) -> bool {
        self.is_fenced.load(Ordering::Relaxed)
    }

    /// How often the run loop had to plan because the planning job was overdue.
    pub fn plannings_overdue(&self) -> u64 {
        self.plannings_overdue.load(Ordering::Relaxed)
    }

    /// How many fires were handed out since the start.
    pub fn fires(&self) -> u64 {
        self.fires.load(Ordering::Relaxed)
    }
}

/// Changes what is on the agenda. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) dispatch: Dispatch,
    pub(super) status: Arc<Status>,
}

/// A task taken off the agenda while its change is written. All its instants up to `since` were handed out, and none
/// later is before the hold ends. Dropping it puts the task back as it was.
pub struct Held {
    identity: Identity,
    /// The moment from which the next revision is in force.
    pub since: Timestamp,
    /// The epoch that the change has to carry.
    pub epoch: Epoch,
    orders: Option<mpsc::Sender<Order>>,
}

/// How a hold ends when the change is durable.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// This revision is in force now.
    Replaced(Arc<Revision>),
    /// The task is gone or switched off; fires of it that wait for a limit are given up.
    Ended(Cancelled),
}

impl Engine {
    /// Asks for a planning. Does not wait: when the loop is behind, it plans by itself.
    pub fn plan(&self) {
        // A full queue means that the loop is busy; it looks for what must be claimed after every order.
        let _ = self.orders.try_send(Order::Plan);
    }

    /// Takes a task off the agenda for a change. Waits while another change of the same task is under way.
    pub async fn hold(&self, identity: &Identity) -> Result<Held, EngineError> {
        let (answer, held) = oneshot::channel();
        self.orders.send(Order::Hold(identity.clone(), answer)).await.map_err(|_| EngineError::Stopped)?;
        let (since, epoch) = held.await.map_err(|_| EngineError::Stopped)??;
        Ok(Held { identity: identity.clone(), since, epoch, orders: Some(self.orders.clone()) })
    }

    /// Ends a hold after the change is durable. When this returns, the change is in force.
    pub async fn settle(&self, mut held: Held, settlement: Settlement) -> Result<(), EngineError> {
        let next = match settlement {
            Settlement::Replaced(revision) => Some(revision),
            Settlement::Ended(why) => {
                self.dispatch.cancel(held.identity.clone(), why).await.map_err(|_| EngineError::Stopped)?;
                None
            }
        };
        let (done, settled) = oneshot::channel();
        let order = Order::Settle(held.identity.clone(), next, done);
        held.orders = None;
        self.orders.send(order).await.map_err(|_| EngineError::Stopped)?;
        settled.await.map_err(|_| EngineError::Stopped)
    }

    /// Hands out nothing more. Returns how far it went.
    pub async fn stop(&self) -> Result<Stopped, EngineError> {
        let (done, stopped) = oneshot::channel();
        self.orders.send(Order::Stop(done)).await.map_err(|_| EngineError::Stopped)?;
        stopped.await.map_err(|_| EngineError::Stopped)
    }

    /// What the engine shows of itself.
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(orders) = self.orders.take() else { return };
        let release = Order::Release(self.identity.clone());
        if let Err(mpsc::error::TrySendError::Full(release)) = orders.try_send(release) {
            // Only reached on a runtime: holds are made there.
            tokio::spawn(async move { orders.send(release).await });
        }
    }
}

/// How far the engine went before it stopped.
#[derive(Debug)]
pub struct Stopped {
    shards: Vec<Claim>,
}

impl Stopped {
    pub(super) fn new(agenda: &Agenda, at: Timestamp, held_since: &[Timestamp]) -> Self {
        let standing = |shard: &super::agenda::ShardAgenda| Claim {
            shard: shard.shard,
            epoch: shard.epoch,
            through: shard.claimed_through.min(at),
            settled_through: shard.handed_out().min(held_since[shard.shard.index()]),
        };
        Self { shards: agenda.shards().iter().map(standing).collect() }
    }

    /// What to leave in the leases: nothing later than the stop was sent.
    pub fn claims(&self, unsettled: &Unsettled) -> Vec<Claim> {
        let settled = |claim: &Claim| unsettled.through(claim.shard, claim.settled_through.min(claim.through));
        self.shards.iter().map(|claim| Claim { settled_through: settled(claim), ..*claim }).collect()
    }
}
