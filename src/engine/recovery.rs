//! What a node does before it fires again: it finds the instants whose outcome a crash left open.
//!
//! For each shard the lease says up to which instant everything is settled, and up to which instant something may have
//! been sent. Between the two, an instant without an outcome is *uncertain*. Later ones were surely not sent: they are
//! put on the agenda, and the run loop treats those that have passed as late or as misfires.

use std::sync::Arc;

use log::{info, warn};

use super::agenda::Agenda;
use crate::journal::{Journal, missed_record};
use crate::model::{Entry, Fire, Lease, Revision, Stretch, Timestamp, Trigger};
use crate::store::{Outcome, Store, StoreError};

/// Why an instant of a task that has changed since is not sent again.
const CHANGED_SINCE: &str = "a crash left it uncertain whether it was sent, and the task has changed since";

/// What a node starts with.
pub struct Recovered {
    pub(super) agenda: Agenda,
    pub(super) uncertain: Vec<Fire>,
    /// The revisions in force.
    pub revisions: Vec<Arc<Revision>>,
}

/// Loads every task of the shards in `leases` and settles what the last run of the node left open.
pub async fn recover(
    store: &dyn Store,
    journal: &Journal,
    leases: &[Lease],
    now: Timestamp,
) -> Result<Recovered, StoreError> {
    warn_of_clock(leases, now);
    let ended_after = leases.iter().map(|lease| lease.settled_through).min().unwrap_or(Timestamp::EPOCH);
    let mut recovery = Recovery { store, journal, leases, now, agenda: Agenda::new(leases), uncertain: Vec::new() };
    let mut in_force = Vec::new();
    let mut pages = store.revisions(ended_after);
    while let Some(page) = pages.recv().await {
        for revision in page? {
            let revision = Arc::new(revision);
            if revision.in_force_until.is_some() {
                recovery.settle_ended(&revision).await?;
            } else {
                recovery.settle_in_force(&revision).await?;
                in_force.push(revision);
            }
        }
    }
    journal.flush().await.map_err(|stopped| StoreError::Unavailable { doing: "recovering", source: stopped.into() })?;
    let Recovery { agenda, uncertain, .. } = recovery;
    info!(tasks = in_force.len(), entries = agenda.len(), uncertain = uncertain.len(); "loaded the agenda");
    Ok(Recovered { agenda, uncertain, revisions: in_force })
}

/// A clock behind what was claimed has been stepped back: nothing is fired twice, but nothing fires until it is there.
fn warn_of_clock(leases: &[Lease], now: Timestamp) {
    let claimed_through = leases.iter().map(|lease| lease.claimed_through).max().unwrap_or(now);
    let ahead_s = claimed_through.since(now).as_secs();
    if ahead_s > 10 {
        warn!(claimed_through:%, now:%, ahead_s; "the clock is behind what was fired before, was it stepped back?");
    }
}

struct Recovery<'a> {
    store: &'a dyn Store,
    journal: &'a Journal,
    leases: &'a [Lease],
    now: Timestamp,
    agenda: Agenda,
    uncertain: Vec<Fire>,
}

impl Recovery<'_> {
    /// A task in force: uncertain instants are sent again, the others go on the agenda.
    async fn settle_in_force(&mut self, revision: &Arc<Revision>) -> Result<(), StoreError> {
        let mut starts = Vec::with_capacity(revision.task.entries.len());
        for (index, entry) in revision.task.entries.iter().enumerate() {
            if !revision.enabled {
                starts.push(None);
                continue;
            }
            let lease = &self.leases[revision.shard().index()];
            let after = lease.settled_through.max(revision.in_force_from);
            let next = revision.ticks(entry).next(after);
            if next.is_none_or(|next| next > lease.claimed_through.max(self.now)) {
                starts.push(next);
                continue;
            }
            let standing = self.standing(revision, entry, after).await?;
            for fire_time in standing.uncertain {
                entry.last_fire.note(fire_time);
                let trigger = Trigger::CatchUp;
                self.uncertain.push(Fire {
                    revision: revision.clone(),
                    entry: index,
                    fire_time,
                    trigger,
                    redelivered: true,
                });
            }
            starts.push(standing.start);
        }
        self.agenda.put_at(revision, starts);
        Ok(())
    }

    /// A task that was changed before the crash: what is open will not be sent any more.
    async fn settle_ended(&mut self, revision: &Revision) -> Result<(), StoreError> {
        let Some(until) = revision.in_force_until.filter(|_| revision.enabled) else { return Ok(()) };
        let lease = &self.leases[revision.shard().index()];
        let after = lease.settled_through.max(revision.in_force_from);
        for entry in &revision.task.entries {
            if revision.ticks(entry).next(after).is_none_or(|next| next > until) {
                continue;
            }
            let outcomes = self.store.outcomes(&revision.task.identity, &entry.name, after).await?;
            for fire_time in open_instants(revision, entry, after, until, &outcomes) {
                let stretch = Stretch::one(fire_time);
                let record = missed_record(&revision.task.identity, &entry.name, stretch, CHANGED_SINCE, self.now);
                let recorded = self.journal.record(record).await;
                recorded.map_err(|stopped| StoreError::Unavailable { doing: "recovering", source: stopped.into() })?;
            }
        }
        Ok(())
    }

    async fn standing(&self, revision: &Revision, entry: &Entry, after: Timestamp) -> Result<Standing, StoreError> {
        let outcomes = self.store.outcomes(&revision.task.identity, &entry.name, after).await?;
        let claimed_through = self.leases[revision.shard().index()].claimed_through;
        Ok(Standing::of(revision, entry, after, claimed_through, self.now, &outcomes))
    }
}

/// Where an entry stands after a crash.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    uncertain: Vec<Timestamp>,
    start: Option<Timestamp>,
}

impl Standing {
    fn of(
        revision: &Revision,
        entry: &Entry,
        after: Timestamp,
        claimed_through: Timestamp,
        now: Timestamp,
        outcomes: &[Outcome],
    ) -> Self {
        // An outcome later than now means that the clock was stepped back: what lies before it has passed already.
        let settled_last = outcomes.iter().map(|outcome| outcome.stretch.last).max().unwrap_or(after);
        let passed = now.max(settled_last).min(claimed_through);
        let uncertain = open_instants(revision, entry, after, passed, outcomes);
        let start = revision.ticks(entry).next(passed.max(settled_last).max(after));
        Self { uncertain, start }
    }
}

/// The instants in a range that no outcome covers.
fn open_instants(
    revision: &Revision,
    entry: &Entry,
    after: Timestamp,
    until: Timestamp,
    outcomes: &[Outcome],
) -> Vec<Timestamp> {
    let ticks = revision.ticks(entry);
    let is_open = |fire_time: &Timestamp| {
        let covers = |outcome: &Outcome| outcome.stretch.first <= *fire_time && *fire_time <= outcome.stretch.last;
        !outcomes.iter().any(covers)
    };
    std::iter::successors(ticks.next(after), |&last| ticks.next(last))
        .take_while(|&fire_time| fire_time <= until)
        .filter(is_open)
        .collect()
}
