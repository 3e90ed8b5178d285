//! The loop that owns the agenda: it fires what has come, claims what comes, and changes what is asked.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{error, warn};
use tokio::sync::{mpsc, oneshot, watch};

use super::agenda::{Agenda, Passed};
use super::catch_up::{Backlog, Outstanding, Pace};
use super::changes::{HeldTask, HoldAnswer};
use super::finished::Finished;
use super::handle::{Engine, EngineError, Order, Status, Stopped};
use super::pausing::{PAUSED_AT_ONCE, PausesWaiting, Pausing, RECORD_PAUSED_EVERY};
use super::planning::{self, Moved, Plan, Planned};
use super::{Recovered, Settings};
use crate::clock::{Clock, nap_until};
use crate::dispatch::Dispatch;
use crate::journal::Journal;
use crate::model::{Claim, Fire, Identity, Pauses, Shard, Timestamp};
use crate::observe::with_causes;
use crate::store::{Store, StoreError};

/// How far ahead of now a planning claims: the second that the planning job covers, and one more for a late tick.
const CLAIM_AHEAD: Duration = Duration::from_secs(2);
/// An instant this near that is not claimed makes the loop plan by itself.
const CLAIM_AT_LATEST: Duration = Duration::from_millis(250);
/// A shard with nothing due still writes down how far it is settled: so a restart looks back a minute, not a year.
const SETTLE_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// A planning job that has not called for this long is overdue, and counted.
const PLANNING_OVERDUE_AFTER: Duration = Duration::from_secs(2);
/// A planning that takes longer waits for a store that is away: changes are refused meanwhile.
pub(super) const PLANNING_TOO_LONG_AFTER: Duration = Duration::from_secs(20);
/// How long a failed planning waits before the next.
const PLAN_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How many fires are handed over at once: the first go out while the next are looked up.
const FIRES_AT_ONCE: usize = 512;
/// How long catching up waits before it looks again, when enough of it is on its way.
const CATCH_UP_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How many orders may wait. A full queue makes callers wait.
const ORDERS_WAITING_MAX: usize = 1_024;

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
    let engine = Engine {
        orders,
        dispatch: dispatch.clone(),
        journal: journal.clone(),
        status: status.clone(),
        finished: finished.clone(),
        pauses,
    };
    let now = clock.now();
    let run_loop = RunLoop {
        agenda: recovered.agenda,
        held: HashMap::new(),
        holds_waiting: VecDeque::new(),
        pausing: Pausing::Idle,
        pauses_waiting: PausesWaiting::new(),
        pauses_shown,
        pace: Pace::new(settings.catch_up_per_s),
        outstanding: Outstanding::new(settings.catch_up_per_s),
        finished,
        planning: None,
        wants_plan: false,
        planning_since: now,
        plan_not_before: now,
        asked_to_plan_at: now,
        latest: now,
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
    pub(super) held: HashMap<Identity, HeldTask>,
    /// Holds wait for the planning under way, and for an earlier hold of the same task.
    pub(super) holds_waiting: VecDeque<(Identity, HoldAnswer)>,
    pub(super) pausing: Pausing,
    pub(super) pauses_waiting: PausesWaiting,
    pub(super) pauses_shown: watch::Sender<Arc<Pauses>>,
    pace: Pace,
    outstanding: Outstanding,
    finished: Arc<Finished>,
    pub(super) planning: Option<oneshot::Receiver<Result<Planned, StoreError>>>,
    /// Someone waits for the records of what is paused.
    pub(super) wants_plan: bool,
    pub(super) planning_since: Timestamp,
    plan_not_before: Timestamp,
    pub(super) asked_to_plan_at: Timestamp,
    /// Every claimed instant up to this one was handed out. A clock that is stepped back does not bring it back.
    pub(super) latest: Timestamp,
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
    pub(super) dispatch: Dispatch,
    clock: Arc<dyn Clock>,
    settings: Settings,
    pub(super) status: Arc<Status>,
}

impl RunLoop {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>, unfinished: Vec<Fire>, uncertain: Vec<Fire>) {
        self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
        self.note_open(&unfinished);
        if !unfinished.is_empty() && self.dispatch.resume(unfinished).await.is_err() {
            return;
        }
        for fires in uncertain.chunks(FIRES_AT_ONCE) {
            if self.hand_over(fires.to_vec()).await.is_err() {
                return;
            }
        }
        let clock = self.clock.clone();
        loop {
            if self.fire_due().await.is_err() {
                return;
            }
            self.finished.add(self.agenda.take_finished());
            self.answer_holds();
            self.change_pauses();
            self.plan_if_due();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                planned = planned(&mut self.planning) => self.note_planned(planned),
                kept = self.pausing.kept() => self.note_kept(kept),
                order = inbox.recv() => match order {
                    None => return,
                    Some(Order::Stop(done)) => return self.stop(done).await,
                    Some(order) => self.obey(order),
                },
                () = nap_until(clock.as_ref(), wake_at) => {}
            }
        }
    }

    /// Never earlier than a moment this loop has acted on.
    pub(super) fn now(&self) -> Timestamp {
        self.latest.max(self.clock.now())
    }

    /// When something has to be done that nobody asks for.
    fn wake_at(&self) -> Timestamp {
        let fire_at = self.agenda.next_claimed().unwrap_or(Timestamp::FAR_FUTURE);
        let plan_at = if self.planning.is_none() { self.plan_at() } else { Timestamp::FAR_FUTURE };
        fire_at.min(plan_at).min(self.catch_up_at())
    }

    /// When the next planning has to begin at the latest.
    fn plan_at(&self) -> Timestamp {
        let claim_at = self.agenda.next_unclaimed().map(|next| next.minus(CLAIM_AT_LATEST));
        let record_at = self.agenda.next_paused().map(|next| next.plus(RECORD_PAUSED_EVERY));
        let asked_at = self.wants_plan.then_some(self.latest);
        let first = claim_at.into_iter().chain(record_at).chain(asked_at).min();
        first.map_or(Timestamp::FAR_FUTURE, |first| first.max(self.plan_not_before))
    }

    fn catch_up_at(&self) -> Timestamp {
        if self.agenda.catch_up.is_empty() {
            Timestamp::FAR_FUTURE
        } else if self.outstanding.is_full() {
            self.latest.plus(CATCH_UP_AGAIN_AFTER)
        } else {
            self.pace.next()
        }
    }

    /// Hands over every claimed instant that has come.
    async fn fire_due(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        self.latest = now;
        let late_after = now.minus(self.settings.misfire_grace);
        loop {
            let fires = self.agenda.take_due(now, late_after, FIRES_AT_ONCE);
            if fires.is_empty() {
                return self.catch_up(now).await;
            }
            self.hand_over(fires).await?;
        }
    }

    /// Hands over the oldest of what is caught up, as much as is allowed by now.
    async fn catch_up(&mut self, now: Timestamp) -> Result<(), EngineError> {
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

    fn plan_if_due(&mut self) {
        let now = self.now();
        if self.planning.is_some() || now < self.plan_at() {
            return;
        }
        if now.since(self.asked_to_plan_at) > PLANNING_OVERDUE_AFTER {
            let overdue_ms = u64::try_from(now.since(self.asked_to_plan_at).as_millis()).unwrap_or(u64::MAX);
            self.asked_to_plan_at = now;
            self.status.plannings_overdue.fetch_add(1, Ordering::Relaxed);
            warn!(overdue_ms; "the planning job is overdue, the run loop plans");
        }
        self.plan();
    }

    /// Starts a planning for the shards that have something due within the next window.
    pub(super) fn plan(&mut self) {
        let now = self.now();
        if self.planning.is_some() || now < self.plan_not_before {
            return;
        }
        let plan = self.next_plan(now);
        self.wants_plan = false;
        if plan.claims.is_empty() && plan.paused.is_empty() {
            return;
        }
        let (done, planned) = oneshot::channel();
        let (store, journal, settings) = (self.store.clone(), self.journal.clone(), self.settings.clone());
        tokio::spawn(async move {
            // The loop may have stopped: then the claim stands, and the next start reads it.
            let _ = done.send(planning::carry_out(plan, store, journal, settings).await);
        });
        self.planning = Some(planned);
        self.planning_since = now;
    }

    fn next_plan(&self, now: Timestamp) -> Plan {
        let through = now.plus(CLAIM_AHEAD);
        let misfired_before = now.minus(self.settings.misfire_grace);
        let paused = self.paused_without_record(now);
        let mut plan = Plan { misfired: Vec::new(), paused, pauses: Pauses::default(), claims: Vec::new(), now };
        if !plan.paused.is_empty() {
            plan.pauses = self.agenda.pauses().clone();
        }
        for (index, shard) in self.agenda.shards().iter().enumerate() {
            let has_due = shard.first_unclaimed().is_some_and(|first| first <= through);
            let is_stale = now.since(shard.settled_through) > SETTLE_AT_LEAST_EVERY;
            if !has_due && !is_stale {
                continue;
            }
            plan.misfired.extend(self.agenda.misfired(index, misfired_before));
            let handed_out = self.agenda.handed_out(shard.shard).min(self.held_since(shard.shard)).min(now);
            let settled_through = self.journal.unsettled().through(shard.shard, handed_out);
            plan.claims.push(Claim { shard: shard.shard, epoch: shard.epoch, through, settled_through });
        }
        plan
    }

    /// Paused entries whose instants have waited for their record long enough, or for whose record someone waits.
    fn paused_without_record(&self, now: Timestamp) -> Vec<Passed> {
        let until = match &self.pausing {
            Pausing::Waiting(order, until) if order.pause.is_none() => *until,
            Pausing::Idle | Pausing::Waiting(..) | Pausing::Writing { .. } => now.minus(RECORD_PAUSED_EVERY),
        };
        let mut paused = self.agenda.paused(until, PAUSED_AT_ONCE);
        let held: BTreeSet<&Identity> = self.holds_waiting.iter().map(|(identity, _)| identity).collect();
        for identity in held {
            // One that stands here already is older than what is looked for.
            paused.extend(self.agenda.paused_of(identity, now).into_iter().filter(|passed| passed.oldest > until));
        }
        paused
    }

    fn note_planned(&mut self, planned: Result<Planned, StoreError>) {
        self.planning = None;
        let claimed = planned.and_then(|planned| {
            // Also when the claim failed: a second record of the same instants would make two outcomes.
            for moved in planned.moved {
                self.go_on(moved, planned.claimed.is_ok());
            }
            planned.claimed
        });
        match claimed {
            Ok(claims) => {
                for claim in &claims {
                    self.agenda.note_claim(claim);
                }
                self.status.is_claiming.store(true, Ordering::Relaxed);
            }
            Err(fenced @ StoreError::Fenced { .. }) => {
                error!("{fenced}: this node stands down");
                self.status.is_fenced.store(true, Ordering::Relaxed);
                self.plan_not_before = Timestamp::FAR_FUTURE;
            }
            Err(error) => {
                if self.status.is_claiming.swap(false, Ordering::Relaxed) {
                    error!("the next window cannot be claimed, nothing is fired: {}", with_causes(&error));
                }
                self.plan_not_before = self.latest.plus(PLAN_AGAIN_AFTER);
            }
        }
    }

    fn go_on(&mut self, Moved { passed, next, caught_up }: Moved, is_claimed: bool) {
        match caught_up {
            // What is not claimed is decided about again.
            Some(stretch) if !is_claimed => self.agenda.go_on(&passed, Some(stretch.first)),
            None | Some(_) => self.agenda.go_on(&passed, next),
        }
        if is_claimed && let Some(backlog) = Backlog::new(passed.revision.clone(), passed.index(), caught_up, false) {
            self.agenda.catch_up.add(backlog);
        }
    }

    async fn stop(mut self, done: oneshot::Sender<Stopped>) {
        if self.planning.is_some() {
            let planned = planned(&mut self.planning).await;
            self.note_planned(planned);
        }
        // A change that is still under way may be stored: what it names after this moment was not handed out.
        let held_since: Vec<Timestamp> = Shard::all().map(|shard| self.held_since(shard)).collect();
        self.release_all();
        // A caller that has gone leaves the leases as they are: that is safe, only less exact.
        let _ = done.send(Stopped::new(&self.agenda, self.latest, &held_since));
    }
}

/// Waits for the planning under way; for ever when there is none.
async fn planned(planning: &mut Option<oneshot::Receiver<Result<Planned, StoreError>>>) -> Result<Planned, StoreError> {
    match planning {
        Some(planned) => planned
            .await
            .unwrap_or_else(|ended| Err(StoreError::Unavailable { doing: "planning", source: ended.into() })),
        None => std::future::pending().await,
    }
}
