//! Shards with something under way at a former owner: those that this member gave away so, and those that it took so. Pure.

use std::collections::BTreeMap;

use super::membership::Membership;
use crate::model::{Shard, ShardSet};

/// What a member knows of it.
#[derive(Clone, Debug, Default)]
pub struct Lingering {
    /// What it gave away while something of it was under way, and in which of its stops.
    own: BTreeMap<Shard, u64>,
    stops: u64,
    /// What it took while somebody lingered for it, and has not looked at since they ended.
    taken: ShardSet,
    is_looking: bool,
}

/// What has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToLook {
    /// Shards with runs that ended elsewhere, perhaps.
    pub shards: ShardSet,
    /// Those of them for which nobody lingers any more.
    pub over: ShardSet,
}

impl Lingering {
    /// Numbers a stop. A shard that came back and is stopped again lingers by its newest stop, whatever is said of an earlier one.
    pub fn begin_stop(&mut self) -> u64 {
        self.stops += 1;
        self.stops
    }

    /// Something of these shards is still under way after a stop.
    pub fn stopped(&mut self, stop: u64, shards: ShardSet) {
        self.own.extend(shards.iter().map(|shard| (shard, stop)));
    }

    /// All that was under way at a stop has ended, and is durable. Tells whether that is news.
    pub fn ended(&mut self, stop: u64, shards: ShardSet) -> bool {
        let known = self.own.len();
        self.own.retain(|shard, of| !shards.contains(*shard) || *of != stop);
        self.own.len() < known
    }

    /// The shards for which this member lingers.
    pub fn own(&self) -> ShardSet {
        self.own.keys().copied().collect()
    }

    /// This member takes shards. Gives those of which a former owner, which may be itself, has something under way.
    pub fn take(&mut self, written: &Membership, shards: ShardSet) -> ShardSet {
        let lingering = written.lingering() & shards;
        self.taken = (self.taken - shards) | lingering;
        lingering
    }

    /// What has to be looked at now. `kept`: the shards that this member owns and does not give away; `acting`: those that it has
    /// loaded. One look at a time.
    pub fn to_look(&mut self, written: &Membership, kept: ShardSet, acting: ShardSet) -> Option<ToLook> {
        self.taken = self.taken & kept;
        let shards = self.taken & acting;
        if self.is_looking || shards.is_empty() {
            return None;
        }
        self.is_looking = true;
        Some(ToLook { shards, over: shards - written.lingering() })
    }

    /// A look has ended: these shards need no other one.
    pub fn looked(&mut self, over: ShardSet) {
        self.taken = self.taken - over;
        self.is_looking = false;
    }

    /// The shards that are still to be looked at.
    pub fn taken(&self) -> ShardSet {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Member;
    use crate::cluster::played::member;

    fn set(numbers: &[usize]) -> ShardSet {
        numbers.iter().copied().map(Shard::at).collect()
    }

    fn lingers(shards: ShardSet) -> Membership {
        let mut written = Membership::default();
        written.upsert(Member { lingers: shards, ..member(1) });
        written.upsert(member(2));
        written
    }

    #[test]
    fn a_shard_lingers_until_what_was_under_way_at_its_newest_stop_has_ended() {
        let mut lingering = Lingering::default();
        let (first, second) = (lingering.begin_stop(), lingering.begin_stop());
        lingering.stopped(first, set(&[1, 2]));
        lingering.stopped(second, set(&[2]));

        assert!(lingering.ended(first, set(&[1, 2])));
        assert_eq!(lingering.own(), set(&[2]));
        assert!(!lingering.ended(first, set(&[2])));
        assert!(lingering.ended(second, set(&[2])) && lingering.own().is_empty());
    }

    #[test]
    fn what_was_taken_while_somebody_lingered_is_looked_at_until_nobody_does_and_once_more() {
        let (mut lingering, written) = (Lingering::default(), lingers(set(&[1, 2, 3])));
        assert_eq!(lingering.take(&written, set(&[1, 2, 9])), set(&[1, 2]));
        assert_eq!(lingering.to_look(&written, ShardSet::ALL, set(&[9])), None, "nothing is loaded yet");

        let look = |shards, over| Some(ToLook { shards, over });
        assert_eq!(lingering.to_look(&written, ShardSet::ALL, ShardSet::ALL), look(set(&[1, 2]), set(&[])));
        assert_eq!(lingering.to_look(&lingers(set(&[])), ShardSet::ALL, ShardSet::ALL), None, "one at a time");
        lingering.looked(set(&[]));
        assert_eq!(lingering.to_look(&lingers(set(&[1])), ShardSet::ALL, ShardSet::ALL), look(set(&[1, 2]), set(&[2])));
        lingering.looked(set(&[2]));
        assert_eq!(lingering.taken(), set(&[1]));
        assert_eq!(lingering.to_look(&lingers(set(&[])), set(&[2]), ShardSet::ALL), None, "it is given on meanwhile");
        assert!(lingering.taken().is_empty());
    }
}
