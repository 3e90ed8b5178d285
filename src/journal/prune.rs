//! Retention: old records and results go, in small steps, so that no fire waits behind them.

use std::time::Duration;

use log::{info, warn};

use super::Settings;
use crate::model::Timestamp;
use crate::observe::with_causes;
use crate::store::{AuditRetention, Retention, Store, StoreError};

/// How many records one step deletes.
const STEP_MAX: usize = 2_000;
/// How many pieces of results one step deletes.
const PIECES_STEP_MAX: usize = 200;
/// How long the store has for others between two steps.
const PAUSE: Duration = Duration::from_millis(50);

/// Deletes what is older or more than the settings allow.
pub async fn prune(store: &dyn Store, settings: &Settings, now: Timestamp) {
    match prune_records(store, settings, now).await {
        Ok(0) => {}
        Ok(records) => info!(records; "retention deleted old records"),
        Err(error) => stopped(&error),
    }
    match prune_audit(store, settings, now).await {
        Ok(0) => {}
        Ok(records) => info!(records; "retention deleted old audit records"),
        Err(error) => stopped(&error),
    }
    match prune_results(store, settings, now).await {
        Ok(0) => {}
        Ok(pieces) => info!(pieces; "retention deleted old results"),
        Err(error) => stopped(&error),
    }
}

fn stopped(error: &StoreError) {
    warn!("retention stopped, it goes on at its next turn: {}", with_causes(error));
}

async fn prune_records(store: &dyn Store, settings: &Settings, now: Timestamp) -> Result<u64, StoreError> {
    let before = now.minus(settings.retention_age);
    let retention = Retention { before, bytes_max: settings.retention_bytes, step_max: STEP_MAX };
    let mut records = 0;
    loop {
        let leases = store.leases().await?;
        let settled_through = leases.iter().map(|lease| lease.settled_through).min().unwrap_or(Timestamp::EPOCH);
        let pruned = store.prune(retention, settled_through).await?;
        records += pruned.records;
        if !pruned.more {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    store.forget_revisions(before).await?;
    Ok(records)
}

async fn prune_audit(store: &dyn Store, settings: &Settings, now: Timestamp) -> Result<u64, StoreError> {
    let before = now.minus(settings.audit_retention_age);
    let retention = AuditRetention { before, bytes_max: settings.audit_bytes, step_max: STEP_MAX };
    let mut records = 0;
    loop {
        let pruned = store.prune_audit(retention).await?;
        records += pruned.records;
        if !pruned.more {
            return Ok(records);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn prune_results(store: &dyn Store, settings: &Settings, now: Timestamp) -> Result<u64, StoreError> {
    let before = now.minus(settings.results_retention_age);
    let mut pieces = 0;
    loop {
        let pruned = store.prune_results(before, settings.results_bytes, PIECES_STEP_MAX).await?;
        pieces += pruned.records;
        if !pruned.more {
            return Ok(pieces);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
