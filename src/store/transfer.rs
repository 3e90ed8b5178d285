//! Moving a store: everything that it holds, read in pages and written as it stands.
//!
//! A copy goes kind by kind in the order of [`Kind::ALL`]. All writes go by the names of what they write, so a page that is
//! written twice stands once, and a copy can go on after the last page that was surely written.

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{RegisterName, Registered, Store, StoreError};
use crate::model::{Identity, Lease, Pauses, Record, Revision, RunId, Timestamp};

/// What a store holds, in the order in which it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Every state of every task, in force or past.
    Revisions,
    /// Outcomes in histories that were cleared, as far as a start may ask for them: it must not fire their instants again. And
    /// runs in them that have not ended.
    Cleared,
    /// Until when histories were deleted. They come before the records, as a mark hides those that are there before it.
    Marks,
    /// The history, without what was cleared.
    Records,
    /// The audit.
    Audit,
    /// Pieces of results, by run and number.
    Results,
    /// What is paused, if anything ever was.
    Pauses,
    /// Texts that all nodes share.
    Registers,
    /// How far each shard is. They come last: a node that starts on leases relies on all the rest.
    Leases,
}

impl Kind {
    /// All kinds, in the order of a copy.
    pub const ALL: [Self; 9] = [
        Self::Revisions,
        Self::Cleared,
        Self::Marks,
        Self::Records,
        Self::Audit,
        Self::Results,
        Self::Pauses,
        Self::Registers,
        Self::Leases,
    ];

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revisions => "revisions",
            Self::Cleared => "cleared",
            Self::Marks => "marks",
            Self::Records => "records",
            Self::Audit => "audit",
            Self::Results => "results",
            Self::Pauses => "pauses",
            Self::Registers => "registers",
            Self::Leases => "leases",
        }
    }
}

/// A state of a task as it is stored.
#[derive(Clone, Debug)]
pub struct StoredRevision {
    /// The state, with its number and dates.
    pub revision: Revision,
    /// Whether it is the newest of its task: in force, or the one that a delete ended.
    pub is_newest: bool,
}

/// Until when a history was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The task; `None` stands for all.
    pub identity: Option<Identity>,
    /// Nothing can be said about instants up to this one.
    pub through: Timestamp,
    /// Whether it also hides records that are still stored. Where it is written, it hides what is there by then.
    pub hides: bool,
}

/// A piece of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultPiece {
    /// The run that it is of.
    pub run: RunId,
    /// Which piece, from 0.
    pub number: u32,
    /// What it holds.
    pub bytes: Bytes,
}

/// Some of what a store holds, of one kind.
#[derive(Clone, Debug)]
pub enum Items {
    /// States of tasks.
    Revisions(Vec<StoredRevision>),
    /// Marks of deletions.
    Marks(Vec<Mark>),
    /// Records of the history or of the audit, oldest first.
    Records(Vec<Record>),
    /// Pieces of results.
    Results(Vec<ResultPiece>),
    /// What is paused: one item, or none.
    Pauses(Vec<Pauses>),
    /// Texts that all nodes share.
    Registers(Vec<(RegisterName, Registered)>),
    /// Leases.
    Leases(Vec<Lease>),
}

impl Items {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Revisions(items) => items.len(),
            Self::Marks(items) => items.len(),
            Self::Records(items) => items.len(),
            Self::Results(items) => items.len(),
            Self::Pauses(items) => items.len(),
            Self::Registers(items) => items.len(),
            Self::Leases(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A place among what a store holds of one kind. Only the store that gave it can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(Value);

impl Position {
    pub(super) fn of(place: impl Serialize) -> Self {
        Self(serde_json::to_value(place).expect("numbers and strings can be written as JSON"))
    }

    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        let corrupt = |error: serde_json::Error| StoreError::Corrupt { what: "position".into(), source: error.into() };
        serde_json::from_value(self.0.clone()).map_err(corrupt)
    }
}

/// A page, and where to go on after it.
#[derive(Clone, Debug)]
pub struct Page {
    /// What it holds.
    pub items: Items,
    /// The place of its last item.
    pub after: Position,
}

/// Pages. The last one is followed by the end of the channel; an error ends it too.
pub type Pages = mpsc::Receiver<Result<Page, StoreError>>;

/// Reading and writing of everything, for a store that no node uses.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Writes what a crash kept from being written, so that reading finds all there is.
    async fn complete(&self) -> Result<(), StoreError>;

    /// Gives everything of a kind in a fixed order, from its beginning or after a place. After a place, some may be given
    /// that stand before it.
    fn pages(&self, kind: Kind, after: Option<Position>) -> Pages;

    /// Writes items as they stand, in place of those of the same name. Records are found in the order of their writing.
    /// On an error some may be written: writing them again does no harm.
    async fn restore(&self, items: Items) -> Result<(), StoreError>;

    /// About how many there are of a kind; cleared ones may count as records.
    async fn count(&self, kind: Kind) -> Result<u64, StoreError>;

    /// How many records [`super::JournalStore::search`] finds that are not of this program and so are not given.
    async fn count_foreign(&self) -> Result<u64, StoreError>;
}

/// A store that can be moved.
pub trait MovableStore: Store + Transfer {}

impl<S: Store + Transfer> MovableStore for S {}
