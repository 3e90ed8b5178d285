use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{Shard, ShardSet, Timestamp};

/// The fires that were handed out and have no durable outcome yet, by shard and instant.
///
/// After a crash only instants later than [`Unsettled::through`] have to be looked at.
#[derive(Debug)]
pub struct Unsettled {
    fires_at: Mutex<Vec<BTreeMap<Timestamp, usize>>>,
}

impl Unsettled {
    pub(super) fn new() -> Self {
        Self { fires_at: Mutex::new(vec![BTreeMap::new(); Shard::COUNT]) }
    }

    /// Notes fires before they are handed out.
    pub fn open(&self, fires: impl IntoIterator<Item = (Shard, Timestamp)>) {
        let mut fires_at = self.fires_at.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, fire_time) in fires {
            *fires_at[shard.index()].entry(fire_time).or_default() += 1;
        }
    }

    /// Notes that fires have a durable outcome.
    pub fn settle(&self, fires: impl IntoIterator<Item = (Shard, Timestamp)>) {
        let mut fires_at = self.fires_at.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, fire_time) in fires {
            let of_shard = &mut fires_at[shard.index()];
            match of_shard.get_mut(&fire_time) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => drop(of_shard.remove(&fire_time)),
                None => {}
            }
        }
    }

    /// Forgets what is open of shards: another node acts for them, and finds it.
    pub fn forget(&self, shards: ShardSet) {
        let mut fires_at = self.fires_at.lock().unwrap_or_else(PoisonError::into_inner);
        shards.iter().for_each(|shard| fires_at[shard.index()].clear());
    }

    /// Every instant of the shard that was handed out and is not later than this has its outcome, if all instants up to
    /// `handed_out` were handed out.
    pub fn through(&self, shard: Shard, handed_out: Timestamp) -> Timestamp {
        let fires_at = self.fires_at.lock().unwrap_or_else(PoisonError::into_inner);
        match fires_at[shard.index()].first_key_value() {
            Some((oldest, _)) => handed_out.min(Timestamp::from_millis(oldest.millis() - 1)),
            None => handed_out,
        }
    }

    /// Whether a fire of the shard at this instant has no durable outcome.
    pub fn is_open(&self, shard: Shard, fire_time: Timestamp) -> bool {
        let fires_at = self.fires_at.lock().unwrap_or_else(PoisonError::into_inner);
        fires_at[shard.index()].contains_key(&fire_time)
    }

    /// How many fires have no durable outcome.
    pub fn count(&self) -> usize {
        let fires_at = self.fires_at.lock().unwrap_or_else(PoisonError::into_inner);
        fires_at.iter().flat_map(BTreeMap::values).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_settled_up_to_its_oldest_open_fire() {
        let (shard, other) = (Shard::at(3), Shard::at(4));
        let at = Timestamp::from_secs;
        let unsettled = Unsettled::new();

        unsettled.open([(shard, at(10)), (shard, at(10)), (shard, at(11))]);
        assert!(unsettled.is_open(shard, at(10)) && !unsettled.is_open(other, at(10)));
        assert_eq!(unsettled.through(shard, at(12)), Timestamp::from_millis(9_999));
        assert_eq!(unsettled.through(other, at(12)), at(12));

        unsettled.settle([(shard, at(10))]);
        assert_eq!(unsettled.through(shard, at(12)), Timestamp::from_millis(9_999));
        unsettled.settle([(shard, at(10))]);
        assert_eq!(unsettled.through(shard, at(12)), Timestamp::from_millis(10_999));
        unsettled.settle([(shard, at(11))]);
        assert_eq!(unsettled.through(shard, at(12)), at(12));
        assert_eq!(unsettled.count(), 0);
    }
}
