//! Texts that all nodes share: a document each beside the leases, changed by compare-and-set.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written};
use super::client::unavailable;
use crate::store::{RegisterName, Registered, StoreError};

const READING: &str = "reading a register";
const WRITING: &str = "writing a register";

#[derive(Debug, Serialize, Deserialize)]
struct RegisterDocument {
    version: u64,
    /// The text.
    register: String,
}

/// The version of each that this store has read or written last: the next one needs no reading before it.
#[derive(Debug, Default)]
pub(super) struct RegisterCache {
    seen: Mutex<BTreeMap<RegisterName, (Seen, u64)>>,
}

impl RegisterCache {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<RegisterName, (Seen, u64)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As what this version was seen.
    fn of_version(&self, name: RegisterName, version: u64) -> Option<Seen> {
        let seen = self.seen().get(&name).copied();
        seen.filter(|&(_, known)| known == version).map(|(seen, _)| seen)
    }

    fn set(&self, name: RegisterName, seen: Option<(Seen, u64)>) {
        match seen {
            Some(seen) => self.seen().insert(name, seen),
            None => self.seen().remove(&name),
        };
    }
}

/// The id of its document. Those of leases begin with a word and a colon.
fn register_id(name: RegisterName) -> String {
    name.as_str().to_owned()
}

impl Inner {
    /// What stands there now, not as a search sees it.
    pub(super) async fn register(&self, name: RegisterName) -> Result<Option<Registered>, StoreError> {
        let ids = [(&*self.names.leases, register_id(name))];
        let mut got = bulk::get_many::<RegisterDocument>(&self.client, READING, ids.into_iter()).await?;
        let stands = got.pop().flatten();
        self.register_seen.set(name, stands.as_ref().map(|(seen, document)| (*seen, document.version)));
        Ok(stands.map(|(_, RegisterDocument { version, register })| Registered { version, text: register }))
    }

    /// Writes the next version; `false`: it is not the next.
    pub(super) async fn set_register(&self, name: RegisterName, next: &Registered) -> Result<bool, StoreError> {
        let Some(op) = self.register_op(name, next.version).await? else { return Ok(false) };
        let write = self.register_write(name, next, op);
        // Not behind the writes of others: a node that says too late that it lives counts as dead.
        let sent = bulk::send(&self.client, WRITING, false, &[write]).await.map(|mut written| written.pop());
        let seen = match &sent {
            Ok(Some(Written::Done(seen))) => seen.map(|seen| (seen, next.version)),
            Ok(_) | Err(_) => None,
        };
        self.register_seen.set(name, seen);
        match sent? {
            Some(Written::Done(_)) => Ok(true),
            // By another node; or by this very write, if its first answer was lost.
            Some(Written::Conflict) => Ok(self.register(name).await?.as_ref() == Some(next)),
            Some(Written::Refused(why) | Written::Later(why)) => Err(unavailable(WRITING, why)),
            None => Err(unavailable(WRITING, "no answer")),
        }
    }

    /// How this version has to be written; `None`: the one before does not stand there.
    async fn register_op(&self, name: RegisterName, version: u64) -> Result<Option<Op>, StoreError> {
        let Some(before) = version.checked_sub(1) else { return Ok(None) };
        if before == 0 {
            return Ok(Some(Op::Create));
        }
        if self.register_seen.of_version(name, before).is_none() {
            self.register(name).await?;
        }
        Ok(self.register_seen.of_version(name, before).map(Op::Replace))
    }

    pub(super) fn register_write(&self, name: RegisterName, next: &Registered, op: Op) -> Write {
        let document = RegisterDocument { version: next.version, register: next.text.clone() };
        let source = serde_json::to_vec(&document).expect("a register can be written as JSON").into();
        Write { index: self.names.leases.clone(), id: register_id(name), op, source }
    }

    /// Those that are copied and stand there.
    pub(super) async fn copied_registers(&self) -> Result<Vec<(RegisterName, Registered)>, StoreError> {
        let mut stand = Vec::new();
        for name in RegisterName::COPIED {
            stand.extend(self.register(name).await?.map(|stands| (name, stands)));
        }
        Ok(stand)
    }
}
