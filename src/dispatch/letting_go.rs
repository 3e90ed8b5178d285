//! Lets go of the runs of shards for which this node no longer acts.

use super::handle::Letting;
use super::run_loop::RunLoop;
use super::runs::{Place, Run};
use super::sender::warn_of_stopped_journal;
use crate::model::{RunId, ShardSet};

impl RunLoop {
    /// Gives how many are under way.
    pub(super) async fn let_go(&mut self, shards: ShardSet, letting: Letting) -> usize {
        let is_of_shards = |run: &Run| shards.contains(run.fire.revision.shard());
        let goes = |run: &Run| is_of_shards(run) && (run.is_waiting() || matches!(run.place, Place::Left));
        let going = self.runs.iter().filter(|(_, run)| goes(run));
        let mut going: Vec<(bool, RunId)> =
            going.map(|(run_id, run)| (!matches!(run.place, Place::Behind | Place::Grouped(_)), run_id)).collect();
        // First those that wait for others: so none of them begins in the place of one that goes.
        going.sort_unstable();
        for (_, run_id) in going {
            self.let_one_go(run_id, letting).await;
        }
        self.runs.iter().filter(|(_, run)| is_of_shards(run) && run.place.is_under_way()).count()
    }

    async fn let_one_go(&mut self, run_id: RunId, letting: Letting) {
        let Some(run) = self.runs.get(run_id) else { return };
        let is_written = letting == Letting::Given && (!run.is_told() || matches!(run.place, Place::Left));
        if is_written && self.sender.journal.note_started(run.left(self.sender.clock.now())).await.is_err() {
            warn_of_stopped_journal();
        }
        self.forget(run_id);
    }
}
