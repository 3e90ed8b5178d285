//! What tests play clusters with, here and in the rooms that stand on this one.

use uuid::Uuid;

use super::{Member, MemberId};

/// The same numbers for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A node by its number.
pub(crate) fn member(number: u8) -> Member {
    Member {
        id: MemberId::from_bytes([number; 16]),
        home: Uuid::from_bytes([number; 16]),
        url: format!("http://node-{number}:3000").into(),
        beat: 1,
        clock: 0,
        joined: 0,
        is_leaving: false,
        pauses: 0,
    }
}
