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
    /// The oldest first. While one waits, there is at least one here.
    in_progress: Vec<RunId>,
    /// The planned one that waits for the end of all.
    queued: Option<RunId>,
    /// Those that were asked for, in the order in which they came. One at most, unless a crash left more.
    asked: VecDeque<Asked>,
    /// Runs of backfills.
    aside: Vec<RunId>,
}

#[derive(Debug)]
struct Asked {
    run: RunId,
    /// It waits for the end of these. Later runs do not concern it: an entry that always has one in progress must not keep it
    /// waiting for ever.
    ahead: Vec<RunId>,
}

impl Overlaps {
    /// Decides on a planned run whose time has come.
    pub(super) fn plan(&mut self, key: EntryKey, run: RunId, policy: Overlap) -> Verdict {
        let slot = self.slots.entry(key).or_default();
        if slot.in_progress.is_empty() {
            slot.in_progress.push(run);
            return Verdict::Start;
        }
        match policy {
            Overlap::Allow => {
                slot.in_progress.push(run);
                Verdict::Start
            }
            Overlap::Skip => Verdict::Skip,
            Overlap::QueueOne => Verdict::Wait { instead_of: slot.queued.replace(run) },
            Overlap::CancelRunning => {
                let replaced = slot.in_progress.clone();
                slot.in_progress.push(run);
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
        let ahead: Vec<RunId> =
            slot.in_progress.iter().copied().chain(slot.asked.iter().map(|asked| asked.run)).collect();
        let starts = ahead.is_empty();
        if starts {
            slot.in_progress.push(run);
        } else {
            slot.asked.push_back(Asked { run, ahead });
        }
        starts
    }

    /// Takes a run that was in progress in an earlier process, whatever the policy.
    pub(super) fn join(&mut self, key: EntryKey, run: RunId) {
        self.slots.entry(key).or_default().in_progress.push(run);
    }

    /// Takes a run of a backfill that is in progress now.
    pub(super) fn join_aside(&mut self, key: EntryKey, run: RunId) {
        self.slots.entry(key).or_default().aside.push(run);
    }

    /// Notes the end of a run, wherever it stood, and gives those that are in progress now in its place.
    pub(super) fn ended(&mut self, key: EntryKey, run: RunId) -> Vec<RunId> {
        let Some(slot) = self.slots.get_mut(&key) else { return Vec::new() };
        slot.in_progress.retain(|&other| other != run);
        slot.aside.retain(|&other| other != run);
        slot.asked.retain(|asked| asked.run != run);
        slot.queued = slot.queued.filter(|&queued| queued != run);
        let started = slot.advance(run);
        if slot.is_empty() {
            self.slots.remove(&key);
        }
        started
    }

    /// What goes on of an entry. Of a run, `is_under_way` tells whether it only waits.
    pub(super) fn activity(&self, key: EntryKey, is_under_way: impl Fn(RunId) -> bool) -> Activity {
        let Some(slot) = self.slots.get(&key) else { return Activity::default() };
        let mut in_progress = [&slot.in_progress[..], &slot.aside].concat();
        in_progress.sort_unstable();
        let is_under_way = in_progress.iter().any(|&run| is_under_way(run));
        Activity { in_progress, is_under_way, waiting: slot.asked.front().map(|asked| asked.run) }
    }
}

impl Slot {
    /// Who asked goes before what is planned: somebody waits for it.
    fn advance(&mut self, ended: RunId) -> Vec<RunId> {
        let mut started = Vec::new();
        for asked in &mut self.asked {
            asked.ahead.retain(|&run| run != ended);
        }
        while self.asked.front().is_some_and(|asked| asked.ahead.is_empty()) {
            started.extend(self.asked.pop_front().map(|asked| asked.run));
        }
        self.in_progress.extend_from_slice(&started);
        if self.in_progress.is_empty()
            && let Some(queued) = self.queued.take()
        {
            self.in_progress.push(queued);
            started.push(queued);
        }
        started
    }

    fn is_empty(&self) -> bool {
        self.in_progress.is_empty() && self.asked.is_empty() && self.queued.is_none() && self.aside.is_empty()
    }
}

#[cfg(test)]
mod tests;
