//! What a member does for each of its shards, and what it has to begin or to end when the cluster document has changed.

use std::collections::BTreeMap;

use super::membership::{MemberId, Membership};
use super::rules::to_give;
use crate::model::{Shard, ShardSet};

/// How far a member is with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It owns it and loads what belongs to it.
    Taking,
    /// It acts for it.
    Acting,
    /// It ends to act for it, so that it can be given away.
    Stopping,
    /// It has stopped, and waits for the write that gives it away.
    Stopped,
}

/// What has to be done for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Load what belongs to it, then act.
    Take(Shard),
    /// End to act.
    Stop(Shard),
}

/// The shards of a member.
#[derive(Clone, Debug, Default)]
pub struct Holding {
    shards: BTreeMap<Shard, Hold>,
}

impl Holding {
    /// What a document that this member has written asks of it.
    pub fn follow(&mut self, written: &Membership, me: MemberId) -> Vec<Duty> {
        let to_give = to_give(written, me);
        let mut duties = Vec::new();
        self.shards.retain(|shard, _| written.owner(*shard).is_some_and(|owner| owner.id == me));
        for shard in written.owned_by(me) {
            match (self.shards.get(&shard), to_give.contains(shard)) {
                // What was stopped, and is to be kept after all, is taken anew.
                (None, _) | (Some(Hold::Stopped), false) => {
                    self.shards.insert(shard, Hold::Taking);
                    duties.push(Duty::Take(shard));
                }
                (Some(Hold::Acting), true) => {
                    self.shards.insert(shard, Hold::Stopping);
                    duties.push(Duty::Stop(shard));
                }
                (Some(Hold::Taking | Hold::Stopping | Hold::Stopped | Hold::Acting), _) => {}
            }
        }
        duties
    }

    /// Everything that belongs to a shard was loaded: the member acts for it from now on. `false`: it is no longer wanted.
    pub fn taken(&mut self, shard: Shard) -> bool {
        self.step(shard, Hold::Taking, Hold::Acting)
    }

    /// It no longer acts for a shard.
    pub fn stopped(&mut self, shard: Shard) -> bool {
        self.step(shard, Hold::Stopping, Hold::Stopped)
    }

    fn step(&mut self, shard: Shard, from: Hold, to: Hold) -> bool {
        match self.shards.get_mut(&shard) {
            Some(hold) if *hold == from => {
                *hold = to;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The shards with which it is this far.
    pub fn at(&self, hold: Hold) -> impl Iterator<Item = Shard> {
        self.shards.iter().filter(move |(_, at)| **at == hold).map(|(shard, _)| *shard)
    }

    /// The shards that it owns and does not give away.
    pub fn kept(&self) -> ShardSet {
        self.at(Hold::Taking).chain(self.at(Hold::Acting)).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }
}
