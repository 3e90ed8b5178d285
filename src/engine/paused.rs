//! Pauses on the agenda: entries that one covers stand in a set of their own, and none of their instants is fired.

use std::collections::BTreeSet;

use super::agenda::{Agenda, Passed, ShardAgenda, Slot, SlotId};
use crate::model::{Identity, PauseScope, Pauses, Timestamp};

impl Agenda {
    /// What is paused.
    pub(super) fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// The first instant of an entry that is paused.
    pub(super) fn next_paused(&self) -> Option<Timestamp> {
        self.shards.iter().filter_map(ShardAgenda::first_paused).min()
    }

    /// Whether an entry with this tag has an instant up to `until` that is due and was not handed out.
    pub(super) fn has_due(&self, scope: &PauseScope, until: Timestamp) -> bool {
        match scope {
            PauseScope::All => self.next_unclaimed().is_some_and(|next| next <= until),
            PauseScope::Tag(tag) => self.tagged.get(tag).into_iter().flatten().any(|&id| {
                let slot = self.slots[id as usize].as_ref();
                slot.is_some_and(|slot| slot.next.is_some_and(|next| next <= until) && !slot.is_covered(&self.pauses))
            }),
        }
    }

    /// Entries that are paused and whose oldest instant is not later than `until`, at most `max`.
    pub(super) fn paused(&self, until: Timestamp, max: usize) -> Vec<Passed> {
        let passed = self.shards.iter().flat_map(|shard| shard.paused.range(..=(until, SlotId::MAX)));
        passed.filter_map(|&(oldest, slot)| self.passed(oldest, slot)).take(max).collect()
    }

    /// The entries of a task that are paused and whose oldest instant is not later than `until`.
    pub(super) fn paused_of(&self, identity: &Identity, until: Timestamp) -> Vec<Passed> {
        let slots = self.tasks.get(identity).into_iter().flat_map(|slots| slots.iter());
        let passed = slots.filter_map(|&id| {
            let slot = self.slots[id as usize].as_ref().filter(|slot| slot.is_covered(&self.pauses))?;
            self.passed(slot.next.filter(|&next| next <= until)?, id)
        });
        passed.collect()
    }

    /// From now on these pauses hold.
    pub(super) fn set_pauses(&mut self, pauses: Pauses) {
        let before = std::mem::replace(&mut self.pauses, pauses);
        let (is_all, was_all) = (self.pauses.all.is_some(), before.all.is_some());
        if is_all && !was_all {
            // All of them: no entry has to be looked at.
            for ShardAgenda { due, paused, .. } in &mut self.shards {
                if paused.is_empty() {
                    std::mem::swap(due, paused);
                } else {
                    paused.append(due);
                }
            }
        } else if was_all && !is_all {
            for shard in 0..self.shards.len() {
                let paused = std::mem::take(&mut self.shards[shard].paused);
                if self.pauses.tags.is_empty() {
                    self.shards[shard].due = paused;
                    continue;
                }
                for (_, id) in paused {
                    self.place(id);
                }
            }
        } else if !is_all {
            let is_changed = |tag: &str| before.tags.contains_key(tag) != self.pauses.tags.contains_key(tag);
            let tags = before.tags.keys().chain(self.pauses.tags.keys()).filter(|tag| is_changed(tag));
            let ids: BTreeSet<SlotId> = tags.filter_map(|tag| self.tagged.get(tag)).flatten().copied().collect();
            for id in ids {
                if let Some((shard, next)) = self.slots[id as usize].as_ref().and_then(Slot::place) {
                    self.shards[shard].due.remove(&(next, id));
                    self.shards[shard].paused.remove(&(next, id));
                    self.place(id);
                }
            }
        }
    }

    /// Puts the instant of an entry into the set where it belongs.
    fn place(&mut self, id: SlotId) {
        if let Some(slot) = self.slots[id as usize].as_ref()
            && let Some((shard, next)) = slot.place()
        {
            self.shards[shard].set_for(slot.entry(), &self.pauses).insert((next, id));
        }
    }
}
