//! Runs that had not ended when the last process did: each goes on or is settled, so that none is in progress for ever.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use log::warn;

use super::Settings;
use super::planning::{misfire_word, too_old};
use super::recovery::{ASKED_AT_ONCE, CHANGED_SINCE, Outcomes, Recovery, stopped};
use super::standing::{Fate, Unsent, fate};
use crate::journal::{
    Journal, StartedRun, abandoned_record, missed_record, paused_record, read_started, skipped_record,
};
use crate::model::{
    EntryName, Fire, Identity, Progress, Record, RecordKind, Revision, RunId, Shard, ShardSet, Stretch, Timestamp,
    Trigger,
};
use crate::store::{Outcome, Store, StoreError};

/// Why a run is not sent again.
const AT_MOST_ONCE: &str = "a crash left it uncertain whether it was sent, delivery is at_most_once";
/// Why a run does not go on.
pub(super) const GONE: &str = "a crash interrupted it, and its task or entry is gone";
/// Why a run that nothing is known of but its begin does not go on.
const LOST: &str = "its end was not recorded";
/// Why the record of a run is closed that tells of nothing open.
const HAS_ITS_OUTCOME: &str = "its instant has its outcome already";

/// The planned instants of which a record says that they were begun, by task and entry.
pub(super) async fn started_instants(store: &dyn Store, shards: ShardSet) -> Result<Outcomes, StoreError> {
    let mut started = Outcomes::new();
    let mut pages = store.unfinished(shards);
    while let Some(page) = pages.recv().await {
        for record in page? {
            if let Some(settled) = record.settled {
                let of_entry = started.entry((record.identity, settled.entry)).or_default();
                of_entry.push(Outcome { kind: record.kind, stretch: settled.stretch });
            }
        }
    }
    Ok(started)
}

impl Recovery<'_> {
    /// Takes up every run that has not ended, or closes its record.
    pub(super) async fn take_up_unfinished(&mut self) -> Result<(), StoreError> {
        self.in_force.sort_unstable_by(|one, other| one.task.identity.cmp(&other.task.identity));
        let (mut pages, mut unreadable) = (self.store.unfinished(self.shards), HashSet::new());
        while let Some(page) = pages.recv().await {
            let mut left_over = Vec::new();
            for record in page? {
                match read_started(&record) {
                    Some(run) => left_over.extend(self.take_up(record, run).await?),
                    None => {
                        warn!(identity:% = record.identity, run_id:% = record.id; "the record of a run cannot be read");
                        unreadable.insert(RunId::from(record.id));
                    }
                }
            }
            for some in left_over.chunks(ASKED_AT_ONCE) {
                close(self.store, self.journal, some, self.now).await?;
            }
        }
        self.forget_ended(&unreadable);
        Ok(())
    }

    /// What had been begun when this recovery began, and has no record of that any more, has ended since: a former owner that was cut
    /// off writes its outcomes when it can, also between two looks.
    fn forget_ended(&mut self, unreadable: &HashSet<RunId>) {
        for ((identity, name), begun) in std::mem::take(&mut self.started) {
            let entry = self.find(&identity).and_then(|revision| revision.entry(&name));
            for instant in begun.iter().map(|outcome| outcome.stretch.first) {
                let run_id = RunId::planned(&identity, &name, instant);
                if unreadable.contains(&run_id) || self.uncertain.remove(&run_id).is_some() {
                    continue;
                }
                if let Some(entry) = entry {
                    self.agenda.catch_up.take_instant(&identity, entry, instant);
                }
            }
        }
    }

    /// Gives back what belongs to no open instant.
    async fn take_up(&mut self, record: Record, run: StartedRun) -> Result<Option<(Record, &'static str)>, StoreError> {
        let revision = self.find(&record.identity).cloned();
        let is_planned = record.settled.is_some();
        let is_elsewhere = run.progress.is_under_way && self.lingering.contains(Shard::of(&record.identity));
        let (fire_time, progress) = (run.fire_time, Progress { is_elsewhere, ..run.progress.clone() });
        let (entry, fire) = match revision {
            None => (None, None),
            Some(revision) => (revision.entry(&run.entry), run.into_fire(&revision)),
        };
        if is_planned {
            let is_uncertain = self.uncertain.remove(&record.id.into()).is_some()
                || entry.is_some_and(|entry| self.agenda.catch_up.take_instant(&record.identity, entry, fire_time));
            if !is_uncertain {
                let why = fire.as_ref().map_or(GONE, |fire| match fire_time <= fire.revision.in_force_from {
                    true => CHANGED_SINCE,
                    false => LOST,
                });
                if !is_elsewhere {
                    return Ok(Some((record, why)));
                }
                // It goes on where it is under way. What is left of it then is closed.
                self.elsewhere.close_later(&record, why);
            }
        }
        let Some(fire) = fire else {
            if is_elsewhere {
                self.elsewhere.close_later(&record, GONE);
            } else {
                self.abandon(&record, GONE).await?;
            }
            return Ok(None);
        };
        if fire.notice.is_some() {
            self.elsewhere.note_notice(&fire);
        }
        let may_have_gone = fire.redelivered || progress.is_under_way || !progress.attempts.is_empty();
        if fire.is_planned() && !may_have_gone {
            self.take_up_unsent(fire).await?;
            return Ok(None);
        }
        if fire.is_planned() {
            fire.entry().last_fire.note(fire_time);
        }
        self.unfinished.push(match is_elsewhere {
            true => Fire { progress: Some(Arc::new(progress)), ..fire },
            false => resumed(fire, progress),
        });
        Ok(None)
    }

    /// A planned run that only waited goes by what holds for instants that were not handed out: pauses and misfires.
    async fn take_up_unsent(&mut self, mut fire: Fire) -> Result<(), StoreError> {
        let Settings { misfire_grace, catch_up_window, .. } = *self.settings;
        let (policy, window) = {
            let options = fire.entry().options();
            (options.misfire, options.catch_up_window.unwrap_or(catch_up_window))
        };
        let (identity, name, one) = (fire.identity(), &fire.entry().name, Stretch::one(fire.fire_time));
        if let Some(cover) = self.agenda.pauses().of(fire.entry().options()) {
            return self.record(paused_record(identity, name, one, cover, self.now)).await;
        }
        let due_at = fire.due_at().unwrap_or(fire.fire_time);
        match Unsent::of(policy, due_at, self.now, misfire_grace, window) {
            Unsent::OnTime => {}
            Unsent::CaughtUp => fire.trigger = Trigger::CatchUp,
            Unsent::Skipped => {
                return self.record(skipped_record(identity, name, one, misfire_word(policy), self.now)).await;
            }
            Unsent::Missed => return self.record(missed_record(identity, name, one, &too_old(window), self.now)).await,
        }
        fire.entry().last_fire.note(fire.fire_time);
        self.unfinished.push(fire);
        Ok(())
    }

    fn find(&self, identity: &Identity) -> Option<&Arc<Revision>> {
        let place = self.in_force.binary_search_by(|revision| revision.task.identity.cmp(identity)).ok()?;
        self.in_force.get(place)
    }

    /// Gives a run that does not go on its end.
    async fn abandon(&self, started: &Record, why: &str) -> Result<(), StoreError> {
        abandon(self.journal, started, why, self.now).await
    }
}

/// A run goes on, or is given up, by how far it had come and by whether it may be sent twice.
pub(super) fn resumed(fire: Fire, progress: Progress) -> Fire {
    // Who is told of a run is told at least once, whatever the run itself is allowed.
    let delivery = match fire.notice {
        Some(_) => Default::default(),
        None => fire.entry().options().delivery,
    };
    match fate(delivery, &progress, fire.redelivered) {
        Fate::GoesOn { redelivered } => Fire { redelivered, progress: Some(Arc::new(progress)), ..fire },
        // Dispatch ends it as it ends every run: who is to be told of a failure is told of this one, too.
        Fate::GivenUp => {
            Fire { progress: Some(Arc::new(Progress { given_up: Some(AT_MOST_ONCE), ..progress })), ..fire }
        }
    }
}

/// Closes records of planned runs whose instants are not open: each instant keeps the outcome that it has, or gets one.
pub(super) async fn close(
    store: &dyn Store,
    journal: &Journal,
    records: &[(Record, &'static str)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let of_record = |record: &Record| Some((record.identity.clone(), record.entry()?.clone()));
    let entries: BTreeSet<_> = records.iter().filter_map(|(record, _)| of_record(record)).collect();
    let entries: Vec<(Identity, EntryName)> = entries.into_iter().collect();
    let oldest = records.iter().map(|(record, _)| record.instant()).min().unwrap_or(Timestamp::EPOCH);
    let outcomes = store.outcomes(&entries, Timestamp::from_millis(oldest.millis() - 1)).await?;
    let outcomes: HashMap<_, _> = entries.into_iter().zip(outcomes).collect();
    for (record, why) in records {
        let instant = record.instant();
        let covers = |outcome: &Outcome| outcome.stretch.first <= instant && instant <= outcome.stretch.last;
        let of_entry = of_record(record).and_then(|entry| outcomes.get(&entry));
        if record.settled.is_some() && of_entry.is_some_and(|outcomes| outcomes.iter().any(covers)) {
            let extra = Record { settled: None, ..record.clone() };
            abandon(journal, &extra, HAS_ITS_OUTCOME, now).await?;
        } else {
            abandon(journal, record, why, now).await?;
        }
    }
    Ok(())
}

async fn abandon(journal: &Journal, started: &Record, why: &str, now: Timestamp) -> Result<(), StoreError> {
    debug_assert_eq!(started.kind, RecordKind::Started);
    match abandoned_record(started, why, now) {
        Some(record) => journal.record(record).await.map_err(stopped),
        None => Ok(()),
    }
}
