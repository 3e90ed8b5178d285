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
    waiting: usize,
    /// Lanes that had a run which only the limit in all held back. Each stands here once, and they take turns.
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
        Self { limits, lanes: HashMap::new(), in_flight: 0, waiting: 0, ready: VecDeque::new() }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many runs wait, in all lanes.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many hosts have a lane: one that is in use.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
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
        self.waiting += usize::from(superseded.is_none());
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
            // Since it was put here its runs may have left, and others may have taken its places.
            if lane.in_flight < self.limits.in_flight_per_host_max
                && let Some(waiter) = lane.take_oldest()
            {
                lane.in_flight += 1;
                self.in_flight += 1;
                self.waiting -= 1;
                started.push(waiter.run);
                if !lane.waiting.is_empty() && lane.in_flight < self.limits.in_flight_per_host_max {
                    lane.is_ready = true;
                    self.ready.push_back(host.clone());
                }
            }
            if lane.is_idle() {
                self.lanes.remove(&host);
            }
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
            self.waiting -= usize::from(lane.take(number).is_some());
            if lane.is_idle() {
                self.lanes.remove(host);
            }
        }
    }
}

impl Lane {
    /// Nothing of it needs to be kept. One that is ready has its place among those: without it, it would get a second one.
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && !self.is_ready
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
mod tests;
