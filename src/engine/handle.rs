//! What other rooms hold of the engine.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use log::info;
use tokio::sync::{mpsc, oneshot, watch};

use super::Recovered;
use super::agenda::{Agenda, ShardAgenda};
use super::finished::Finished;
use super::following::{Asker, Follow};
use super::on_the_way::{OnTheWay, Way};
use super::pausing::PauseOrder;
use crate::dispatch::{Cancelled, Dispatch};
use crate::journal::{Journal, Unsettled};
use crate::model::{Claim, Epoch, Identity, Pause, PauseScope, Pauses, Record, Revision, ShardSet, Timestamp};
use crate::observe::metrics::ShardState;

/// Why the engine did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The node is going down. Ask another one, or later.
    #[error("the engine has stopped")]
    Stopped,
    /// Another node owns the task, or will in a moment. Ask that one.
    #[error("another node owns this task")]
    NotOwned,
    /// Instants that have come cannot be claimed, as the store is away. Try again later.
    #[error("the store is away, instants that have come cannot be claimed")]
    CannotClaim,
    /// The store did not take what is to be paused. Nothing was changed; try again later.
    #[error("the store did not take the change of what is paused")]
    NotKept,
    /// What is paused has changed since the shards were recovered: recover them again.
    #[error("what is paused has changed since")]
    PausesChanged,
}

/// Orders to the run loop.
pub(super) enum Order {
    Plan,
    Hold(Identity, oneshot::Sender<Result<(Timestamp, Epoch), EngineError>>),
    Settle(Identity, Settlement, oneshot::Sender<(Vec<Record>, Way)>),
    Release(Identity),
    Pause(PauseOrder),
    Follow(Box<Follow>),
    Take(Box<Recovered>, TakeAnswer),
    Give(ShardSet, oneshot::Sender<Stopped>),
    Lose(ShardSet, oneshot::Sender<()>),
    Stop(oneshot::Sender<Stopped>),
}

/// Who gave shards to act for.
pub(super) type TakeAnswer = oneshot::Sender<Result<(), EngineError>>;

/// What the engine shows of itself.
#[derive(Debug, Default)]
pub struct Status {
    pub(super) entries: AtomicUsize,
    pub(super) is_claiming: AtomicBool,
    pub(super) is_fenced: AtomicBool,
    pub(super) plannings_overdue: AtomicU64,
    pub(super) fires: AtomicU64,
    pub(super) clock_behind_s: AtomicU64,
    pub(super) clock_has_leapt: AtomicBool,
    /// In milliseconds of the epoch.
    pub(super) asked_to_plan_at: AtomicI64,
    pub(super) shards: Mutex<Vec<ShardState>>,
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

    /// What is wrong with the clock, so that nothing is fired.
    pub fn clock_problem(&self) -> Option<ClockProblem> {
        match self.clock_behind_s() {
            0 => self.clock_has_leapt().then_some(ClockProblem::HasLeapt),
            behind_s => Some(ClockProblem::Behind { behind_s }),
        }
    }

    /// How far the clock is behind what was fired before, in seconds, if that is worth telling; 0: it is not.
    pub fn clock_behind_s(&self) -> u64 {
        self.clock_behind_s.load(Ordering::Relaxed)
    }

    /// Whether the clock has leapt ahead, and is not followed yet.
    pub fn clock_has_leapt(&self) -> bool {
        self.clock_has_leapt.load(Ordering::Relaxed)
    }

    /// How often the run loop had to plan because the planning job was overdue.
    pub fn plannings_overdue(&self) -> u64 {
        self.plannings_overdue.load(Ordering::Relaxed)
    }

    /// When the planning job called last; the epoch: it has not yet.
    pub fn asked_to_plan_at(&self) -> Timestamp {
        Timestamp::from_millis(self.asked_to_plan_at.load(Ordering::Relaxed))
    }

    /// The shards that the engine fires, as they stood after the newest planning.
    pub fn shards(&self) -> Vec<ShardState> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many fires were handed out since the start.
    pub fn fires(&self) -> u64 {
        self.fires.load(Ordering::Relaxed)
    }
}

/// Why the engine does not follow the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockProblem {
    /// It is behind what was fired before.
    #[error(
        "the clock is {behind_s} s behind what was fired before, nothing is fired until it is there: set it right; if it \
         is right, it was ahead before: export the tasks and put them into an empty store"
    )]
    Behind {
        /// How far.
        behind_s: u64,
    },
    /// It has gone ahead by more than a day at once.
    #[error(
        "the clock has leapt ahead by more than a day, nothing is fired until it stands for a minute: set it right"
    )]
    HasLeapt,
}

/// Changes what is on the agenda. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) on_the_way: OnTheWay,
    pub(super) dispatch: Dispatch,
    pub(super) journal: Journal,
    pub(super) status: Arc<Status>,
    pub(super) finished: Arc<Finished>,
    pub(super) pauses: watch::Receiver<Arc<Pauses>>,
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
    /// The task is gone as its only run has ended: nothing of it waits.
    Finished,
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
        if let Settlement::Ended(why) = settlement {
            let scope = why.scope(held.identity.clone());
            self.dispatch.cancel(scope, why.as_str().to_owned()).await.map_err(|_| EngineError::Stopped)?;
        }
        let (done, settled) = oneshot::channel();
        let order = Order::Settle(held.identity.clone(), settlement, done);
        held.orders = None;
        self.orders.send(order).await.map_err(|_| EngineError::Stopped)?;
        let (records, way) = settled.await.map_err(|_| EngineError::Stopped)?;
        for record in records {
            self.journal.settle(record).await.map_err(|_| EngineError::Stopped)?;
        }
        drop(way);
        Ok(())
    }

    /// Pauses all firing, or that of entries with a tag. When this returns, nothing of it is handed out any more, and what
    /// waited for a limit is given up; what is in flight goes on. Gives the pause, which began earlier if there was one.
    pub async fn pause(&self, scope: PauseScope, by: &str, note: Option<&str>) -> Result<Pause, EngineError> {
        let pause = Some((by.into(), note.map(Into::into)));
        self.change_pauses(scope, pause).await?.ok_or(EngineError::NotKept)
    }

    /// Lifts a pause. Everything it kept from firing has its record by then. Gives what was lifted; `None`: there was none.
    pub async fn resume(&self, scope: PauseScope, by: &str) -> Result<Option<Pause>, EngineError> {
        let lifted = self.change_pauses(scope.clone(), None).await?;
        if lifted.is_some() {
            info!(by; "resumed {scope}");
        }
        Ok(lifted)
    }

    async fn change_pauses(
        &self,
        scope: PauseScope,
        pause: Option<(Box<str>, Option<Box<str>>)>,
    ) -> Result<Option<Pause>, EngineError> {
        let (answer, changed) = oneshot::channel();
        let order = Order::Pause(PauseOrder { scope, pause, answer });
        self.orders.send(order).await.map_err(|_| EngineError::Stopped)?;
        changed.await.map_err(|_| EngineError::Stopped)?
    }

    /// Brings into force what another node has paused or lifted, if it is newer. Gives the version that is in force then: nothing
    /// that a pause covers is handed out any more, what waited for a limit is given up, and everything that a pause which was
    /// lifted kept from firing has its record.
    pub async fn follow_pauses(&self, stored: Pauses) -> Result<u64, EngineError> {
        let version = self.pauses().version;
        if stored.version <= version {
            return Ok(version);
        }
        let (answer, in_force) = oneshot::channel();
        let order = Order::Follow(Box::new(Follow { stored, asker: Asker::Look(answer) }));
        self.orders.send(order).await.map_err(|_| EngineError::Stopped)?;
        in_force.await.map_err(|_| EngineError::Stopped)
    }

    /// What is paused.
    pub fn pauses(&self) -> Arc<Pauses> {
        self.pauses.borrow().clone()
    }

    /// Takes one-shot tasks whose only run has its durable outcome, at most `max`: they can be removed.
    pub fn take_finished(&self, max: usize) -> Vec<Arc<Revision>> {
        self.finished.take(max)
    }

    /// Gives back those that could not be removed.
    pub fn give_back_finished(&self, finished: Vec<Arc<Revision>>) {
        self.finished.add(finished);
    }

    /// Acts for shards from now on: on what [`super::recover`] found of them. What is paused by then comes into force first; if
    /// something newer is in force already, nothing is taken ([`EngineError::PausesChanged`]).
    pub async fn take(&self, recovered: Recovered) -> Result<(), EngineError> {
        let (done, taken) = oneshot::channel();
        self.orders.send(Order::Take(Box::new(recovered), done)).await.map_err(|_| EngineError::Stopped)?;
        taken.await.map_err(|_| EngineError::Stopped)?
    }

    /// Hands out nothing more of these shards, and lets go of them when the changes under way are written. Returns how far it
    /// went, when all that it decided is with the journal; a change that comes later is refused as [`EngineError::NotOwned`].
    pub async fn give(&self, shards: ShardSet) -> Result<Stopped, EngineError> {
        let (done, given) = oneshot::channel();
        self.orders.send(Order::Give(shards, done)).await.map_err(|_| EngineError::Stopped)?;
        let stopped = given.await.map_err(|_| EngineError::Stopped)?;
        self.on_the_way.ended().await;
        Ok(stopped)
    }

    /// Lets go of these shards at once: another node acts for them. When this returns, nothing more of them is handed out.
    pub async fn lose(&self, shards: ShardSet) -> Result<(), EngineError> {
        let (done, lost) = oneshot::channel();
        self.orders.send(Order::Lose(shards, done)).await.map_err(|_| EngineError::Stopped)?;
        lost.await.map_err(|_| EngineError::Stopped)
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
    /// Of these shards only.
    pub(super) fn of(mut self, shards: ShardSet) -> Self {
        self.shards.retain(|claim| shards.contains(claim.shard));
        self
    }

    pub(super) fn new(agenda: &Agenda, at: Timestamp, claimed: &[Timestamp], held_since: &[Timestamp]) -> Self {
        let standing = |shard: &ShardAgenda| Claim {
            shard: shard.shard,
            epoch: shard.epoch,
            through: claimed[shard.shard.index()].min(at),
            settled_through: agenda.handed_out(shard.shard).min(held_since[shard.shard.index()]),
        };
        Self { shards: agenda.shards().iter().filter(|shard| shard.is_ours).map(standing).collect() }
    }

    /// What to leave in the leases: nothing later than the stop was sent.
    pub fn claims(&self, unsettled: &Unsettled) -> Vec<Claim> {
        let settled = |claim: &Claim| unsettled.through(claim.shard, claim.settled_through.min(claim.through));
        self.shards.iter().map(|claim| Claim { settled_through: settled(claim), ..*claim }).collect()
    }
}
