use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Clock;
use crate::model::Timestamp;

/// A clock that hangs on tokio's time, so that a test with paused time runs a day in a moment. It can be stepped.
#[derive(Debug)]
pub struct SimClock {
    wall_at_start_ms: AtomicI64,
    started: Instant,
}

impl SimClock {
    /// A clock that shows `wall` now.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { wall_at_start_ms: AtomicI64::new(wall.millis()), started: Instant::now() }
    }

    /// Moves the wall clock, ahead or back, while monotonic time goes on.
    pub fn step(&self, by_ms: i64) {
        self.wall_at_start_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Sleeps until the clock shows `wall`.
    pub async fn sleep_until(&self, wall: Timestamp) {
        while self.now() < wall {
            tokio::time::sleep(wall.since(self.now()).max(Duration::from_millis(1))).await;
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.wall_at_start_ms.load(Ordering::SeqCst) + elapsed)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
