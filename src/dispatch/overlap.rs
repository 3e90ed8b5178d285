//! Which runs of an entry may be in progress at once. Pure: it names runs and decides, and starts nothing.
//!
//! The policy of an entry is about its planned runs. What somebody asks for waits for the runs that are in progress at that time,
//! whatever the policy. Runs of a backfill stand aside: how many of them go at once was said when they were asked for.

use std::collections::{HashMap, VecDeque};

use super::Activity;
use super::keys::EntryKey;
use crate::model::{Overlap, RunId};

/// What becomes of a planned run that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in progress now.
    Start,
    /// It is not to run.
    Skip,
    /// It waits for the end of those in progress, in place of an older one that is not to run any more.
    Wait {
        /// The older one.
        instead_of: Option<RunId>,
    },
    /// It is in progress now, and these are to end.
    Replace(Vec<RunId>),
}

/// Who is in progress, and who waits for whom.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    slots: HashMap<EntryKey, Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// In the order in which they came. While one waits, there is at least one here.
    in_progress: Vec<Placed>,
    /// The planned one that waits for the end of all.
    queued: Option<RunId>,
    /// Those that were asked for, in the order in which they came. One at most, unless a crash left more.
    asked: VecDeque<Placed>,
    /// Runs of backfills.
    aside: Vec<RunId>,
    /// How many have come.
    came: u64,
}

/// A run, and its place in the order in which runs came: what was asked for waits for the end of those before it. Later ones do not
/// concern it: an entry that always has one in progress must not keep it waiting for ever.
#[derive(Clone, Copy, Debug)]
struct Placed {
    number: u64,
    run: RunId,
}

impl Overlaps {
    /// Decides on a planned run whose time has come.
    pub(super) fn plan(&mut self, key: EntryKey, run: RunId, policy: Overlap) -> Verdict {
        let slot = self.slots.entry(key).or_default();
        if slot.in_progress.is_empty() {
            slot.join(run);
            return Verdict::Start;
        }
        match policy {
            Overlap::Allow => {
                slot.join(run);
                Verdict::Start
            }
            Overlap::Skip => Verdict::Skip,
            Overlap::QueueOne => Verdict::Wait { instead_of: slot.queued.replace(run) },
            Overlap::CancelRunning => {
                let replaced = slot.in_progress.iter().map(|placed| placed.run).collect();
                slot.join(run);
                Verdict::Replace(replaced)
            }
        }
    }

    /// Takes a run that somebody asks for: `true`, it is in progress now; `false`, it waits. The error is the one that waits
    /// already.
    pub(super) fn ask(&mut self, key: EntryKey, run: RunId) -> Result<bool, RunId> {
        match self.slots.get(&key).and_then(|slot| slot.asked.back()) {
            Some(waiting) => Err(waiting.run),
            None => Ok(self.ask_again(key, run)),
        }
    }

    /// Takes a run that an earlier process had taken, however many wait.
    pub(super) fn ask_again(&mut self, key: EntryKey, run: RunId) -> bool {
        let slot = self.slots.entry(key).or_default();
        // While one waits, another one is in progress.
        let starts = slot.in_progress.is_empty();
        if starts {
            slot.join(run);
        } else {
            let placed = slot.place(run);
            slot.asked.push_back(placed);
        }
        starts
    }

    /// Takes a run that was in progress in an earlier process, whatever the policy.
    pub(super) fn join(&mut self, key: EntryKey, run: RunId) {
        self.slots.entry(key).or_default().join(run);
    }

    /// Takes a run of a backfill that is in progress now.
    pub(super) fn join_aside(&mut self, key: EntryKey, run: RunId) {
        self.slots.entry(key).or_default().aside.push(run);
    }

    /// Notes the end of a run, wherever it stood, and gives the one that is in progress now in its place.
    pub(super) fn ended(&mut self, key: EntryKey, run: RunId) -> Option<RunId> {
        let slot = self.slots.get_mut(&key)?;
        slot.take_out(run);
        let started = slot.advance();
        if slot.is_empty() {
            self.slots.remove(&key);
        }
        started
    }

    /// The runs of an entry that are in progress, without those of backfills.
    pub(super) fn in_progress(&self, key: EntryKey) -> Vec<RunId> {
        let slot = self.slots.get(&key);
        slot.into_iter().flat_map(|slot| &slot.in_progress).map(|placed| placed.run).collect()
    }

    /// What goes on of an entry. Of a run, `is_under_way` tells whether it only waits.
    pub(super) fn activity(&self, key: EntryKey, is_under_way: impl Fn(RunId) -> bool) -> Activity {
        let Some(slot) = self.slots.get(&key) else { return Activity::default() };
        let in_progress = slot.in_progress.iter().map(|placed| placed.run);
        let mut in_progress: Vec<RunId> = in_progress.chain(slot.aside.iter().copied()).collect();
        in_progress.sort_unstable();
        let is_under_way = in_progress.iter().any(|&run| is_under_way(run));
        Activity { in_progress, is_under_way, waiting: slot.asked.front().map(|asked| asked.run) }
    }
}

impl Slot {
    /// Gives a run the last place of all that have come.
    fn place(&mut self, run: RunId) -> Placed {
        self.came += 1;
        Placed { number: self.came, run }
    }

    fn join(&mut self, run: RunId) {
        let placed = self.place(run);
        self.in_progress.push(placed);
    }

    fn take_out(&mut self, run: RunId) {
        if let Some(at) = self.in_progress.iter().position(|placed| placed.run == run) {
            self.in_progress.remove(at);
        } else if let Some(at) = self.asked.iter().position(|placed| placed.run == run) {
            self.asked.remove(at);
        } else {
            self.aside.retain(|&other| other != run);
            self.queued = self.queued.filter(|&queued| queued != run);
        }
    }

    /// Who asked goes before what is planned: somebody waits for it.
    fn advance(&mut self) -> Option<RunId> {
        let is_first = |asked: &Placed| self.in_progress.first().is_none_or(|oldest| asked.number < oldest.number);
        if self.asked.front().is_some_and(is_first) {
            let asked = self.asked.pop_front()?;
            self.in_progress.insert(0, asked);
            return Some(asked.run);
        }
        let queued = if self.in_progress.is_empty() { self.queued.take() } else { None }?;
        self.join(queued);
        Some(queued)
    }

    fn is_empty(&self) -> bool {
        self.in_progress.is_empty() && self.asked.is_empty() && self.queued.is_none() && self.aside.is_empty()
    }
}

#[cfg(test)]
mod tests;
