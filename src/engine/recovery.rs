//! What a node does before it fires again: it finds the instants whose outcome a crash left open.
//!
//! For each shard the lease says up to which instant everything is settled, and up to which instant something may have
//! been sent. Between the two, an instant without an outcome is *uncertain*. Later ones were surely not sent: they are
//! put on the agenda, and the run loop treats those that have passed as late or as misfires.

use std::collections::HashMap;
use std::sync::Arc;

use log::{info, warn};

use super::agenda::Agenda;
use crate::journal::{Journal, missed_record};
use crate::model::{Entry, EntryName, Fire, Identity, Lease, Revision, Stretch, Timestamp, Trigger};
use crate::store::{Outcome, Store, StoreError};

/// Why an instant that was not claimed, and lies before one that has its outcome, is not sent.
const UNRECORDED: &str = "a crash came before its record, and a newer instant has its outcome";

/// How many entries' outcomes are asked for at once.
const ASKED_AT_ONCE: usize = 1_000;

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
        let page: Vec<Arc<Revision>> = page?.into_iter().map(Arc::new).collect();
        let outcomes = recovery.outcomes(&page).await?;
        for revision in page {
            if revision.in_force_until.is_some() {
                recovery.settle_ended(&revision, &outcomes).await?;
            } else {
                recovery.settle_in_force(&revision, &outcomes).await?;
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

/// The outcomes that were asked for, by task and entry.
type Outcomes = HashMap<(Identity, EntryName), Vec<Outcome>>;

impl Recovery<'_> {
    /// Nothing that is named up to this moment is open.
    fn settled_through(&self, revision: &Revision) -> Timestamp {
        self.leases[revision.shard().index()].settled_through.max(revision.in_force_from)
    }

    /// Whether an instant of the entry may be open.
    fn may_be_open(&self, revision: &Revision, entry: &Entry) -> bool {
        let claimed_through = self.leases[revision.shard().index()].claimed_through;
        let until = revision.in_force_until.unwrap_or(claimed_through.max(self.now));
        let next = || revision.ticks(entry).next(self.settled_through(revision));
        revision.enabled && next().is_some_and(|next| next <= until)
    }

    /// The outcomes of the entries that may have something open: most have not, and are not asked for.
    async fn outcomes(&self, revisions: &[Arc<Revision>]) -> Result<Outcomes, StoreError> {
        let mut entries = Vec::new();
        let mut after = Timestamp::FAR_FUTURE;
        for revision in revisions {
            let open = revision.task.entries.iter().filter(|entry| self.may_be_open(revision, entry));
            let before = entries.len();
            entries.extend(open.map(|entry| (revision.task.identity.clone(), entry.name.clone())));
            if entries.len() > before {
                after = after.min(self.settled_through(revision));
            }
        }
        let mut outcomes = HashMap::with_capacity(entries.len());
        for asked in entries.chunks(ASKED_AT_ONCE) {
            let found = self.store.outcomes(asked, after).await?;
            outcomes.extend(asked.iter().cloned().zip(found));
        }
        Ok(outcomes)
    }

    /// A task in force: uncertain instants are sent again, the others go on the agenda.
    async fn settle_in_force(&mut self, revision: &Arc<Revision>, outcomes: &Outcomes) -> Result<(), StoreError> {
        let after = self.settled_through(revision);
        let mut starts = Vec::with_capacity(revision.task.entries.len());
        for (index, entry) in revision.task.entries.iter().enumerate() {
            let Some(outcomes) = outcomes_of(outcomes, revision, entry) else {
                starts.push(revision.ticks(entry).next(after).filter(|_| revision.enabled));
                continue;
            };
            let claimed_through = self.leases[revision.shard().index()].claimed_through;
            let standing = Standing::of(revision, entry, after, claimed_through, self.now, outcomes);
            for fire_time in standing.unrecorded {
                self.miss(revision, entry, fire_time, UNRECORDED).await?;
            }
            for fire_time in standing.uncertain {
                entry.last_fire.note(fire_time);
                let trigger = Trigger::CatchUp;
                let revision = revision.clone();
                self.uncertain.push(Fire { revision, entry: index, fire_time, trigger, redelivered: true });
            }
            starts.push(standing.start);
        }
        self.agenda.put_at(revision, starts);
        Ok(())
    }

    async fn miss(
        &self,
        revision: &Revision,
        entry: &Entry,
        fire_time: Timestamp,
        reason: &str,
    ) -> Result<(), StoreError> {
        let record = missed_record(&revision.task.identity, &entry.name, Stretch::one(fire_time), reason, self.now);
        let recorded = self.journal.record(record).await;
        recorded.map_err(|stopped| StoreError::Unavailable { doing: "recovering", source: stopped.into() })
    }

    /// A task that was changed before the crash: what is open will not be sent any more.
    async fn settle_ended(&mut self, revision: &Revision, outcomes: &Outcomes) -> Result<(), StoreError> {
        let Some(until) = revision.in_force_until else { return Ok(()) };
        let after = self.settled_through(revision);
        for entry in &revision.task.entries {
            let Some(outcomes) = outcomes_of(outcomes, revision, entry).filter(|_| revision.enabled) else { continue };
            for fire_time in open_instants(revision, entry, after, until, outcomes) {
                self.miss(revision, entry, fire_time, CHANGED_SINCE).await?;
            }
        }
        Ok(())
    }
}

fn outcomes_of<'a>(outcomes: &'a Outcomes, revision: &Revision, entry: &Entry) -> Option<&'a [Outcome]> {
    outcomes.get(&(revision.task.identity.clone(), entry.name.clone())).map(Vec::as_slice)
}

/// Where an entry stands after a crash.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    uncertain: Vec<Timestamp>,
    /// Surely not sent, and older than an outcome: of the records of one planning a crash let only some be written.
    unrecorded: Vec<Timestamp>,
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
        let unrecorded = open_instants(revision, entry, passed.max(after), settled_last, outcomes);
        let start = revision.ticks(entry).next(passed.max(settled_last).max(after));
        Self { uncertain, unrecorded, start }
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
