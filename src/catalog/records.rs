//! What is known of runs: their records, their results, and what is under way.

use bytes::Bytes;

use super::{Catalog, CatalogError};
use crate::dispatch::Activity;
use crate::model::{EntryName, Identity, Record, RecordKind, RunId, Timestamp};
use crate::store::{Found, NewestRun, RunQuery};

impl Catalog {
    /// Runs, newest first.
    pub async fn runs(&self, query: RunQuery) -> Result<Found, CatalogError> {
        Ok(self.rooms.store.runs(query).await?)
    }

    /// One run.
    pub async fn run(&self, identity: &Identity, run: RunId) -> Result<Option<Record>, CatalogError> {
        Ok(self.rooms.store.run(identity, run).await?)
    }

    /// How the newest run of each of these entries ended.
    pub async fn newest_runs(&self, entries: &[(Identity, EntryName)]) -> Result<Vec<Option<NewestRun>>, CatalogError> {
        Ok(self.rooms.store.newest_runs(entries, Timestamp::EPOCH).await?)
    }

    /// The outcome of one instant, if it has one.
    pub async fn outcome(
        &self,
        identity: &Identity,
        entry: &EntryName,
        fire_time: Timestamp,
    ) -> Result<Option<RecordKind>, CatalogError> {
        let before = Timestamp::from_millis(fire_time.millis() - 1);
        let outcomes = self.rooms.store.outcomes(&[(identity.clone(), entry.clone())], before).await?;
        let mut outcomes = outcomes.into_iter().flatten();
        Ok(outcomes.find(|outcome| outcome.stretch.first <= fire_time).map(|outcome| outcome.kind))
    }

    /// What is under way of an entry on this node.
    pub async fn activity(&self, identity: &Identity, entry: &EntryName) -> Activity {
        self.rooms.dispatch.activity(identity, entry).await
    }

    /// One piece of a run's result.
    pub async fn result_piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, CatalogError> {
        Ok(self.rooms.store.piece(run, number).await?)
    }
}
