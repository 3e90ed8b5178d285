//! Fires that are spread over some time after their instants.

use std::time::Duration;

use xxhash_rust::xxh64::xxh64;

use crate::model::RunId;

/// How long after its instant a run starts: less than `jitter` and less than `room`, the time until the entry's next
/// instant if there is one. The same for a run whenever it is computed, in whole milliseconds.
pub fn jitter_delay(run_id: RunId, jitter: Duration, room: Option<Duration>) -> Duration {
    let within = room.map_or(jitter, |room| room.min(jitter));
    match u64::try_from(within.as_millis()).unwrap_or(u64::MAX) {
        0 => Duration::ZERO,
        millis => Duration::from_millis(xxh64(run_id.uuid().as_bytes(), 0) % millis),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{EntryName, Identity, Timestamp};

    fn run(number: i64) -> RunId {
        let (identity, entry) = (Identity::parse("t").unwrap(), EntryName::parse("e").unwrap());
        RunId::planned(&identity, &entry, Timestamp::from_secs(number))
    }

    #[test]
    fn runs_are_spread_evenly() {
        let minute = Duration::from_secs(60);
        let delays: Vec<u64> = (0..6_000).map(|number| jitter_delay(run(number), minute, None).as_secs()).collect();

        let in_tenth = |tenth: u64| delays.iter().filter(|&&delay| delay / 6 == tenth).count();
        assert!((0..10).all(|tenth| (480..720).contains(&in_tenth(tenth))));
    }

    proptest! {
        #[test]
        fn a_delay_is_the_same_each_time_and_ends_before_the_next_instant(
            number in 0_i64..4_000_000_000, jitter in 0_u64..86_400_000, room in proptest::option::of(1_u64..86_400_000),
        ) {
            let (jitter, room) = (Duration::from_millis(jitter), room.map(Duration::from_millis));
            let delay = jitter_delay(run(number), jitter, room);
            prop_assert_eq!(delay, jitter_delay(run(number), jitter, room));
            prop_assert!(delay < jitter || delay.is_zero());
            prop_assert!(room.is_none_or(|room| delay < room));
        }
    }
}
