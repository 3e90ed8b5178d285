//! What becomes of instants that passed unfired for longer than the misfire grace. Pure.

use std::time::Duration;

use crate::model::{Instants, Misfire, Stretch, Timestamp};

/// What a policy does with the instants of one entry that have passed. Each of them stands in one place here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Instants that are too old to be caught up.
    pub(super) missed: Option<Stretch>,
    /// Instants that the policy does not fire.
    pub(super) skipped: Option<Stretch>,
    /// Instants that are fired one after the other, beside what comes.
    pub(super) caught_up: Option<Stretch>,
    /// The instant to go on with: the newest that passed, if it stands for all, else the first one to come.
    pub(super) next: Option<Timestamp>,
}

/// Of the instants later than `after`, decides about those that have passed.
pub(super) fn decide(
    policy: Misfire,
    ticks: Instants<'_>,
    after: Timestamp,
    now: Timestamp,
    window: Duration,
) -> Decision {
    let Some(newest) = ticks.latest(after, now) else {
        return Decision { next: ticks.next(after), ..Decision::default() };
    };
    // What lies at the start of the window, or before it, is older than the window.
    let window_start = now.minus(window).max(after);
    match policy {
        Misfire::Skip => {
            Decision { skipped: stretch(ticks, after, newest), next: ticks.next(newest), ..Decision::default() }
        }
        Misfire::FireOnce if newest <= window_start => too_old(ticks, after, newest),
        Misfire::FireOnce => Decision {
            missed: stretch(ticks, after, window_start),
            skipped: stretch(ticks, window_start, Timestamp::from_millis(newest.millis() - 1)),
            next: Some(newest),
            ..Decision::default()
        },
        Misfire::FireAll if newest <= window_start => too_old(ticks, after, newest),
        Misfire::FireAll => Decision {
            missed: stretch(ticks, after, window_start),
            caught_up: stretch(ticks, window_start, newest),
            next: ticks.next(newest),
            ..Decision::default()
        },
    }
}

/// Even the newest is older than the window.
fn too_old(ticks: Instants<'_>, after: Timestamp, newest: Timestamp) -> Decision {
    Decision { missed: stretch(ticks, after, newest), next: ticks.next(newest), ..Decision::default() }
}

/// The instants later than `after` and not later than `until`.
pub(super) fn stretch(ticks: Instants<'_>, after: Timestamp, until: Timestamp) -> Option<Stretch> {
    let first = ticks.next(after).filter(|&first| first <= until)?;
    let last = ticks.latest(after, until)?;
    Some(Stretch { first, last, count: ticks.count(after, until) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Entry, EntryName, Identity, Request, Revision, Schedule, TargetUrl, Task, TimeZone};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + second)
    }

    fn revision(expr: &str) -> Revision {
        let request = Request::post(TargetUrl::parse("http://a/").unwrap());
        let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron(expr).unwrap(), request);
        let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry]);
        Revision::new(task, at(0))
    }

    fn decided(policy: Misfire, expr: &str, after: i64, now: i64) -> Decision {
        let revision = revision(expr);
        decide(policy, revision.instants(&revision.task.entries[0]), at(after), at(now), HOUR)
    }

    fn of(first: i64, last: i64, count: u64) -> Option<Stretch> {
        Some(Stretch { first: at(first), last: at(last), count })
    }

    use Misfire::{FireAll, FireOnce, Skip};

    #[test]
    fn fire_once_lets_the_newest_instant_within_the_window_stand_for_all() {
        let decision = decided(FireOnce, "@every 10s", 0, 65);

        assert_eq!(decision, Decision { skipped: of(10, 50, 5), next: Some(at(60)), ..Decision::default() });
    }

    #[test]
    fn a_single_misfire_is_fired_and_nothing_is_skipped() {
        let decision = decided(FireOnce, "@every 10s", 50, 65);

        assert_eq!(decision, Decision { next: Some(at(60)), ..Decision::default() });
    }

    #[test]
    fn what_is_older_than_the_window_is_missed() {
        let decision = decided(FireOnce, "@every 1000s", 0, 5_500);

        let (missed, skipped) = (of(1_000, 1_000, 1), of(2_000, 4_000, 3));
        assert_eq!(decision, Decision { missed, skipped, next: Some(at(5_000)), ..Decision::default() });
    }

    #[test]
    fn when_even_the_newest_is_too_old_all_are_missed_and_the_next_to_come_goes_on() {
        for policy in [FireOnce, FireAll] {
            let decision = decided(policy, "@every 2h", 0, 7_200 + 5_000);

            let (missed, next) = (of(7_200, 7_200, 1), Some(at(14_400)));
            assert_eq!(decision, Decision { missed, next, ..Decision::default() });
        }
    }

    #[test]
    fn skip_fires_nothing_that_has_passed_however_new_or_old() {
        let decision = decided(Skip, "@every 1000s", 0, 5_500);

        assert_eq!(decision, Decision { skipped: of(1_000, 5_000, 5), next: Some(at(6_000)), ..Decision::default() });
    }

    #[test]
    fn fire_all_catches_up_what_lies_within_the_window_and_goes_on_with_what_comes() {
        let decision = decided(FireAll, "@every 1000s", 0, 5_500);

        let (missed, caught_up) = (of(1_000, 1_000, 1), of(2_000, 5_000, 4));
        assert_eq!(decision, Decision { missed, caught_up, next: Some(at(6_000)), ..Decision::default() });
    }

    #[test]
    fn an_instant_as_old_as_the_window_is_too_old() {
        let decision = decided(FireAll, "@every 100s", 0, 3_700);

        assert_eq!((decision.missed, decision.caught_up), (of(100, 100, 1), of(200, 3_700, 36)));
    }

    proptest! {
        #[test]
        fn each_policy_counts_every_instant_that_has_passed_once(
            expr in prop::sample::select(vec!["@every 7s", "* * * * * *", "*/20 * * * * *", "0 */5 * * * *", "0 0 3 * * *"]),
            policy in prop::sample::select(Misfire::ALL.to_vec()),
            after in 0..100_000_i64,
            passed in 0..20_000_i64,
            window in 0..10_000_u64,
        ) {
            let (revision, after, now) = (revision(expr), at(after), at(after + passed));
            let ticks = revision.instants(&revision.task.entries[0]);
            let decision = decide(policy, ticks, after, now, Duration::from_secs(window));
            let Decision { missed, skipped, caught_up, next } = decision;

            let mut from = after;
            for stretch in [missed, skipped, caught_up].into_iter().flatten() {
                // In this order, without a gap, and with the number of instants that each names.
                prop_assert_eq!(ticks.next(from), Some(stretch.first));
                prop_assert_eq!(ticks.count(from, stretch.last), stretch.count);
                prop_assert!(stretch.last <= now);
                from = stretch.last;
            }
            prop_assert_eq!(ticks.next(from), next);
            let stands_for_all = u64::from(next.is_some_and(|next| next <= now));
            let count = |stretch: Option<Stretch>| stretch.map_or(0, |stretch| stretch.count);
            prop_assert_eq!(count(missed) + count(skipped) + count(caught_up) + stands_for_all, ticks.count(after, now));
            prop_assert!(stands_for_all == 0 || policy == FireOnce);
            prop_assert!(missed.is_none_or(|missed| missed.last <= now.minus(Duration::from_secs(window))));
        }
    }
}
