//! A start waits for a store that is away, and `/readyz` says so.

use std::time::Duration;

use anyhow::Context;
use log::error;

use crate::api::Api;
use crate::journal::Journal;
use crate::observe::with_causes;
use crate::store::StoreError;

/// How long a start that waits for Elasticsearch waits before it tries again, at first and at most.
const TRY_AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Waits until what an earlier run left on the disk is written: recovery looks for it.
pub(super) async fn write_left_overs(journal: &Journal, api: &Api) -> anyhow::Result<()> {
    const TELL_EVERY: Duration = Duration::from_millis(500);
    let mut flush = std::pin::pin!(journal.flush());
    loop {
        match tokio::time::timeout(TELL_EVERY, &mut flush).await {
            Ok(flushed) => {
                api.note_wait(None);
                return Ok(flushed?);
            }
            Err(_) => {
                let left = journal.status().spilled();
                let why = journal.status().problem().map(|why| format!(": {why}")).unwrap_or_default();
                api.note_wait(Some(format!("the start writes {left} records that an earlier run left{why}")));
            }
        }
    }
}

/// Tries until the store is there. What no waiting will mend ends the start.
pub(super) async fn patiently<T, F>(api: &Api, what: &'static str, mut attempt: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = TRY_AGAIN_AFTER.0;
    let mut told = String::new();
    loop {
        match attempt().await {
            Ok(value) => {
                api.note_wait(None);
                return Ok(value);
            }
            Err(error @ StoreError::Unavailable { .. }) => {
                let text = with_causes(&error);
                if text != told {
                    error!("{what} yet, the start waits: {text}");
                    api.note_wait(Some(format!("the start waits for the store: {text}")));
                    told = text;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(TRY_AGAIN_AFTER.1);
            }
            Err(error) => return Err(error).context(what),
        }
    }
}
