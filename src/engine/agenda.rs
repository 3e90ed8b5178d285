//! What comes next: for each shard an ordered set with one instant per entry. O(log n) to change, O(due) to take.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::model::{Claim, Epoch, Fire, Identity, Lease, Revision, Shard, Timestamp, Trigger};

/// Names a slot. Slots are used again.
type SlotId = u32;

/// The next instant of one entry.
#[derive(Debug)]
struct Slot {
    revision: Arc<Revision>,
    entry: u32,
    /// `None`: the entry names no further instant.
    next: Option<Timestamp>,
}

/// A shard's instants, and how far they are claimed.
#[derive(Debug)]
pub(super) struct ShardAgenda {
    pub(super) shard: Shard,
    pub(super) epoch: Epoch,
    /// Instants up to this one may be fired.
    pub(super) claimed_through: Timestamp,
    /// Every instant up to this one has its outcome, and the lease says so.
    pub(super) settled_through: Timestamp,
    // BTreeSet, not a heap: a deleted task must leave the agenda now, not when its turn comes.
    due: BTreeSet<(Timestamp, SlotId)>,
}

/// An entry whose oldest unfired instant is a misfire.
#[derive(Clone, Debug)]
pub(super) struct Misfired {
    slot: SlotId,
    pub(super) revision: Arc<Revision>,
    pub(super) entry: usize,
    /// Its oldest unfired instant.
    pub(super) oldest: Timestamp,
}

/// All instants to come on this node.
#[derive(Debug)]
pub(super) struct Agenda {
    slots: Vec<Option<Slot>>,
    free: Vec<SlotId>,
    tasks: HashMap<Identity, Box<[SlotId]>>,
    shards: Vec<ShardAgenda>,
}

impl Agenda {
    pub(super) fn new(leases: &[Lease]) -> Self {
        let shards = leases
            .iter()
            .map(|lease| ShardAgenda {
                shard: lease.shard,
                epoch: lease.epoch,
                claimed_through: lease.claimed_through,
                settled_through: lease.settled_through,
                due: BTreeSet::new(),
            })
            .collect();
        Self { slots: Vec::new(), free: Vec::new(), tasks: HashMap::new(), shards }
    }

    pub(super) fn shards(&self) -> &[ShardAgenda] {
        &self.shards
    }

    /// How many entries have an instant to come.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.due.len()).sum()
    }

    /// Puts a task on the agenda. Each entry goes on with its first instant later than `after`.
    pub(super) fn put(&mut self, revision: &Arc<Revision>, after: Timestamp) {
        let starts = revision.task.entries.iter().map(|entry| revision.ticks(entry).next(after)).collect();
        self.put_at(revision, starts);
    }

    /// Puts a task on the agenda, each entry with the instant given for it. A task that is switched off names nothing.
    pub(super) fn put_at(&mut self, revision: &Arc<Revision>, starts: Vec<Option<Timestamp>>) {
        self.take_out(&revision.task.identity);
        if !revision.enabled {
            return;
        }
        let shard = revision.shard().index();
        let mut slots = Vec::with_capacity(starts.len());
        for (entry, next) in (0..).zip(starts) {
            let slot = self.fill_slot(Slot { revision: revision.clone(), entry, next });
            if let Some(next) = next {
                self.shards[shard].due.insert((next, slot));
            }
            slots.push(slot);
        }
        self.tasks.insert(revision.task.identity.clone(), slots.into());
    }

    fn fill_slot(&mut self, slot: Slot) -> SlotId {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Some(slot);
            return id;
        }
        self.slots.push(Some(slot));
        SlotId::try_from(self.slots.len() - 1).expect("memory ends before four thousand million entries")
    }

    /// Takes a task off the agenda.
    pub(super) fn take_out(&mut self, identity: &Identity) -> Option<Arc<Revision>> {
        let shard = Shard::of(identity).index();
        let mut revision = None;
        for id in self.tasks.remove(identity)? {
            let slot = self.slots[id as usize].take()?;
            if let Some(next) = slot.next {
                self.shards[shard].due.remove(&(next, id));
            }
            self.free.push(id);
            revision = Some(slot.revision);
        }
        revision
    }

    /// Takes the instants that have come and are claimed, at most `max`, and puts each entry's next one in their place.
    pub(super) fn take_due(&mut self, now: Timestamp, late_after: Timestamp, max: usize) -> Vec<Fire> {
        let mut fires = Vec::new();
        for shard in 0..self.shards.len() {
            while fires.len() < max {
                let ShardAgenda { due, claimed_through, .. } = &mut self.shards[shard];
                let Some(&(fire_time, id)) = due.first() else { break };
                if fire_time > now.min(*claimed_through) {
                    break;
                }
                due.pop_first();
                let slot = self.slots[id as usize].as_mut().expect("an instant on the agenda has its slot");
                let entry = &slot.revision.task.entries[slot.entry as usize];
                entry.last_fire.note(fire_time);
                slot.next = slot.revision.ticks(entry).next(fire_time);
                if let Some(next) = slot.next {
                    due.insert((next, id));
                }
                let trigger = if fire_time < late_after { Trigger::CatchUp } else { Trigger::Schedule };
                fires.push(Fire {
                    revision: slot.revision.clone(),
                    entry: slot.entry as usize,
                    fire_time,
                    trigger,
                    redelivered: false,
                });
            }
        }
        fires
    }

    /// The first instant that may be fired.
    pub(super) fn next_claimed(&self) -> Option<Timestamp> {
        let first_claimed = |shard: &ShardAgenda| shard.first().filter(|first| *first <= shard.claimed_through);
        self.shards.iter().filter_map(first_claimed).min()
    }

    /// The first instant that must be claimed before it may be fired.
    pub(super) fn next_unclaimed(&self) -> Option<Timestamp> {
        self.shards.iter().filter_map(ShardAgenda::first_unclaimed).min()
    }

    /// Whether a task has an instant up to `until` that is not claimed.
    pub(super) fn has_unclaimed(&self, identity: &Identity, until: Timestamp) -> bool {
        let claimed_through = self.shards[Shard::of(identity).index()].claimed_through;
        let next_of = |id: &SlotId| self.slots[*id as usize].as_ref().and_then(|slot| slot.next);
        self.tasks.get(identity).into_iter().flat_map(|slots| slots.iter()).filter_map(next_of).any(|next| {
            // An entry with a claimed instant is fired before anybody asks this.
            next > claimed_through && next <= until
        })
    }

    /// The unclaimed entries of a shard whose oldest unfired instant is older than `before`.
    pub(super) fn misfired(&self, shard: usize, before: Timestamp) -> Vec<Misfired> {
        let ShardAgenda { due, claimed_through, .. } = &self.shards[shard];
        let from = (Bound::Excluded((*claimed_through, SlotId::MAX)), Bound::Excluded((before, SlotId::MIN)));
        if *claimed_through >= before {
            return Vec::new();
        }
        due.range(from)
            .filter_map(|&(oldest, slot)| {
                let Slot { revision, entry, .. } = self.slots[slot as usize].as_ref()?;
                Some(Misfired { slot, revision: revision.clone(), entry: *entry as usize, oldest })
            })
            .collect()
    }

    /// Lets an entry go on with another instant.
    pub(super) fn go_on(&mut self, misfired: &Misfired, next: Option<Timestamp>) {
        let shard = misfired.revision.shard().index();
        let Some(slot) = self.slots[misfired.slot as usize].as_mut() else { return };
        if let Some(old) = std::mem::replace(&mut slot.next, next) {
            self.shards[shard].due.remove(&(old, misfired.slot));
        }
        if let Some(next) = next {
            self.shards[shard].due.insert((next, misfired.slot));
        }
    }

    /// Notes a claim that is durable.
    pub(super) fn note_claim(&mut self, claim: &Claim) {
        let shard = &mut self.shards[claim.shard.index()];
        shard.claimed_through = claim.through.max(shard.claimed_through);
        shard.settled_through = claim.settled_through.max(shard.settled_through);
    }
}

impl ShardAgenda {
    /// The first instant.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.due.first().map(|&(first, _)| first)
    }

    /// The first instant that is not claimed.
    pub(super) fn first_unclaimed(&self) -> Option<Timestamp> {
        let unclaimed = (Bound::Excluded((self.claimed_through, SlotId::MAX)), Bound::Unbounded);
        self.due.range(unclaimed).next().map(|&(first, _)| first)
    }

    /// Every instant up to this one was handed out.
    pub(super) fn handed_out(&self) -> Timestamp {
        match self.first() {
            Some(first) => Timestamp::from_millis(first.millis() - 1),
            None => Timestamp::FAR_FUTURE,
        }
    }
}
