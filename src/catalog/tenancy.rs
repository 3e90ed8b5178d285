//! Shards that come and go with all that belongs to them: tasks, instants to come, runs on their way.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use tokio::time::sleep;

use super::{Catalog, Rooms};
use crate::cluster::{Holder, ToLook};
use crate::dispatch::Letting;
use crate::engine::{self, Elsewhere, EngineError, Look, TakeOver};
use crate::model::{Shard, ShardSet};
use crate::observe::with_causes;
use crate::store::StoreError;

/// About how many tasks are given away at once, were they spread over all shards: the next owner loads them in a part of a second.
const GIVEN_AT_ONCE: usize = 10_000;
const TAKING: &str = "taking shards";
/// How often is looked whether the records of runs that are just being asked for are written.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Loads shards into the rooms from the catalog inward, and takes them out again.
pub struct Shards {
    catalog: Catalog,
    /// Who stands in the leases: for people who look into the store.
    owner: Box<str>,
    settings: engine::Settings,
    elsewhere: Mutex<Elsewhere>,
    /// After how long it looks a second time at the tasks of shards that it has taken.
    second_look_after: Option<Duration>,
}

impl Shards {
    /// Of this catalog.
    pub fn new(catalog: Catalog, owner: &str, settings: engine::Settings) -> Self {
        catalog.rooms.forget(ShardSet::ALL);
        Self { catalog, owner: owner.into(), settings, elsewhere: Mutex::default(), second_look_after: None }
    }

    /// Looks a second time at the tasks of what it has taken, this long after: a write that its former owner has sent is stored by
    /// then, or never will be.
    pub fn looking_again_after(self, after: Duration) -> Self {
        Self { second_look_after: Some(after), ..self }
    }

    fn rooms(&self) -> &Rooms {
        &self.catalog.rooms
    }

    fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of all runs of these shards. Gives those of which something is under way. What is just being asked for is waited for:
    /// its record has to be there for the next owner.
    async fn let_go(&self, shards: ShardSet) -> ShardSet {
        loop {
            match self.rooms().dispatch.let_go(shards, Letting::Given).await {
                Ok(let_go) if let_go.reserved > 0 => sleep(LOOK_AGAIN_AFTER).await,
                Ok(let_go) => return let_go.lingering,
                // It goes down: nothing is under way.
                Err(_) => return ShardSet::EMPTY,
            }
        }
    }
}

#[async_trait]
impl Holder for Shards {
    async fn take(&self, shards: ShardSet, lingering: ShardSet) -> Result<(), StoreError> {
        let terms = self.rooms().terms(shards);
        let Rooms { store, journal, clock, engine, .. } = self.rooms();
        let leases = store.take(shards, &self.owner).await?;
        let late = store.settle_late(&leases, clock.now()).await?;
        if late > 0 {
            info!(changes = late; "changes that former owners sent were stored after their shards had been taken: they count from now on");
        }
        let take_over = TakeOver { leases: &leases, lingering };
        let elsewhere = loop {
            let mut recovered =
                engine::take_over(store.as_ref(), journal, take_over, clock.now(), &self.settings).await?;
            // Before anything of them fires: who asks then finds the task.
            for revision in std::mem::take(&mut recovered.revisions) {
                let identity = revision.task.identity.clone();
                self.rooms().set(&identity, Some(revision));
            }
            let elsewhere = std::mem::take(&mut recovered.elsewhere);
            match engine.take(recovered).await {
                Err(EngineError::PausesChanged) => {}
                taken => {
                    if let Some(after) = self.second_look_after.filter(|_| taken.is_ok()) {
                        tokio::spawn(self.catalog.rooms.clone().look_again(terms, after));
                    }
                    let stopped = |error: EngineError| StoreError::Unavailable { doing: TAKING, source: error.into() };
                    taken.map_err(stopped)?;
                    break elsewhere;
                }
            }
        };
        // From now on who does not find a task knows that there is none.
        shards.iter().for_each(|shard| self.rooms().tasks_mut().shards.insert(shard));
        let mut known = self.elsewhere();
        known.forget(shards);
        known.absorb(elsewhere);
        Ok(())
    }

    async fn stop(&self, shards: ShardSet) -> ShardSet {
        let Rooms { store, journal, engine, .. } = self.rooms();
        // It goes down: the leases stay as they are, which is safe.
        let Ok(stopped) = engine.give(shards).await else { return ShardSet::EMPTY };
        self.rooms().forget(shards);
        let lingering = self.let_go(shards).await;
        self.elsewhere().forget(shards);
        if journal.flush().await.is_err() {
            return lingering;
        }
        let released = store.release(&stopped.claims(journal.unsettled())).await;
        journal.unsettled().forget(shards);
        if let Err(error) = released {
            warn!("the leases of shards that are given away stay as they are: {}", with_causes(&error));
        }
        lingering
    }

    async fn ended(&self, lingering: ShardSet) -> ShardSet {
        // Errors: it goes down, and nothing more is under way here.
        let ended = self.rooms().dispatch.ended(lingering).await.unwrap_or(lingering);
        let _ = self.rooms().journal.flush().await;
        ended
    }

    async fn look(&self, ToLook { shards, over }: ToLook) -> Result<(), StoreError> {
        let Rooms { store, journal, clock, dispatch, .. } = self.rooms();
        let known = self.elsewhere().clone();
        let look = Look { store: store.as_ref(), journal, dispatch, now: clock.now(), shards, over };
        let found = look.take(&known).await?;
        let mut known = self.elsewhere();
        known.absorb(found);
        known.forget(over);
        Ok(())
    }

    fn stops_at_once(&self) -> usize {
        let tasks = self.rooms().tasks().all.len();
        (Shard::COUNT * GIVEN_AT_ONCE).checked_div(tasks).map_or(Shard::COUNT, |shards| shards.max(1))
    }

    async fn lose(&self) {
        let Rooms { journal, engine, dispatch, .. } = self.rooms();
        // An error: it goes down, and acts for nothing any more.
        let _ = engine.lose(ShardSet::ALL).await;
        self.rooms().forget(ShardSet::ALL);
        let _ = dispatch.let_go(ShardSet::ALL, Letting::Lost).await;
        self.elsewhere().forget(ShardSet::ALL);
        journal.unsettled().forget(ShardSet::ALL);
    }

    async fn follow_pauses(&self) -> Result<u64, StoreError> {
        self.rooms().follow_pauses().await
    }
}

impl Rooms {
    /// The tasks of these shards are another node's.
    fn forget(&self, shards: ShardSet) {
        let mut tasks = self.tasks_mut();
        shards.iter().for_each(|shard| tasks.shards.remove(shard));
        let gone: Vec<_> = tasks.all.values().filter(|revision| shards.contains(revision.shard())).cloned().collect();
        gone.iter().for_each(|revision| tasks.remove(&revision.task.identity));
    }
}
