//! Whether all who act follow what was decided for all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{interval, timeout};

use super::keeper::Keeper;
use super::membership::Membership;
use super::rules;

/// Tells the other nodes to look at once. It does not wait: who is not reached looks with its next sign of life.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a node asks before it answers for all. Cheap to clone.
#[derive(Clone)]
pub struct Agreement {
    shared: Option<Shared>,
}

#[derive(Clone)]
struct Shared {
    ttl: Duration,
    party: watch::Sender<Option<Party>>,
}

#[derive(Clone)]
struct Party {
    keeper: Keeper,
    wake: Wake,
}

impl Agreement {
    /// Of a node that shares its store with nobody.
    pub fn alone() -> Self {
        Self { shared: None }
    }

    /// Of a node that has to ask the others, as soon as it takes part.
    pub fn shared(ttl: Duration) -> Self {
        Self { shared: Some(Shared { ttl, party: watch::Sender::new(None) }) }
    }

    /// It takes part now. `wake` is called when the others should look.
    pub fn join(&self, keeper: Keeper, wake: Wake) {
        if let Some(shared) = &self.shared {
            shared.party.send_replace(Some(Party { keeper, wake }));
        }
    }

    /// How long another node may act on what was in force before: it follows by then, or has been taken out.
    pub fn reach(&self) -> Duration {
        self.shared.as_ref().map_or(Duration::ZERO, |shared| shared.ttl * 2)
    }

    /// Waits until each node that may act has in force at least this version of what is paused. `false`: one of them takes part
    /// still, and did not come along in time.
    pub async fn on_pauses(&self, version: u64) -> bool {
        let Some(shared) = &self.shared else { return true };
        timeout(self.reach(), shared.agree(version)).await.is_ok_and(|agreed| agreed)
    }
}

impl Shared {
    async fn agree(&self, version: u64) -> bool {
        let mut joined = self.party.subscribe();
        let Ok(Some(Party { keeper, wake })) = joined.wait_for(Option::is_some).await.map(|party| party.clone()) else {
            return false;
        };
        let mut view = keeper.view();
        let mut looks = interval(rules::interval(self.ttl) / 2);
        wake();
        loop {
            if all_hold(&view.borrow_and_update().membership, version) {
                return true;
            }
            tokio::select! {
                shown = view.changed() => if shown.is_err() { return false },
                // The first one is at once. Not after each change that is seen: each look of one is a change to the others.
                _ = looks.tick() => keeper.look(),
            }
        }
    }
}

/// This node stands in what it has seen with what it had in force when it wrote: if that is this version, what it has seen is
/// not older. Whoever joins later reads what is paused before it acts.
fn all_hold(seen: &Membership, version: u64) -> bool {
    !seen.members().is_empty() && seen.members().iter().all(|member| member.pauses >= version)
}
