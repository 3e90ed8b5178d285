//! The loop that owns the agenda: it fires what has come, claims what comes, and changes what is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::agenda::Agenda;
use super::catch_up::{Outstanding, Pace};
use super::changes::{HeldTask, HoldAnswer};
use super::claiming::planned;
use super::finished::Finished;
use super::following::Follow;
use super::handle::{Engine, EngineError, Order, Status, Stopped};
use super::on_the_way::OnTheWay;
use super::pausing::{PausesWaiting, Pausing};
use super::planning::Planned;
use super::tenancy::Tenancy;
use super::{Recovered, Settings};
use crate::clock::{Clock, NAP_MAX, nap_until};
use crate::dispatch::Dispatch;
use crate::journal::Journal;
use crate::model::{Fire, Identity, Pauses, Shard, Timestamp};
use crate::store::{Store, StoreError};

/// How many fires are handed over at once: the first go out while the next are looked up.
const FIRES_AT_ONCE: usize = 512;
/// How long catching up waits before it looks again, when enough of it is on its way.
const CATCH_UP_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How many orders may wait. A full queue makes callers wait.
const ORDERS_WAITING_MAX: usize = 1_024;
/// How many of them are obeyed before the loop looks for what is due again.
const ORDERS_AT_ONCE: usize = 256;

/// Starts the loop on what [`super::recover`] found.
pub fn start(
    recovered: Recovered,
    store: Arc<dyn Store>,
    journal: Journal,
    dispatch: Dispatch,
    clock: Arc<dyn Clock>,
    settings: &Settings,
) -> Engine {
    let (orders, inbox) = mpsc::channel(ORDERS_WAITING_MAX);
    let status = Arc::new(Status::default());
    status.is_claiming.store(true, Ordering::Relaxed);
    let (pauses_shown, pauses) = watch::channel(Arc::new(recovered.agenda.pauses().clone()));
    let finished = Arc::new(Finished::new(journal.clone()));
    let on_the_way = OnTheWay::new();
    let engine = Engine {
        orders,
        on_the_way: on_the_way.clone(),
        dispatch: dispatch.clone(),
        journal: journal.clone(),
        status: status.clone(),
        finished: finished.clone(),
        pauses,
    };
    // Also after a start: a change must not bring back what an earlier process has fired.
    let latest = recovered.latest.max(clock.now());
    let run_loop = RunLoop {
        agenda: recovered.agenda,
        on_the_way,
        held: HashMap::new(),
        holds_waiting: VecDeque::new(),
        pausing: Pausing::Idle,
        pauses_waiting: PausesWaiting::new(),
        follows: VecDeque::new(),
        pauses_shown,
        pace: Pace::new(settings.catch_up_per_s),
        outstanding: Outstanding::new(settings.catch_up_per_s),
        finished,
        planning: None,
        wants_plan: false,
        planning_since: latest,
        plan_not_before: latest,
        asked_to_plan_at: latest,
        latest,
        leapt_at: None,
        tenancy: Tenancy::default(),
        store,
        journal,
        dispatch,
        clock,
        settings: settings.clone(),
        status,
    };
    tokio::spawn(run_loop.run(inbox, recovered.unfinished, recovered.uncertain));
    engine
}

pub(super) struct RunLoop {
    pub(super) agenda: Agenda,
    pub(super) on_the_way: OnTheWay,
    pub(super) held: HashMap<Identity, HeldTask>,
    /// Holds wait for the planning under way, and for an earlier hold of the same task.
    pub(super) holds_waiting: VecDeque<(Identity, HoldAnswer)>,
    pub(super) pausing: Pausing,
    pub(super) pauses_waiting: PausesWaiting,
    /// What others have paused or lifted, as it was read.
    pub(super) follows: VecDeque<Follow>,
    pub(super) pauses_shown: watch::Sender<Arc<Pauses>>,
    pace: Pace,
    outstanding: Outstanding,
    finished: Arc<Finished>,
    pub(super) planning: Option<oneshot::Receiver<Result<Planned, StoreError>>>,
    /// Someone waits for the records of what is paused.
    pub(super) wants_plan: bool,
    pub(super) planning_since: Timestamp,
    pub(super) plan_not_before: Timestamp,
    pub(super) asked_to_plan_at: Timestamp,
    /// Every claimed instant up to this one was handed out. A clock that is stepped back does not bring it back.
    pub(super) latest: Timestamp,
    /// Since when the clock shows a time that the loop does not follow yet.
    pub(super) leapt_at: Option<Instant>,
    pub(super) tenancy: Tenancy,
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
    pub(super) dispatch: Dispatch,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    pub(super) status: Arc<Status>,
}

/// What the loop does when it has obeyed.
enum Next {
    GoOn,
    Stop(oneshot::Sender<Stopped>),
    /// Nobody holds the engine any more.
    End,
}

impl RunLoop {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>, unfinished: Vec<Fire>, uncertain: Vec<Fire>) {
        if self.take_up(unfinished, uncertain).await.is_err() {
            return;
        }
        let clock = self.clock.clone();
        loop {
            if self.take_shards().await.is_err() || self.fire_due().await.is_err() {
                return;
            }
            self.finished.add(self.agenda.take_finished());
            self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
            self.give_shards();
            self.answer_holds();
            if self.change_pauses() {
                continue;
            }
            self.plan_if_due();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                planned = planned(&mut self.planning) => self.note_planned(planned),
                came = self.pausing.came(), if self.planning.is_none() => self.note_came(came),
                order = inbox.recv() => match self.obey_all(order, &mut inbox) {
                    Next::GoOn => {}
                    Next::Stop(done) => return self.stop(done).await,
                    Next::End => return,
                },
                () = nap_until(clock.as_ref(), wake_at) => {}
            }
        }
    }

    /// Hands over what recovery found on its way.
    pub(super) async fn take_up(&mut self, unfinished: Vec<Fire>, uncertain: Vec<Fire>) -> Result<(), EngineError> {
        self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
        self.show_shards();
        self.note_open(&unfinished);
        if !unfinished.is_empty() {
            self.dispatch.resume(unfinished).await.map_err(|_| EngineError::Stopped)?;
        }
        for fires in uncertain.chunks(FIRES_AT_ONCE) {
            self.hand_over(fires.to_vec()).await?;
        }
        Ok(())
    }

    /// Obeys an order and those that wait behind it: one look at the agenda serves for all of them.
    fn obey_all(&mut self, mut order: Option<Order>, inbox: &mut mpsc::Receiver<Order>) -> Next {
        let mut obeyed = 0;
        loop {
            match order {
                Some(Order::Stop(done)) => return Next::Stop(done),
                Some(order) => self.obey(order),
                None => return Next::End,
            }
            obeyed += 1;
            if obeyed == ORDERS_AT_ONCE {
                return Next::GoOn;
            }
            // Whether the last handle is gone, the next look tells.
            match inbox.try_recv() {
                Ok(next) => order = Some(next),
                Err(_) => return Next::GoOn,
            }
        }
    }

    /// When something has to be done that nobody asks for.
    fn wake_at(&self) -> Timestamp {
        if self.leapt_at.is_some() {
            return self.clock.now().plus(NAP_MAX);
        }
        let fire_at = self.agenda.next_claimed().unwrap_or(Timestamp::FAR_FUTURE);
        let plan_at = if self.planning.is_none() { self.plan_at() } else { Timestamp::FAR_FUTURE };
        fire_at.min(plan_at).min(self.catch_up_at())
    }

    fn catch_up_at(&self) -> Timestamp {
        if self.agenda.catch_up.is_empty() {
            Timestamp::FAR_FUTURE
        } else if self.outstanding.is_full() {
            self.clock.now().plus(CATCH_UP_AGAIN_AFTER)
        } else {
            self.pace.next()
        }
    }

    /// Hands over every claimed instant that has come.
    async fn fire_due(&mut self) -> Result<(), EngineError> {
        self.look_at_clock();
        let now = self.latest;
        let late_after = self.late_after();
        loop {
            let fires = self.agenda.take_due(now, late_after, FIRES_AT_ONCE);
            if fires.is_empty() {
                return self.catch_up().await;
            }
            self.hand_over(fires).await?;
        }
    }

    /// Hands over the oldest of what is caught up, as much as is allowed by now.
    async fn catch_up(&mut self) -> Result<(), EngineError> {
        // How fast it goes has nothing to do with what time it is: the engine's time may stand.
        let now = self.clock.now();
        while !self.agenda.catch_up.is_empty() {
            let unsettled = self.journal.unsettled();
            let room = self.outstanding.room(|shard, fire_time| unsettled.is_open(shard, fire_time));
            let fires = self.agenda.catch_up.take(self.pace.allowed(now).min(room).min(FIRES_AT_ONCE));
            if fires.is_empty() {
                break;
            }
            self.pace.note(fires.len());
            self.outstanding.note(&fires);
            self.hand_over(fires).await?;
        }
        Ok(())
    }

    /// Before they are handed over: who looks meanwhile must not go past them.
    fn note_open(&self, fires: &[Fire]) {
        let planned = fires.iter().filter(|fire| fire.is_planned());
        self.journal.unsettled().open(planned.map(|fire| (fire.revision.shard(), fire.fire_time)));
        self.status.fires.fetch_add(fires.len() as u64, Ordering::Relaxed);
    }

    async fn hand_over(&mut self, fires: Vec<Fire>) -> Result<(), EngineError> {
        self.note_open(&fires);
        self.dispatch.fire(fires).await.map_err(|_| EngineError::Stopped)
    }

    async fn stop(mut self, done: oneshot::Sender<Stopped>) {
        // What changes have put back since the last look is claimed: it goes out, so that the next start knows how far it came.
        if self.fire_due().await.is_err() {
            return;
        }
        // What is claimed from here on is not handed out any more.
        let claimed: Vec<Timestamp> = self.agenda.shards().iter().map(|shard| shard.claimed_through).collect();
        if self.planning.is_some() {
            let planned = planned(&mut self.planning).await;
            self.note_planned(planned);
        }
        // A change that is still under way may be stored: what it names after this moment was not handed out.
        let held_since: Vec<Timestamp> = Shard::all().map(|shard| self.held_since(shard)).collect();
        self.release_all();
        // A caller that has gone leaves the leases as they are: that is safe, only less exact.
        let _ = done.send(Stopped::new(&self.agenda, self.latest, &claimed, &held_since));
    }
}
