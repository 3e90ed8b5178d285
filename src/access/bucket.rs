//! Buckets of requests: so many at once, and so many a second from then on. Times are those of a clock that never goes back.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;
/// How often is looked for places of who has not asked for long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What somebody has taken of a rate. A full one is as good as none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// When it is full again.
    full_at: Duration,
}

impl Bucket {
    /// Takes one of `per_second`, or says how long it takes until there is one. As many as fit into a second are there at once.
    pub(super) fn take(&mut self, per_second: NonZeroU32, elapsed: Duration) -> Result<(), Duration> {
        // Rounded up, so that it is never more than was said.
        let one = Duration::from_nanos(SECOND_NS.div_ceil(per_second.get().into()));
        let all = one * per_second.get();
        let next_full_at = self.full_at.max(elapsed) + one;
        let missing = next_full_at.saturating_sub(elapsed + all);
        if missing.is_zero() {
            self.full_at = next_full_at;
            Ok(())
        } else {
            Err(missing)
        }
    }
}

/// Buckets of many. Memory stays bounded however many they are.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    places: HashMap<K, Bucket>,
    places_max: usize,
    /// Of all for whom there is no place.
    others: Bucket,
    looked_at: Duration,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// For up to `places_max`. Those that come later take from one bucket together, until there is a place.
    pub(super) fn new(places_max: usize) -> Self {
        let (others, looked_at) = (Bucket::default(), Duration::ZERO);
        Self { places: HashMap::new(), places_max, others, looked_at }
    }

    /// Takes one of somebody's.
    pub(super) fn take(&mut self, who: &K, per_second: NonZeroU32, elapsed: Duration) -> Result<(), Duration> {
        if let Some(bucket) = self.places.get_mut(who) {
            return bucket.take(per_second, elapsed);
        }
        if self.places.len() >= self.places_max && elapsed.saturating_sub(self.looked_at) >= LOOK_EVERY {
            self.looked_at = elapsed;
            self.places.retain(|_, bucket| bucket.full_at > elapsed);
        }
        if self.places.len() >= self.places_max {
            return self.others.take(per_second, elapsed);
        }
        self.places.entry(who.clone()).or_default().take(per_second, elapsed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    #[test]
    fn as_many_as_the_rate_are_taken_at_once_and_then_one_each_time_its_part_of_a_second_is_over() {
        let (mut bucket, now) = (Bucket::default(), 100 * SECOND);
        for _ in 0..4 {
            assert_eq!(bucket.take(rate(4), now), Ok(()));
        }

        assert_eq!(bucket.take(rate(4), now), Err(SECOND / 4), "the fifth waits");
        assert_eq!(bucket.take(rate(4), now + SECOND / 8), Err(SECOND / 8));
        assert_eq!(bucket.take(rate(4), now + SECOND / 4), Ok(()));
        assert!(bucket.take(rate(4), now + SECOND / 4).is_err());
        for _ in 0..4 {
            assert_eq!(bucket.take(rate(4), now + 9 * SECOND), Ok(()), "what was not asked for is kept for a second");
        }
        assert!(bucket.take(rate(4), now + 9 * SECOND).is_err());
    }

    #[test]
    fn each_has_a_bucket_of_their_own_and_above_the_limit_of_places_they_share_one() {
        let mut buckets = Buckets::new(2);
        for who in ["a", "b", "c"] {
            assert_eq!(buckets.take(&who, rate(1), SECOND), Ok(()), "{who}");
        }
        for who in ["a", "b", "c", "d"] {
            assert_eq!(buckets.take(&who, rate(1), SECOND), Err(SECOND), "{who}");
        }
        assert_eq!(buckets.places.len(), 2);

        assert_eq!(buckets.take(&"d", rate(1), 2 * SECOND), Ok(()));
        assert!(buckets.places.len() == 1 && buckets.places.contains_key("d"), "full buckets make place");
    }

    proptest! {
        #[test]
        fn within_no_time_is_more_taken_than_at_once_and_by_the_rate(
            per_second in 1_u32..2_000,
            pauses in prop::collection::vec(prop_oneof![Just(0), 0_u64..2_000_000, 0_u64..3_000_000_000], 1..400),
        ) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), SECOND, Vec::new());
            for pause in pauses {
                now += Duration::from_nanos(pause);
                match bucket.take(rate(per_second), now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        prop_assert!(wait <= SECOND);
                        prop_assert!(bucket.take(rate(per_second), now + wait - Duration::from_nanos(1)).is_err());
                        prop_assert_eq!(Bucket { ..bucket }.take(rate(per_second), now + wait), Ok(()));
                    }
                }
            }
            for (place, from) in taken.iter().enumerate() {
                for (more, until) in taken[place..].iter().enumerate() {
                    let by_rate = (*until - *from).as_nanos() * u128::from(per_second) / u128::from(SECOND_NS);
                    prop_assert!((more as u128) < u128::from(per_second) + by_rate);
                }
            }
        }
    }
}
