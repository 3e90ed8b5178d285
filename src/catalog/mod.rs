//! What tasks exist. Writes every change through the store, then brings it into force in the engine: an answer means
//! durable and in force.

mod change;
mod query;
pub mod verify;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::clock::Clock;
use crate::engine::{Engine, EngineError};
use crate::journal::Journal;
use crate::model::{Identity, Revision};
use crate::store::{Store, StoreError};

pub use self::change::Put;

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such task. The text is the contract's.
    #[error("this identity does not exists")]
    Unknown,
    /// The store did not take it: nothing has changed.
    #[error("nothing was changed")]
    Store(#[from] StoreError),
    /// The engine could not bring it into force: nothing has changed.
    #[error("nothing was changed")]
    Engine(#[from] EngineError),
    /// The change broke off. It is either done whole or not at all; read it back.
    #[error("the change broke off, read the task back")]
    BrokeOff,
}

/// The tasks of this node. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    rooms: Arc<Rooms>,
}

struct Rooms {
    tasks: RwLock<BTreeMap<Identity, Arc<Revision>>>,
    store: Arc<dyn Store>,
    engine: Engine,
    journal: Journal,
    clock: Arc<dyn Clock>,
}

impl Catalog {
    /// A catalog of the revisions in force.
    pub fn new(
        revisions: Vec<Arc<Revision>>,
        store: Arc<dyn Store>,
        engine: Engine,
        journal: Journal,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tasks = revisions.into_iter().map(|revision| (revision.task.identity.clone(), revision)).collect();
        Self { rooms: Arc::new(Rooms { tasks: RwLock::new(tasks), store, engine, journal, clock }) }
    }
}

impl Rooms {
    fn get(&self, identity: &Identity) -> Option<Arc<Revision>> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner).get(identity).cloned()
    }

    fn set(&self, identity: &Identity, revision: Option<Arc<Revision>>) {
        let mut tasks = self.tasks.write().unwrap_or_else(PoisonError::into_inner);
        match revision {
            Some(revision) => tasks.insert(identity.clone(), revision),
            None => tasks.remove(identity),
        };
    }
}
