//! Pauses of all firing, and of entries with a tag. One task is paused by its switch.

use super::{Catalog, CatalogError};
use crate::model::{PauseScope, Pauses};

impl Catalog {
    /// Pauses all firing, or that of entries with a tag. When this returns, it is durable, and nothing later is handed out.
    pub async fn pause(&self, scope: PauseScope, by: &str, note: Option<&str>) -> Result<(), CatalogError> {
        let (by, note) = (by.to_owned(), note.map(str::to_owned));
        self.apart(move |rooms| async move {
            rooms.engine.pause(scope, &by, note.as_deref()).await?;
            Ok(())
        })
        .await
    }

    /// Lifts a pause. What it kept from firing has its record by then. To lift what is not paused is fine, too.
    pub async fn resume(&self, scope: PauseScope, by: &str) -> Result<(), CatalogError> {
        let by = by.to_owned();
        self.apart(move |rooms| async move {
            rooms.engine.resume(scope, &by).await?;
            Ok(())
        })
        .await
    }

    /// What is paused.
    pub fn pauses(&self) -> Pauses {
        Pauses::clone(&self.rooms.engine.pauses())
    }
}
