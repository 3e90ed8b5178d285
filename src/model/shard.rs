//! Shards: the slices into which tasks are dealt.

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

#[cfg(test)]
mod tests {
    use super::*;

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
