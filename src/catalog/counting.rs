//! How many tasks there are by the beginnings of their names, and places for those that are being put.
//!
//! Whoever may have so many tasks keeps a place for a new one before it is put, and counts after that, with all places: so two that
//! are put at once never both take the last place.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::{Catalog, CatalogError, Put, Rooms, Tasks};
use crate::model::{Identity, Prefixes, Revision, Shard, ShardSet};

/// How many sets of prefixes are counted for at once: those of all keys. Beyond it all are forgotten, and counted when they are asked
/// for again.
const SETS_MAX: usize = 1_024;

type All = BTreeMap<Identity, Arc<Revision>>;

/// Numbers of tasks. What was asked for once is kept up to date from then on: nobody goes through a million tasks at each put.
#[derive(Default)]
pub(super) struct Counted {
    sets: HashMap<Prefixes, [u64; Shard::COUNT]>,
    /// New tasks that are being put, each with how often at once.
    places: HashMap<Identity, usize>,
}

impl Counted {
    /// A task has come.
    pub(super) fn note_new(&mut self, identity: &Identity) {
        self.of(identity).for_each(|count| *count += 1);
    }

    /// A task has gone.
    pub(super) fn note_gone(&mut self, identity: &Identity) {
        self.of(identity).for_each(|count| *count -= 1);
    }

    /// The numbers to which a task belongs.
    fn of(&mut self, identity: &Identity) -> impl Iterator<Item = &mut u64> {
        let shard = Shard::of(identity).index();
        let sets = self.sets.iter_mut().filter(|(prefixes, _)| prefixes.cover(identity));
        sets.map(move |(_, counts)| &mut counts[shard])
    }

    /// How many tasks of some shards are covered, with those that are being put.
    fn count(&mut self, all: &All, prefixes: &Prefixes, shards: ShardSet) -> u64 {
        if !self.sets.contains_key(prefixes) && self.sets.len() >= SETS_MAX {
            self.sets.clear();
        }
        let counts = self.sets.entry(prefixes.clone()).or_insert_with(|| gone_through(all, prefixes));
        let there: u64 = shards.iter().map(|shard| counts[shard.index()]).sum();
        let is_coming = |identity: &&Identity| {
            prefixes.cover(identity) && shards.contains(Shard::of(identity)) && !all.contains_key(identity.as_str())
        };
        there + self.places.keys().filter(is_coming).count() as u64
    }
}

/// How many tasks of each shard are covered. Prefixes stand in order, so one that begins with another stands behind it.
fn gone_through(all: &All, prefixes: &Prefixes) -> [u64; Shard::COUNT] {
    let mut counts = [0; Shard::COUNT];
    let mut count = |prefix: &str| {
        let from = all.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let covered = from.take_while(|(identity, _)| identity.as_str().starts_with(prefix));
        covered.for_each(|(identity, _)| counts[Shard::of(identity).index()] += 1);
    };
    if prefixes.are_all() {
        count("");
    }
    let mut last: Option<&str> = None;
    for prefix in prefixes.iter() {
        if last.is_none_or(|last| !prefix.starts_with(last)) {
            count(prefix);
            last = Some(prefix);
        }
    }
    counts
}

/// What became of the wish for a place.
pub enum Reserved {
    /// There is such a task already: it needs no further place.
    Present,
    /// The place is kept until this is dropped.
    Kept(Place),
    /// There are as many as allowed, of this node alone.
    Full(u64),
}

/// A place for a task that is being put. It is counted as long as it lives.
pub struct Place {
    rooms: Arc<Rooms>,
    identity: Identity,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tasks = self.rooms.tasks_mut();
        if let Some(count) = tasks.counted.places.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                tasks.counted.places.remove(&self.identity);
            }
        }
    }
}

impl Catalog {
    /// Keeps a place for a task of which there may be `max` that these prefixes cover, as far as this node knows.
    pub fn reserve(&self, identity: &Identity, prefixes: &Prefixes, max: u64) -> Reserved {
        let mut tasks = self.rooms.tasks_mut();
        let Tasks { all, counted, .. } = &mut *tasks;
        if all.contains_key(identity) {
            return Reserved::Present;
        }
        let others = counted.count(all, prefixes, ShardSet::ALL);
        if others >= max && !counted.places.contains_key(identity) {
            return Reserved::Full(others);
        }
        *counted.places.entry(identity.clone()).or_default() += 1;
        Reserved::Kept(Place { rooms: self.rooms.clone(), identity: identity.clone() })
    }

    /// How many tasks of some shards these prefixes cover, with those for which a place is kept.
    pub fn count(&self, prefixes: &Prefixes, shards: ShardSet) -> u64 {
        let mut tasks = self.rooms.tasks_mut();
        let Tasks { all, counted, .. } = &mut *tasks;
        counted.count(all, prefixes, shards)
    }

    /// Puts a task in the place that is kept for it. The place is free again when the put has ended, whoever still waits for it.
    pub async fn put_in(&self, place: Option<Place>, put: Put) -> Result<u64, CatalogError> {
        self.apart(move |rooms| async move {
            let done = rooms.put(put).await;
            drop(place);
            done
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Task, TimeZone, Timestamp};

    fn identity(name: &str) -> Identity {
        Identity::parse(name).unwrap()
    }

    fn revision(name: &str) -> Arc<Revision> {
        Arc::new(Revision::new(Task::new(identity(name), TimeZone::UTC, Vec::new()), Timestamp::EPOCH))
    }

    fn prefixes(texts: &[&str]) -> Prefixes {
        Prefixes::parse(texts).unwrap()
    }

    #[test]
    fn what_is_being_put_counts_once_whether_it_is_there_already_or_not() {
        let (mut tasks, team) = (Tasks::default(), prefixes(&["team/"]));
        let count = |tasks: &mut Tasks| tasks.counted.count(&tasks.all, &team, ShardSet::ALL);
        tasks.put(revision("team/a"));
        tasks.counted.places.extend([(identity("team/b"), 2), (identity("other/c"), 1)]);
        assert_eq!(count(&mut tasks), 2);

        tasks.put(revision("team/b"));
        assert_eq!(count(&mut tasks), 2);
        tasks.counted.places.clear();
        assert_eq!(count(&mut tasks), 2);
        tasks.remove(&identity("team/a"));
        assert_eq!(count(&mut tasks), 1);
    }

    #[test]
    fn only_tasks_of_the_shards_that_are_asked_for_count() {
        let (mut tasks, all) = (Tasks::default(), Prefixes::all());
        (0..200).for_each(|number| tasks.put(revision(&format!("t{number}"))));

        let mut of = |shards| tasks.counted.count(&tasks.all, &all, shards);
        let parts: u64 = Shard::all().map(|shard| of(ShardSet::of([shard]))).sum();

        assert_eq!((parts, of(ShardSet::ALL), of(ShardSet::EMPTY)), (200, 200, 0));
    }

    #[test]
    fn however_many_sets_are_asked_for_memory_stays_bounded_and_the_numbers_right() {
        let mut tasks = Tasks::default();
        tasks.put(revision("7/x"));
        for number in 0..SETS_MAX + 10 {
            let counted = tasks.counted.count(&tasks.all, &prefixes(&[&format!("{number}/")]), ShardSet::ALL);
            assert_eq!(counted, u64::from(number == 7));
        }
        assert!(tasks.counted.sets.len() <= SETS_MAX);
    }

    proptest! {
        #[test]
        fn the_number_that_is_kept_is_the_number_that_there_is(
            steps in prop::collection::vec((any::<bool>(), "[ab]{1,3}"), 0..60),
            texts in prop::collection::vec("[ab]{1,2}", 0..4),
            asked_at in 0_usize..60,
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (mut tasks, covered) = (Tasks::default(), prefixes(&texts));
            for (place, (is_put, name)) in steps.iter().enumerate() {
                if place == asked_at {
                    tasks.counted.count(&tasks.all, &covered, ShardSet::ALL);
                }
                if *is_put { tasks.put(revision(name)) } else { tasks.remove(&identity(name)) }
            }

            let there = tasks.all.keys().filter(|identity| covered.cover(identity)).count() as u64;

            prop_assert_eq!(tasks.counted.count(&tasks.all, &covered, ShardSet::ALL), there);
        }
    }
}
