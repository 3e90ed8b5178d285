//! How many requests may be in flight, in all and to each host: a slow host fills its own lane, never another's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Fire, Identity, Timestamp};

/// Scheme, host and port of a target.
pub(super) type HostKey = Arc<str>;

/// What limits the lanes.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) in_flight_max: usize,
    pub(super) in_flight_per_host_max: usize,
    /// A fire that has waited longer gives way to a newer one of the same entry.
    pub(super) misfire_grace: Duration,
}

/// What to do with a fire that came.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Starts now.
    pub(super) start: Option<(HostKey, Fire)>,
    /// An older one of the same entry that is given up for it.
    pub(super) superseded: Option<Fire>,
}

/// All lanes. Pure: it counts and orders, and sends nothing.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: Limits,
    lanes: HashMap<HostKey, Lane>,
    in_flight: usize,
    waiting: usize,
    /// Lanes with a fire that only the limit in all holds back. Each stands here once, and they take turns.
    ready: VecDeque<HostKey>,
}

#[derive(Debug, Default)]
struct Lane {
    in_flight: usize,
    /// In the order they came.
    waiting: BTreeMap<u64, Fire>,
    next_number: u64,
    of_entry: HashMap<EntryKey, VecDeque<u64>>,
    is_ready: bool,
}

/// The definition's address and the entry's index: stable while a fire of it waits, as the fire holds the definition.
type EntryKey = (usize, usize);

fn entry_key(fire: &Fire) -> EntryKey {
    (Arc::as_ptr(&fire.revision.task) as usize, fire.entry)
}

impl Lanes {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, lanes: HashMap::new(), in_flight: 0, waiting: 0, ready: VecDeque::new() }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Lets a fire go or makes it wait.
    pub(super) fn admit(&mut self, host: HostKey, fire: Fire, now: Timestamp) -> Admission {
        let lane = self.lanes.entry(host.clone()).or_default();
        let has_room = lane.in_flight < self.limits.in_flight_per_host_max;
        if has_room && lane.waiting.is_empty() && self.in_flight < self.limits.in_flight_max {
            lane.in_flight += 1;
            self.in_flight += 1;
            return Admission { start: Some((host, fire)), superseded: None };
        }
        let superseded = lane.wait(fire, now, self.limits.misfire_grace);
        self.waiting += usize::from(superseded.is_none());
        if has_room && !lane.is_ready {
            lane.is_ready = true;
            self.ready.push_back(host);
        }
        Admission { start: None, superseded }
    }

    /// Notes the end of a request and gives the fires that may start in its place.
    pub(super) fn ended(&mut self, host: &HostKey) -> Vec<(HostKey, Fire)> {
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

    fn start_ready(&mut self) -> Vec<(HostKey, Fire)> {
        let mut started = Vec::new();
        while self.in_flight < self.limits.in_flight_max {
            let Some(host) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&host) else { continue };
            lane.is_ready = false;
            let Some(fire) = lane.take_oldest() else { continue };
            lane.in_flight += 1;
            self.in_flight += 1;
            self.waiting -= 1;
            if !lane.waiting.is_empty() && lane.in_flight < self.limits.in_flight_per_host_max {
                lane.is_ready = true;
                self.ready.push_back(host.clone());
            }
            started.push((host, fire));
        }
        started
    }

    /// Lets nothing start any more: what waits stays.
    pub(super) fn close(&mut self) {
        self.limits.in_flight_max = 0;
    }

    /// Takes out every waiting fire of a task.
    pub(super) fn cancel(&mut self, identity: &Identity) -> Vec<Fire> {
        let mut cancelled = Vec::new();
        for lane in self.lanes.values_mut() {
            let of_task: Vec<u64> = lane
                .waiting
                .iter()
                .filter(|(_, fire)| fire.identity() == identity)
                .map(|(&number, _)| number)
                .collect();
            cancelled.extend(of_task.into_iter().filter_map(|number| lane.take(number)));
        }
        self.waiting -= cancelled.len();
        self.lanes.retain(|_, lane| !lane.is_idle());
        cancelled
    }
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }

    /// Makes a fire wait. If an older one of its entry has waited for too long, that one is given up: so the number of
    /// waiting fires stays bounded by the grace, however slow the target is.
    fn wait(&mut self, fire: Fire, now: Timestamp, grace: Duration) -> Option<Fire> {
        let number = self.next_number;
        self.next_number += 1;
        let of_entry = self.of_entry.entry(entry_key(&fire)).or_default();
        let oldest = of_entry.front().copied();
        of_entry.push_back(number);
        self.waiting.insert(number, fire);
        let oldest = oldest?;
        let waited_for = now.since(self.waiting.get(&oldest)?.fire_time);
        if waited_for > grace { self.take(oldest) } else { None }
    }

    fn take_oldest(&mut self) -> Option<Fire> {
        let (&number, _) = self.waiting.first_key_value()?;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Fire> {
        let fire = self.waiting.remove(&number)?;
        let key = entry_key(&fire);
        if let Some(of_entry) = self.of_entry.get_mut(&key) {
            of_entry.retain(|&other| other != number);
            if of_entry.is_empty() {
                self.of_entry.remove(&key);
            }
        }
        Some(fire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cron::CronExpr;
    use crate::model::{Entry, EntryName, LastFire, Request, Revision, TargetUrl, Task, TimeZone, Trigger};

    const GRACE: Duration = Duration::from_secs(30);

    fn task(identity: &str) -> Arc<Revision> {
        let entry = Entry {
            name: EntryName::parse("e").unwrap(),
            cron_time: "* * * * * *".into(),
            cron: CronExpr::parse("* * * * * *").unwrap(),
            request: Request { url: TargetUrl::parse("http://a/").unwrap(), headers: None, body: None },
            last_fire: LastFire::never(),
        };
        let identity = Identity::parse(identity).unwrap();
        let task = Arc::new(Task { identity, time_zone: TimeZone::UTC, entries: [entry].into() });
        let since = Timestamp::EPOCH;
        let (put_at, in_force_from) = (since, since);
        Arc::new(Revision { task, number: 1, enabled: true, put_at, in_force_from, in_force_until: None })
    }

    fn fire(revision: &Arc<Revision>, second: i64) -> Fire {
        let (fire_time, trigger) = (Timestamp::from_secs(second), Trigger::Schedule);
        Fire { revision: revision.clone(), entry: 0, fire_time, trigger, redelivered: false }
    }

    fn lanes(in_flight_max: usize, in_flight_per_host_max: usize) -> Lanes {
        Lanes::new(Limits { in_flight_max, in_flight_per_host_max, misfire_grace: GRACE })
    }

    fn started(fires: Vec<(HostKey, Fire)>) -> Vec<(String, i64)> {
        fires.into_iter().map(|(host, fire)| (host.to_string(), fire.fire_time.secs())).collect()
    }

    #[test]
    fn a_full_lane_makes_its_fires_wait_in_order_and_leaves_others_alone() {
        let (mut lanes, task, now) = (lanes(10, 1), task("t"), Timestamp::from_secs(1));
        let (slow, quick): (HostKey, HostKey) = ("slow".into(), "quick".into());

        assert!(lanes.admit(slow.clone(), fire(&task, 1), now).start.is_some());
        assert!(lanes.admit(slow.clone(), fire(&task, 2), now).start.is_none());
        assert!(lanes.admit(slow.clone(), fire(&task, 3), now).start.is_none());
        assert!(lanes.admit(quick.clone(), fire(&task, 4), now).start.is_some());
        assert_eq!((lanes.in_flight(), lanes.waiting()), (2, 2));

        assert_eq!(started(lanes.ended(&quick)), []);
        assert_eq!(started(lanes.ended(&slow)), [("slow".to_owned(), 2)]);
        assert_eq!(started(lanes.ended(&slow)), [("slow".to_owned(), 3)]);
        assert_eq!(started(lanes.ended(&slow)), []);
        assert_eq!((lanes.in_flight(), lanes.waiting()), (0, 0));
        assert!(lanes.lanes.is_empty(), "nothing is kept of hosts without a fire");
    }

    #[test]
    fn hosts_take_turns_when_the_limit_in_all_is_reached() {
        let (mut lanes, task, now) = (lanes(1, 1), task("t"), Timestamp::from_secs(1));
        let (a, b): (HostKey, HostKey) = ("a".into(), "b".into());
        lanes.admit(a.clone(), fire(&task, 1), now);
        for second in 2..4 {
            lanes.admit(a.clone(), fire(&task, second), now);
            lanes.admit(b.clone(), fire(&task, second + 10), now);
        }

        let mut order = Vec::new();
        let mut ended = a.clone();
        while let Some((host, fire)) = lanes.ended(&ended).pop() {
            order.push((host.to_string(), fire.fire_time.secs()));
            ended = host;
        }

        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert_eq!(order, [(b.clone(), 12), (a.clone(), 2), (b, 13), (a, 3)]);
    }

    #[test]
    fn a_fire_that_waited_longer_than_the_grace_gives_way_to_a_newer_one_of_its_entry() {
        let (mut lanes, task, other) = (lanes(1, 1), task("t"), task("other"));
        let host: HostKey = "a".into();
        let admit = |lanes: &mut Lanes, fire: Fire| {
            let now = fire.fire_time;
            lanes.admit(host.clone(), fire, now).superseded.map(|fire| fire.fire_time.secs())
        };
        admit(&mut lanes, fire(&other, 0));

        let superseded: Vec<Option<i64>> = (1..40).map(|second| admit(&mut lanes, fire(&task, second))).collect();

        assert!(superseded[..31].iter().all(Option::is_none));
        assert_eq!(superseded[31..], [Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(7), Some(8)]);
        assert_eq!(lanes.waiting(), 31);
    }

    #[test]
    fn cancelled_fires_leave_and_a_closed_lane_starts_nothing() {
        let (mut lanes, task, other, now) = (lanes(1, 1), task("t"), task("other"), Timestamp::from_secs(1));
        let host: HostKey = "a".into();
        lanes.admit(host.clone(), fire(&task, 1), now);
        lanes.admit(host.clone(), fire(&task, 2), now);
        lanes.admit(host.clone(), fire(&other, 3), now);

        let cancelled = lanes.cancel(&task.task.identity);
        assert_eq!(cancelled.iter().map(|fire| fire.fire_time.secs()).collect::<Vec<_>>(), [2]);
        lanes.close();

        assert_eq!(started(lanes.ended(&host)), []);
        assert_eq!((lanes.in_flight(), lanes.waiting()), (0, 1));
    }
}
