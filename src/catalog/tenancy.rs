//! Shards that come and go with all that belongs to them: tasks, instants to come, runs on their way.

use std::time::Duration;

use async_trait::async_trait;
use log::warn;
use tokio::time::{Instant, sleep};

use super::{Catalog, Rooms};
use crate::cluster::Holder;
use crate::dispatch::Letting;
use crate::engine::{self, EngineError};
use crate::model::{Shard, ShardSet};
use crate::observe::with_causes;
use crate::store::StoreError;

/// How long a shard that is given away waits for the requests that are under way. What takes longer is for the next owner to
/// settle, as after a crash.
const UNDER_WAY_MAX: Duration = Duration::from_secs(10);
/// About how many tasks are given away at once, were they spread over all shards: the next owner loads them in a part of a second.
const GIVEN_AT_ONCE: usize = 10_000;
const TAKING: &str = "taking shards";
/// How often is looked whether they have ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Loads shards into the rooms from the catalog inward, and takes them out again.
pub struct Shards {
    catalog: Catalog,
    /// Who stands in the leases: for people who look into the store.
    owner: Box<str>,
    settings: engine::Settings,
}

impl Shards {
    /// Of this catalog.
    pub fn new(catalog: Catalog, owner: &str, settings: engine::Settings) -> Self {
        catalog.rooms.forget(ShardSet::ALL);
        Self { catalog, owner: owner.into(), settings }
    }

    fn rooms(&self) -> &Rooms {
        &self.catalog.rooms
    }

    /// Waits until nothing of these shards is under way, but not for ever.
    async fn wait_for_ends(&self, shards: ShardSet) {
        let until = Instant::now() + UNDER_WAY_MAX;
        loop {
            match self.rooms().dispatch.let_go(shards, Letting::Given).await {
                Ok(in_flight) if in_flight > 0 && Instant::now() < until => sleep(LOOK_AGAIN_AFTER).await,
                Ok(in_flight) => {
                    if in_flight > 0 {
                        warn!(in_flight; "requests of shards that are given away are still under way");
                    }
                    return;
                }
                // It goes down.
                Err(_) => return,
            }
        }
    }
}

#[async_trait]
impl Holder for Shards {
    async fn take(&self, shards: ShardSet) -> Result<(), StoreError> {
        let Rooms { store, journal, clock, engine, .. } = self.rooms();
        let leases = store.take(shards, &self.owner).await?;
        loop {
            let mut recovered = engine::recover(store.as_ref(), journal, &leases, clock.now(), &self.settings).await?;
            // Before anything of them fires: who asks then finds the task.
            for revision in std::mem::take(&mut recovered.revisions) {
                let identity = revision.task.identity.clone();
                self.rooms().set(&identity, Some(revision));
            }
            match engine.take(recovered).await {
                Err(EngineError::PausesChanged) => {}
                taken => {
                    let stopped = |error: EngineError| StoreError::Unavailable { doing: TAKING, source: error.into() };
                    taken.map_err(stopped)?;
                    break;
                }
            }
        }
        // From now on who does not find a task knows that there is none.
        shards.iter().for_each(|shard| self.rooms().tasks_mut().shards.insert(shard));
        Ok(())
    }

    async fn stop(&self, shards: ShardSet) {
        let Rooms { store, journal, engine, .. } = self.rooms();
        // It goes down: the leases stay as they are, which is safe.
        let Ok(stopped) = engine.give(shards).await else { return };
        self.rooms().forget(shards);
        self.wait_for_ends(shards).await;
        if journal.flush().await.is_err() {
            return;
        }
        let released = store.release(&stopped.claims(journal.unsettled())).await;
        journal.unsettled().forget(shards);
        if let Err(error) = released {
            warn!("the leases of shards that are given away stay as they are: {}", with_causes(&error));
        }
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
