//! The instants that an entry names: those of its trigger, within what its options leave.

use std::sync::OnceLock;
use std::time::Duration;

use super::cron::Ticks;
use super::{Entry, Exclude, Revision, Schedule, TimeZone, Timestamp};

/// The instants of an entry in one state of its task. One well-defined set, looked into from any side.
#[derive(Clone, Copy, Debug)]
pub struct Instants<'a> {
    trigger: Trigger<'a>,
    zone: TimeZone,
    exclude: &'a Exclude,
    /// None is named up to this one,
    after: Timestamp,
    /// and none later than this one.
    until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
enum Trigger<'a> {
    Ticks(Ticks<'a>),
    At(Timestamp),
}

const MILLISECOND: Duration = Duration::from_millis(1);
/// Just before the first instant that can be named.
const BEFORE_ALL: Timestamp = Timestamp::from_millis(-1);

impl<'a> Instants<'a> {
    pub(super) fn new(revision: &'a Revision, entry: &'a Entry) -> Self {
        let options = entry.options();
        let counted = options.fires_max.map(|max| (max, revision.put_at));
        let mut instants = Self::unlimited(revision, entry);
        if let Some((max, put_at)) = counted {
            instants.after = instants.after.max(put_at);
            instants.until =
                options.limit.get(put_at, || instants.nth(max)).unwrap_or(Timestamp::FAR_FUTURE).min(instants.until);
        }
        instants
    }

    /// Those that would be named if there were no `fires_max`.
    pub(super) fn unlimited(revision: &'a Revision, entry: &'a Entry) -> Self {
        let (options, zone) = (entry.options(), revision.task.time_zone);
        // What is counted from the put must not begin anew when the task is switched on.
        let anchor = if options.fires_max.is_some() { revision.put_at } else { revision.in_force_from };
        let trigger = match &entry.schedule {
            Schedule::Cron { expr, .. } => Trigger::Ticks(expr.ticks(zone, anchor)),
            Schedule::Every { period, .. } => Trigger::Ticks(Ticks::every(seconds(*period), Timestamp::EPOCH)),
            Schedule::At { instant, .. } => Trigger::At(*instant),
        };
        let after = options.start_at.map_or(BEFORE_ALL, |start| start.minus(MILLISECOND)).max(BEFORE_ALL);
        let names_any = options.enabled && !options.exclude.is_everything();
        let until = if names_any { options.end_at.unwrap_or(Timestamp::FAR_FUTURE) } else { BEFORE_ALL };
        Self { trigger, zone, exclude: &options.exclude, after, until: until.min(trigger.end()) }
    }

    /// Whether the excluded days leave none of the instants that the trigger names later than `after`, were there no end.
    /// Such an entry is refused: looking for its next instant would be long work each time.
    pub fn is_excluded_for_ever(&self, after: Timestamp) -> bool {
        if self.exclude.is_empty() || self.exclude.is_everything() {
            return self.exclude.is_everything();
        }
        let endless = Self { until: self.trigger.end(), ..*self };
        endless.next(after).is_none() && self.trigger.next(after.max(self.after)).is_some()
    }

    /// The first instant later than `after`; `None` when there is none: those that repeat end before the year 2200.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut after = after.max(self.after);
        loop {
            let next = self.trigger.next(after).filter(|&next| next <= self.until)?;
            match self.excluded(next) {
                None => return Some(next),
                Some((_, end)) => after = end.minus(MILLISECOND),
            }
        }
    }

    /// The last instant later than `after` and not later than `until`.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let (after, mut until) = (after.max(self.after), until.min(self.until));
        loop {
            let latest = self.trigger.latest(after, until)?;
            match self.excluded(latest) {
                None => return Some(latest),
                Some((start, _)) => until = start.minus(MILLISECOND),
            }
        }
    }

    /// How many instants are later than `after` and not later than `until`.
    pub fn count(&self, after: Timestamp, until: Timestamp) -> u64 {
        let (after, until) = (after.max(self.after), until.min(self.until));
        let all = self.trigger.count(after, until);
        if all == 0 || self.exclude.is_empty() {
            return all;
        }
        // Whichever are fewer are gone through: instants or days.
        let days = until.since(after).as_secs() / 86_400;
        if all <= days.max(2) {
            let named = std::iter::successors(self.next(after), |&last| self.next(last));
            return named.take_while(|&instant| instant <= until).count() as u64;
        }
        let within = |(start, end): (Timestamp, Timestamp)| {
            self.trigger.count(start.minus(MILLISECOND).max(after), end.minus(MILLISECOND).min(until))
        };
        all - self.exclude.stretches(self.zone, after, until).map(within).sum::<u64>()
    }

    fn excluded(&self, instant: Timestamp) -> Option<(Timestamp, Timestamp)> {
        if self.exclude.is_empty() { None } else { self.exclude.stretch_of(self.zone, instant) }
    }

    /// The instant that is number `wanted` of all, counted from 1.
    fn nth(&self, wanted: u64) -> Option<Timestamp> {
        if self.trigger.count(self.after, self.until) < wanted {
            return None;
        }
        // The one that is looked for is later than `low`, and number `left` of those that are.
        let (mut low, mut left) = (self.after, wanted);
        let mut step = Duration::from_secs(86_400);
        let mut high = loop {
            let high = low.plus(step).min(self.until);
            let count = self.count(low, high);
            if count >= left {
                break high;
            }
            if high == self.until {
                return None;
            }
            (low, left, step) = (high, left - count, step * 2);
        };
        while high.since(low) > MILLISECOND {
            let middle = low.plus(high.since(low) / 2);
            let count = self.count(low, middle);
            if count >= left {
                high = middle;
            } else {
                (low, left) = (middle, left - count);
            }
        }
        Some(high)
    }
}

impl Trigger<'_> {
    /// No instant is later.
    fn end(self) -> Timestamp {
        match self {
            Self::Ticks(_) => Ticks::end(),
            Self::At(instant) => instant,
        }
    }

    fn next(self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Ticks(ticks) => ticks.next(after),
            Self::At(instant) => Some(instant).filter(|&instant| instant > after),
        }
    }

    fn latest(self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Ticks(ticks) => ticks.latest(after, until),
            Self::At(instant) => Some(instant).filter(|&instant| after < instant && instant <= until),
        }
    }

    fn count(self, after: Timestamp, until: Timestamp) -> u64 {
        match self {
            Self::Ticks(ticks) => ticks.count(after, until),
            Self::At(_) => self.latest(after, until).map_or(0, |_| 1),
        }
    }
}

fn seconds(period: Duration) -> i64 {
    i64::try_from(period.as_secs()).unwrap_or(i64::MAX)
}

/// The last instant that `fires_max` leaves. It is looked for once: it hangs on the definition and on when that was put.
#[derive(Debug, Default)]
pub struct Limit(OnceLock<(Timestamp, Option<Timestamp>)>);

impl Clone for Limit {
    /// A copy is made for another put: it looks anew.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Limit {
    fn get(&self, put_at: Timestamp, find: impl FnOnce() -> Option<Timestamp>) -> Option<Timestamp> {
        match self.0.get() {
            Some(&(known_for, limit)) if known_for == put_at => limit,
            // The same definition, put at another time: as in a preview, or when an old version is brought back.
            Some(_) => find(),
            None => {
                let limit = find();
                // Whoever was first found the same.
                let _ = self.0.set((put_at, limit));
                limit
            }
        }
    }
}

#[cfg(test)]
mod tests;
