//! How many requests may be in flight, in all and to each host: a slow host fills its own lane, never another's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::keys::EntryKey;
use crate::model::{RunId, Timestamp};

/// Scheme, host and port of a target.
pub(super) type HostKey = Arc<str>;

/// What limits the lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) in_flight_max: usize,
    pub(super) in_flight_per_host_max: usize,
}

/// A run at a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) run: RunId,
    /// When newer runs of its entry stand for it; `None`: never.
    pub(super) gives_way: Option<GivesWay>,
}

/// A run that has waited for too long gives way to a newer one of its entry: so the number of those that wait stays bounded,
/// however slow the target is.
#[derive(Clone, Copy, Debug)]
pub(super) struct GivesWay {
    pub(super) entry: EntryKey,
    pub(super) since: Timestamp,
    pub(super) patience: Duration,
}

/// What to do with a run that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It starts now.
    Starts,
    /// It waits under this number.
    Waits {
        number: u64,
        /// An older one of the same entry that is given up for it.
        superseded: Option<RunId>,
    },
}

/// All lanes. Pure: it counts and orders, and sends nothing.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: Limits,
    lanes: HashMap<HostKey, Lane>,
    in_flight: usize,
    /// Lanes with a run that only the limit in all holds back. Each stands here once, and they take turns.
    ready: VecDeque<HostKey>,
}

#[derive(Debug, Default)]
struct Lane {
    in_flight: usize,
    /// In the order they came.
    waiting: BTreeMap<u64, Waiter>,
    next_number: u64,
    /// Those that may have to give way.
    of_entry: HashMap<EntryKey, VecDeque<u64>>,
    is_ready: bool,
}

impl Lanes {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, lanes: HashMap::new(), in_flight: 0, ready: VecDeque::new() }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Lets a run go or makes it wait.
    pub(super) fn admit(&mut self, host: &HostKey, waiter: Waiter, now: Timestamp) -> Admission {
        let lane = self.lanes.entry(host.clone()).or_default();
        let has_room = lane.in_flight < self.limits.in_flight_per_host_max;
        if has_room && lane.waiting.is_empty() && self.in_flight < self.limits.in_flight_max {
            lane.in_flight += 1;
            self.in_flight += 1;
            return Admission::Starts;
        }
        let (number, superseded) = lane.wait(waiter, now);
        if has_room && !lane.is_ready {
            lane.is_ready = true;
            self.ready.push_back(host.clone());
        }
        Admission::Waits { number, superseded }
    }

    /// Notes the end of a request and gives the runs that may start in its place.
    pub(super) fn ended(&mut self, host: &HostKey) -> Vec<RunId> {
        self.in_flight -= 1;
        if let Some(lane) = self.lanes.get_mut(host) {
            lane.in_flight -= 1;
            if !lane.waiting.is_empty() && !lane.is_ready {
                lane.is_ready = true;
                self.ready.push_back(host.clone());
            }
            if lane.is_idle() {
                self.lanes.remove(host);
            }
        }
        self.start_ready()
    }

    fn start_ready(&mut self) -> Vec<RunId> {
        let mut started = Vec::new();
        while self.in_flight < self.limits.in_flight_max {
            let Some(host) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&host) else { continue };
            lane.is_ready = false;
            let Some(waiter) = lane.take_oldest() else { continue };
            lane.in_flight += 1;
            self.in_flight += 1;
            if !lane.waiting.is_empty() && lane.in_flight < self.limits.in_flight_per_host_max {
                lane.is_ready = true;
                self.ready.push_back(host.clone());
            }
            started.push(waiter.run);
        }
        started
    }

    /// Lets nothing start any more: what waits stays.
    pub(super) fn close(&mut self) {
        self.limits.in_flight_max = 0;
    }

    /// Takes out a run that waits.
    pub(super) fn leave(&mut self, host: &HostKey, number: u64) {
        if let Some(lane) = self.lanes.get_mut(host) {
            lane.take(number);
            if lane.is_idle() {
                self.lanes.remove(host);
            }
        }
    }
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }

    fn wait(&mut self, waiter: Waiter, now: Timestamp) -> (u64, Option<RunId>) {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert(number, waiter);
        let superseded = waiter.gives_way.and_then(|way| self.oldest_to_give_way(way.entry, now, number));
        (number, superseded)
    }

    fn oldest_to_give_way(&mut self, entry: EntryKey, now: Timestamp, newest: u64) -> Option<RunId> {
        let of_entry = self.of_entry.entry(entry).or_default();
        let oldest = of_entry.front().copied();
        of_entry.push_back(newest);
        let oldest = oldest?;
        let way = self.waiting.get(&oldest)?.gives_way?;
        let is_due = now.since(way.since) > way.patience;
        is_due.then(|| self.take(oldest)).flatten().map(|waiter| waiter.run)
    }

    fn take_oldest(&mut self) -> Option<Waiter> {
        let (&number, _) = self.waiting.first_key_value()?;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&number)?;
        if let Some(way) = waiter.gives_way
            && let Some(of_entry) = self.of_entry.get_mut(&way.entry)
        {
            of_entry.retain(|&other| other != number);
            if of_entry.is_empty() {
                self.of_entry.remove(&way.entry);
            }
        }
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use crate::model::{EntryName, Identity};

    const GRACE: Duration = Duration::from_secs(30);

    struct Fixture {
        keys: Keys,
        lanes: Lanes,
        now: Timestamp,
    }

    impl Fixture {
        fn new(in_flight_max: usize, in_flight_per_host_max: usize) -> Self {
            let lanes = Lanes::new(Limits { in_flight_max, in_flight_per_host_max });
            Self { keys: Keys::default(), lanes, now: Timestamp::from_secs(1) }
        }

        /// A run of an instant, in seconds; the number under which it waits.
        fn admit(&mut self, host: &str, second: i64) -> Admission {
            let waiter = Waiter { run: RunId::asked(Timestamp::from_secs(second)), gives_way: None };
            self.lanes.admit(&host.into(), waiter, self.now)
        }

        fn ended(&mut self, host: &str) -> Vec<i64> {
            self.lanes.ended(&host.into()).into_iter().map(|run| run.instant().secs()).collect()
        }

        /// At its own instant, a run that gives way; the instant of the one that gives way to it.
        fn supersede(&mut self, task: &str, second: i64) -> Option<i64> {
            let (identity, entry) = (Identity::parse(task).unwrap(), EntryName::parse("e").unwrap());
            let since = Timestamp::from_secs(second);
            let way = GivesWay { entry: self.keys.entry(&identity, &entry), since, patience: GRACE };
            let waiter = Waiter { run: RunId::asked(since), gives_way: Some(way) };
            match self.lanes.admit(&"a".into(), waiter, since) {
                Admission::Starts => None,
                Admission::Waits { superseded, .. } => superseded.map(|run| run.instant().secs()),
            }
        }
    }

    fn waits(number: u64) -> Admission {
        Admission::Waits { number, superseded: None }
    }

    #[test]
    fn a_full_lane_makes_its_runs_wait_in_order_and_leaves_others_alone() {
        let mut lanes = Fixture::new(10, 1);

        assert_eq!(lanes.admit("slow", 1), Admission::Starts);
        assert_eq!(lanes.admit("slow", 2), waits(0));
        assert_eq!(lanes.admit("slow", 3), waits(1));
        assert_eq!(lanes.admit("quick", 4), Admission::Starts);
        assert_eq!(lanes.lanes.in_flight(), 2);

        assert!(lanes.ended("quick").is_empty());
        assert_eq!(lanes.ended("slow"), [2]);
        assert_eq!(lanes.ended("slow"), [3]);
        assert!(lanes.ended("slow").is_empty());
        assert_eq!(lanes.lanes.in_flight(), 0);
        assert!(lanes.lanes.lanes.is_empty(), "nothing is kept of hosts without a run");
    }

    #[test]
    fn hosts_take_turns_when_the_limit_in_all_is_reached() {
        let mut lanes = Fixture::new(1, 1);
        lanes.admit("a", 1);
        for second in 2..4 {
            lanes.admit("a", second);
            lanes.admit("b", second + 10);
        }

        let order: Vec<i64> = ["a", "b", "a", "b", "a"].into_iter().flat_map(|host| lanes.ended(host)).collect();

        assert_eq!(order, [12, 2, 13, 3]);
    }

    #[test]
    fn a_run_that_waited_longer_than_its_patience_gives_way_to_a_newer_one_of_its_entry() {
        let mut lanes = Fixture::new(1, 1);
        lanes.supersede("other", 0);

        let superseded: Vec<Option<i64>> = (1..40).map(|second| lanes.supersede("t", second)).collect();

        assert!(superseded[..31].iter().all(Option::is_none));
        assert_eq!(superseded[31..], [Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(7), Some(8)]);
        assert_eq!(lanes.lanes.lanes["a"].waiting.len(), 31);
    }

    #[test]
    fn what_does_not_give_way_stays_however_long_it_waits() {
        let mut lanes = Fixture::new(1, 1);
        for second in 0..100 {
            lanes.now = Timestamp::from_secs(second);
            lanes.admit("a", second);
        }

        assert_eq!(lanes.lanes.lanes["a"].waiting.len(), 99);
    }

    #[test]
    fn runs_that_leave_do_not_start_and_a_closed_lane_starts_nothing() {
        let mut lanes = Fixture::new(1, 1);
        for second in 1..5 {
            lanes.admit("a", second);
        }

        lanes.lanes.leave(&"a".into(), 0);
        assert_eq!(lanes.ended("a"), [3]);
        lanes.lanes.close();

        assert!(lanes.ended("a").is_empty());
        assert_eq!(lanes.lanes.in_flight(), 0);
    }
}
