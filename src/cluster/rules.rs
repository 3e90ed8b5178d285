//! The rules by which nodes share the shards: pure functions of the cluster document and of what a node has seen.
//!
//! 1. A member that has given no sign of life for the time to live, by the clock of whoever looks, is taken out.
//! 2. What has no owner is taken by the member to whom it is dealt.
//! 3. What is dealt to another member is given away by its owner, once that has stopped to act for it.
//!
//! A member may act for its shards until its *deadline*: the time to live after the moment at which it began to write its last sign of
//! life that was taken, less a margin. Whoever takes it out has seen that sign later than that, and waits longer. If a sign of
//! life and a taking out meet, the compare-and-set lets one of them through.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::dealing::deal;
use super::membership::{Member, MemberId, Membership};
use crate::model::{Shard, ShardSet, Timestamp};

/// What a member has seen of the others' signs of life.
#[derive(Debug, Default)]
pub struct Observer {
    seen: BTreeMap<MemberId, Sign>,
}

#[derive(Debug)]
struct Sign {
    beat: u64,
    /// When it was first seen, by the clock of who looks.
    since: Duration,
}

impl Observer {
    /// Looks at a document that was read. `now`: the own clock after the answer came.
    pub fn look(&mut self, membership: &Membership, now: Duration) {
        self.seen.retain(|id, _| membership.member(*id).is_some());
        for member in membership.members() {
            let sign = self.seen.entry(member.id).or_insert(Sign { beat: member.beat, since: now });
            if sign.beat != member.beat {
                *sign = Sign { beat: member.beat, since: now };
            }
        }
    }

    /// For how long each of the others has given no sign of life.
    pub fn silence(&self, id: MemberId, now: Duration) -> Option<Duration> {
        self.seen.get(&id).map(|sign| now.saturating_sub(sign.since))
    }

    /// Those of whom nothing was seen for the time to live.
    pub fn silent(&self, now: Duration, ttl: Duration) -> BTreeSet<MemberId> {
        let is_silent = |sign: &Sign| now.saturating_sub(sign.since) >= ttl;
        self.seen.iter().filter(|(_, sign)| is_silent(sign)).map(|(id, _)| *id).collect()
    }
}

/// Until when a member may act, if the sign of life that it began to write at `begun` is taken.
pub fn deadline(begun: Duration, ttl: Duration) -> Duration {
    // Clocks run at different speeds, by less than one in a thousand; and a request has to leave the machine.
    begun + ttl - ttl / 5
}

/// How often a member gives a sign of life.
pub fn interval(ttl: Duration) -> Duration {
    ttl / 3
}

/// How long until a quiet moment begins: a tenth of a second after a full one. Most of what is due at the full second is sent by
/// then, and the next owner has the rest of the second to load what it takes.
pub fn until_quiet(now: Timestamp) -> Duration {
    const QUIET: RangeInclusive<i64> = 100..=300;
    let within = now.millis().rem_euclid(1_000);
    if QUIET.contains(&within) {
        return Duration::ZERO;
    }
    Duration::from_millis((QUIET.start() - within).rem_euclid(1_000).unsigned_abs())
}

/// What a member knows of itself when it writes.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// How it stands in the document from now on; its beat is counted here.
    pub me: &'a Member,
    /// It has tried to write itself in, whatever was answered. If it does not stand there, it was taken out: a name is never used
    /// for two lives, as others would take the beat of the second for an old one of the first.
    pub has_tried: bool,
    /// Others who have been silent for the time to live.
    pub silent: &'a BTreeSet<MemberId>,
    /// Shards for which it has stopped to act, so that they can be given away.
    pub stopped: ShardSet,
}

/// The others took this member out, as it gave no sign of life: it has no rights any more, and joins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenOut;

/// The next state of the cluster, as this member writes it with its sign of life.
pub fn next(now: &Membership, standing: &Standing<'_>) -> Result<Membership, TakenOut> {
    let Standing { me, has_tried, silent, stopped } = *standing;
    let known = now.member(me.id);
    if has_tried && known.is_none() {
        return Err(TakenOut);
    }
    let beat = known.map_or(0, |known| known.beat) + 1;
    let mut next = now.clone();
    next.version += 1;
    next.retain(|member| member.id == me.id || member.home != me.home && !silent.contains(&member.id));
    next.upsert(Member { beat, ..me.clone() });
    let dealt = deal(next.members());
    for shard in Shard::all() {
        let dealt = dealt[shard.index()];
        match next.owner(shard).map(|owner| owner.id) {
            None if dealt == Some(me.id) => next.set_owner(shard, dealt),
            Some(owner) if owner == me.id && stopped.contains(shard) => next.set_owner(shard, dealt),
            None | Some(_) => {}
        }
    }
    Ok(next)
}

/// The shards that a member owns and should give away.
pub fn to_give(membership: &Membership, me: MemberId) -> ShardSet {
    let dealt = deal(membership.members());
    membership.owned_by(me).filter(|shard| dealt[shard.index()] != Some(me)).collect()
}

/// The state without a member that has given everything away.
pub fn without(now: &Membership, me: MemberId) -> Membership {
    let mut next = now.clone();
    next.version += 1;
    next.retain(|member| member.id != me);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_handed_over_in_the_first_part_of_a_second() {
        let wait = |ms| until_quiet(Timestamp::from_millis(ms)).as_millis();

        assert_eq!([100, 200, 300, 5_100].map(wait), [0; 4]);
        assert_eq!([0, 99, 301, 999, 1_000, -1].map(wait), [100, 1, 799, 101, 100, 101]);
    }
}
