//! Which node owns what. Nodes that share a store deal its shards among them: each gives signs of life, takes what is dealt to
//! it, and gives away what is dealt to another.
//!
//! All of it is one small document ([`Membership`]), changed by compare-and-set only: whoever stands in it lives, and owns what it
//! says. The [`rules`] are pure functions; [`Keeper`] carries them out. [`Tenure`] tells the other rooms whether this node may act
//! for a shard, right before they do.

mod agreement;
pub mod dealing;
mod holding;
mod keeper;
mod key;
mod membership;
mod peers;
pub mod rules;
mod signs;
mod tenure;
mod view;

#[cfg(test)]
pub(crate) mod played;
#[cfg(test)]
mod tests;

pub use self::agreement::{Agreement, Wake};
pub use self::holding::{Duty, Hold, Holding};
pub use self::keeper::{Holder, Keeper, KeeperSettings};
pub use self::key::ClusterKey;
pub use self::membership::{Member, MemberId, Membership, MembershipError};
pub use self::peers::{
    AskError, KEY_HEADER, LOOK_PATH, Overdue, Owner, PeerAnswer, PeerRequest, Peers, Search, header_text, peer_client,
};
pub use self::signs::Signs;
pub use self::tenure::Tenure;
pub use self::view::{Change, End, Reason, View};
