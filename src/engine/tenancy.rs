//! The run loop's part in shards that come and go: what recovery found of them joins the agenda, and what is given away leaves it
//! when the changes under way are written.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use super::Recovered;
use super::agenda::{Agenda, ShardAgenda};
use super::following::{Asker, Follow};
use super::handle::{EngineError, Stopped, TakeAnswer};
use super::pausing::Pausing;
use super::run_loop::RunLoop;
use crate::model::{Epoch, Identity, Revision, Shard, ShardSet, Timestamp};
use crate::observe::metrics::ShardState;

/// Shards that are to come or to go.
#[derive(Default)]
pub(super) struct Tenancy {
    pub(super) takes: VecDeque<(Box<Recovered>, TakeAnswer)>,
    pub(super) gives: VecDeque<(ShardSet, oneshot::Sender<Stopped>)>,
}

impl RunLoop {
    /// Whether this node acts for a shard, and goes on to.
    pub(super) fn owns(&self, shard: Shard) -> bool {
        let goes = self.tenancy.gives.iter().any(|(shards, _)| shards.contains(shard));
        self.agenda.shards()[shard.index()].is_ours && !goes
    }

    /// Acts for what was recovered.
    pub(super) async fn take_shards(&mut self) -> Result<(), EngineError> {
        // A planning under way knows nothing of them, and nor does a change of pauses.
        while self.planning.is_none()
            && self.pausing.is_settled()
            && let Some((recovered, done)) = self.tenancy.takes.pop_front()
        {
            let stored = recovered.agenda.pauses();
            match stored.version.cmp(&self.agenda.pauses().version) {
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Less => {
                    // What was recovered may name what is paused by now. The caller may have gone: then nobody tries again.
                    let _ = done.send(Err(EngineError::PausesChanged));
                    continue;
                }
                std::cmp::Ordering::Greater => {
                    self.follows.push_front(Follow { stored: stored.clone(), asker: Asker::Nobody });
                    self.tenancy.takes.push_front((recovered, done));
                    break;
                }
            }
            let Recovered { agenda, uncertain, unfinished, latest, elsewhere: _, revisions: _ } = *recovered;
            self.latest = self.latest.max(latest);
            self.status.is_fenced.store(false, Ordering::Relaxed);
            self.agenda.absorb(agenda);
            self.take_up(unfinished, uncertain).await?;
            // The caller may have gone: the shards are this node's all the same.
            let _ = done.send(Ok(()));
        }
        Ok(())
    }

    /// Lets go of what is to be given away. Everything due was handed over just before.
    pub(super) fn give_shards(&mut self) {
        if self.planning.is_some() || !matches!(self.pausing, Pausing::Idle) {
            return;
        }
        let is_held = |shards: ShardSet| self.held.keys().any(|identity| shards.contains(Shard::of(identity)));
        let (go, stay) = std::mem::take(&mut self.tenancy.gives).into_iter().partition(|(shards, _)| !is_held(*shards));
        self.tenancy.gives = stay;
        for (shards, done) in go {
            let claimed: Vec<Timestamp> = self.agenda.shards().iter().map(|shard| shard.claimed_through).collect();
            let held_since: Vec<Timestamp> = Shard::all().map(|shard| self.held_since(shard)).collect();
            let stopped = Stopped::new(&self.agenda, self.latest, &claimed, &held_since).of(shards);
            self.let_go(shards);
            // A caller that has gone leaves the leases as they are: that is safe, only less exact.
            let _ = done.send(stopped);
        }
    }

    /// Lets go of shards for which another node acts. A change that is being written is refused by the store.
    pub(super) fn lose(&mut self, shards: ShardSet) {
        self.held.retain(|identity, _| !shards.contains(Shard::of(identity)));
        self.let_go(shards);
    }

    fn let_go(&mut self, shards: ShardSet) {
        self.pausing.forget(shards);
        self.agenda.give_up(shards);
        self.status.entries.store(self.agenda.len(), Ordering::Relaxed);
        self.show_shards();
    }

    /// Shows how the shards stand, for who looks from outside.
    pub(super) fn show_shards(&self) {
        let shown = |shard: &ShardAgenda| {
            let ShardAgenda { shard, epoch, claimed_through, settled_through, .. } = *shard;
            ShardState { shard, epoch, claimed_through, settled_through }
        };
        let shards = self.agenda.shards().iter().filter(|shard| shard.is_ours).map(shown).collect();
        *self.status.shards.lock().unwrap_or_else(PoisonError::into_inner) = shards;
    }
}

impl Agenda {
    /// Takes over all that stands on another agenda.
    pub(super) fn absorb(&mut self, mut other: Self) {
        for shard in other.shards.iter().filter(|shard| shard.is_ours) {
            let ShardAgenda { epoch, claimed_through, settled_through, .. } = *shard;
            self.shards[shard.shard.index()].take(epoch, claimed_through, settled_through);
        }
        for (_, slots) in std::mem::take(&mut other.tasks) {
            let slots: Vec<_> = slots.iter().filter_map(|&id| other.slots[id as usize].take()).collect();
            let Some(revision) = slots.first().map(|slot| slot.revision.clone()) else { continue };
            // What names nothing more stands among the finished ones already.
            self.put_slots(&revision, slots.iter().map(|slot| slot.next).collect());
        }
        for backlog in other.catch_up.take_shards(ShardSet::ALL) {
            self.catch_up.add(backlog);
        }
        self.finished.append(&mut other.finished);
    }

    /// Forgets all that belongs to these shards.
    pub(super) fn give_up(&mut self, shards: ShardSet) {
        let tasks: Vec<Identity> =
            self.tasks.keys().filter(|identity| shards.contains(Shard::of(identity))).cloned().collect();
        for identity in tasks {
            self.take_out(&identity);
        }
        // What was still to be caught up is claimed and has no outcome: the next owner finds it.
        drop(self.catch_up.take_shards(shards));
        self.finished.retain(|revision: &Arc<Revision>| !shards.contains(revision.shard()));
        for shard in shards.iter() {
            self.shards[shard.index()] = ShardAgenda::of_another(shard);
        }
    }
}

impl ShardAgenda {
    /// Of a shard for which another node acts, or nobody.
    pub(super) fn of_another(shard: Shard) -> Self {
        let never = Timestamp::EPOCH;
        let (due, paused) = Default::default();
        Self { shard, is_ours: false, epoch: Epoch(0), claimed_through: never, settled_through: never, due, paused }
    }

    pub(super) fn take(&mut self, epoch: Epoch, claimed_through: Timestamp, settled_through: Timestamp) {
        let Self { shard, due, paused, .. } = Self::of_another(self.shard);
        *self = Self { shard, is_ours: true, epoch, claimed_through, settled_through, due, paused };
    }
}
