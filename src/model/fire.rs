//! Fires and their names.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::{Entry, EntryName, Identity, Revision, Timestamp};

/// The name of a run. Every planned run has the same id whenever and wherever it is computed, so that a second record
/// of it replaces the first and a second request of it carries the same `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId(Uuid);

impl RunId {
    /// Names the run of one entry at one planned instant.
    pub fn planned(identity: &Identity, entry: &EntryName, fire_time: Timestamp) -> Self {
        let identity = identity.as_str().as_bytes();
        let mut name = Vec::with_capacity(identity.len() + entry.as_str().len() + 16);
        // The length stands first, so that no two pairs of names run into the same bytes.
        name.extend_from_slice(&(identity.len() as u64).to_be_bytes());
        name.extend_from_slice(identity);
        name.extend_from_slice(entry.as_str().as_bytes());
        name.extend_from_slice(&fire_time.millis().to_be_bytes());
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name))
    }

    pub(super) fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Why a fire goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Its instant came.
    Schedule,
    /// Its instant passed while it could not be fired.
    CatchUp,
}

impl Trigger {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::CatchUp => "catch_up",
        }
    }
}

/// One instant of one entry, on its way to the target.
#[derive(Clone, Debug)]
pub struct Fire {
    /// The state of the task that named the instant.
    pub revision: Arc<Revision>,
    /// Index of the entry in its task.
    pub entry: usize,
    /// The planned instant.
    pub fire_time: Timestamp,
    /// Why it goes out.
    pub trigger: Trigger,
    /// A crash left it uncertain whether this run was sent before.
    pub redelivered: bool,
}

impl Fire {
    /// Its entry.
    pub fn entry(&self) -> &Entry {
        &self.revision.task.entries[self.entry]
    }

    /// The identity of its task.
    pub fn identity(&self) -> &Identity {
        &self.revision.task.identity
    }

    /// The name of its run.
    pub fn run_id(&self) -> RunId {
        RunId::planned(self.identity(), &self.entry().name, self.fire_time)
    }
}
