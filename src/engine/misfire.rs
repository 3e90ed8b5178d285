//! What becomes of instants that passed unfired for longer than the misfire grace. Pure.

use std::time::Duration;

use crate::model::cron::Ticks;
use crate::model::{Stretch, Timestamp};

/// What the policy `fire_once` does with the instants of one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Instants that are too old to be caught up.
    pub(super) missed: Option<Stretch>,
    /// Instants that give way to the newest one.
    pub(super) skipped: Option<Stretch>,
    /// The instant to go on with: the newest that passed, if it is caught up, else the first one to come.
    pub(super) next: Option<Timestamp>,
}

/// `fire_once`: of the instants later than `after` that have passed, the newest is fired if it lies within the catch-up
/// window, and stands for all others.
pub(super) fn fire_once(ticks: Ticks<'_>, after: Timestamp, now: Timestamp, window: Duration) -> Decision {
    let Some(newest) = ticks.latest(after, now) else {
        return Decision { next: ticks.next(after), ..Decision::default() };
    };
    let window_start = now.minus(window).max(after);
    if newest <= window_start {
        return Decision { missed: stretch(ticks, after, newest), skipped: None, next: ticks.next(newest) };
    }
    Decision {
        missed: stretch(ticks, after, window_start),
        skipped: stretch(ticks, window_start, Timestamp::from_millis(newest.millis() - 1)),
        next: Some(newest),
    }
}

/// The instants later than `after` and not later than `until`.
fn stretch(ticks: Ticks<'_>, after: Timestamp, until: Timestamp) -> Option<Stretch> {
    let first = ticks.next(after).filter(|&first| first <= until)?;
    let last = ticks.latest(after, until)?;
    Some(Stretch { first, last, count: ticks.count(after, until) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TimeZone;
    use crate::model::cron::CronExpr;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + second)
    }

    fn decide(expr: &str, after: i64, now: i64) -> Decision {
        let expr = CronExpr::parse(expr).unwrap();
        fire_once(expr.ticks(TimeZone::UTC, at(0)), at(after), at(now), HOUR)
    }

    #[test]
    fn the_newest_instant_within_the_window_stands_for_all() {
        let decision = decide("@every 10s", 0, 65);

        let skipped = Stretch { first: at(10), last: at(50), count: 5 };
        assert_eq!(decision, Decision { missed: None, skipped: Some(skipped), next: Some(at(60)) });
    }

    #[test]
    fn a_single_misfire_is_fired_and_nothing_is_skipped() {
        assert_eq!(decide("@every 10s", 50, 65), Decision { next: Some(at(60)), ..Decision::default() });
    }

    #[test]
    fn what_is_older_than_the_window_is_missed() {
        let decision = decide("@every 1000s", 0, 5_500);

        let missed = Stretch { first: at(1_000), last: at(1_000), count: 1 };
        let skipped = Stretch { first: at(2_000), last: at(4_000), count: 3 };
        assert_eq!(decision, Decision { missed: Some(missed), skipped: Some(skipped), next: Some(at(5_000)) });
    }

    #[test]
    fn when_even_the_newest_is_too_old_all_are_missed_and_the_next_to_come_goes_on() {
        let decision = decide("@every 2h", 0, 7_200 + 5_000);

        let missed = Stretch { first: at(7_200), last: at(7_200), count: 1 };
        assert_eq!(decision, Decision { missed: Some(missed), skipped: None, next: Some(at(14_400)) });
    }

    #[test]
    fn every_instant_is_counted_once() {
        for now in (1..20_000).step_by(501) {
            let Decision { missed, skipped, next } = decide("@every 7s", 0, now);
            let count = |stretch: Option<Stretch>| stretch.map_or(0, |stretch| stretch.count);
            let is_caught_up = u64::from(next.is_some_and(|next| next <= at(now)));
            assert_eq!(count(missed) + count(skipped) + is_caught_up, u64::try_from(now / 7).unwrap(), "after {now} s");
        }
    }
}
