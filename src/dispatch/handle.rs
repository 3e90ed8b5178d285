//! What other rooms hold of dispatch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::elsewhere::EndsElsewhere;
use super::gauges::Gauges;
use super::sender::Event;
use crate::model::{EntryName, Fire, Identity, RunId, ShardSet};
use crate::observe::metrics::{AttemptMetrics, DispatchState};

/// How long what a drain leaves may take to be recorded.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

/// The dispatch loop has ended: the node is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dispatch has stopped")]
pub struct DispatchStopped;

/// Why a run that was asked for is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskRefused {
    /// A run of the entry is in progress, and this one waits behind it: there is no place for a third.
    #[error("run {0} waits already behind one in progress")]
    Waiting(RunId),
    /// This node has let go of the task. Ask its next owner.
    #[error("another node owns this task")]
    NotOwned,
    /// The node is going down.
    #[error("dispatch has stopped")]
    Stopped,
}

/// How long runs may wait for a limit before newer ones of their entry stand for them.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Of entries whose newest misfire stands for all.
    pub misfire_grace: Duration,
    /// Of entries that fire each misfire, and give no window of their own.
    pub catch_up_window: Duration,
}

/// Why the runs of a task are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The task was deleted.
    Deleted,
    /// The task was switched off.
    Stopped,
}

impl Cancelled {
    /// The words in the records of what was not sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted before it could be sent",
            Self::Stopped => "switched off before it could be sent",
        }
    }

    /// Which runs of a task it concerns.
    pub fn scope(self, identity: Identity) -> Scope {
        match self {
            Self::Deleted => Scope::Deleted(identity),
            Self::Stopped => Scope::Task(identity),
        }
    }
}

/// Which runs are given up. Never those in flight, nor callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of a task that was switched off: planned ones that wait, or that pause between two attempts. What somebody asked for
    /// goes on.
    Task(Identity),
    /// Of a task that was deleted: all that wait or pause.
    Deleted(Identity),
    /// Of all tasks: planned ones of which nothing was sent yet.
    All,
    /// Of entries with this tag: planned ones of which nothing was sent yet.
    Tag(Box<str>),
}

impl Scope {
    /// The words in the records of runs of which an attempt was made; a pause ends none of those.
    pub(super) fn between_attempts(&self) -> Option<&'static str> {
        match self {
            Self::Deleted(_) => Some("deleted before it could be sent again"),
            Self::Task(_) => Some("switched off before it could be sent again"),
            Self::All | Self::Tag(_) => None,
        }
    }
}

/// Whether a run was taken back before anything of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBack {
    /// It waited: it is given up, and its record says so.
    Yes,
    /// It is under way, or just ends.
    TooLate,
    /// There is no such run here, or none any more.
    Unknown,
}

/// What became of a run that somebody wants to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It has ended: its record says by whom.
    Off,
    /// There is no such run here, or it has just ended.
    Not,
    /// Its attempt is under way at the node that gave its shard away, and ends there. Nothing was changed.
    Elsewhere,
}

/// The runs of an entry that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Those that are under way, wait for a limit, or pause between two attempts; the oldest first.
    pub in_progress: Vec<RunId>,
    /// Whether something of those is sent, or was and will be again; else all of them only wait.
    pub is_under_way: bool,
    /// One that somebody asked for, and that waits for those in progress.
    pub waiting: Option<RunId>,
}

/// What a drain left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Runs that never started, or that were in a pause between two attempts. The next start of the node goes on with them.
    pub waiting: usize,
    /// Requests whose answer was not awaited. The next start of the node settles them.
    pub in_flight: usize,
}

pub(super) enum Order {
    Fire(Vec<Fire>),
    Ask(Box<Fire>, oneshot::Sender<Result<Reserved, AskRefused>>),
    Cancel(Scope, String, oneshot::Sender<()>),
    CancelRun(RunId, Box<str>, oneshot::Sender<Broken>),
    TakeBack(RunId, String, oneshot::Sender<TakenBack>),
    Activity(Identity, EntryName, oneshot::Sender<Activity>),
    LetGo(ShardSet, Letting, oneshot::Sender<LetGo>),
    Ended(ShardSet, oneshot::Sender<ShardSet>),
    Elsewhere(ShardSet, oneshot::Sender<Vec<Fire>>),
    EndElsewhere(EndsElsewhere),
    Drain(Instant, oneshot::Sender<Drained>),
}

/// What becomes of the runs of shards for which this node no longer acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letting {
    /// Another node goes on with them: each has a record that says how far it is.
    Given,
    /// Another node acts for them already, and knows what it has to know.
    Lost,
}

/// What is left of shards that were let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetGo {
    /// How many runs were asked for whose records are being written: let go once more when they are.
    pub reserved: usize,
    /// The shards of which something is under way: it ends here.
    pub lingering: ShardSet,
}

/// What becomes of a place that was kept for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reservation {
    Taken(RunId),
    Freed(RunId),
}

/// Takes fires. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) metrics: AttemptMetrics,
}

impl Dispatch {
    /// Hands over fires whose instant has come. Waits while dispatch is behind.
    pub async fn fire(&self, fires: Vec<Fire>) -> Result<(), DispatchStopped> {
        self.orders.send(Order::Fire(fires)).await.map_err(|_| DispatchStopped)
    }

    /// Hands over runs that an earlier process had not ended. None is refused; those that were in progress go on as such.
    pub async fn resume(&self, fires: Vec<Fire>) -> Result<(), DispatchStopped> {
        self.place_for_runs().await?.resume(fires);
        Ok(())
    }

    /// A place in the queue for runs that may be unwanted by the time that it is there. Waits while dispatch is behind.
    pub async fn place_for_runs(&self) -> Result<PlaceForRuns<'_>, DispatchStopped> {
        self.orders.reserve().await.map(PlaceForRuns).map_err(|_| DispatchStopped)
    }

    /// Keeps a place for a run that somebody asks for: one of an entry may be in progress, another one may wait behind it.
    /// The caller makes its record durable, and then lets it start.
    pub async fn ask(&self, fire: Fire) -> Result<Reserved, AskRefused> {
        let (answer, reserved) = oneshot::channel();
        let order = Order::Ask(Box::new(fire), answer);
        self.orders.send(order).await.map_err(|_| AskRefused::Stopped)?;
        reserved.await.map_err(|_| AskRefused::Stopped)?
    }

    /// Gives up runs. When this returns, none of those handed over before starts any more. `why` stands in their records.
    pub async fn cancel(&self, scope: Scope, why: String) -> Result<(), DispatchStopped> {
        let (done, cancelled) = oneshot::channel();
        self.orders.send(Order::Cancel(scope, why, done)).await.map_err(|_| DispatchStopped)?;
        cancelled.await.map_err(|_| DispatchStopped)
    }

    /// Ends a run, also one in flight.
    pub async fn cancel_run(&self, run_id: RunId, by: &str) -> Broken {
        let (done, cancelled) = oneshot::channel();
        if self.orders.send(Order::CancelRun(run_id, by.into(), done)).await.is_err() {
            return Broken::Not;
        }
        cancelled.await.unwrap_or(Broken::Not)
    }

    /// Gives up a planned run if it waits. One under way goes on. `why` stands in its record.
    pub async fn take_back(&self, run_id: RunId, why: String) -> Result<TakenBack, DispatchStopped> {
        let (answer, taken_back) = oneshot::channel();
        self.orders.send(Order::TakeBack(run_id, why, answer)).await.map_err(|_| DispatchStopped)?;
        taken_back.await.map_err(|_| DispatchStopped)
    }

    /// What goes on of an entry; nothing, once dispatch has stopped.
    pub async fn activity(&self, identity: &Identity, entry: &EntryName) -> Activity {
        let (answer, activity) = oneshot::channel();
        let order = Order::Activity(identity.clone(), entry.clone(), answer);
        if self.orders.send(order).await.is_err() {
            return Activity::default();
        }
        activity.await.unwrap_or_default()
    }

    /// Starts nothing more and waits for the answers in flight, for `grace` at most, and then for a moment until what is left has
    /// its records. When the journal takes none, as the store is away, it breaks off: to the next start that is a crash.
    pub async fn drain(&self, grace: Duration) -> Result<Drained, DispatchStopped> {
        let (done, drained) = oneshot::channel();
        let draining = async {
            self.orders.send(Order::Drain(Instant::now() + grace, done)).await.map_err(|_| DispatchStopped)?;
            drained.await.map_err(|_| DispatchStopped)
        };
        let broke_off = |_| Ok(Drained { waiting: self.waiting(), in_flight: self.in_flight() });
        timeout(grace + LEAVE_GRACE, draining).await.unwrap_or_else(broke_off)
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.gauges.in_flight.load(Ordering::Relaxed)
    }

    /// How many runs wait: for a limit, for another run, for their time, or for their next attempt.
    pub fn waiting(&self) -> usize {
        self.gauges.waiting.load(Ordering::Relaxed)
    }

    /// How many runs stand where.
    pub fn state(&self) -> DispatchState {
        self.gauges.state()
    }

    /// What was counted and measured of requests.
    pub fn metrics(&self) -> &AttemptMetrics {
        &self.metrics
    }
}

/// A place in the queue of dispatch: what takes it is there at once, and what is given up later is given up whole.
#[must_use = "others wait behind it"]
pub struct PlaceForRuns<'a>(mpsc::Permit<'a, Order>);

impl PlaceForRuns<'_> {
    /// Hands over runs, as [`Dispatch::resume`] does.
    pub fn resume(self, mut fires: Vec<Fire>) {
        // What had come furthest was there first: the others wait behind it, in the order in which they were asked for.
        fires.sort_by_cached_key(|fire| {
            let phase = fire.progress.as_ref().map_or(0, |progress| progress.phase);
            (!fire.is_elsewhere(), std::cmp::Reverse(phase), fire.run_id())
        });
        self.0.send(Order::Fire(fires));
    }
}

/// A place that is kept for a run. Dropping it frees the place.
#[must_use = "the run starts only when it is told to"]
pub struct Reserved {
    run_id: RunId,
    events: Option<mpsc::UnboundedSender<Event>>,
}

impl Reserved {
    pub(super) fn new(run_id: RunId, events: mpsc::UnboundedSender<Event>) -> Self {
        Self { run_id, events: Some(events) }
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Lets the run start, now or when its turn comes.
    pub fn start(mut self) {
        if let Some(events) = self.events.take() {
            // When the loop has ended, the record that was written makes the next start go on with it.
            let _ = events.send(Event::Reservation(Reservation::Taken(self.run_id)));
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(events) = self.events.take() {
            let _ = events.send(Event::Reservation(Reservation::Freed(self.run_id)));
        }
    }
}
