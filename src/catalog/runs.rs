//! Runs that somebody asks for: now, again, or of past instants. Each has its record before it is answered for, so that a
//! crash does not forget it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::{Catalog, CatalogError, Rooms};
use crate::dispatch::{AskRefused, Broken, Cancelled, PlaceForRuns};
use crate::engine::EngineError;
use crate::journal::{Remedy, RunStage, Started, abandoned_record, dealt_with, put_back};
use crate::model::{Asked, Backfill, EntryName, Fire, Identity, Record, Revision, RunId, Timestamp, Trigger};

/// How many instants one backfill runs at most.
pub const BACKFILL_MAX: u64 = 10_000;
/// How many records are written at once.
const WRITTEN_AT_ONCE: usize = 1_000;

/// Why a run that was asked for does not come about.
#[derive(Debug, thiserror::Error)]
pub enum RunRefused {
    /// A run of the entry is in progress, and this one waits behind it: there is no place for a third.
    #[error("run {0} waits already behind one in progress")]
    Waiting(RunId),
    /// Another request deals with this dead letter. Ask again when it has.
    #[error("another request deals with it")]
    InHand(RunId),
    /// There is no such task, or it has no such entry.
    #[error("the entry is gone")]
    Unknown,
    /// The range names too many instants. Ask for parts of it.
    #[error("the range names {count} instants, expected at most {max}")]
    TooMany {
        /// How many it names.
        count: u64,
        /// How many may be.
        max: u64,
    },
    /// It could not be kept: nothing is run.
    #[error(transparent)]
    Failed(#[from] CatalogError),
}

/// What a run that does a dead letter again means for the record of that one.
pub(super) struct Done {
    /// With the run that does it again.
    dealt_with: Record,
    /// As it was, for when that run does not come about.
    put_back: Record,
}

/// What is read back of the record of a run that is run again.
#[derive(Deserialize)]
struct RunDocument<'a> {
    #[serde(borrow)]
    fire_time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    args: Cow<'a, str>,
}

impl Catalog {
    /// Runs an entry now, or when the run of it that is in progress has ended. When this returns, the run has its record.
    pub async fn run_now(
        &self,
        identity: &Identity,
        entry: &EntryName,
        args: &str,
        by: &str,
    ) -> Result<RunId, RunRefused> {
        let now = self.rooms.clock.now();
        let asked = Asked { run_id: RunId::asked(now), run_by: by.into(), args: args.into(), ..asked_by(by, now) };
        let fire = self.rooms.fire(identity, entry, now, asked)?;
        let rooms = self.rooms.clone();
        let asking = tokio::spawn(async move { rooms.ask(fire, None).await });
        asking.await.unwrap_or(Err(RunRefused::Failed(CatalogError::BrokeOff)))
    }

    /// Runs what ended once more, for its instant and with its words, by what the task says now.
    pub async fn rerun(&self, record: Record, by: &str) -> Result<RunId, RunRefused> {
        let (rooms, by) = (self.rooms.clone(), by.to_owned());
        let rerun = tokio::spawn(async move {
            let (record, held) = rooms.take_in_hand(record).await?;
            let (fire, done) = rooms.again(&record, &by)?;
            let asked = rooms.ask(fire, done).await;
            if let Some(held) = held {
                rooms.let_go(held, matches!(asked, Err(RunRefused::Failed(_))));
            }
            asked
        });
        rerun.await.unwrap_or(Err(RunRefused::Failed(CatalogError::BrokeOff)))
    }

    /// Runs an entry for each past instant that it names in a range, `at_once` of them at a time. Gives the name of it all,
    /// and how many there are. When this returns, each of them has its record.
    pub async fn backfill(
        &self,
        identity: &Identity,
        entry: &EntryName,
        from: Timestamp,
        to: Timestamp,
        at_once: usize,
        by: &str,
    ) -> Result<(RunId, u64), RunRefused> {
        let now = self.rooms.clock.now();
        let backfill = Backfill { id: RunId::asked(now), at_once: at_once.max(1) };
        let fires = self.rooms.backfill(identity, entry, (from, to.min(now)), backfill, asked_by(by, now))?;
        let count = fires.len() as u64;
        self.apart(move |rooms| async move { rooms.queue(fires, None).await }).await?;
        Ok((backfill.id, count))
    }

    /// Ends a run of this node, also one in flight.
    pub async fn cancel_run(&self, run_id: RunId, by: &str) -> Result<Broken, CatalogError> {
        Ok(self.rooms.dispatch.cancel_run(run_id, by).await)
    }
}

fn asked_by(by: &str, now: Timestamp) -> Asked {
    Asked { run_id: RunId::asked(now), run_by: by.into(), args: Box::default(), rerun_of: None, backfill: None }
}

impl Rooms {
    fn find_entry(&self, identity: &Identity, entry: &EntryName) -> Result<(Arc<Revision>, usize), RunRefused> {
        let revision = self.find(identity).map_err(CatalogError::from)?.ok_or(RunRefused::Unknown)?;
        let entry = revision.entry(entry).ok_or(RunRefused::Unknown)?;
        Ok((revision, entry))
    }

    fn fire(
        &self,
        identity: &Identity,
        entry: &EntryName,
        fire_time: Timestamp,
        asked: Asked,
    ) -> Result<Fire, RunRefused> {
        let (revision, entry) = self.find_entry(identity, entry)?;
        Ok(Fire { asked: Some(Arc::new(asked)), ..Fire::planned(revision, entry, fire_time, Trigger::Manual) })
    }

    /// A run that does another one again, and what it means for that one, if it was a dead letter.
    pub(super) fn again(&self, record: &Record, by: &str) -> Result<(Fire, Option<Done>), RunRefused> {
        let now = self.clock.now();
        let document: Option<RunDocument<'_>> = serde_json::from_str(&record.source).ok();
        let fire_time = document.as_ref().and_then(|it| Timestamp::parse_rfc3339(it.fire_time.as_deref()?));
        let args = document.map(|document| (&*document.args).into()).unwrap_or_default();
        let asked = Asked { args, rerun_of: Some(record.id.into()), ..asked_by(by, now) };
        let entry = record.entry().ok_or(RunRefused::Unknown)?;
        let fire = self.fire(&record.identity, entry, fire_time.unwrap_or(now), asked)?;
        let dealt_with = dealt_with(record, Remedy::RerunAs(fire.run_id()));
        let done = dealt_with.zip(put_back(record)).map(|(dealt_with, put_back)| Done { dealt_with, put_back });
        Ok((fire, done))
    }

    /// One run for each instant of a range, both ends included.
    pub(super) fn backfill(
        &self,
        identity: &Identity,
        entry: &EntryName,
        (from, to): (Timestamp, Timestamp),
        backfill: Backfill,
        asked: Asked,
    ) -> Result<Vec<Fire>, RunRefused> {
        let (revision, entry) = self.find_entry(identity, entry)?;
        let ticks = revision.instants(&revision.task.entries[entry]);
        let before = Timestamp::from_millis(from.millis() - 1);
        let count = ticks.count(before, to);
        if count > BACKFILL_MAX {
            return Err(RunRefused::TooMany { count, max: BACKFILL_MAX });
        }
        let instants = std::iter::successors(ticks.next(before), |&last| ticks.next(last));
        let instants = instants.take_while(|&instant| instant <= to);
        // Names of runs sort by time: so these go in the order of their instants, also after a crash.
        let first_ms = backfill.id.instant().millis() - i64::try_from(count).unwrap_or_default();
        let fires = (first_ms..).map(Timestamp::from_millis).zip(instants).map(|(asked_at, instant)| {
            let asked = Asked { run_id: RunId::asked(asked_at), backfill: Some(backfill), ..asked.clone() };
            let fire = Fire::planned(revision.clone(), entry, instant, Trigger::CatchUp);
            Fire { asked: Some(Arc::new(asked)), ..fire }
        });
        Ok(fires.collect())
    }

    /// Keeps a place for a run, makes its record durable, and lets it go.
    async fn ask(&self, fire: Fire, done: Option<Done>) -> Result<RunId, RunRefused> {
        let reserved = self.dispatch.ask(fire.clone()).await.map_err(|refused| match refused {
            AskRefused::Waiting(run_id) => RunRefused::Waiting(run_id),
            AskRefused::NotOwned => RunRefused::Failed(EngineError::NotOwned.into()),
            AskRefused::Stopped => RunRefused::Failed(EngineError::Stopped.into()),
        })?;
        self.keep(&[fire], done).await?;
        let run_id = reserved.run_id();
        reserved.start();
        Ok(run_id)
    }

    /// Makes the records of the runs of a task durable, and has them go one after the other.
    pub(super) async fn queue(&self, fires: Vec<Fire>, done: Option<Done>) -> Result<(), CatalogError> {
        let put_back = done.as_ref().map(|done| done.put_back.clone());
        self.keep(&fires, done).await?;
        let place = self.dispatch.place_for_runs().await.map_err(|_| EngineError::Stopped)?;
        let Err(fires) = self.hand_over(place, fires) else { return Ok(()) };
        self.abandon(fires.iter().map(|fire| self.queued(fire)), Cancelled::Deleted.as_str(), put_back).await;
        Err(CatalogError::Unknown)
    }

    /// Gives runs back whose task is gone. A delete takes the task away before it gives up what was handed over: so one that
    /// comes later finds these.
    fn hand_over(&self, place: PlaceForRuns<'_>, fires: Vec<Fire>) -> Result<(), Vec<Fire>> {
        let tasks = self.tasks();
        if fires.iter().any(|fire| !tasks.all.contains_key(fire.identity())) {
            return Err(fires);
        }
        place.resume(fires);
        Ok(())
    }

    fn queued(&self, fire: &Fire) -> Record {
        let (fire, at) = (fire.clone(), self.clock.now());
        Started { fire, stage: RunStage::Queued, attempts: Vec::new(), phase: 0, at, resume_at: None }
            .record(self.journal.masking())
    }

    /// Straight into the store, not through the journal: somebody waits for it.
    async fn keep(&self, fires: &[Fire], done: Option<Done>) -> Result<(), CatalogError> {
        const NOT_KEPT: &str = "it was refused, as the store did not take its record";
        let queued = |fire| self.queued(fire);
        let (mut dealt_with, put_back) = done.map(|done| (done.dealt_with, done.put_back)).unzip();
        for (place, some) in fires.chunks(WRITTEN_AT_ONCE).enumerate() {
            let records = some.iter().map(queued).chain(dealt_with.take()).collect();
            if let Err(error) = self.store.append(records).await {
                // It may have been written all the same: what was refused must not be run by the next start, and the dead
                // letter must not be lost.
                let refused = fires.iter().take((place + 1) * WRITTEN_AT_ONCE).map(queued);
                self.abandon(refused, NOT_KEPT, put_back).await;
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn abandon(&self, queued: impl Iterator<Item = Record>, why: &str, put_back: Option<Record>) {
        let abandoned = queued.filter_map(|record| abandoned_record(&record, why, self.clock.now()));
        for record in put_back.into_iter().chain(abandoned) {
            // Whoever acts for the task by now: what was refused must not be run.
            if self.journal.settle(record).await.is_err() {
                return;
            }
        }
    }
}
