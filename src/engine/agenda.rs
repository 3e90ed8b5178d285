//! What comes next: for each shard an ordered set with one instant per entry. O(log n) to change, O(due) to take.
//!
//! Entries that are paused, and instants that are caught up, stand aside: they keep their place in what is settled, and
//! nothing else.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::catch_up::CatchUp;
use crate::model::{Claim, Entry, Epoch, Fire, Identity, Lease, Pauses, Revision, Shard, Timestamp, Trigger};

/// Names a slot. Slots are used again.
pub(super) type SlotId = u32;

/// The next instant of one entry.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) revision: Arc<Revision>,
    entry: u32,
    /// `None`: the entry names no further instant.
    pub(super) next: Option<Timestamp>,
}

/// A shard's instants, and how far they are claimed.
#[derive(Debug)]
pub(super) struct ShardAgenda {
    pub(super) shard: Shard,
    /// This node acts for it.
    pub(super) is_ours: bool,
    pub(super) epoch: Epoch,
    /// Instants up to this one may be fired.
    pub(super) claimed_through: Timestamp,
    /// Every instant up to this one has its outcome, and the lease says so.
    pub(super) settled_through: Timestamp,
    // BTreeSet, not a heap: a deleted task must leave the agenda now, not when its turn comes.
    pub(super) due: BTreeSet<(Timestamp, SlotId)>,
    /// The same for entries that a pause covers: none of these is fired.
    pub(super) paused: BTreeSet<(Timestamp, SlotId)>,
}

/// An entry with instants that passed unfired.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    slot: SlotId,
    pub(super) revision: Arc<Revision>,
    entry: u32,
    /// Its oldest unfired instant.
    pub(super) oldest: Timestamp,
}

impl Passed {
    /// Its place on the agenda.
    pub(super) fn slot(&self) -> SlotId {
        self.slot
    }

    /// Its place in the task.
    pub(super) fn index(&self) -> usize {
        self.entry as usize
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.revision.task.entries[self.index()]
    }
}

/// All instants to come on this node.
#[derive(Debug)]
pub(super) struct Agenda {
    pub(super) slots: Vec<Option<Slot>>,
    free: Vec<SlotId>,
    pub(super) tasks: HashMap<Identity, Box<[SlotId]>>,
    pub(super) shards: Vec<ShardAgenda>,
    /// The entries with a tag: a pause finds them without looking at all.
    pub(super) tagged: HashMap<Box<str>, BTreeSet<SlotId>>,
    pub(super) pauses: Pauses,
    pub(super) catch_up: CatchUp,
    /// Tasks of one request at one instant that name nothing more.
    pub(super) finished: Vec<Arc<Revision>>,
}

impl Agenda {
    pub(super) fn new(leases: &[Lease], pauses: Pauses) -> Self {
        let mut shards: Vec<ShardAgenda> = Shard::all().map(ShardAgenda::of_another).collect();
        for lease in leases {
            shards[lease.shard.index()].take(lease.epoch, lease.claimed_through, lease.settled_through);
        }
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            tasks: HashMap::new(),
            shards,
            tagged: HashMap::new(),
            pauses,
            catch_up: CatchUp::new(),
            finished: Vec::new(),
        }
    }

    pub(super) fn shards(&self) -> &[ShardAgenda] {
        &self.shards
    }

    /// How many entries have an instant to come.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.due.len() + shard.paused.len()).sum()
    }

    /// Puts a task on the agenda. Each entry goes on with its first instant later than `after`.
    pub(super) fn put(&mut self, revision: &Arc<Revision>, after: Timestamp) {
        let starts = revision.task.entries.iter().map(|entry| revision.instants(entry).next(after)).collect();
        self.put_at(revision, starts);
    }

    /// Puts a task on the agenda, each entry with the instant given for it. A task that is switched off names nothing.
    pub(super) fn put_at(&mut self, revision: &Arc<Revision>, starts: Vec<Option<Timestamp>>) {
        self.take_out(&revision.task.identity);
        if !revision.enabled {
            return;
        }
        if revision.task.is_one_shot && starts.iter().all(Option::is_none) {
            self.finished.push(revision.clone());
        }
        self.put_slots(revision, starts);
    }

    pub(super) fn put_slots(&mut self, revision: &Arc<Revision>, starts: Vec<Option<Timestamp>>) {
        let shard = revision.shard().index();
        let mut slots = Vec::with_capacity(starts.len());
        for (entry, next) in revision.task.entries.iter().zip(starts) {
            let index = u32::try_from(slots.len()).expect("a task has a bounded number of entries");
            let slot = self.fill_slot(Slot { revision: revision.clone(), entry: index, next });
            for tag in &entry.options().tags {
                self.tagged.entry(tag.clone()).or_default().insert(slot);
            }
            if let Some(next) = next {
                self.shards[shard].set_for(entry, &self.pauses).insert((next, slot));
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

    /// Takes a task off the agenda. What it catches up stays.
    pub(super) fn take_out(&mut self, identity: &Identity) -> Option<Arc<Revision>> {
        let shard = Shard::of(identity).index();
        let mut revision = None;
        for id in self.tasks.remove(identity)? {
            let slot = self.slots[id as usize].take()?;
            let entry = slot.entry();
            if let Some(next) = slot.next {
                self.shards[shard].set_for(entry, &self.pauses).remove(&(next, id));
            }
            for tag in &entry.options().tags {
                if let Some(tagged) = self.tagged.get_mut(tag) {
                    tagged.remove(&id);
                    if tagged.is_empty() {
                        self.tagged.remove(tag);
                    }
                }
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
                slot.next = slot.revision.instants(entry).next(fire_time);
                match slot.next {
                    Some(next) => drop(due.insert((next, id))),
                    None if slot.revision.task.is_one_shot => self.finished.push(slot.revision.clone()),
                    None => {}
                }
                let trigger = if fire_time < late_after { Trigger::CatchUp } else { Trigger::Schedule };
                fires.push(Fire::planned(slot.revision.clone(), slot.entry as usize, fire_time, trigger));
            }
        }
        fires
    }

    /// The first instant that may be fired.
    pub(super) fn next_claimed(&self) -> Option<Timestamp> {
        let first_due = |shard: &ShardAgenda| shard.due.first().map(|&(first, _)| first);
        let first_claimed = |shard: &ShardAgenda| first_due(shard).filter(|first| *first <= shard.claimed_through);
        self.shards.iter().filter_map(first_claimed).min()
    }

    /// The first instant that must be claimed before it may be fired.
    pub(super) fn next_unclaimed(&self) -> Option<Timestamp> {
        self.shards.iter().filter_map(ShardAgenda::first_unclaimed).min()
    }

    /// Whether a task has an instant up to `until` that was not handed out and has no record. Asked after everything due was
    /// handed out, so what is due and left is not claimed.
    pub(super) fn is_open(&self, identity: &Identity, until: Timestamp) -> bool {
        let next_of = |id: &SlotId| self.slots[*id as usize].as_ref().and_then(|slot| slot.next);
        self.tasks
            .get(identity)
            .into_iter()
            .flat_map(|slots| slots.iter())
            .filter_map(next_of)
            .any(|next| next <= until)
    }

    /// The unclaimed entries of a shard whose oldest unfired instant is older than `before`.
    pub(super) fn misfired(&self, shard: usize, before: Timestamp) -> Vec<Passed> {
        let ShardAgenda { due, claimed_through, .. } = &self.shards[shard];
        let from = (Bound::Excluded((*claimed_through, SlotId::MAX)), Bound::Excluded((before, SlotId::MIN)));
        if *claimed_through >= before {
            return Vec::new();
        }
        due.range(from).filter_map(|&(oldest, slot)| self.passed(oldest, slot)).collect()
    }

    /// The entries of a task whose oldest unfired instant is claimed and older than `before`, unless they are paused.
    pub(super) fn late_of(&self, identity: &Identity, before: Timestamp) -> Vec<Passed> {
        let claimed_through = self.shards[Shard::of(identity).index()].claimed_through;
        let late = self.tasks.get(identity).into_iter().flatten().filter_map(|&id| {
            let slot = self.slots[id as usize].as_ref().filter(|slot| !slot.is_covered(&self.pauses))?;
            self.passed(slot.next.filter(|&next| next <= claimed_through && next < before)?, id)
        });
        late.collect()
    }

    /// The same of all tasks.
    pub(super) fn late(&self, before: Timestamp) -> Vec<Passed> {
        let of_shard = |shard: &ShardAgenda| {
            let due = shard.due.range(..(before, SlotId::MIN));
            due.copied().take_while(|&(next, _)| next <= shard.claimed_through).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).filter_map(|(oldest, id)| self.passed(oldest, id)).collect()
    }

    pub(super) fn passed(&self, oldest: Timestamp, id: SlotId) -> Option<Passed> {
        let Slot { revision, entry, .. } = self.slots[id as usize].as_ref()?;
        Some(Passed { slot: id, revision: revision.clone(), entry: *entry, oldest })
    }

    /// Lets an entry go on with another instant.
    pub(super) fn go_on(&mut self, passed: &Passed, next: Option<Timestamp>) {
        let shard = passed.revision.shard().index();
        let Some(slot) = self.slots[passed.slot as usize].as_mut() else { return };
        let set = self.shards[shard].set_for(passed.entry(), &self.pauses);
        if let Some(old) = std::mem::replace(&mut slot.next, next) {
            set.remove(&(old, passed.slot));
        }
        match next {
            Some(next) => drop(set.insert((next, passed.slot))),
            None if slot.revision.task.is_one_shot => self.finished.push(slot.revision.clone()),
            None => {}
        }
    }

    /// Takes the one-shot tasks that name nothing more and catch nothing up.
    pub(super) fn take_finished(&mut self) -> Vec<Arc<Revision>> {
        if self.finished.is_empty() {
            return Vec::new();
        }
        let (waiting, finished) =
            self.finished.drain(..).partition(|revision| self.catch_up.holds(&revision.task.identity));
        self.finished = waiting;
        finished
    }

    /// Every instant of a shard up to this one was handed out, or has its record.
    pub(super) fn handed_out(&self, shard: Shard) -> Timestamp {
        let oldest = self.shards[shard.index()].first().into_iter().chain(self.catch_up.oldest(shard)).min();
        oldest.map_or(Timestamp::FAR_FUTURE, |oldest| Timestamp::from_millis(oldest.millis() - 1))
    }

    /// Notes a claim that is durable.
    pub(super) fn note_claim(&mut self, claim: &Claim) {
        let shard = &mut self.shards[claim.shard.index()];
        shard.claimed_through = claim.through.max(shard.claimed_through);
        shard.settled_through = claim.settled_through.max(shard.settled_through);
    }
}

impl Slot {
    pub(super) fn entry(&self) -> &Entry {
        &self.revision.task.entries[self.entry as usize]
    }

    pub(super) fn is_covered(&self, pauses: &Pauses) -> bool {
        pauses.cover(self.entry().options())
    }

    /// Its shard and its instant.
    pub(super) fn place(&self) -> Option<(usize, Timestamp)> {
        self.next.map(|next| (self.revision.shard().index(), next))
    }
}

impl ShardAgenda {
    /// The set in which an entry stands.
    pub(super) fn set_for(&mut self, entry: &Entry, pauses: &Pauses) -> &mut BTreeSet<(Timestamp, SlotId)> {
        if !pauses.is_empty() && pauses.cover(entry.options()) { &mut self.paused } else { &mut self.due }
    }

    /// The first instant that was not handed out.
    fn first(&self) -> Option<Timestamp> {
        self.due.first().map(|&(first, _)| first).into_iter().chain(self.first_paused()).min()
    }

    /// The first instant of an entry that is paused.
    pub(super) fn first_paused(&self) -> Option<Timestamp> {
        self.paused.first().map(|&(first, _)| first)
    }

    /// The first instant that is not claimed.
    pub(super) fn first_unclaimed(&self) -> Option<Timestamp> {
        let unclaimed = (Bound::Excluded((self.claimed_through, SlotId::MAX)), Bound::Unbounded);
        self.due.range(unclaimed).next().map(|&(first, _)| first)
    }
}
