//! Which batches are safe, and who waits for that.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;
use tokio::time::Instant;

/// What someone waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The records survive a crash of the process: they are in the store, or on this machine's disk.
    Safe,
    /// The records are in the store.
    Stored,
}

/// Batches by number. Those of an earlier process, which wait on the disk, are number zero.
#[derive(Debug, Default)]
pub(super) struct Progress {
    last: u64,
    unsafe_ones: BTreeSet<u64>,
    /// Each with the moment when it was begun.
    unstored: BTreeMap<u64, Instant>,
    waiting: Vec<(u64, Until, oneshot::Sender<()>)>,
}

impl Progress {
    /// Notes that records of an earlier process wait on the disk.
    pub(super) fn note_left_over(&mut self, now: Instant) {
        self.unstored.insert(0, now);
    }

    /// A new batch.
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        self.last += 1;
        self.unsafe_ones.insert(self.last);
        self.unstored.insert(self.last, now);
        self.last
    }

    /// When the oldest batch was begun that is not in the store; those of an earlier process count from the start of this one.
    pub(super) fn oldest_unstored(&self) -> Option<Instant> {
        self.unstored.first_key_value().map(|(_, begun)| *begun)
    }

    /// A batch is on the disk.
    pub(super) fn note_safe(&mut self, batch: u64) {
        self.unsafe_ones.remove(&batch);
        self.answer();
    }

    /// A batch is in the store.
    pub(super) fn note_stored(&mut self, batch: u64) {
        self.unsafe_ones.remove(&batch);
        self.unstored.remove(&batch);
        self.answer();
    }

    /// Everything that is on the disk now is in the store.
    pub(super) fn note_all_safe_stored(&mut self) {
        let unsafe_ones = &self.unsafe_ones;
        self.unstored.retain(|batch, _| unsafe_ones.contains(batch));
        self.answer();
    }

    /// Tells `waiter` when all batches begun so far are that far.
    pub(super) fn wait(&mut self, until: Until, waiter: oneshot::Sender<()>) {
        self.waiting.push((self.last, until, waiter));
        self.answer();
    }

    fn answer(&mut self) {
        let oldest_unsafe = self.unsafe_ones.first().copied().unwrap_or(u64::MAX);
        let oldest_unstored = self.unstored.first_key_value().map_or(u64::MAX, |(batch, _)| *batch);
        for (batch, until, waiter) in std::mem::take(&mut self.waiting) {
            let oldest = match until {
                Until::Safe => oldest_unsafe,
                Until::Stored => oldest_unstored,
            };
            if oldest > batch {
                // Nobody waits any more: nothing to tell.
                let _ = waiter.send(());
            } else {
                self.waiting.push((batch, until, waiter));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_waiter_is_told_when_all_batches_before_it_are_as_far_as_it_wants() {
        let mut progress = Progress::default();
        let now = Instant::now();
        progress.note_left_over(now);
        let (first, second) = (progress.begin(now), progress.begin(now));
        let (safe, mut is_safe) = oneshot::channel();
        let (stored, mut is_stored) = oneshot::channel();
        progress.wait(Until::Safe, safe);
        progress.wait(Until::Stored, stored);
        let third = progress.begin(now);

        progress.note_stored(second);
        assert!(is_safe.try_recv().is_err());
        progress.note_safe(first);
        assert!(is_safe.try_recv().is_ok() && is_stored.try_recv().is_err());
        progress.note_all_safe_stored();
        assert!(is_stored.try_recv().is_ok());

        let (stored, mut is_stored) = oneshot::channel();
        progress.wait(Until::Stored, stored);
        assert!(is_stored.try_recv().is_err());
        progress.note_stored(third);
        assert!(is_stored.try_recv().is_ok());
    }

    #[test]
    fn the_oldest_is_the_one_that_was_begun_first_of_those_that_are_not_in_the_store() {
        let (mut progress, begun) = (Progress::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(progress.oldest_unstored(), None);
        progress.note_left_over(after(0));
        let (first, second) = (progress.begin(after(1)), progress.begin(after(2)));

        assert_eq!(progress.oldest_unstored(), Some(after(0)));
        progress.note_safe(first);
        progress.note_stored(second);
        assert_eq!(progress.oldest_unstored(), Some(after(0)));
        let third = progress.begin(after(3));
        progress.note_all_safe_stored();
        assert_eq!(progress.oldest_unstored(), Some(after(3)));
        progress.note_stored(third);
        assert_eq!(progress.oldest_unstored(), None);
    }
}
