//! Which node owns what. Nodes that share a store deal its shards among them: each gives signs of life, takes what is dealt to
//! it, and gives away what is dealt to another.
//!
//! All of it is one small document ([`Membership`]), changed by compare-and-set only: whoever stands in it lives, and owns what it
//! says. The [`rules`] are pure functions; [`Keeper`] carries them out. [`Tenure`] tells the other rooms whether this node may act
//! for a shard, right before they do.

pub mod dealing;
mod handing;
mod holder;
mod holding;
mod keeper;
mod lingering;
mod membership;
pub mod rules;
mod tenure;

#[cfg(test)]
pub(crate) mod played;
#[cfg(test)]
mod tests;

pub use self::holder::Holder;
pub use self::holding::{Duty, Hold, Holding};
pub use self::keeper::{Keeper, KeeperSettings};
pub use self::lingering::{Lingering, ToLook};
pub use self::membership::{Member, MemberId, Membership, MembershipError};
pub use self::tenure::Tenure;
