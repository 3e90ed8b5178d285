//! The only room that asks the machine for the time. Wall time says *which* instant, monotonic time says *how long*.

mod sim;
mod system;

pub use self::sim::SimClock;
pub use self::system::SystemClock;

use std::fmt::Debug;
use std::time::Duration;

use crate::model::Timestamp;

/// A wall clock, which may be stepped, also backwards; and one that only says how long something took.
pub trait Clock: Debug + Send + Sync {
    /// The time on the wall.
    fn now(&self) -> Timestamp;

    /// Since some moment in the past. It never goes back, and goes on while the machine sleeps.
    fn elapsed(&self) -> Duration;
}

/// The longest single sleep: a wall clock that is stepped meanwhile is noticed after it.
pub const NAP_MAX: Duration = Duration::from_millis(500);

/// Sleeps until the wall clock shows `time`, or for [`NAP_MAX`] if that is sooner. So the caller looks again.
pub async fn nap_until(clock: &dyn Clock, time: Timestamp) {
    let span = time.since(clock.now());
    if !span.is_zero() {
        tokio::time::sleep(span.min(NAP_MAX)).await;
    }
}
