//! Pauses of all firing, and of entries with a tag. One task is paused by its switch.
//!
//! Where nodes share a store, an answer means that all of them follow: each that takes part has it in force, and each that
//! comes later reads it before it acts.

use super::{Catalog, CatalogError, Rooms};
use crate::engine::EngineError;
use crate::model::{PauseScope, Pauses};
use crate::store::StoreError;

const FOLLOWING: &str = "following what is paused";

impl Catalog {
    /// Pauses all firing, or that of entries with a tag. When this returns, it is durable, and nothing later is handed out,
    /// by any node.
    pub async fn pause(&self, scope: PauseScope, by: &str, note: Option<&str>) -> Result<(), CatalogError> {
        let (by, note) = (by.to_owned(), note.map(str::to_owned));
        self.apart(move |rooms| async move {
            rooms.follow_pauses().await?;
            rooms.engine.pause(scope, &by, note.as_deref()).await?;
            rooms.agree_on_pauses().await
        })
        .await
    }

    /// Lifts a pause. What it kept from firing has its record by then. To lift what is not paused is fine, too.
    pub async fn resume(&self, scope: PauseScope, by: &str) -> Result<(), CatalogError> {
        let by = by.to_owned();
        self.apart(move |rooms| async move {
            rooms.follow_pauses().await?;
            rooms.engine.resume(scope, &by).await?;
            rooms.agree_on_pauses().await
        })
        .await
    }

    /// What is paused.
    pub fn pauses(&self) -> Pauses {
        Pauses::clone(&self.rooms.engine.pauses())
    }
}

impl Rooms {
    /// Brings into force what is stored, if it is newer. Gives the version that is in force then.
    pub(super) async fn follow_pauses(&self) -> Result<u64, StoreError> {
        let stored = self.store.pauses().await?;
        if !self.tenure.is_valid() {
            // Others may act for what this node had: nothing of it is to be recorded here.
            let source = "this node waits until the others take a sign of life of it".into();
            return Err(StoreError::Unavailable { doing: FOLLOWING, source });
        }
        let stopped = |error: EngineError| StoreError::Unavailable { doing: FOLLOWING, source: error.into() };
        self.engine.follow_pauses(stored).await.map_err(stopped)
    }

    async fn agree_on_pauses(&self) -> Result<(), CatalogError> {
        match self.agreement.on_pauses(self.engine.pauses().version).await {
            true => Ok(()),
            false => Err(CatalogError::NotEverywhere),
        }
    }
}
