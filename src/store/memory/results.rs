//! Results.

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryStore;
use crate::model::{RunId, Timestamp};
use crate::store::{Pruned, ResultStore, StoreError};

#[async_trait]
impl ResultStore for MemoryStore {
    async fn put_piece(&self, run: RunId, number: u32, bytes: Bytes) -> Result<(), StoreError> {
        self.write()?.pieces.insert((run, number), bytes);
        Ok(())
    }

    async fn piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, StoreError> {
        Ok(self.read().pieces.get(&(run, number)).cloned())
    }

    async fn prune_results(&self, before: Timestamp, bytes_max: u64, step_max: usize) -> Result<Pruned, StoreError> {
        let pieces = &mut self.write()?.pieces;
        let mut bytes: u64 = pieces.values().map(|piece| piece.len() as u64).sum();
        let mut deleted = 0;
        while deleted < step_max
            && let Some(oldest) = pieces.first_entry()
            && (oldest.key().0.instant() < before || bytes > bytes_max)
        {
            bytes -= oldest.remove().len() as u64;
            deleted += 1;
        }
        Ok(Pruned { records: deleted as u64, more: deleted == step_max })
    }
}
