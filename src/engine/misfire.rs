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
