//! What tasks exist. Writes every change through the store, then brings it into force in the engine: an answer means
//! durable and in force.

mod adopting;
mod auditing;
mod change;
mod counting;
mod dead_letters;
mod one_shots;
mod pauses;
mod query;
mod records;
mod runs;
mod tenancy;
pub mod verify;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::counting::Counted;
use self::dead_letters::InHand;
use crate::clock::Clock;
use crate::cluster::{Agreement, Tenure};
use crate::dispatch::Dispatch;
use crate::engine::{Engine, EngineError};
use crate::journal::Journal;
use crate::model::{Identity, Revision, Shard, ShardSet};
use crate::store::{Store, StoreError};

pub use self::change::{Put, Removal, Switch};
pub use self::counting::{Place, Reserved};
pub use self::dead_letters::{DEAD_LETTERS_MAX, Dealt, Letter};
pub use self::query::Slice;
pub use self::runs::{BACKFILL_MAX, RunRefused};
pub use self::tenancy::Shards;
pub use crate::dispatch::Broken;
pub use crate::model::PauseScope;

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such task. The text is the contract's.
    #[error("this identity does not exists")]
    Unknown,
    /// The caller knows another revision than the one in force: nothing has changed. Read it again and decide anew.
    #[error("revision: is {known}, expected {current}, {}", outdated(*.current))]
    Outdated {
        /// What the caller said.
        known: u64,
        /// The revision in force; 0 when there is none.
        current: u64,
    },
    /// The mask of a credential was sent back where none is stored: nothing has changed. The text tells each place.
    #[error("{0}")]
    Masked(String),
    /// The only instant of a one-shot has passed before it could be put: nothing has changed.
    #[error("its instant has passed")]
    Passed,
    /// The store did not take it: nothing has changed.
    #[error("nothing was changed")]
    Store(#[from] StoreError),
    /// The engine could not bring it into force: nothing has changed.
    #[error("nothing was changed")]
    Engine(#[from] EngineError),
    /// The change broke off. It is either done whole or not at all; read it back.
    #[error("the change broke off, read the task back")]
    BrokeOff,
    /// What is paused was changed, but a node that takes part does not follow: it may fire still, or not yet. Ask again.
    #[error("it is stored, but not every node follows yet: ask again")]
    NotEverywhere,
}

fn outdated(current: u64) -> String {
    match current {
        0 => "there is no such task now".to_owned(),
        number => format!("the task has revision {number} now"),
    }
}

/// The tasks of this node. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    rooms: Arc<Rooms>,
}

/// What a catalog works with.
#[derive(Clone)]
pub struct Means {
    /// Keeps the tasks.
    pub store: Arc<dyn Store>,
    /// Brings changes into force.
    pub engine: Engine,
    /// Takes runs that somebody asks for.
    pub dispatch: Dispatch,
    /// Takes records.
    pub journal: Journal,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Says what this node may act for.
    pub tenure: Tenure,
    /// Tells whether the other nodes follow.
    pub agreement: Agreement,
}

struct Rooms {
    tasks: RwLock<Tasks>,
    store: Arc<dyn Store>,
    engine: Engine,
    dispatch: Dispatch,
    journal: Journal,
    clock: Arc<dyn Clock>,
    tenure: Tenure,
    agreement: Agreement,
    in_hand: InHand,
}

/// The revisions in force.
#[derive(Default)]
struct Tasks {
    all: BTreeMap<Identity, Arc<Revision>>,
    /// How many of them are one-shots.
    one_shots: usize,
    /// Of which shards these are all there are.
    shards: ShardSet,
    /// How many of them there are by their names.
    counted: Counted,
}

impl Tasks {
    fn put(&mut self, revision: Arc<Revision>) {
        let identity = revision.task.identity.clone();
        self.one_shots += usize::from(revision.task.is_one_shot);
        let replaced = self.all.insert(identity, revision.clone());
        if replaced.is_none() {
            self.counted.note_new(&revision.task.identity);
        }
        self.one_shots -= usize::from(replaced.is_some_and(|replaced| replaced.task.is_one_shot));
    }

    fn remove(&mut self, identity: &Identity) {
        let removed = self.all.remove(identity);
        if removed.is_some() {
            self.counted.note_gone(identity);
        }
        self.one_shots -= usize::from(removed.is_some_and(|removed| removed.task.is_one_shot));
    }
}

impl Catalog {
    /// A catalog of the revisions in force.
    pub fn new(revisions: Vec<Arc<Revision>>, means: Means) -> Self {
        let mut tasks = Tasks { shards: ShardSet::ALL, ..Tasks::default() };
        revisions.into_iter().for_each(|revision| tasks.put(revision));
        let Means { store, engine, dispatch, journal, clock, tenure, agreement } = means;
        let (tasks, in_hand) = (RwLock::new(tasks), InHand::default());
        Self { rooms: Arc::new(Rooms { tasks, store, engine, dispatch, journal, clock, tenure, agreement, in_hand }) }
    }
}

impl Rooms {
    fn tasks(&self) -> RwLockReadGuard<'_, Tasks> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks_mut(&self) -> RwLockWriteGuard<'_, Tasks> {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, identity: &Identity) -> Option<Arc<Revision>> {
        self.tasks().all.get(identity).cloned()
    }

    /// The same for a change: a task of a shard that has just gone is not unknown, but another node's.
    fn find(&self, identity: &Identity) -> Result<Option<Arc<Revision>>, EngineError> {
        let tasks = self.tasks();
        let found = tasks.all.get(identity).cloned();
        let is_ours = tasks.shards.contains(Shard::of(identity));
        if found.is_none() && !is_ours { Err(EngineError::NotOwned) } else { Ok(found) }
    }

    fn set(&self, identity: &Identity, revision: Option<Arc<Revision>>) {
        let mut tasks = self.tasks_mut();
        match revision {
            Some(revision) => tasks.put(revision),
            None => tasks.remove(identity),
        }
    }
}

#[cfg(test)]
mod tests;
