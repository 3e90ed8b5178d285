use proptest::prelude::*;

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

#[test]
fn a_lane_that_is_left_and_comes_back_keeps_its_limit() {
    let mut lanes = Fixture::new(2, 1);
    lanes.admit("a", 1);
    lanes.admit("b", 2);
    assert_eq!(lanes.admit("c", 3), waits(0));
    lanes.lanes.leave(&"c".into(), 0);
    assert_eq!(lanes.admit("c", 4), waits(1));
    assert_eq!(lanes.admit("c", 5), waits(2));

    assert_eq!(lanes.ended("a"), [4]);
    assert_eq!(lanes.ended("b"), [0; 0], "one of them is in flight");
    assert_eq!(lanes.ended("c"), [5]);
}

#[derive(Clone, Debug)]
enum Deed {
    Admit(usize),
    /// One of those in flight ends.
    End(prop::sample::Index),
    /// One of those that wait leaves.
    Leave(prop::sample::Index),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..4_usize).prop_map(Deed::Admit),
        3 => any::<prop::sample::Index>().prop_map(Deed::End),
        2 => any::<prop::sample::Index>().prop_map(Deed::Leave),
    ];
    prop::collection::vec(deed, 0..80)
}

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];

/// What the rules say of each run, kept beside them: its host, its instant, and the number under which it waits.
struct World {
    fixture: Fixture,
    in_flight: Vec<(usize, i64)>,
    waiting: Vec<(usize, i64, u64)>,
}

impl World {
    fn carry_out(&mut self, second: i64, deed: &Deed) {
        match deed {
            Deed::Admit(host) => match self.fixture.admit(HOSTS[*host], second) {
                Admission::Starts => self.in_flight.push((*host, second)),
                Admission::Waits { number, .. } => self.waiting.push((*host, second, number)),
            },
            Deed::End(which) if !self.in_flight.is_empty() => self.end(which.index(self.in_flight.len())),
            Deed::Leave(which) if !self.waiting.is_empty() => {
                let (host, _, number) = self.waiting.remove(which.index(self.waiting.len()));
                self.fixture.lanes.leave(&HOSTS[host].into(), number);
            }
            Deed::End(_) | Deed::Leave(_) => {}
        }
    }

    fn end(&mut self, which: usize) {
        let (host, _) = self.in_flight.remove(which);
        for started in self.fixture.ended(HOSTS[host]) {
            let at = self.waiting.iter().position(|&(_, second, _)| second == started).expect("it waited");
            let (host, second, _) = self.waiting.remove(at);
            self.in_flight.push((host, second));
        }
    }

    fn check(&self, in_flight_max: usize, per_host_max: usize) {
        let of_host = |host: usize| self.in_flight.iter().filter(|(other, _)| *other == host).count();
        assert_eq!(self.fixture.lanes.in_flight(), self.in_flight.len());
        assert!(self.in_flight.len() <= in_flight_max);
        for host in 0..HOSTS.len() {
            assert!(of_host(host) <= per_host_max, "{host}: {:?}", self.in_flight);
        }
        let may_start = |host: usize| self.in_flight.len() < in_flight_max && of_host(host) < per_host_max;
        assert!(!self.waiting.iter().any(|&(host, _, _)| may_start(host)), "nobody waits for nothing");
    }
}

proptest! {
    #[test]
    fn no_limit_is_ever_exceeded_and_nobody_waits_below_both(
        in_flight_max in 1..5_usize, per_host_max in 1..4_usize, deeds in deeds()
    ) {
        let fixture = Fixture::new(in_flight_max, per_host_max);
        let mut world = World { fixture, in_flight: Vec::new(), waiting: Vec::new() };
        for (second, deed) in (0..).zip(&deeds) {
            world.carry_out(second, deed);
            world.check(in_flight_max, per_host_max);
        }
        while !world.in_flight.is_empty() {
            world.end(0);
            world.check(in_flight_max, per_host_max);
        }
        let lanes = &world.fixture.lanes;
        prop_assert!(world.waiting.is_empty() && lanes.lanes.is_empty() && lanes.ready.is_empty());
    }
}
