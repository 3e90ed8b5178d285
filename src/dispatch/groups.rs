//! Runs of backfills: of each, so many are in progress at once as was said, and the others wait in their order. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Backfill, RunId};

/// All backfills that have runs here.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<RunId, Group>,
}

#[derive(Debug, Default)]
struct Group {
    in_progress: usize,
    waiting: BTreeMap<u64, RunId>,
    next_number: u64,
}

impl Groups {
    /// Takes a run. `None`: it is in progress now; else its number among those that wait.
    pub(super) fn join(&mut self, backfill: Backfill, run: RunId) -> Option<u64> {
        let group = self.groups.entry(backfill.id).or_default();
        if group.in_progress < backfill.at_once && group.waiting.is_empty() {
            group.in_progress += 1;
            return None;
        }
        let number = group.next_number;
        group.next_number += 1;
        group.waiting.insert(number, run);
        Some(number)
    }

    /// Takes a run that is in progress already, however many are.
    pub(super) fn join_in_progress(&mut self, backfill: Backfill) {
        self.groups.entry(backfill.id).or_default().in_progress += 1;
    }

    /// Takes out a run that waits.
    pub(super) fn leave(&mut self, backfill: Backfill, number: u64) {
        if let Some(group) = self.groups.get_mut(&backfill.id) {
            group.waiting.remove(&number);
        }
        self.forget(backfill);
    }

    /// Notes the end of a run that was in progress, and gives the one that is now in its place.
    pub(super) fn ended(&mut self, backfill: Backfill) -> Option<RunId> {
        let group = self.groups.get_mut(&backfill.id)?;
        group.in_progress -= 1;
        let next = group.waiting.pop_first().map(|(_, run)| run);
        group.in_progress += usize::from(next.is_some());
        self.forget(backfill);
        next
    }

    fn forget(&mut self, backfill: Backfill) {
        if self.groups.get(&backfill.id).is_some_and(|group| group.in_progress == 0 && group.waiting.is_empty()) {
            self.groups.remove(&backfill.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn of_a_backfill_so_many_runs_are_in_progress_as_was_said_and_the_others_follow_in_their_order() {
        let at = Timestamp::from_secs;
        let backfill = Backfill { id: RunId::asked(at(0)), at_once: 2 };
        let other = Backfill { id: RunId::asked(at(0)), at_once: 1 };
        let runs: Vec<RunId> = (1..7).map(|second| RunId::asked(at(second))).collect();
        let mut groups = Groups::default();

        let joined: Vec<Option<u64>> = runs[..5].iter().map(|&run| groups.join(backfill, run)).collect();
        assert_eq!(joined, [None, None, Some(0), Some(1), Some(2)]);
        assert_eq!(groups.join(other, runs[5]), None);

        groups.leave(backfill, 1);
        assert_eq!(groups.ended(backfill), Some(runs[2]));
        assert_eq!(groups.ended(backfill), Some(runs[4]));
        assert_eq!([groups.ended(backfill), groups.ended(backfill)], [None, None]);
        assert_eq!(groups.ended(other), None);
        assert!(groups.groups.is_empty(), "nothing is kept of backfills without a run");
    }
}
