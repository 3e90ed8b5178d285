//! One planning: instants that passed unfired get their records, then the next window is claimed. In this order: a crash
//! between the two leaves instants that are not claimed, so none of them can count as sent.

use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::agenda::Passed;
use super::misfire::{self, Decision};
use crate::journal::{Journal, missed_record, paused_record, skipped_record};
use crate::model::{Claim, Misfire, Pauses, Record, Stretch, Timestamp};
use crate::store::{BoxError, Store, StoreError};

/// What one planning has to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// Entries whose oldest unfired instant is a misfire.
    pub(super) misfired: Vec<Passed>,
    /// Entries that did not fire as they are paused, each with the moment up to which this is recorded.
    pub(super) paused: Vec<(Passed, Timestamp)>,
    /// By what they are paused.
    pub(super) pauses: Pauses,
    pub(super) claims: Vec<Claim>,
    pub(super) now: Timestamp,
}

/// What it did.
#[derive(Debug)]
pub(super) struct Planned {
    /// Entries whose records are safe: whether the claim was written or not.
    pub(super) moved: Vec<Moved>,
    pub(super) claimed: Result<Vec<Claim>, StoreError>,
}

/// Where an entry goes on.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) passed: Passed,
    pub(super) next: Option<Timestamp>,
    /// Instants before that, to be fired one after the other once they are claimed.
    pub(super) caught_up: Option<Stretch>,
}

/// Carries a plan out.
pub(super) async fn carry_out(
    plan: Plan,
    store: Arc<dyn Store>,
    journal: Journal,
    settings: Settings,
) -> Result<Planned, StoreError> {
    if journal.status().is_full() {
        return Err(unavailable("no more records can wait on the disk ([history] spill_max_mib)"));
    }
    let Plan { misfired, paused, pauses, claims, now } = plan;
    let moved = settle(Decider { misfired, paused, pauses, now, settings }, &journal).await?;
    let claimed = if claims.is_empty() { Ok(()) } else { store.claim(&claims).await };
    Ok(Planned { moved, claimed: claimed.map(|()| claims) })
}

async fn settle(decider: Decider, journal: &Journal) -> Result<Vec<Moved>, StoreError> {
    if decider.misfired.is_empty() && decider.paused.is_empty() {
        return Ok(Vec::new());
    }
    // After a long outage these are many: they must not hold up the run loop.
    let decided = tokio::task::spawn_blocking(move || decider.decide()).await.map_err(unavailable)?;
    let mut all = Vec::with_capacity(decided.len());
    for (moved, records) in decided {
        for record in records {
            journal.record(record).await.map_err(unavailable)?;
        }
        all.push(moved);
    }
    journal.secure().await.map_err(unavailable)?;
    Ok(all)
}

fn unavailable(error: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable { doing: "planning", source: error.into() }
}

struct Decider {
    misfired: Vec<Passed>,
    paused: Vec<(Passed, Timestamp)>,
    pauses: Pauses,
    now: Timestamp,
    settings: Settings,
}

impl Decider {
    fn decide(mut self) -> Vec<(Moved, Vec<Record>)> {
        let (misfired, paused) = (std::mem::take(&mut self.misfired), std::mem::take(&mut self.paused));
        let misfired = misfired.into_iter().map(|passed| misfire(passed, self.now, &self.settings));
        let paused = paused.into_iter().map(|(passed, until)| self.pause(passed, until));
        misfired.chain(paused).collect()
    }

    fn pause(&self, passed: Passed, until: Timestamp) -> (Moved, Vec<Record>) {
        let (entry, now) = (passed.entry(), self.now);
        let Some(pause) = self.pauses.of(entry.options()) else {
            // The pauses of a plan are those that its entries were looked up by.
            let next = Some(passed.oldest);
            return (Moved { passed, next, caught_up: None }, Vec::new());
        };
        let ticks = passed.revision.instants(entry);
        let stretch = misfire::stretch(ticks, before(passed.oldest), until);
        let record = |stretch| paused_record(&passed.revision.task.identity, &entry.name, stretch, pause, now);
        let (records, next) = (stretch.map(record).into_iter().collect(), ticks.next(until));
        (Moved { passed, next, caught_up: None }, records)
    }
}

/// What the policy of an entry makes of its instants that have passed up to `now`.
pub(super) fn misfire(passed: Passed, now: Timestamp, settings: &Settings) -> (Moved, Vec<Record>) {
    let entry = passed.entry();
    let window = entry.options().catch_up_window.unwrap_or(settings.catch_up_window);
    let (ticks, after) = (passed.revision.instants(entry), before(passed.oldest));
    let policy = entry.options().misfire;
    let Decision { missed, skipped, caught_up, next } = misfire::decide(policy, ticks, after, now, window);
    let identity = &passed.revision.task.identity;
    let reason = too_old(window);
    let missed = missed.map(|stretch| missed_record(identity, &entry.name, stretch, &reason, now));
    let skipped = skipped.map(|stretch| skipped_record(identity, &entry.name, stretch, misfire_word(policy), now));
    let records = missed.into_iter().chain(skipped).collect();
    (Moved { passed, next, caught_up }, records)
}

fn before(instant: Timestamp) -> Timestamp {
    Timestamp::from_millis(instant.millis() - 1)
}

/// Why a misfire is missed.
pub(super) fn too_old(window: Duration) -> String {
    format!("older than the catch-up window of {} s", window.as_secs())
}

/// What the record of skipped misfires calls the policy.
pub(super) fn misfire_word(policy: Misfire) -> &'static str {
    match policy {
        Misfire::Skip => "misfire skip",
        Misfire::FireOnce => "fire_once",
        // It skips none.
        Misfire::FireAll => "fire_all",
    }
}
