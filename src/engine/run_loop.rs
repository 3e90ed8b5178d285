//! The loop that owns the agenda: it fires what has come, claims what comes, and changes what is asked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{error, warn};
use tokio::sync::{mpsc, oneshot};

use super::agenda::Agenda;
use super::handle::{Engine, EngineError, Order, Status, Stopped};
use super::planning::{self, Plan, Planned};
use super::{Recovered, Settings};
use crate::clock::{Clock, nap_until};
use crate::dispatch::Dispatch;
use crate::journal::Journal;
use crate::model::{Claim, Epoch, Fire, Identity, Revision, Shard, Timestamp};
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
const PLANNING_TOO_LONG_AFTER: Duration = Duration::from_secs(20);
/// How long a failed planning waits before the next.
const PLAN_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How many fires are handed over at once: the first go out while the next are looked up.
const FIRES_AT_ONCE: usize = 512;
/// How many orders may wait. A full queue makes callers wait.
const ORDERS_WAITING_MAX: usize = 1_024;

type HoldAnswer = oneshot::Sender<Result<(Timestamp, Epoch), EngineError>>;

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
    let engine = Engine { orders, dispatch: dispatch.clone(), status: status.clone() };
    let now = clock.now();
    let run_loop = RunLoop {
        agenda: recovered.agenda,
        held: HashMap::new(),
        holds_waiting: VecDeque::new(),
        planning: None,
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
    tokio::spawn(run_loop.run(inbox, recovered.uncertain));
    engine
}

/// A task whose change is being written.
struct HeldTask {
    since: Timestamp,
    /// What was on the agenda.
    revision: Option<Arc<Revision>>,
}

struct RunLoop {
    agenda: Agenda,
    held: HashMap<Identity, HeldTask>,
    /// Holds wait for the planning under way, and for an earlier hold of the same task.
    holds_waiting: VecDeque<(Identity, HoldAnswer)>,
    planning: Option<oneshot::Receiver<Result<Planned, StoreError>>>,
    planning_since: Timestamp,
    plan_not_before: Timestamp,
    asked_to_plan_at: Timestamp,
    /// Every claimed instant up to this one was handed out. A clock that is stepped back does not bring it back.
    latest: Timestamp,
    store: Arc<dyn Store>,
    journal: Journal,
    dispatch: Dispatch,
    clock: Arc<dyn Clock>,
    settings: Settings,
    status: Arc<Status>,
}

impl RunLoop {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>, uncertain: Vec<Fire>) {
        self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
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
            self.plan_if_due();
            self.answer_holds();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                planned = planned(&mut self.planning) => self.note_planned(planned),
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
    fn now(&self) -> Timestamp {
        self.latest.max(self.clock.now())
    }

    /// When something has to be done that nobody asks for.
    fn wake_at(&self) -> Timestamp {
        let fire_at = self.agenda.next_claimed().unwrap_or(Timestamp::FAR_FUTURE);
        let plan_at = match (&self.planning, self.agenda.next_unclaimed()) {
            (None, Some(next)) => next.minus(CLAIM_AT_LATEST).max(self.plan_not_before),
            (Some(_), _) | (None, None) => Timestamp::FAR_FUTURE,
        };
        fire_at.min(plan_at)
    }

    /// Hands over every claimed instant that has come.
    async fn fire_due(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        self.latest = now;
        let late_after = now.minus(self.settings.misfire_grace);
        loop {
            let fires = self.agenda.take_due(now, late_after, FIRES_AT_ONCE);
            if fires.is_empty() {
                return Ok(());
            }
            self.hand_over(fires).await?;
        }
    }

    async fn hand_over(&mut self, fires: Vec<Fire>) -> Result<(), EngineError> {
        self.journal.unsettled().open(fires.iter().map(|fire| (fire.revision.shard(), fire.fire_time)));
        self.status.fires.fetch_add(fires.len() as u64, Ordering::Relaxed);
        self.dispatch.fire(fires).await.map_err(|_| EngineError::Stopped)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Plan => {
                self.asked_to_plan_at = self.now();
                self.plan();
            }
            Order::Hold(identity, answer) => self.holds_waiting.push_back((identity, answer)),
            Order::Settle(identity, next, done) => {
                if let Some(held) = self.held.remove(&identity) {
                    self.put_back(next, held.since);
                }
                // The caller may have gone: the change is in force all the same.
                let _ = done.send(());
            }
            Order::Release(identity) => {
                if let Some(held) = self.held.remove(&identity) {
                    self.put_back(held.revision, held.since);
                }
            }
            Order::Stop(_) => unreachable!("the loop takes this one itself"),
        }
    }

    fn put_back(&mut self, revision: Option<Arc<Revision>>, since: Timestamp) {
        if let Some(revision) = revision {
            self.agenda.put(&revision, since);
        }
        self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
    }

    /// Answers the holds that need not wait any longer. Everything due was handed over just before.
    fn answer_holds(&mut self) {
        if self.planning.is_some() {
            if self.now().since(self.planning_since) > PLANNING_TOO_LONG_AFTER {
                for (_, answer) in self.holds_waiting.drain(..) {
                    // The caller may have gone: then nobody needs the answer.
                    let _ = answer.send(Err(EngineError::CannotClaim));
                }
            }
            return;
        }
        for _ in 0..self.holds_waiting.len() {
            let Some((identity, answer)) = self.holds_waiting.pop_front() else { break };
            if self.held.contains_key(&identity) {
                self.holds_waiting.push_back((identity, answer));
            } else if !self.agenda.has_unclaimed(&identity, self.latest) {
                self.hold(identity, answer);
            } else if !self.status.is_claiming.load(Ordering::Relaxed) {
                // The caller may have gone: then nobody needs the answer.
                let _ = answer.send(Err(EngineError::CannotClaim));
            } else {
                self.holds_waiting.push_back((identity, answer));
            }
        }
    }

    fn hold(&mut self, identity: Identity, answer: HoldAnswer) {
        let since = self.latest;
        let epoch = self.agenda.shards()[Shard::of(&identity).index()].epoch;
        let revision = self.agenda.take_out(&identity);
        if answer.send(Ok((since, epoch))).is_ok() {
            self.held.insert(identity, HeldTask { since, revision });
        } else if let Some(revision) = revision {
            self.agenda.put(&revision, since);
        }
    }

    fn plan_if_due(&mut self) {
        let now = self.now();
        let is_near = self.agenda.next_unclaimed().is_some_and(|next| next <= now.plus(CLAIM_AT_LATEST));
        if !is_near || self.planning.is_some() || now < self.plan_not_before {
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
    fn plan(&mut self) {
        let now = self.now();
        if self.planning.is_some() || now < self.plan_not_before {
            return;
        }
        let plan = self.next_plan(now);
        if plan.claims.is_empty() {
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
        let mut plan = Plan { misfired: Vec::new(), claims: Vec::new(), now };
        for (index, shard) in self.agenda.shards().iter().enumerate() {
            let has_due = shard.first_unclaimed().is_some_and(|first| first <= through);
            let is_stale = now.since(shard.settled_through) > SETTLE_AT_LEAST_EVERY;
            if !has_due && !is_stale {
                continue;
            }
            plan.misfired.extend(self.agenda.misfired(index, misfired_before));
            let handed_out = shard.handed_out().min(self.held_since(shard.shard)).min(now);
            let settled_through = self.journal.unsettled().through(shard.shard, handed_out);
            plan.claims.push(Claim { shard: shard.shard, epoch: shard.epoch, through, settled_through });
        }
        plan
    }

    /// What a held task names after this moment is not on the agenda: it counts as not handed out.
    fn held_since(&self, shard: Shard) -> Timestamp {
        let of_shard = self.held.iter().filter(|(identity, _)| Shard::of(identity) == shard);
        of_shard.map(|(_, held)| held.since).min().unwrap_or(Timestamp::FAR_FUTURE)
    }

    fn note_planned(&mut self, planned: Result<Planned, StoreError>) {
        self.planning = None;
        let claimed = planned.and_then(|planned| {
            // Also when the claim failed: a second record of the same instants would make two outcomes.
            for (misfired, next) in &planned.moved {
                self.agenda.go_on(misfired, *next);
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

    async fn stop(mut self, done: oneshot::Sender<Stopped>) {
        if self.planning.is_some() {
            let planned = planned(&mut self.planning).await;
            self.note_planned(planned);
        }
        // A change that is still under way may be stored: what it names after this moment was not handed out.
        let held_since: Vec<Timestamp> = Shard::all().map(|shard| self.held_since(shard)).collect();
        for (_, held) in std::mem::take(&mut self.held) {
            self.put_back(held.revision, held.since);
        }
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
