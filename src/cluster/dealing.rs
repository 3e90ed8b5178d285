//! Which member should own which shard: rendezvous hashing with an even share for each.

use xxhash_rust::xxh64::xxh64;

use super::membership::{Member, MemberId};
use crate::model::Shard;

/// For each shard the member that should own it. `None`: nobody can.
///
/// Each shard goes to the member with the highest hash of both, as long as that has less than its share: the number of shards
/// divided by the number of members, rounded up. So all nodes come to the same result without a word, and one that comes or
/// goes moves few shards beside its own.
pub fn deal(members: &[Member]) -> [Option<MemberId>; Shard::COUNT] {
    let mut dealt = [None; Shard::COUNT];
    let able: Vec<&Member> = members.iter().filter(|member| !member.is_leaving).collect();
    if able.is_empty() {
        return dealt;
    }
    let share = Shard::COUNT.div_ceil(able.len());
    let mut shares = vec![0; able.len()];
    for shard in Shard::all() {
        let free = (0..able.len()).filter(|&place| shares[place] < share);
        let best = free.max_by_key(|&place| (weight(able[place], shard), able[place].id));
        if let Some(best) = best {
            shares[best] += 1;
            dealt[shard.index()] = Some(able[best].id);
        }
    }
    dealt
}

/// XXH64 of the member's URL, seeded with the shard's number.
fn weight(member: &Member, shard: Shard) -> u64 {
    xxh64(member.url.as_bytes(), shard.index() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::played::member;
    use super::*;

    fn counts(members: &[Member]) -> BTreeMap<MemberId, usize> {
        let mut counts = BTreeMap::new();
        for id in deal(members).into_iter().flatten() {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    #[test]
    fn every_member_gets_an_even_share_and_every_shard_an_owner() {
        for count in 1..=20 {
            let members: Vec<Member> = (0..count).map(member).collect();
            let counts = counts(&members);

            assert_eq!(counts.values().sum::<usize>(), Shard::COUNT);
            assert!(counts.values().all(|&share| share <= Shard::COUNT.div_ceil(members.len())), "{counts:?}");
        }
    }

    #[test]
    fn nobody_is_dealt_a_shard_who_leaves() {
        let leaving = Member { is_leaving: true, ..member(1) };

        assert_eq!(deal(std::slice::from_ref(&leaving)), [None; Shard::COUNT]);
        assert_eq!(deal(&[member(0), leaving]), [Some(member(0).id); Shard::COUNT]);
    }

    #[test]
    fn the_order_of_the_members_and_their_lives_do_not_matter() {
        let [one, two, three] = [0, 1, 2].map(member);
        let anew = Member { id: MemberId::from_bytes([9; 16]), ..two.clone() };
        let was = deal(&[one.clone(), two.clone(), three.clone()]);

        assert_eq!(deal(&[three.clone(), two, one.clone()]), was);
        let places =
            |dealt: [Option<MemberId>; Shard::COUNT]| dealt.map(|id| id != Some(one.id) && id != Some(three.id));
        assert_eq!(places(deal(&[one.clone(), anew, three.clone()])), places(was));
    }

    #[test]
    fn few_shards_move_when_a_member_comes() {
        for count in 1..8 {
            let mut members: Vec<Member> = (0..count).map(member).collect();
            let before = deal(&members);
            members.push(member(count));
            let after = deal(&members);

            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let needed = Shard::COUNT / members.len();
            assert!(moved <= 2 * needed + 2, "{moved} of {needed} for {count} members");
        }
    }
}
