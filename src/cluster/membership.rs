//! Who lives and who owns what: one document, changed by compare-and-set only.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{Shard, Timestamp};

/// The form of the document. A node refuses a newer one: it would not understand what it has to keep to.
const FORMAT: u32 = 1;

/// One life of a node: a process that starts anew, and one that was given up, is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(Uuid);

impl MemberId {
    /// A new life.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A node that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// This life of it.
    pub id: MemberId,
    /// The folder that it has locked: of two members with the same home the earlier one has ended.
    pub home: Uuid,
    /// Where the others reach it. Shards are dealt by it, so a node that starts anew gets those that it had.
    pub url: Box<str>,
    /// Grows with each sign of life.
    pub beat: u64,
    /// What its clock showed at the last one, in milliseconds of the epoch: for people who compare clocks.
    pub clock: i64,
    /// Since when it takes part, in milliseconds of the epoch.
    pub joined: i64,
    /// It gives away what it owns and takes nothing more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_leaving: bool,
    /// The version of what is paused that it has in force.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pauses: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Member {
    /// A node that is about to join. Its name is chosen when it does.
    pub fn new(home: Uuid, url: &str, joined: Timestamp) -> Self {
        let joined = joined.millis();
        let id = MemberId(Uuid::nil());
        Self { id, home, url: url.into(), beat: 0, clock: joined, joined, pauses: 0, is_leaving: false }
    }

    /// What its clock showed at its last sign of life.
    pub fn clock(&self) -> Timestamp {
        Timestamp::from_millis(self.clock)
    }
}

/// The state of the cluster. A node is dead when it is no longer in here, and owns what stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Grows with each write.
    pub version: u64,
    members: Vec<Member>,
    owners: Vec<Option<MemberId>>,
}

/// What is stored cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Another version of the service wrote it.
    #[error("the cluster document has the format {found}, this version knows {FORMAT}: update this node")]
    Newer {
        /// What stands there.
        found: u32,
    },
    /// Somebody else wrote it.
    #[error("the cluster document cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    #[serde(default)]
    members: Vec<Member>,
    /// For each shard the place of its owner among the members.
    #[serde(default)]
    owners: Vec<Option<usize>>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Default for Membership {
    fn default() -> Self {
        Self { version: 0, members: Vec::new(), owners: vec![None; Shard::COUNT] }
    }
}

impl Membership {
    /// Reads what [`Membership::write`] wrote.
    pub fn read(version: u64, text: &str) -> Result<Self, MembershipError> {
        let Format { format: found } = serde_json::from_str(text)?;
        if found > FORMAT {
            return Err(MembershipError::Newer { found });
        }
        let Document { members, owners, .. } = serde_json::from_str(text)?;
        let mut all = vec![None; Shard::COUNT];
        for (owner, place) in all.iter_mut().zip(owners) {
            *owner = place.and_then(|place| members.get(place)).map(|member: &Member| member.id);
        }
        Ok(Self { version, members, owners: all })
    }

    /// As a JSON text. The version stands beside it.
    pub fn write(&self) -> String {
        let place = |id: &MemberId| self.members.iter().position(|member| member.id == *id);
        let owners = self.owners.iter().map(|owner| owner.as_ref().and_then(place)).collect();
        let document = Document { format: FORMAT, members: self.members.clone(), owners };
        serde_json::to_string(&document).expect("strings and numbers can be written as JSON")
    }

    /// All that take part, in the order in which they came.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Who owns a shard. `None`: nobody yet.
    pub fn owner(&self, shard: Shard) -> Option<&Member> {
        self.owners[shard.index()].and_then(|id| self.member(id))
    }

    /// The shards of a member.
    pub fn owned_by(&self, id: MemberId) -> impl Iterator<Item = Shard> {
        Shard::all().filter(move |shard| self.owners[shard.index()] == Some(id))
    }

    pub(super) fn set_owner(&mut self, shard: Shard, owner: Option<MemberId>) {
        self.owners[shard.index()] = owner;
    }

    pub(super) fn upsert(&mut self, member: Member) {
        match self.members.iter_mut().find(|known| known.id == member.id) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    /// Takes members out. What they owned has no owner.
    pub(super) fn retain(&mut self, stays: impl Fn(&Member) -> bool) {
        self.members.retain(stays);
        for index in 0..self.owners.len() {
            if self.owners[index].is_some_and(|id| self.member(id).is_none()) {
                self.owners[index] = None;
            }
        }
    }
}
