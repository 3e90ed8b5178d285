//! When runs that wait for their time have to be looked at again. Pure.
//!
//! What waits for an instant goes by the wall clock, what pauses for some time by the monotonic one. One ordered map for each: no
//! timer of the runtime stands behind a run that waits, so a hundred thousand of them cost what their entries in the map cost.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::NAP_MAX;
use crate::model::{RunId, Timestamp};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_wall: BTreeMap<(Timestamp, u64), RunId>,
    by_span: BTreeMap<(Instant, u64), RunId>,
    next_number: u64,
}

/// Names one that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    At(Timestamp, u64),
    After(Instant, u64),
}

impl Alarms {
    /// For when the wall clock shows `at`.
    pub(super) fn set_at(&mut self, at: Timestamp, run: RunId) -> Alarm {
        let number = self.number();
        self.by_wall.insert((at, number), run);
        Alarm::At(at, number)
    }

    /// For when `at` has come.
    pub(super) fn set_after(&mut self, at: Instant, run: RunId) -> Alarm {
        let number = self.number();
        self.by_span.insert((at, number), run);
        Alarm::After(at, number)
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn unset(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::At(at, number) => drop(self.by_wall.remove(&(at, number))),
            Alarm::After(at, number) => drop(self.by_span.remove(&(at, number))),
        }
    }

    /// How many runs wait for an instant.
    pub(super) fn delays(&self) -> usize {
        self.by_wall.len()
    }

    /// How many pauses there are.
    pub(super) fn pauses(&self) -> usize {
        self.by_span.len()
    }

    /// Takes out the run that was to be looked at first, if its time has come.
    pub(super) fn take_due(&mut self, wall: Timestamp, now: Instant) -> Option<RunId> {
        let due = self.by_wall.first_entry().filter(|first| first.key().0 <= wall).map(|first| first.remove());
        due.or_else(|| self.by_span.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove()))
    }

    /// When to look again. A wall clock may be stepped, so nobody sleeps for long because of it.
    pub(super) fn next(&self, wall: impl FnOnce() -> Timestamp, now: Instant) -> Option<Instant> {
        let by_wall = self.by_wall.first_key_value().map(|(&(at, _), _)| {
            let span = at.since(wall());
            // Below a millisecond a clock of milliseconds shows no progress.
            now + span.clamp(Duration::from_millis(1), NAP_MAX)
        });
        let by_span = self.by_span.first_key_value().map(|(&(at, _), _)| at);
        by_wall.into_iter().chain(by_span).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_are_given_in_the_order_of_their_times_and_those_unset_never() {
        let (wall, now) = (Timestamp::from_secs(1_000), Instant::now());
        let run = |second: i64| RunId::asked(Timestamp::from_secs(second));
        let (second, third, fourth) = (run(2), run(3), run(4));
        let mut alarms = Alarms::default();
        alarms.set_at(Timestamp::from_secs(1_003), third);
        alarms.set_at(Timestamp::from_secs(1_002), second);
        let unset = alarms.set_at(Timestamp::from_secs(1_001), run(1));
        alarms.set_after(now + Duration::from_secs(4), fourth);
        alarms.unset(unset);

        assert_eq!(alarms.take_due(wall, now), None);
        assert_eq!(alarms.next(|| wall, now), Some(now + NAP_MAX), "the wall clock may be stepped meanwhile");
        let (wall, now) = (Timestamp::from_secs(1_004), now + Duration::from_secs(4));
        let due: Vec<RunId> = std::iter::from_fn(|| alarms.take_due(wall, now)).collect();

        assert_eq!(due, [second, third, fourth]);
        assert_eq!((alarms.next(|| wall, now), alarms.pauses()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_slept_through() {
        let now = Instant::now();
        let mut alarms = Alarms::default();
        alarms.set_after(now + Duration::from_secs(3_600), RunId::asked(Timestamp::EPOCH));

        assert_eq!(alarms.next(|| unreachable!(), now), Some(now + Duration::from_secs(3_600)));
    }
}
