//! The engine's time is that of the clock, but it never goes back, and it does not follow a leap at once: a clock that shows
//! another year for a moment must not end all firing until that year.

use std::sync::atomic::Ordering;
use std::time::Duration;

use log::{info, warn};
use tokio::time::Instant;

use super::run_loop::RunLoop;
use crate::model::Timestamp;

/// A clock that goes further ahead than this between two looks has leapt. A look comes twice a second.
const LEAP: Duration = Duration::from_secs(24 * 60 * 60);
/// So long the clock has to stand by a leap before the engine follows it.
const LEAP_STANDS_AFTER: Duration = Duration::from_secs(60);
/// A clock further than this behind the engine's time is told of.
const BEHIND: Duration = Duration::from_secs(10);

impl RunLoop {
    /// Never earlier than a moment this loop has acted on, and no leap away from it.
    pub(super) fn now(&self) -> Timestamp {
        let shown = self.clock.now();
        let stands = self.leapt_at.is_some_and(|leapt_at| leapt_at.elapsed() >= LEAP_STANDS_AFTER);
        if shown.since(self.latest) > LEAP && !stands { self.latest } else { self.latest.max(shown) }
    }

    /// Lets the engine's time go on, and tells when the clock is far from it.
    pub(super) fn look_at_clock(&mut self) {
        self.latest = self.now();
        let shown = self.clock.now();
        let (ahead, behind) = (shown.since(self.latest), self.latest.since(shown));
        match self.leapt_at {
            None if ahead > LEAP => {
                self.leapt_at = Some(Instant::now());
                let (latest, ahead_s) = (self.latest, ahead.as_secs());
                warn!(clock:% = shown, latest:%, ahead_s; "the clock has leapt ahead, nothing is fired until it stands for a minute");
            }
            Some(_) if ahead <= LEAP => {
                self.leapt_at = None;
                info!(clock:% = shown; "the clock leaps no more, firing goes on");
            }
            None | Some(_) => {}
        }
        let was_behind = self.status.clock_behind_s.load(Ordering::Relaxed) > 0;
        let is_behind = behind > BEHIND;
        if is_behind && !was_behind {
            let (latest, behind_s) = (self.latest, behind.as_secs());
            warn!(clock:% = shown, latest:%, behind_s; "the clock is behind what was fired before, nothing is fired until it is there");
        } else if was_behind && !is_behind {
            info!(clock:% = shown; "the clock is where it was before, firing goes on");
        }
        self.status.clock_behind_s.store(if is_behind { behind.as_secs() } else { 0 }, Ordering::Relaxed);
        self.status.clock_has_leapt.store(self.leapt_at.is_some(), Ordering::Relaxed);
    }
}
