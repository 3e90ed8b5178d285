//! Runs that are under way at the node that gave their shard away: they count as in progress here until they have ended there.

use tokio::sync::oneshot;

use super::handle::{Dispatch, DispatchStopped, Order};
use super::keys::EntryKey;
use super::overlap::Verdict;
use super::run_loop::RunLoop;
use super::runs::{Place, Run};
use crate::model::{Fire, Overlap, RunId, ShardSet};

/// What became of runs that were under way elsewhere.
#[derive(Debug, Default)]
pub struct EndsElsewhere {
    /// Their outcomes are durable.
    pub ended: Vec<RunId>,
    /// These go on here, and messages about runs that have ended, which this node sends.
    pub go_on: Vec<Fire>,
}

impl Dispatch {
    /// The runs of these shards that are under way elsewhere.
    pub async fn elsewhere(&self, shards: ShardSet) -> Result<Vec<Fire>, DispatchStopped> {
        let (answer, elsewhere) = oneshot::channel();
        self.orders.send(Order::Elsewhere(shards, answer)).await.map_err(|_| DispatchStopped)?;
        elsewhere.await.map_err(|_| DispatchStopped)
    }

    /// Takes note of what became of runs that were under way elsewhere. What is not, as far as is known here, is left as it is.
    pub async fn end_elsewhere(&self, ends: EndsElsewhere) -> Result<(), DispatchStopped> {
        self.orders.send(Order::EndElsewhere(ends)).await.map_err(|_| DispatchStopped)
    }
}

impl RunLoop {
    /// Takes a run that is under way elsewhere. It has its place among those of its entry, or of its backfill, whatever the policy.
    pub(super) fn join_elsewhere(&mut self, run_id: RunId, mut run: Run) {
        if let Some(backfill) = run.backfill() {
            self.groups.join_in_progress(backfill);
            run.is_in_group = true;
            self.overlaps.join_aside(run.key, run_id);
        } else if run.fire.notice.is_none() {
            self.overlaps.join(run.key, run_id);
        }
        run.place = Place::Elsewhere;
        self.runs.insert(run_id, run);
    }

    pub(super) fn list_elsewhere(&self, shards: ShardSet) -> Vec<Fire> {
        if self.runs.elsewhere() == 0 {
            return Vec::new();
        }
        let is_wanted = |run: &Run| self.is_elsewhere(run) && shards.contains(run.fire.revision.shard());
        self.runs.iter().filter(|(_, run)| is_wanted(run)).map(|(_, run)| run.fire.clone()).collect()
    }

    fn is_elsewhere(&self, run: &Run) -> bool {
        matches!(run.place, Place::Elsewhere)
    }

    pub(super) fn note_ends_elsewhere(&mut self, ends: EndsElsewhere) {
        for run_id in ends.ended {
            if let Some(run) = self.runs.get(run_id).filter(|run| self.is_elsewhere(run)) {
                if run.fire.is_planned() {
                    let instant = (run.fire.revision.shard(), run.fire.fire_time);
                    self.sender.journal.unsettled().settle([instant]);
                }
                // How it ended is not known here: the history is asked.
                run.fire.entry().last_end().forget();
                self.forget_elsewhere(run_id);
            }
        }
        ends.go_on.into_iter().for_each(|fire| self.go_on_here(fire));
    }

    /// A run keeps the place that it has here, and its next step is made here.
    fn go_on_here(&mut self, fire: Fire) {
        let run_id = fire.run_id();
        match self.runs.get(run_id) {
            Some(run) if self.is_elsewhere(run) => {}
            None if fire.notice.is_some() => return self.take(fire),
            Some(_) | None => return,
        }
        let Some(Run { key, is_in_group, last_word, .. }) = self.runs.remove(run_id) else { return };
        let run = Run { is_in_group, ..Run::new(fire, key) };
        let given_up = run.given_up_before();
        self.runs.insert(run_id, run);
        if let Some(why) = given_up {
            self.conclude(run_id, why.to_owned(), true);
        } else if let Some(word) = last_word {
            self.conclude(run_id, word.why, false);
        } else {
            self.go_on(run_id);
        }
    }

    /// A run has ended elsewhere, or its shard goes: others take its place.
    pub(super) fn forget_elsewhere(&mut self, run_id: RunId) {
        if let Some(run) = self.runs.remove(run_id) {
            self.release(run_id, &run);
        }
    }

    /// A planned run is to take the place of those in progress. Those that are under way elsewhere cannot be broken off from here:
    /// their attempt is their last one, and the newer run waits for its end. `false`: there are none.
    pub(super) fn waits_to_replace(&mut self, key: EntryKey, run_id: RunId) -> bool {
        let in_progress = self.overlaps.in_progress(key);
        let is_elsewhere = |older: &RunId| self.runs.get(*older).is_some_and(|run| self.is_elsewhere(run));
        if !in_progress.iter().any(is_elsewhere) {
            return false;
        }
        if let Verdict::Wait { instead_of: Some(older) } = self.overlaps.plan(key, run_id, Overlap::QueueOne) {
            self.skip(older, "overlap cancel_running");
        }
        in_progress.into_iter().for_each(|older| self.replace(older));
        true
    }
}
