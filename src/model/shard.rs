//! Shards: the slices into which tasks are dealt.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

use xxhash_rust::xxh64::xxh64;

use super::Identity;

/// One of [`Shard::COUNT`] slices of all identities. A task stays in its shard for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// How many shards there are. Stored leases and tasks depend on it: it never changes.
    pub const COUNT: usize = 64;

    /// The shard of a task: XXH64 with seed 0 of the identity's bytes, modulo [`Shard::COUNT`].
    pub fn of(identity: &Identity) -> Self {
        let hash = xxh64(identity.as_str().as_bytes(), 0);
        Self::at((hash % Self::COUNT as u64) as usize)
    }

    /// The shard with this number; numbers wrap at [`Shard::COUNT`].
    pub fn at(index: usize) -> Self {
        Self(u8::try_from(index % Self::COUNT).expect("a remainder of 64 fits a byte"))
    }

    /// All shards, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self::at)
    }

    /// Its number, below [`Shard::COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Some of the shards.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ShardSet(u64);

impl ShardSet {
    /// Every shard.
    pub const ALL: Self = Self(u64::MAX);
    /// None.
    pub const EMPTY: Self = Self(0);

    /// These shards.
    pub fn of(shards: impl IntoIterator<Item = Shard>) -> Self {
        shards.into_iter().collect()
    }

    /// Whether this shard is among them.
    pub fn contains(self, shard: Shard) -> bool {
        self.0 & bit(shard) != 0
    }

    /// Adds a shard.
    pub fn insert(&mut self, shard: Shard) {
        self.0 |= bit(shard);
    }

    /// Takes a shard out.
    pub fn remove(&mut self, shard: Shard) {
        self.0 &= !bit(shard);
    }

    /// The shards, in order.
    pub fn iter(self) -> impl Iterator<Item = Shard> {
        Shard::all().filter(move |&shard| self.contains(shard))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// A bit for each shard, the first one lowest.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Reads what [`ShardSet::bits`] gave.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl BitOr for ShardSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for ShardSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for ShardSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

fn bit(shard: Shard) -> u64 {
    1 << shard.0
}

impl FromIterator<Shard> for ShardSet {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        let mut set = Self::EMPTY;
        shards.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

impl fmt::Debug for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Shard::index)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_shards_that_were_put_in_and_gives_them_in_order() {
        let mut set = ShardSet::of([63, 0, 17, 63].map(Shard::at));
        set.insert(Shard::at(5));
        set.remove(Shard::at(17));
        set.remove(Shard::at(18));

        assert_eq!(set.iter().map(Shard::index).collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!((set.len(), set.is_empty(), format!("{set:?}")), (3, false, "{0, 5, 63}".to_owned()));
        assert!(set.contains(Shard::at(63)) && !set.contains(Shard::at(17)));
        assert_eq!(set, set.iter().collect());
        assert_eq!(set, ShardSet::from_bits(set.bits()));
    }

    #[test]
    fn sets_are_joined_met_and_taken_from_each_other() {
        let (one, other) = (ShardSet::of([1, 2].map(Shard::at)), ShardSet::of([2, 3].map(Shard::at)));

        assert_eq!(one | other, ShardSet::of([1, 2, 3].map(Shard::at)));
        assert_eq!((one & other, one - other), (ShardSet::of([Shard::at(2)]), ShardSet::of([Shard::at(1)])));
    }

    #[test]
    fn the_whole_set_holds_every_shard_and_the_empty_one_none() {
        assert_eq!(ShardSet::ALL, Shard::all().collect());
        assert_eq!((ShardSet::ALL.len(), ShardSet::EMPTY.len()), (Shard::COUNT, 0));
        assert!(ShardSet::EMPTY.is_empty() && ShardSet::EMPTY.iter().next().is_none());
    }

    #[test]
    fn a_task_never_changes_its_shard() {
        // Fixed values: stored data depends on them.
        let shard = |text: &str| Shard::of(&Identity::parse(text).unwrap()).index();

        assert_eq!([shard("a"), shard("backup"), shard("é中")], SHARDS_OF_A_BACKUP_AND_TWO_LETTERS);
    }

    const SHARDS_OF_A_BACKUP_AND_TWO_LETTERS: [usize; 3] = [27, 17, 43];

    #[test]
    fn many_tasks_spread_over_all_shards() {
        let mut tasks_in = [0_usize; Shard::COUNT];
        for number in 0..6_400 {
            tasks_in[Shard::of(&Identity::parse(&format!("task-{number}")).unwrap()).index()] += 1;
        }

        assert!(tasks_in.iter().all(|&count| (50..200).contains(&count)), "{tasks_in:?}");
    }
}
