//! What a node does before it fires again: it finds the instants whose outcome a crash left open, and the runs that had not
//! ended.
//!
//! For each shard the lease says up to which instant everything is settled, and up to which instant something may have
//! been sent. Between the two, an instant without an outcome is *uncertain*. Later ones were surely not sent, and nor were
//! those later than the pause of an entry: they are put on the agenda, and the run loop treats those that have passed as
//! late, as misfires, or as paused.

use std::collections::HashMap;
use std::sync::Arc;

use log::{info, warn};

use super::Settings;
use super::agenda::Agenda;
use super::catch_up::Backlog;
use super::elsewhere::Elsewhere;
use super::pausing::unfired;
use super::standing::{Lull, Reach, Standing, instants_of, open_stretches};
use crate::journal::{Journal, JournalStopped, missed_record, paused_record};
use crate::model::{
    Delivery, Entry, EntryName, EntryOptions, Fire, Identity, Lease, Lifted, Misfire, Pause, Pauses, Record, Revision,
    RunId, ShardSet, Stretch, Timestamp, Trigger,
};
use crate::store::{Outcome, Store, StoreError};

/// Why an instant that was not claimed, and lies before one that has its outcome, is not sent.
const UNRECORDED: &str = "a crash came before its record, and a newer instant has its outcome";

/// From how many revisions on outcomes are asked for: pages may be small, and each question takes its time.
const SETTLED_AT_ONCE: usize = 200;
/// How many entries' outcomes are asked for at once.
pub(super) const ASKED_AT_ONCE: usize = 1_000;

/// Why an instant of a task that has changed since is not sent again.
pub(super) const CHANGED_SINCE: &str = "a crash left it uncertain whether it was sent, and the task has changed since";

/// Shards that a node takes.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver<'a> {
    /// Their leases.
    pub leases: &'a [Lease],
    /// Those of them of which a former owner has something under way, and ends it.
    pub lingering: ShardSet,
}

/// What a node starts with.
pub struct Recovered {
    pub(super) agenda: Agenda,
    /// Instants that may have been sent, oldest first.
    pub(super) uncertain: Vec<Fire>,
    /// Runs of which something was done.
    pub(super) unfinished: Vec<Fire>,
    /// The newest moment that is known to have passed.
    pub(super) latest: Timestamp,
    /// What is to be known of runs that are under way elsewhere when they are looked at.
    pub elsewhere: Elsewhere,
    /// The revisions in force.
    pub revisions: Vec<Arc<Revision>>,
}

/// Loads every task of the shards in `leases` and settles what the last run of the node left open.
pub async fn recover(
    store: &dyn Store,
    journal: &Journal,
    leases: &[Lease],
    now: Timestamp,
    settings: &Settings,
) -> Result<Recovered, StoreError> {
    take_over(store, journal, TakeOver { leases, lingering: ShardSet::EMPTY }, now, settings).await
}

/// The same, of shards that other nodes had: what those have under way is left to them.
pub async fn take_over(
    store: &dyn Store,
    journal: &Journal,
    TakeOver { leases, lingering }: TakeOver<'_>,
    now: Timestamp,
    settings: &Settings,
) -> Result<Recovered, StoreError> {
    let ended_after = leases.iter().map(|lease| lease.settled_through).min().unwrap_or(Timestamp::EPOCH);
    let shards: ShardSet = leases.iter().map(|lease| lease.shard).collect();
    // Nobody fires meanwhile: what can be read at once is.
    let mut pages = store.revisions(shards, ended_after);
    let (pauses, started) = tokio::try_join!(store.pauses(), super::unfinished::started_instants(store, shards))?;
    let mut recovery = Recovery {
        store,
        journal,
        leases,
        shards,
        lingering,
        elsewhere: Elsewhere::default(),
        settings,
        now: passed(leases, &started, now),
        agenda: Agenda::new(leases, pauses),
        uncertain: HashMap::new(),
        unfinished: Vec::new(),
        started,
        in_force: Vec::new(),
    };
    let mut together: Vec<Arc<Revision>> = Vec::new();
    while let Some(page) = pages.recv().await {
        together.extend(page?.into_iter().map(Arc::new));
        if together.len() >= SETTLED_AT_ONCE {
            recovery.settle(std::mem::take(&mut together)).await?;
        }
    }
    recovery.settle(together).await?;
    // What has its outcome by now counts as ended.
    journal.flush().await.map_err(stopped)?;
    recovery.take_up_unfinished().await?;
    recovery.give_up_paused().await?;
    journal.flush().await.map_err(stopped)?;
    Ok(recovery.recovered())
}

/// What is settled, was begun, or has its outcome has passed, also when the clock was stepped back since.
fn passed(leases: &[Lease], started: &Outcomes, now: Timestamp) -> Timestamp {
    leases.iter().map(|lease| lease.settled_through).chain(newest(started)).fold(now, Timestamp::max)
}

fn newest(outcomes: &Outcomes) -> impl Iterator<Item = Timestamp> {
    outcomes.values().flatten().map(|outcome| outcome.stretch.last)
}

pub(super) fn stopped(error: JournalStopped) -> StoreError {
    StoreError::Unavailable { doing: "recovering", source: error.into() }
}

pub(super) struct Recovery<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) journal: &'a Journal,
    leases: &'a [Lease],
    /// Those of the leases.
    pub(super) shards: ShardSet,
    /// Those of them of which a former owner has something under way.
    pub(super) lingering: ShardSet,
    pub(super) elsewhere: Elsewhere,
    pub(super) settings: &'a Settings,
    /// Not behind anything that is known to have passed.
    pub(super) now: Timestamp,
    pub(super) agenda: Agenda,
    /// Instants that may have been sent.
    pub(super) uncertain: HashMap<RunId, Fire>,
    /// Runs that go on.
    pub(super) unfinished: Vec<Fire>,
    /// Instants of which a record says that they were begun.
    pub(super) started: Outcomes,
    /// The revisions in force, in the order of their tasks.
    pub(super) in_force: Vec<Arc<Revision>>,
}

/// The outcomes that were asked for, by task and entry.
pub(super) type Outcomes = HashMap<(Identity, EntryName), Vec<Outcome>>;

impl Recovery<'_> {
    /// The lease of a task's shard: only tasks of these shards are read.
    fn lease(&self, revision: &Revision) -> &Lease {
        let place = self.leases.binary_search_by_key(&revision.shard(), |lease| lease.shard);
        &self.leases[place.expect("a task of a shard that is taken")]
    }

    /// Nothing that is named up to this moment is open.
    fn settled_through(&self, revision: &Revision) -> Timestamp {
        self.lease(revision).settled_through.max(revision.in_force_from)
    }

    fn reach(&self, revision: &Revision, entry: &Entry) -> Reach {
        let pause = self.agenda.pauses().of(entry.options());
        Reach {
            settled_through: self.settled_through(revision),
            claimed_through: self.lease(revision).claimed_through,
            paused_since: pause.map(|(_, pause)| pause.since.plus(self.settings.pause_reach)),
            now: self.now,
        }
    }

    /// Whether an instant of the entry may be open.
    fn may_be_open(&self, revision: &Revision, entry: &Entry) -> bool {
        let claimed_through = self.lease(revision).claimed_through;
        let until = revision.in_force_until.unwrap_or(claimed_through.max(self.now));
        let next = || revision.instants(entry).next(self.settled_through(revision));
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

    async fn settle(&mut self, revisions: Vec<Arc<Revision>>) -> Result<(), StoreError> {
        let outcomes = self.outcomes(&revisions).await?;
        self.now = newest(&outcomes).fold(self.now, Timestamp::max);
        for revision in revisions {
            if revision.in_force_until.is_some() {
                self.settle_ended(&revision, &outcomes).await?;
            } else {
                self.settle_in_force(&revision, &outcomes).await?;
                self.in_force.push(revision);
            }
        }
        Ok(())
    }

    /// A task in force: uncertain instants are sent again, the others go on the agenda.
    async fn settle_in_force(&mut self, revision: &Arc<Revision>, outcomes: &Outcomes) -> Result<(), StoreError> {
        let after = self.settled_through(revision);
        let mut starts = Vec::with_capacity(revision.task.entries.len());
        for (index, entry) in revision.task.entries.iter().enumerate() {
            // They may have been asked for an earlier state of the task.
            let Some(outcomes) = outcomes_of(outcomes, revision, entry).filter(|_| revision.enabled) else {
                starts.push(revision.instants(entry).next(after).filter(|_| revision.enabled));
                continue;
            };
            let mut standing = Standing::of(revision, entry, self.reach(revision, entry), outcomes);
            self.settle_lulled(revision, index, &mut standing).await?;
            for stretch in standing.unrecorded {
                self.miss(revision, entry, stretch, UNRECORDED).await?;
            }
            self.take_up_uncertain(revision, index, standing.uncertain);
            starts.push(standing.start);
        }
        self.agenda.put_at(revision, starts);
        Ok(())
    }

    /// What a pause kept from firing, of which whoever acted for the task has left no record: it went down before, and somebody
    /// else has lifted the pause.
    async fn settle_lulled(
        &mut self,
        revision: &Arc<Revision>,
        index: usize,
        standing: &mut Standing,
    ) -> Result<(), StoreError> {
        let entry = &revision.task.entries[index];
        let lifted = self.agenda.pauses().lifted.iter().filter(|lifted| lifted.scope.covers(entry.options()));
        let mut lifted: Vec<Lifted> = lifted.cloned().collect();
        if lifted.is_empty() {
            return Ok(());
        }
        lifted.sort_unstable_by_key(|lifted| lifted.pause.since);
        let reach = self.settings.pause_reach;
        let lulls = lifted.iter().map(|lifted| {
            let since = lifted.pause.since;
            Lull { since, known_since: since.plus(reach), until: lifted.until.min(self.now) }
        });
        let lulled = standing.take_lulled(revision, entry, &lulls.collect::<Vec<_>>());
        for (place, stretch) in lulled.kept {
            let cover = (lifted[place].tag(), &lifted[place].pause);
            self.record(paused_record(&revision.task.identity, &entry.name, stretch, cover, self.now)).await?;
        }
        // A record that it was begun may say more of them.
        self.take_up_uncertain(revision, index, lulled.uncertain);
        Ok(())
    }

    /// Without a record that they were begun, instants that must not be sent twice were not sent at all.
    fn take_up_uncertain(&mut self, revision: &Arc<Revision>, index: usize, uncertain: Vec<Stretch>) {
        let entry = &revision.task.entries[index];
        let redelivered = entry.options().delivery == Delivery::AtLeastOnce;
        if entry.options().misfire == Misfire::FireAll {
            // Most of these were still to be caught up: they go no faster now.
            let backlog = Backlog::new(revision.clone(), index, uncertain, redelivered);
            backlog.into_iter().for_each(|backlog| self.agenda.catch_up.add(backlog));
            return;
        }
        for fire_time in uncertain.into_iter().flat_map(|stretch| instants_of(revision, entry, stretch)) {
            entry.last_fire.note(fire_time);
            let fire = Fire::planned(revision.clone(), index, fire_time, Trigger::CatchUp);
            self.uncertain.insert(fire.run_id(), Fire { redelivered, ..fire });
        }
    }

    async fn miss(&self, revision: &Revision, entry: &Entry, stretch: Stretch, reason: &str) -> Result<(), StoreError> {
        self.record(missed_record(&revision.task.identity, &entry.name, stretch, reason, self.now)).await
    }

    pub(super) async fn record(&self, record: Record) -> Result<(), StoreError> {
        self.journal.record(record).await.map_err(stopped)
    }

    /// A task that was changed before the crash: what is open will not be sent any more. What was begun is told of apart.
    async fn settle_ended(&mut self, revision: &Revision, outcomes: &Outcomes) -> Result<(), StoreError> {
        let Some(until) = revision.in_force_until else { return Ok(()) };
        let after = self.settled_through(revision);
        for entry in &revision.task.entries {
            let Some(outcomes) = outcomes_of(outcomes, revision, entry).filter(|_| revision.enabled) else { continue };
            let started = outcomes_of(&self.started, revision, entry).unwrap_or_default();
            let covered = [outcomes, started].concat();
            for stretch in open_stretches(revision, entry, after, until, &covered) {
                self.miss(revision, entry, stretch, CHANGED_SINCE).await?;
            }
        }
        Ok(())
    }

    /// Nothing is caught up for an entry that is paused, and nothing of it is sent again, nor of what came while it was.
    async fn give_up_paused(&mut self) -> Result<(), StoreError> {
        let pauses = self.agenda.pauses().clone();
        let is_covered = |options: &EntryOptions, instant| cover_of(&pauses, options, instant).is_some();
        let covered = self.uncertain.extract_if(|_, fire| is_covered(fire.entry().options(), fire.fire_time));
        let uncertain = covered.filter_map(|(_, fire)| {
            Backlog::new(fire.revision, fire.entry, [Stretch::one(fire.fire_time)], fire.redelivered)
        });
        let uncertain: Vec<Backlog> = uncertain.collect();
        // What came while a pause held that was lifted since stands apart from the rest.
        let caught_up = self.agenda.catch_up.take_where(|backlog| is_covered(backlog.options(), backlog.oldest()));
        for backlog in caught_up.into_iter().chain(uncertain) {
            let Some(cover) = cover_of(&pauses, backlog.options(), backlog.oldest()) else { continue };
            for record in unfired(&backlog, cover, self.now) {
                self.record(record).await?;
            }
        }
        Ok(())
    }

    fn recovered(self) -> Recovered {
        let Self { agenda, uncertain, unfinished, elsewhere, in_force, now, .. } = self;
        let mut uncertain: Vec<Fire> = uncertain.into_values().collect();
        uncertain.sort_unstable_by_key(|fire| fire.fire_time);
        let (tasks, entries) = (in_force.len(), agenda.len());
        info!(tasks, entries, uncertain = uncertain.len(), unfinished = unfinished.len(); "loaded the agenda");
        if !agenda.pauses().is_empty() {
            let (all, tags) = (agenda.pauses().all.is_some(), agenda.pauses().tags.len());
            warn!(all, tags; "firing is paused");
        }
        Recovered { agenda, uncertain, unfinished, latest: now, elsewhere, revisions: in_force }
    }
}

/// The pause that keeps an open instant of an entry from being sent, or has kept it.
fn cover_of<'a>(
    pauses: &'a Pauses,
    options: &EntryOptions,
    instant: Timestamp,
) -> Option<(Option<&'a str>, &'a Pause)> {
    let lifted = || pauses.lifted.iter().find(|lifted| lifted.covers(options, instant));
    pauses.of(options).or_else(|| lifted().map(|lifted| (lifted.tag(), &lifted.pause)))
}

fn outcomes_of<'a>(outcomes: &'a Outcomes, revision: &Revision, entry: &Entry) -> Option<&'a [Outcome]> {
    outcomes.get(&(revision.task.identity.clone(), entry.name.clone())).map(Vec::as_slice)
}
