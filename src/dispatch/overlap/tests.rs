use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::keys::Keys;
use super::*;
use crate::model::{EntryName, Identity, Timestamp};

fn key(name: &str) -> EntryKey {
    static KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(Keys::default);
    KEYS.entry(&Identity::parse("t").unwrap(), &EntryName::parse(name).unwrap())
}

fn run(number: i64) -> RunId {
    RunId::planned(&Identity::parse("t").unwrap(), &EntryName::parse("e").unwrap(), Timestamp::from_secs(number))
}

#[test]
fn each_policy_decides_by_what_is_in_progress() {
    let policies = [Overlap::Allow, Overlap::Skip, Overlap::QueueOne, Overlap::CancelRunning];
    let second = |policy| {
        let mut overlaps = Overlaps::default();
        assert_eq!(overlaps.plan(key("e"), run(1), policy), Verdict::Start);
        assert_eq!(overlaps.plan(key("other"), run(9), policy), Verdict::Start);
        overlaps.plan(key("e"), run(2), policy)
    };

    let wait = Verdict::Wait { instead_of: None };
    assert_eq!(policies.map(second), [Verdict::Start, Verdict::Skip, wait, Verdict::Replace(vec![run(1)])]);
}

#[test]
fn the_newest_one_that_waits_stands_for_all() {
    let mut overlaps = Overlaps::default();
    overlaps.plan(key("e"), run(1), Overlap::QueueOne);

    assert_eq!(overlaps.plan(key("e"), run(2), Overlap::QueueOne), Verdict::Wait { instead_of: None });
    assert_eq!(overlaps.plan(key("e"), run(3), Overlap::QueueOne), Verdict::Wait { instead_of: Some(run(2)) });
    assert_eq!(overlaps.ended(key("e"), run(2)), None, "it was given up");
    assert_eq!(overlaps.ended(key("e"), run(1)), Some(run(3)));
    assert_eq!(overlaps.ended(key("e"), run(3)), None);
    assert!(overlaps.slots.is_empty(), "nothing is kept of entries without a run");
}

#[test]
fn what_is_asked_for_waits_for_what_is_in_progress_then_and_for_nothing_later() {
    let mut overlaps = Overlaps::default();
    overlaps.plan(key("e"), run(1), Overlap::Allow);
    overlaps.plan(key("e"), run(2), Overlap::Allow);

    assert_eq!(overlaps.ask(key("e"), run(10)), Ok(false));
    assert_eq!(overlaps.ask(key("e"), run(11)), Err(run(10)));
    overlaps.plan(key("e"), run(3), Overlap::Allow);
    let in_progress = vec![run(1), run(2), run(3)];
    let activity = |is_under_way| Activity { in_progress: in_progress.clone(), is_under_way, waiting: Some(run(10)) };
    assert_eq!(overlaps.activity(key("e"), |other| other == run(3)), activity(true));
    assert_eq!(overlaps.activity(key("e"), |other| other == run(10)), activity(false));
    assert_eq!(overlaps.ended(key("e"), run(2)), None);
    assert_eq!(overlaps.ended(key("e"), run(1)), Some(run(10)));
    assert_eq!(overlaps.ask(key("e"), run(11)), Ok(false));
}

#[test]
fn what_is_asked_for_goes_before_a_planned_one_that_waits() {
    let mut overlaps = Overlaps::default();
    overlaps.plan(key("e"), run(1), Overlap::QueueOne);
    overlaps.plan(key("e"), run(2), Overlap::QueueOne);
    assert_eq!(overlaps.ask(key("e"), run(10)), Ok(false));

    assert_eq!(overlaps.ended(key("e"), run(1)), Some(run(10)));
    assert_eq!(overlaps.plan(key("e"), run(3), Overlap::Skip), Verdict::Skip);
    assert_eq!(overlaps.ended(key("e"), run(10)), Some(run(2)));
}

#[test]
fn a_backfill_stands_aside_and_is_shown() {
    let mut overlaps = Overlaps::default();
    overlaps.join_aside(key("e"), run(1));

    assert_eq!(overlaps.plan(key("e"), run(2), Overlap::Skip), Verdict::Start);
    assert_eq!(overlaps.activity(key("e"), |_| true).in_progress, [run(1), run(2)]);
    assert_eq!(overlaps.ended(key("e"), run(2)), None);
    assert_eq!(overlaps.ask(key("e"), run(3)), Ok(true));
}

#[test]
fn what_a_crash_left_is_taken_however_many_there_are_and_goes_one_after_the_other() {
    let mut overlaps = Overlaps::default();
    overlaps.join(key("e"), run(1));

    assert_eq!([2, 3].map(|number| overlaps.ask_again(key("e"), run(number))), [false, false]);
    assert_eq!(overlaps.ask(key("e"), run(4)), Err(run(3)));
    assert_eq!(overlaps.ended(key("e"), run(1)), Some(run(2)));
    assert_eq!(overlaps.ended(key("e"), run(2)), Some(run(3)));
}

#[test]
fn ten_thousand_that_wait_for_one_entry_take_as_much_memory_each_as_the_first() {
    const WAITING: i64 = 10_000;
    let mut overlaps = Overlaps::default();
    overlaps.join(key("e"), run(0));

    for number in 1..=WAITING {
        assert!(!overlaps.ask_again(key("e"), run(number)));
    }
    let slot = &overlaps.slots[&key("e")];
    assert_eq!((slot.asked.len(), slot.in_progress.len()), (WAITING as usize, 1));
    // A place holds no list: of those before it, or of anything else.
    fn is_flat<T: Copy>(_: &T) {}
    is_flat(&slot.asked[0]);

    // Every other one leaves before its turn.
    for number in (1..=WAITING).step_by(2) {
        assert_eq!(overlaps.ended(key("e"), run(number)), None);
    }
    for number in (0..WAITING).step_by(2) {
        assert_eq!(overlaps.ended(key("e"), run(number)), Some(run(number + 2)));
    }
    assert_eq!(overlaps.ended(key("e"), run(WAITING)), None);
    assert!(overlaps.slots.is_empty());
}

#[test]
fn when_one_that_waits_leaves_the_one_behind_it_still_waits_for_what_was_before_both() {
    let mut overlaps = Overlaps::default();
    overlaps.plan(key("e"), run(1), Overlap::Allow);
    assert!(!overlaps.ask_again(key("e"), run(10)));
    overlaps.plan(key("e"), run(2), Overlap::Allow);
    assert!(!overlaps.ask_again(key("e"), run(11)));
    overlaps.plan(key("e"), run(3), Overlap::Allow);

    assert_eq!(overlaps.ended(key("e"), run(10)), None);
    assert_eq!(overlaps.ended(key("e"), run(1)), None);
    assert_eq!(overlaps.ended(key("e"), run(2)), Some(run(11)));
}

#[derive(Clone, Debug)]
enum Deed {
    Plan(Overlap),
    Ask,
    Aside,
    /// The run at this place among those that are known ends.
    End(prop::sample::Index),
}

fn deeds(policies: &'static [Overlap]) -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => prop::sample::select(policies).prop_map(Deed::Plan),
        2 => Just(Deed::Ask),
        1 => Just(Deed::Aside),
        4 => any::<prop::sample::Index>().prop_map(Deed::End),
    ];
    prop::collection::vec(deed, 0..60)
}

/// What the rules say of each run, kept beside them.
#[derive(Default)]
struct World {
    overlaps: Overlaps,
    in_progress: BTreeSet<RunId>,
    waiting: BTreeSet<RunId>,
    aside: BTreeSet<RunId>,
    /// How often each run was started.
    starts: BTreeMap<RunId, usize>,
}

impl World {
    fn start(&mut self, run: RunId) {
        self.waiting.remove(&run);
        self.in_progress.insert(run);
        *self.starts.entry(run).or_default() += 1;
    }

    fn carry_out(&mut self, run: RunId, deed: &Deed) {
        match deed {
            Deed::Plan(policy) => match self.overlaps.plan(key("e"), run, *policy) {
                Verdict::Start => self.start(run),
                Verdict::Skip => {}
                Verdict::Wait { instead_of } => {
                    assert!(instead_of.is_none_or(|older| self.waiting.remove(&older)));
                    self.waiting.insert(run);
                }
                Verdict::Replace(older) => {
                    assert_eq!(older.iter().copied().collect::<BTreeSet<_>>(), self.in_progress);
                    self.start(run);
                }
            },
            Deed::Ask => match self.overlaps.ask(key("e"), run) {
                Ok(true) => self.start(run),
                Ok(false) => drop(self.waiting.insert(run)),
                Err(other) => assert!(self.waiting.contains(&other)),
            },
            Deed::Aside => {
                self.overlaps.join_aside(key("e"), run);
                self.aside.insert(run);
            }
            Deed::End(which) => {
                let known: Vec<RunId> =
                    [&self.in_progress, &self.waiting, &self.aside].into_iter().flatten().copied().collect();
                if !known.is_empty() {
                    self.end(*which.get(&known));
                }
            }
        }
    }

    fn end(&mut self, run: RunId) {
        for runs in [&mut self.in_progress, &mut self.waiting, &mut self.aside] {
            runs.remove(&run);
        }
        if let Some(started) = self.overlaps.ended(key("e"), run) {
            assert!(self.waiting.contains(&started));
            self.start(started);
        }
    }

    fn check(&self) {
        let activity = self.overlaps.activity(key("e"), |_| true);
        let shown: BTreeSet<RunId> = self.in_progress.union(&self.aside).copied().collect();
        assert_eq!(activity.in_progress, shown.into_iter().collect::<Vec<_>>());
        assert!(self.waiting.len() <= 2, "one that is planned, and one that was asked for");
        assert!(self.waiting.is_empty() || !self.in_progress.is_empty(), "nobody waits for nothing");
        assert!(self.starts.values().all(|&starts| starts == 1));
    }
}

proptest! {
    #[test]
    fn every_run_starts_once_or_not_at_all_and_nothing_is_kept_of_them(
        deeds in deeds(&[Overlap::Allow, Overlap::Skip, Overlap::QueueOne, Overlap::CancelRunning])
    ) {
        let mut world = World::default();
        for (number, deed) in deeds.iter().enumerate() {
            world.carry_out(run(number as i64), deed);
            world.check();
        }
        while let Some(&run) = world.in_progress.iter().chain(&world.aside).next() {
            world.end(run);
            world.check();
        }
        prop_assert!(world.waiting.is_empty() && world.overlaps.slots.is_empty());
    }

    #[test]
    fn where_runs_must_not_overlap_one_is_in_progress_at_most(deeds in deeds(&[Overlap::Skip, Overlap::QueueOne])) {
        let mut world = World::default();
        for (number, deed) in deeds.iter().enumerate() {
            world.carry_out(run(number as i64), deed);
            prop_assert!(world.in_progress.len() <= 1);
        }
    }
}
