//! A change of pauses on its way into the store: by compare-and-set, on whatever other nodes have written meanwhile.

use std::sync::Arc;
use std::time::Duration;

use log::{error, info};

use super::handle::EngineError;
use super::pausing::Answer;
use crate::model::{Pause, PauseScope, Pauses, Timestamp};
use crate::observe::with_causes;
use crate::store::{Store, StoreError};

/// How often a change that meets those of others is tried.
const TRIES_MAX: usize = 16;
/// How long is waited before a store is asked again what it holds.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What becomes of one scope; the others are not its business.
pub(super) struct PauseChange {
    pub(super) scope: PauseScope,
    /// Who pauses, and why; `None`: it is lifted.
    pub(super) pause: Option<(Box<str>, Option<Box<str>>)>,
    /// Nothing later was handed out; or nothing up to this is without a record.
    pub(super) at: Timestamp,
}

impl PauseChange {
    /// The version after `stored`; `None`: it is like that already.
    fn made(&self, stored: &Pauses) -> Option<Pauses> {
        if self.is_made(stored) {
            return None;
        }
        Some(match &self.pause {
            Some((by, note)) => {
                // Whoever pauses what is paused says why anew. It began where it began.
                let since = stored.get(&self.scope).map_or(self.at, |before| before.since);
                stored.with(&self.scope, Pause { since, by: by.clone(), note: note.clone() })
            }
            None => stored.without(&self.scope, self.at),
        })
    }

    fn is_made(&self, stored: &Pauses) -> bool {
        match (&self.pause, stored.get(&self.scope)) {
            (Some((by, note)), Some(pause)) => pause.by == *by && pause.note == *note,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// What a writing left.
pub(super) struct Kept {
    /// What the store holds.
    pub(super) stored: Pauses,
    /// Whether the change is in it.
    pub(super) is_kept: bool,
    /// Whom to tell what, when it holds here.
    pub(super) answer: Option<(Answer, Option<Pause>)>,
}

/// A change that is written.
pub(super) struct Writing {
    pub(super) store: Arc<dyn Store>,
    pub(super) change: PauseChange,
    /// What was in force before.
    pub(super) before: Pauses,
    /// The pause that is lifted.
    pub(super) lifted: Option<Pause>,
}

impl Writing {
    pub(super) async fn write(self, answer: Answer) -> Kept {
        let mut answer = Some(answer);
        let stored = match self.try_to_write().await {
            Ok(stored) => stored,
            Err(why) => {
                error!("what is paused cannot be changed: {why}");
                // An answer may have got lost on its way: only the store knows what holds. Until it says so the scope stays
                // as it is here; nothing fires without it anyway.
                self.stored(&mut answer).await
            }
        };
        if !self.change.is_made(&stored) {
            return Kept { stored, is_kept: false, answer: None };
        }
        let PauseChange { scope, pause, .. } = &self.change;
        if let Some((by, _)) = pause {
            info!(by = &**by; "paused {scope}");
        }
        let told = stored.get(scope).cloned().or(self.lifted);
        Kept { stored, is_kept: true, answer: answer.map(|answer| (answer, told)) }
    }

    /// Other nodes may write at the same time, of other scopes or of the same one.
    async fn try_to_write(&self) -> Result<Pauses, String> {
        let told = |error: StoreError| with_causes(&error);
        let mut stored = self.before.clone();
        for _ in 0..TRIES_MAX {
            let Some(next) = self.change.made(&stored) else { return Ok(stored) };
            if self.store.set_pauses(&next).await.map_err(told)? {
                return Ok(next);
            }
            stored = self.store.pauses().await.map_err(told)?;
        }
        Err(format!("others changed them {TRIES_MAX} times meanwhile"))
    }

    /// What the store holds. Who waits is told at once that it went wrong.
    async fn stored(&self, answer: &mut Option<Answer>) -> Pauses {
        loop {
            match self.store.pauses().await {
                Ok(stored) if self.change.is_made(&stored) => return stored,
                read => {
                    if let Some(answer) = answer.take() {
                        // The caller may have gone: then nobody needs the answer.
                        let _ = answer.send(Err(EngineError::NotKept));
                    }
                    if let Ok(stored) = read {
                        return stored;
                    }
                }
            }
            tokio::time::sleep(READ_AGAIN_AFTER).await;
        }
    }
}
