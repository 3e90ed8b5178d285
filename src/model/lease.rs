//! Leases: the right to act for a shard, and how far it has been used.

use super::{Shard, Timestamp};

/// Grows with each change of holder; the store refuses writes that carry a smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The stored state of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: Shard,
    /// The current holder's epoch.
    pub epoch: Epoch,
    /// No fire of an instant later than this was ever sent; earlier ones may have been.
    pub claimed_through: Timestamp,
    /// Every instant up to this one has its outcome in the journal. Never later than `claimed_through`.
    pub settled_through: Timestamp,
}

/// A holder's step: from now on it may fire the instants up to `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The shard.
    pub shard: Shard,
    /// The holder's epoch.
    pub epoch: Epoch,
    /// The new `claimed_through`.
    pub through: Timestamp,
    /// The new `settled_through`.
    pub settled_through: Timestamp,
}
