//! One planning: misfires get their records, then the next window is claimed. In this order: a crash between the two
//! leaves instants that are not claimed, so none of them can count as sent.

use std::sync::Arc;

use super::Settings;
use super::agenda::Misfired;
use super::misfire::{self, Decision};
use crate::journal::{Journal, missed_record, skipped_record};
use crate::model::{Claim, Record, Timestamp};
use crate::store::{BoxError, Store, StoreError};

/// What one planning has to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) misfired: Vec<Misfired>,
    pub(super) claims: Vec<Claim>,
    pub(super) now: Timestamp,
}

/// What it did.
#[derive(Debug)]
pub(super) struct Planned {
    /// Misfires whose records are safe, and where their entries go on: whether the claim was written or not.
    pub(super) moved: Vec<(Misfired, Option<Timestamp>)>,
    pub(super) claimed: Result<Vec<Claim>, StoreError>,
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
    let moved = settle_misfires(plan.misfired, plan.now, &journal, settings).await?;
    let claimed = store.claim(&plan.claims).await.map(|()| plan.claims);
    Ok(Planned { moved, claimed })
}

async fn settle_misfires(
    misfired: Vec<Misfired>,
    now: Timestamp,
    journal: &Journal,
    settings: Settings,
) -> Result<Vec<(Misfired, Option<Timestamp>)>, StoreError> {
    if misfired.is_empty() {
        return Ok(Vec::new());
    }
    // After a long outage these are many: they must not hold up the run loop.
    let decide = move || misfired.into_iter().map(|misfired| decide(misfired, now, &settings)).collect::<Vec<_>>();
    let decided = tokio::task::spawn_blocking(decide).await.map_err(unavailable)?;
    let mut moved = Vec::with_capacity(decided.len());
    for (misfired, next, records) in decided {
        for record in records {
            journal.record(record).await.map_err(unavailable)?;
        }
        moved.push((misfired, next));
    }
    journal.secure().await.map_err(unavailable)?;
    Ok(moved)
}

fn unavailable(error: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable { doing: "planning", source: error.into() }
}

fn decide(misfired: Misfired, now: Timestamp, settings: &Settings) -> (Misfired, Option<Timestamp>, Vec<Record>) {
    let Misfired { revision, entry, oldest, .. } = &misfired;
    let entry = &revision.task.entries[*entry];
    let after = Timestamp::from_millis(oldest.millis() - 1);
    let Decision { missed, skipped, next } =
        misfire::fire_once(revision.ticks(entry), after, now, settings.catch_up_window);
    let identity = &revision.task.identity;
    let reason = format!("older than the catch-up window of {} s", settings.catch_up_window.as_secs());
    let missed = missed.map(|stretch| missed_record(identity, &entry.name, stretch, &reason, now));
    let skipped = skipped.map(|stretch| skipped_record(identity, &entry.name, stretch, "fire_once", now));
    let records = missed.into_iter().chain(skipped).collect();
    (misfired, next, records)
}
