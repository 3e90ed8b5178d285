//! What the nodes have agreed on: one document beside the leases, changed by compare-and-set.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written};
use super::client::unavailable;
use crate::store::{Registered, StoreError};

const READING: &str = "reading the register";
const WRITING: &str = "writing the register";
/// The id of the document. Leases begin with a word and a colon.
const REGISTER: &str = "cluster";

#[derive(Debug, Serialize, Deserialize)]
struct RegisterDocument {
    version: u64,
    /// The text.
    register: String,
}

/// The version that this store has read or written last: the next one needs no reading before it.
#[derive(Debug, Default)]
pub(super) struct RegisterCache {
    seen: Mutex<Option<(Seen, u64)>>,
}

impl RegisterCache {
    /// As what this version was seen.
    fn of_version(&self, version: u64) -> Option<Seen> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|&(_, known)| known == version).map(|(seen, _)| seen)
    }

    fn set(&self, seen: Option<(Seen, u64)>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

impl Inner {
    /// What stands there now, not as a search sees it.
    pub(super) async fn register(&self) -> Result<Option<Registered>, StoreError> {
        let ids = [(&*self.names.leases, REGISTER.to_owned())];
        let mut got = bulk::get_many::<RegisterDocument>(&self.client, READING, ids.into_iter()).await?;
        let stands = got.pop().flatten();
        self.register_seen.set(stands.as_ref().map(|(seen, document)| (*seen, document.version)));
        Ok(stands.map(|(_, RegisterDocument { version, register })| Registered { version, text: register }))
    }

    /// Writes the next version; `false`: it is not the next.
    pub(super) async fn set_register(&self, next: &Registered) -> Result<bool, StoreError> {
        let Some(op) = self.register_op(next.version).await? else { return Ok(false) };
        let write = self.register_write(next, op);
        // Not behind the writes of others: a node that says too late that it lives counts as dead.
        let sent = bulk::send(&self.client, WRITING, false, &[write]).await.map(|mut written| written.pop());
        let seen = match &sent {
            Ok(Some(Written::Done(seen))) => seen.map(|seen| (seen, next.version)),
            Ok(_) | Err(_) => None,
        };
        self.register_seen.set(seen);
        match sent? {
            Some(Written::Done(_)) => Ok(true),
            // By another node; or by this very write, if its first answer was lost.
            Some(Written::Conflict) => Ok(self.register().await?.as_ref() == Some(next)),
            Some(Written::Refused(why) | Written::Later(why)) => Err(unavailable(WRITING, why)),
            None => Err(unavailable(WRITING, "no answer")),
        }
    }

    /// How this version has to be written; `None`: the one before does not stand there.
    async fn register_op(&self, version: u64) -> Result<Option<Op>, StoreError> {
        let Some(before) = version.checked_sub(1) else { return Ok(None) };
        if before == 0 {
            return Ok(Some(Op::Create));
        }
        if self.register_seen.of_version(before).is_none() {
            self.register().await?;
        }
        Ok(self.register_seen.of_version(before).map(Op::Replace))
    }

    fn register_write(&self, next: &Registered, op: Op) -> Write {
        let document = RegisterDocument { version: next.version, register: next.text.clone() };
        let source = serde_json::to_vec(&document).expect("a register can be written as JSON").into();
        Write { index: self.names.leases.clone(), id: REGISTER.to_owned(), op, source }
    }
}
