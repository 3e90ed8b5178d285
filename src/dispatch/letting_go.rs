//! Lets go of the runs of shards for which this node no longer acts. What waits has a record by which the next owner goes on with
//! it; what is under way ends here.

use tokio::sync::oneshot;

use super::handle::{Dispatch, DispatchStopped, LetGo, Letting, Order};
use super::run_loop::RunLoop;
use super::runs::{Place, Run};
use super::sender::warn_of_stopped_journal;
use crate::journal::Started;
use crate::model::{RunId, Shard, ShardSet};

impl Dispatch {
    /// Lets go of the runs of these shards: nothing of them starts here any more, and none of them is taken, until this node has
    /// them in another term.
    pub async fn let_go(&self, shards: ShardSet, letting: Letting) -> Result<LetGo, DispatchStopped> {
        let (done, let_go) = oneshot::channel();
        self.orders.send(Order::LetGo(shards, letting, done)).await.map_err(|_| DispatchStopped)?;
        let_go.await.map_err(|_| DispatchStopped)
    }

    /// Waits until nothing of one of these shards is under way that was so when they were let go. Gives those of which that is so;
    /// their last outcomes are with the journal.
    pub async fn ended(&self, shards: ShardSet) -> Result<ShardSet, DispatchStopped> {
        let (done, ended) = oneshot::channel();
        self.orders.send(Order::Ended(shards, done)).await.map_err(|_| DispatchStopped)?;
        ended.await.map_err(|_| DispatchStopped)
    }
}

impl RunLoop {
    pub(super) async fn let_go(&mut self, shards: ShardSet, letting: Letting) -> LetGo {
        self.let_go_in.extend(shards.iter().map(|shard| (shard, self.sender.tenure.term(shard))));
        let is_of_shards = |run: &Run| shards.contains(run.fire.revision.shard());
        let of_shards = self.runs.iter().filter(|(_, run)| is_of_shards(run));
        let mut of_shards: Vec<(bool, RunId)> =
            of_shards.map(|(run_id, run)| (!matches!(run.place, Place::Behind | Place::Grouped(_)), run_id)).collect();
        // First those that wait for others: so none of them begins in the place of one that goes.
        of_shards.sort_unstable();
        for &(_, run_id) in &of_shards {
            self.let_one_go(run_id, letting).await;
        }
        let is_asked_for =
            |run_id: &RunId| self.runs.get(*run_id).is_some_and(|run| matches!(run.place, Place::Reserved { .. }));
        let reserved = of_shards.iter().filter(|(_, run_id)| is_asked_for(run_id)).count();
        LetGo { reserved, lingering: self.runs.lingering() & shards }
    }

    async fn let_one_go(&mut self, run_id: RunId, letting: Letting) {
        let Some(run) = self.runs.get(run_id) else { return };
        match (&run.place, letting) {
            (Place::Elsewhere, _) => self.forget_elsewhere(run_id),
            (Place::InFlight(_), Letting::Given) => self.leave_under_way(run_id).await,
            (Place::Ending, Letting::Given) => self.runs.linger(run_id),
            (Place::InFlight(_), Letting::Lost) => self.lose_under_way(run_id),
            (Place::Ending, Letting::Lost) | (Place::Reserved { .. }, _) => {}
            (Place::Left, Letting::Given) => {
                let left = run.left(self.sender.clock.now());
                self.leave(run_id, Some(left)).await;
            }
            (
                Place::Delayed(_) | Place::Behind | Place::Grouped(_) | Place::InLane(_) | Place::Pausing(_),
                Letting::Given,
            ) => {
                let left = (!run.is_told()).then(|| run.left(self.sender.clock.now()));
                self.leave(run_id, left).await;
            }
            (
                Place::Delayed(_)
                | Place::Behind
                | Place::Grouped(_)
                | Place::InLane(_)
                | Place::Pausing(_)
                | Place::Left,
                Letting::Lost,
            ) => self.forget(run_id),
        }
    }

    /// Another node goes on with a run, by its record.
    async fn leave(&mut self, run_id: RunId, record: Option<Started>) {
        if let Some(record) = record {
            self.note_started(record).await;
        }
        self.forget(run_id);
    }

    async fn note_started(&self, record: Started) {
        if self.sender.journal.note_started(record).await.is_err() {
            warn_of_stopped_journal();
        }
    }

    /// An attempt that has gone ends here, and its record says that it is under way. One that has not goes no more: the next owner
    /// makes it.
    async fn leave_under_way(&mut self, run_id: RunId) {
        let now = self.sender.clock.now();
        let Some(run) = self.runs.get_mut(run_id).filter(|run| !run.lingers) else { return };
        let is_called_off = run.departure.as_ref().is_some_and(|departure| departure.call_off());
        if !is_called_off || run.last_word.is_some() {
            let record = run.under_way(run.departure.as_ref().and_then(|it| it.went_at()).unwrap_or(now));
            self.runs.linger(run_id);
            return self.note_started(record).await;
        }
        // The attempt may have noted that it was about to go, in the phase after the newest.
        let left = run.left(now);
        self.note_started(Started { phase: left.phase + 1, ..left }).await;
        self.forget_unsent(run_id);
    }

    /// An attempt that has gone ends here, and is recorded. One that has not is gone at once: when its shard comes back, it is begun
    /// anew, and must not be taken for this one.
    fn lose_under_way(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get(run_id) else { return };
        if run.departure.as_ref().is_some_and(|departure| departure.call_off()) {
            self.forget_unsent(run_id);
        }
    }

    /// Forgets a run whose attempt was called off.
    fn forget_unsent(&mut self, run_id: RunId) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        if let Place::InFlight(stop) = &mut run.place {
            // Where it has just ended there is nobody to tell.
            let _ = stop.take().map(|stop| stop.send(()));
        }
        let host = run.host.clone();
        self.forget(run_id);
        self.lanes.ended(&host).into_iter().for_each(|next| self.send(next));
    }

    /// Whether this node has let go of a shard, and does not have it in another term.
    pub(super) fn is_let_go(&self, shard: Shard) -> bool {
        self.let_go_in.get(&shard).is_some_and(|&term| term == self.sender.tenure.term(shard))
    }

    /// Tells those who wait for the ends of what was under way.
    pub(super) fn tell_ends(&mut self) {
        if self.ends_awaited.is_empty() {
            return;
        }
        let lingering = self.runs.lingering();
        for (shards, waiter) in std::mem::take(&mut self.ends_awaited) {
            let ended = shards - lingering;
            if ended.is_empty() && !waiter.is_closed() {
                self.ends_awaited.push((shards, waiter));
            } else {
                // Whoever asked may have gone.
                let _ = waiter.send(ended);
            }
        }
    }
}
