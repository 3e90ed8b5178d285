use async_trait::async_trait;

use super::lingering::ToLook;
use crate::model::{Shard, ShardSet};
use crate::store::StoreError;

/// What a node does when its shards change.
#[async_trait]
pub trait Holder: Send + Sync + 'static {
    /// Loads what belongs to these shards. When it returns, the node acts for them. An error: nothing was done. `lingering`: those of
    /// them of which a former owner has something under way, and ends it.
    async fn take(&self, shards: ShardSet, lingering: ShardSet) -> Result<(), StoreError>;

    /// Ends to act for these shards. When it returns, all that the next owner has to know is durable. Gives those of which something
    /// is still under way.
    async fn stop(&self, shards: ShardSet) -> ShardSet;

    /// Waits until nothing of one of these shards is under way any more, and all of it is durable. Gives those of which that is so.
    async fn ended(&self, lingering: ShardSet) -> ShardSet;

    /// Looks at what former owners had under way of shards for which this node acts. An error: look again.
    async fn look(&self, to_look: ToLook) -> Result<(), StoreError>;

    /// Ends to act for everything, at once: others may act for it already.
    async fn lose(&self);

    /// Looks what is paused, and brings into force what is new. Gives the version that is in force then.
    async fn follow_pauses(&self) -> Result<u64, StoreError>;

    /// How many shards are stopped together, so that the next owner has loaded them before much of them is due.
    fn stops_at_once(&self) -> usize {
        Shard::COUNT
    }
}
