//! Changes that a former owner of a task sent and that were stored only after this node had loaded it.
//!
//! Nobody was told that such a change is done. It is stored all the same: this node brings it into force as if it had been made
//! when it is found. That is at the next change of the task, which meets it, and at a second and a last look at all tasks of a
//! shard. What was decided until then stays true: the change counts from the moment at which it is found.

use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::time::sleep;

use super::{CatalogError, Rooms};
use crate::dispatch::Cancelled;
use crate::engine::{EngineError, Held, Settlement};
use crate::model::{Identity, Revision, Shard, ShardSet, Timestamp};
use crate::observe::with_causes;

/// When the last look is: a system goes on sending what a closed connection has left for about two minutes, each time after twice
/// the pause before, also when the line was cut meanwhile.
const LAST_LOOK_AFTER: Duration = Duration::from_mins(5);
/// How long a second look that failed waits before it begins anew.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Shards in the terms in which they were taken.
pub(super) struct Terms(Vec<(Shard, u64)>);

impl Rooms {
    pub(super) fn terms(&self, shards: ShardSet) -> Terms {
        Terms(shards.iter().map(|shard| (shard, self.tenure.term(shard))).collect())
    }

    fn left_of(&self, terms: &Terms) -> ShardSet {
        let left = terms.0.iter().filter(|(shard, term)| !self.tenure.is_over(*shard, *term));
        left.map(|(shard, _)| *shard).collect()
    }

    /// Looks a second time at what is stored of shards, and a last time, unless they are gone.
    pub(super) async fn look_again(self: Arc<Self>, terms: Terms, after: Duration) {
        for after in [after, LAST_LOOK_AFTER] {
            sleep(after).await;
            while let Err(error) = self.adopt_all(&terms).await {
                warn!("another look at the tasks of new shards failed: {}", with_causes(&error));
                sleep(LOOK_AGAIN_AFTER).await;
            }
        }
    }

    async fn adopt_all(&self, terms: &Terms) -> Result<(), CatalogError> {
        let shards = self.left_of(terms);
        if shards.is_empty() {
            return Ok(());
        }
        // Those that have ended before are of no interest.
        let mut pages = self.store.revisions(shards, Timestamp::FAR_FUTURE);
        let mut seen: Option<Identity> = None;
        while let Some(page) = pages.recv().await {
            let page = page?;
            let Some(last) = page.last().map(|revision| revision.task.identity.clone()) else { continue };
            let mut differ = self.unknown_of(&page);
            // They come by task: what lies between them and was not given is gone.
            differ.extend(self.known_between(shards, seen.as_ref(), Some(&last)).filter_out(&page));
            drop(page);
            self.adopt_each(differ, terms).await?;
            seen = Some(last);
        }
        let rest = self.known_between(shards, seen.as_ref(), None).0;
        self.adopt_each(rest, terms).await
    }

    /// Those that this node knows in another state.
    fn unknown_of(&self, page: &[Revision]) -> Vec<Identity> {
        let tasks = self.tasks();
        let known = |revision: &Revision| tasks.all.get(&revision.task.identity).map(|known| known.number);
        let differ = page.iter().filter(|revision| known(revision) != Some(revision.number));
        differ.map(|revision| revision.task.identity.clone()).collect()
    }

    fn known_between(&self, shards: ShardSet, after: Option<&Identity>, until: Option<&Identity>) -> Known {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        if after.zip(until).is_some_and(|(after, until)| after >= until) {
            return Known(Vec::new());
        }
        let bounds = (after.map_or(Unbounded, Excluded), until.map_or(Unbounded, Included));
        let tasks = self.tasks();
        let known = tasks.all.range::<Identity, _>(bounds).map(|(identity, _)| identity);
        Known(known.filter(|identity| shards.contains(Shard::of(identity))).cloned().collect())
    }

    async fn adopt_each(&self, identities: Vec<Identity>, terms: &Terms) -> Result<(), CatalogError> {
        for identity in identities {
            if !self.left_of(terms).contains(Shard::of(&identity)) {
                continue;
            }
            match self.engine.hold(&identity).await {
                Ok(held) => self.adopt_held(held, &identity).await?,
                // Its owner loads it.
                Err(EngineError::NotOwned) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn in_force(&self, identity: &Identity) -> Result<Option<Revision>, CatalogError> {
        let newest = self.store.history_of(identity, None, 1).await?;
        Ok(newest.into_iter().next().filter(|newest| newest.in_force_until.is_none()))
    }

    /// Brings into force what is stored of a task, if it is not what this node knows. While it is held this node changes nothing of
    /// it itself.
    pub(super) async fn adopt_held(&self, held: Held, identity: &Identity) -> Result<(), CatalogError> {
        let term = self.tenure.term(Shard::of(identity));
        let known = self.get(identity).map(|known| known.number);
        let mut stored = self.in_force(identity).await?;
        if stored.as_ref().map(|stored| stored.number) != known {
            // What was decided until now, and is recorded, was decided by what was known.
            self.store.defer(identity, held.epoch, known, held.since).await?;
            stored = self.in_force(identity).await?;
        }
        if !self.tenure.may_act(Shard::of(identity), term).await {
            return Err(EngineError::NotOwned.into());
        }
        if stored.as_ref().map(|stored| stored.number) == known {
            return Ok(());
        }
        info!(identity:%; "a change of `{identity}` that its former owner sent was stored late, it comes into force now");
        match stored {
            Some(mut stored) => {
                if let (Some(known), Some(task)) = (self.get(identity), Arc::get_mut(&mut stored.task)) {
                    task.follow(&known.task);
                }
                self.bring_into_force(held, identity, stored).await
            }
            None => {
                self.set(identity, None);
                Ok(self.engine.settle(held, Settlement::Ended(Cancelled::Deleted)).await?)
            }
        }
    }
}

/// Tasks that this node knows.
struct Known(Vec<Identity>);

impl Known {
    fn filter_out(self, page: &[Revision]) -> Vec<Identity> {
        let given: std::collections::BTreeSet<&Identity> =
            page.iter().map(|revision| &revision.task.identity).collect();
        self.0.into_iter().filter(|identity| !given.contains(identity)).collect()
    }
}
