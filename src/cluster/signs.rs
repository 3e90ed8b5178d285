//! What a node has seen of the others' clocks and signs of life: for people who look, not for the rules.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::membership::{MemberId, Membership};
use crate::model::Timestamp;

/// From how many signs of life the difference of two clocks is told.
const SAMPLES_MAX: usize = 16;

/// The newest sign of life of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs(BTreeMap<MemberId, Sign>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sign {
    beat: u64,
    /// By the clock that never goes back.
    seen: Duration,
    /// The wall clock of this node when it looked last, in milliseconds.
    looked_ms: i64,
    /// Between what its clock is ahead of this node's, in milliseconds, the oldest first: a new sign of life was given after the look
    /// before, and before this one.
    ahead_ms: VecDeque<(i64, i64)>,
}

impl Signs {
    /// Looks at a document: `now` by the wall clock, `elapsed` by the one that never goes back.
    pub(super) fn look(&mut self, membership: &Membership, now: Timestamp, elapsed: Duration) {
        self.0.retain(|id, _| membership.member(*id).is_some());
        for member in membership.members() {
            let new = || Sign { beat: 0, seen: elapsed, looked_ms: 0, ahead_ms: VecDeque::new() };
            let sign = self.0.entry(member.id).or_insert_with(new);
            let looked_ms = std::mem::replace(&mut sign.looked_ms, now.millis());
            if sign.beat == member.beat {
                continue;
            }
            // The first one may be of any age.
            if sign.beat != 0 {
                sign.ahead_ms.push_back((member.clock - now.millis(), member.clock - looked_ms));
                sign.ahead_ms.drain(..sign.ahead_ms.len().saturating_sub(SAMPLES_MAX));
            }
            (sign.beat, sign.seen) = (member.beat, elapsed);
        }
    }

    /// How long ago a sign of life of a member was seen that was new.
    pub fn age(&self, id: MemberId, elapsed: Duration) -> Option<Duration> {
        self.0.get(&id).map(|sign| elapsed.saturating_sub(sign.seen))
    }

    /// How far a member's clock is ahead of this node's, in milliseconds, and within how much that is known; behind, if negative.
    pub fn ahead_ms(&self, id: MemberId) -> Option<(i64, u64)> {
        let sign = self.0.get(&id)?;
        let least = sign.ahead_ms.iter().map(|(least, _)| *least).max()?;
        // A clock that was stepped since leaves nothing in between: then what was seen last counts.
        let most = sign.ahead_ms.iter().map(|(_, most)| *most).min().filter(|most| *most >= least);
        let (least, most) = most.map(|most| (least, most)).or_else(|| sign.ahead_ms.back().copied())?;
        Some((least + (most - least) / 2, (most - least).unsigned_abs().div_ceil(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership::Member;
    use super::super::played::member;
    use super::*;

    fn seen(signs: &mut Signs, beat: u64, clock: i64, at_ms: u64) {
        let mut membership = Membership::default();
        membership.upsert(Member { beat, clock, ..member(1) });
        let now = Timestamp::from_millis(i64::try_from(at_ms).unwrap() + 1_000_000);
        signs.look(&membership, now, Duration::from_millis(at_ms));
    }

    #[test]
    fn what_a_clock_is_ahead_lies_between_the_two_looks_around_a_sign_of_life() {
        let (mut signs, id) = (Signs::default(), member(1).id);
        seen(&mut signs, 7, 5_000, 0);
        assert_eq!(
            (signs.ahead_ms(id), signs.age(id, Duration::from_millis(250))),
            (None, Some(Duration::from_millis(250)))
        );

        seen(&mut signs, 7, 5_000, 500);
        assert_eq!(signs.age(id, Duration::from_millis(600)), Some(Duration::from_millis(600)));
        // Its clock is 40 ms ahead. The first is given 900 ms before it is seen, the second 10 ms after the look before.
        seen(&mut signs, 8, 1_000_000 + 1_040, 1_900);
        assert_eq!(signs.ahead_ms(id), Some((-160, 700)));
        seen(&mut signs, 9, 1_000_000 + 1_950, 2_900);

        assert_eq!(
            (signs.ahead_ms(id), signs.age(id, Duration::from_millis(2_900))),
            (Some((-405, 455)), Some(Duration::ZERO))
        );
    }

    #[test]
    fn a_member_that_is_gone_is_forgotten_and_old_signs_of_one_that_stays() {
        let (mut signs, id) = (Signs::default(), member(1).id);
        for beat in 1..=(SAMPLES_MAX as u64 + 2) {
            let ahead = if beat == 2 { 500 } else { 0 };
            seen(&mut signs, beat, 1_000_000 + i64::try_from(beat).unwrap() + ahead, beat);
        }
        assert_eq!(signs.ahead_ms(id), Some((0, 1)));

        signs.look(&Membership::default(), Timestamp::EPOCH, Duration::ZERO);
        assert_eq!(signs, Signs::default());
    }
}
