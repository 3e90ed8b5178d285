//! How many refusals have a record: a flood of them must not flood the audit.

use std::time::Duration;

use tokio::time::Instant;

/// The refusals of one sort: so many in a while have a record, the others are counted in the next one.
#[derive(Debug)]
struct Bound {
    max: u32,
    within: Duration,
    begun_at: Option<Instant>,
    taken: u32,
    left_out: u64,
}

impl Bound {
    fn new(max: u32, within: Duration) -> Self {
        Self { max, within, begun_at: None, taken: 0, left_out: 0 }
    }

    /// Whether this one has a record: then how many had none since the last one that had.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.begun_at.is_none_or(|begun_at| now.duration_since(begun_at) >= self.within) {
            (self.begun_at, self.taken) = (Some(now), 0);
        }
        if self.taken >= self.max {
            self.left_out += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// A record that was to have a place has none after all.
    fn give_back(&mut self, unlogged: u64) {
        self.left_out = self.left_out.saturating_add(unlogged).saturating_add(1);
    }
}

/// Who is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Sort {
    /// Somebody with a key, or whom nobody asks for one.
    Known,
    /// Anybody: everyone who can reach the service can make such refusals.
    Unknown,
    /// Somebody who reads.
    Reader,
}

/// The refusals and reads of this node. A sort cannot take the places of another.
#[derive(Debug)]
pub(in crate::api) struct Bounds {
    known: Bound,
    unknown: Bound,
    readers: Bound,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            known: Bound::new(10, Duration::from_secs(1)),
            unknown: Bound::new(1, Duration::from_secs(60)),
            readers: Bound::new(1_000, Duration::from_secs(1)),
        }
    }
}

impl Bounds {
    fn of(&mut self, sort: Sort) -> &mut Bound {
        match sort {
            Sort::Known => &mut self.known,
            Sort::Unknown => &mut self.unknown,
            Sort::Reader => &mut self.readers,
        }
    }

    /// Whether this one has a record: then how many had none since the last one that had.
    pub(super) fn take(&mut self, sort: Sort, now: Instant) -> Option<u64> {
        self.of(sort).take(now)
    }

    /// The record of one that had a place could not be given to the journal.
    pub(super) fn give_back(&mut self, sort: Sort, unlogged: u64) {
        self.of(sort).give_back(unlogged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_has_a_few_records_and_the_next_one_tells_how_many_have_none() {
        let (mut bounds, begin) = (Bounds::default(), Instant::now());
        let after = |millis| begin + Duration::from_millis(millis);

        let told: Vec<Option<u64>> = (0..13).map(|_| bounds.take(Sort::Known, after(0))).collect();
        assert_eq!(told[..10], [Some(0); 10]);
        assert_eq!(told[10..], [None; 3]);
        assert_eq!(bounds.take(Sort::Known, after(999)), None);
        assert_eq!(bounds.take(Sort::Known, after(1_000)), Some(4));
        assert_eq!(bounds.take(Sort::Known, after(1_001)), Some(0));
    }

    #[test]
    fn who_shows_no_key_takes_no_place_of_those_who_do() {
        let (mut bounds, begin) = (Bounds::default(), Instant::now());

        assert_eq!(bounds.take(Sort::Unknown, begin), Some(0));
        for _ in 0..1_000 {
            assert_eq!(bounds.take(Sort::Unknown, begin + Duration::from_secs(59)), None);
        }
        assert_eq!(bounds.take(Sort::Known, begin), Some(0));
        assert_eq!(bounds.take(Sort::Unknown, begin + Duration::from_secs(60)), Some(1_000));
    }

    #[test]
    fn a_record_that_the_journal_has_no_room_for_is_told_of_by_the_next_one() {
        let (mut bounds, begin) = (Bounds::default(), Instant::now());

        assert_eq!(bounds.take(Sort::Known, begin), Some(0));
        bounds.give_back(Sort::Known, 0);

        assert_eq!(bounds.take(Sort::Known, begin), Some(1));
    }
}
