//! The run loop's part in plannings: when one begins, what it has to do, and what it did.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{error, warn};
use tokio::sync::oneshot;

use super::agenda::{Passed, SlotId};
use super::catch_up::Backlog;
use super::pausing::{PAUSED_AT_ONCE, Pausing, RECORD_PAUSED_EVERY};
use super::planning::{self, Moved, Plan, Planned};
use super::run_loop::RunLoop;
use crate::model::{Claim, Identity, Pauses, Timestamp};
use crate::observe::with_causes;
use crate::store::StoreError;

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

impl RunLoop {
    /// When the next planning has to begin at the latest.
    pub(super) fn plan_at(&self) -> Timestamp {
        let claim_at = self.agenda.next_unclaimed().map(|next| next.minus(CLAIM_AT_LATEST));
        let record_at = self.agenda.next_paused().map(|next| next.plus(RECORD_PAUSED_EVERY));
        let asked_at = self.wants_plan.then_some(self.latest);
        let first = claim_at.into_iter().chain(record_at).chain(asked_at).min();
        first.map_or(Timestamp::FAR_FUTURE, |first| first.max(self.plan_not_before))
    }

    pub(super) fn plan_if_due(&mut self) {
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
        for (index, shard) in self.agenda.shards().iter().enumerate().filter(|(_, shard)| shard.is_ours) {
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

    /// Paused entries whose instants have waited for their record long enough, or for whose record someone waits, each with the
    /// moment up to which it gets them.
    fn paused_without_record(&self, now: Timestamp) -> Vec<(Passed, Timestamp)> {
        let until = match &self.pausing {
            Pausing::Waiting(order, until) if order.pause.is_none() => *until,
            _ => now.minus(RECORD_PAUSED_EVERY),
        };
        let up_to_now = |passed: Passed| (passed, now);
        let mut paused = match self.ending(PAUSED_AT_ONCE) {
            Some(ending) if !ending.is_empty() => ending,
            Some(_) | None => self.agenda.paused(until, PAUSED_AT_ONCE).into_iter().map(up_to_now).collect(),
        };
        // Two records of the same instants would make two outcomes.
        let listed: BTreeSet<SlotId> = paused.iter().map(|(passed, _)| passed.slot()).collect();
        let held: BTreeSet<&Identity> = self.holds_waiting.iter().map(|(identity, _)| identity).collect();
        for identity in held {
            let of_task = self.agenda.paused_of(identity, now).into_iter();
            paused.extend(of_task.filter(|passed| !listed.contains(&passed.slot())).map(up_to_now));
        }
        paused
    }

    pub(super) fn note_planned(&mut self, planned: Result<Planned, StoreError>) {
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
                self.show_shards();
                self.status.is_claiming.store(true, Ordering::Relaxed);
            }
            Err(fenced @ StoreError::Fenced { shard, .. }) => {
                error!("{fenced}: this node no longer acts for it");
                self.status.is_fenced.store(true, Ordering::Relaxed);
                // None of the claims counts: those of the other shards are made again.
                self.lose(std::iter::once(shard).collect());
            }
            Err(error) => {
                if self.status.is_claiming.swap(false, Ordering::Relaxed) {
                    error!("the next window cannot be claimed, nothing is fired: {}", with_causes(&error));
                }
                self.plan_not_before = self.latest.plus(PLAN_AGAIN_AFTER);
            }
        }
    }

    pub(super) fn go_on(&mut self, Moved { passed, next, caught_up }: Moved, is_claimed: bool) {
        match caught_up {
            // What is not claimed is decided about again.
            Some(stretch) if !is_claimed => self.agenda.go_on(&passed, Some(stretch.first)),
            None | Some(_) => self.agenda.go_on(&passed, next),
        }
        if is_claimed && let Some(backlog) = Backlog::new(passed.revision.clone(), passed.index(), caught_up, false) {
            self.agenda.catch_up.add(backlog);
        }
    }

    /// Whether the store has just refused a claim. One that did so earlier is asked again: where everything is paused nobody
    /// else asks it for long.
    pub(super) fn cannot_claim(&self) -> bool {
        !self.status.is_claiming.load(Ordering::Relaxed) && self.latest < self.plan_not_before
    }

    pub(super) fn planning_takes_too_long(&self) -> bool {
        self.planning.is_some() && self.now().since(self.planning_since) > PLANNING_TOO_LONG_AFTER
    }
}

/// Waits for the planning under way; for ever when there is none.
pub(super) async fn planned(
    planning: &mut Option<oneshot::Receiver<Result<Planned, StoreError>>>,
) -> Result<Planned, StoreError> {
    match planning {
        Some(planned) => planned
            .await
            .unwrap_or_else(|ended| Err(StoreError::Unavailable { doing: "planning", source: ended.into() })),
        None => std::future::pending().await,
    }
}
