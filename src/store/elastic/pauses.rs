//! What is paused: one document among the tasks, changed by compare-and-set.

use serde::{Deserialize, Serialize};

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written};
use super::client::unavailable;
use crate::model::Pauses;
use crate::store::{StoreError, pause_document};

const READING: &str = "reading what is paused";
const WRITING: &str = "writing what is paused";
/// The id and the kind of the document. No task has it: theirs begin with a word and a colon.
const PAUSES: &str = "pauses";

#[derive(Debug, Serialize, Deserialize)]
struct PausesDocument {
    kind: String,
    version: u64,
    /// As a JSON text.
    pauses: String,
}

impl PausesDocument {
    fn to_pauses(&self) -> Result<Pauses, StoreError> {
        pause_document::read(self.version, &self.pauses)
            .map_err(|source| StoreError::Corrupt { what: PAUSES.to_owned(), source })
    }
}

impl Inner {
    /// What is paused.
    pub(super) async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(self.stored_pauses().await?.map(|(_, pauses)| pauses).unwrap_or_default())
    }

    async fn stored_pauses(&self) -> Result<Option<(Seen, Pauses)>, StoreError> {
        let ids = [(&*self.names.tasks, PAUSES.to_owned())];
        let mut got = bulk::get_many::<PausesDocument>(&self.client, READING, ids.into_iter()).await?;
        got.pop().flatten().map(|(seen, document)| Ok((seen, document.to_pauses()?))).transpose()
    }

    /// Writes the next version of what is paused; `false`: it is not the next.
    pub(super) async fn set_pauses(&self, pauses: &Pauses) -> Result<bool, StoreError> {
        let stored = self.stored_pauses().await?;
        let version = stored.as_ref().map_or(0, |(_, stored)| stored.version);
        if version.checked_add(1) != Some(pauses.version) {
            return Ok(false);
        }
        let op = stored.map_or(Op::Create, |(seen, _)| Op::Replace(seen));
        let written = self.shared.write(WRITING, vec![self.pauses_write(pauses, op)]).await;
        match written.map(|mut written| written.pop()) {
            Ok(Some(Written::Done(_))) => Ok(true),
            Ok(Some(Written::Refused(why) | Written::Later(why))) => Err(unavailable(WRITING, why)),
            // By another node; or by this very write, if its first answer was lost.
            Ok(Some(Written::Conflict)) => Ok(self.pauses().await? == *pauses),
            Ok(None) => Err(unavailable(WRITING, "no answer")),
            // It may be written or not. If nobody can tell, the caller may ask what is paused.
            Err(error) => match self.pauses().await {
                Ok(now) if now == *pauses => Ok(true),
                Ok(_) | Err(_) => Err(error),
            },
        }
    }

    pub(super) fn pauses_write(&self, pauses: &Pauses, op: Op) -> Write {
        let (kind, text) = (PAUSES.to_owned(), pause_document::write(pauses));
        let document = PausesDocument { kind, version: pauses.version, pauses: text };
        let source = serde_json::to_vec(&document).expect("pauses can be written as JSON").into();
        Write { index: self.names.tasks.clone(), id: PAUSES.to_owned(), op, source }
    }
}
