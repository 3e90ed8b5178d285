//! The instants that an expression names in a zone: one well-defined set, looked into from any side.
//!
//! Local time is gone through era by era, an era being a stretch with one offset from UTC. An entry that repeats by hour
//! names every second whose local time matches. An entry with a fixed time of day names, of a local time that comes
//! twice, the first; and for local times that are left out, the first instant after the gap.

use super::calendar::{DAY_S, day_number};
use super::offsets::{Era, HORIZON_YEAR, eras};
use super::{Fields, Rule};
use crate::model::{TimeZone, Timestamp};

/// The instants of an expression or of a period. All of them are whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct Ticks<'a> {
    source: Source<'a>,
    zone: TimeZone,
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// Each so many seconds, counted from an anchor; the anchor itself is not named.
    Every {
        period: i64,
        anchor: i64,
    },
    Fields(&'a Fields),
}

/// In seconds since 1970: nothing is named from here on.
fn horizon() -> i64 {
    day_number(HORIZON_YEAR, 1, 1) * DAY_S
}

impl<'a> Ticks<'a> {
    pub(super) fn new(rule: &'a Rule, zone: TimeZone, anchor: Timestamp) -> Self {
        match rule {
            Rule::Every { period_s } => Self::every(i64::from(*period_s), anchor),
            Rule::Fields(fields) => Self { source: Source::Fields(fields), zone },
        }
    }

    /// One each so many seconds, at least one; counted from `anchor`, which is not named itself.
    pub(in crate::model) fn every(period_s: i64, anchor: Timestamp) -> Self {
        Self { source: Source::Every { period: period_s.max(1), anchor: anchor.secs() }, zone: TimeZone::UTC }
    }

    /// All instants are earlier: the start of the year 2200.
    pub(in crate::model) fn end() -> Timestamp {
        Timestamp::from_secs(horizon())
    }

    /// The first instant later than `after`; `None` when there is none before the year 2200.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.secs() + 1;
        let found = match self.source {
            Source::Every { period, anchor } => {
                let passed = (after.secs() - anchor).div_euclid(period).max(0);
                Some(anchor + (passed + 1) * period)
            }
            Source::Fields(fields) => first_from(fields, eras(self.zone), from),
        };
        found.filter(|&second| second < horizon()).map(Timestamp::from_secs)
    }

    /// The last instant later than `after` and not later than `until`.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let has_later = |second: i64| self.next(Timestamp::from_secs(second)).is_some_and(|next| next <= until);
        let first = self.next(after).filter(|&first| first <= until)?;
        // There is an instant later than `low`, and none later than `high`: so the last one is later than `low` by one.
        let (mut low, mut high) = (first.secs() - 1, until.secs());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if has_later(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.next(Timestamp::from_secs(low))
    }

    /// How many instants are later than `after` and not later than `until`.
    pub fn count(&self, after: Timestamp, until: Timestamp) -> u64 {
        // Counting goes month by month: it begins with the calendar.
        let (from, end) = ((after.secs() + 1).max(day_number(1, 1, 1) * DAY_S), (until.secs() + 1).min(horizon()));
        if from >= end {
            return 0;
        }
        match self.source {
            Source::Every { period, anchor } => {
                let passed = |second: i64| (second - anchor).div_euclid(period).max(0);
                u64::try_from(passed(end - 1) - passed(from - 1)).unwrap_or_default()
            }
            Source::Fields(fields) => count_within(fields, eras(self.zone), from, end),
        }
    }
}

/// The place of the era that holds a second.
fn place(eras: &[Era], second: i64) -> usize {
    eras.partition_point(|era| era.end <= second)
}

fn first_from(fields: &Fields, eras: &[Era], from: i64) -> Option<i64> {
    let mut place = place(eras, from);
    let mut from = from;
    loop {
        let era = *eras.get(place)?;
        let before = place.checked_sub(1).map(|before| eras[before]);
        if from <= era.start && gap_is_named(fields, before, era) {
            return Some(era.start);
        }
        let local_from = from.saturating_add(era.offset).max(own_start(fields, before, era));
        let wanted_end = horizon().saturating_add(era.offset);
        let local = fields.first_local(local_from, wanted_end)?;
        if local < era.local_end() {
            return Some(local - era.offset);
        }
        // No local time before `local` matches: eras that end before it, and were not begun in their middle, name nothing.
        let reaching = |other: &Era| other.local_end() <= local;
        let far = if from <= era.start { place + 1 + eras[place + 1..].partition_point(reaching) } else { place + 1 };
        place = far;
        from = eras.get(place)?.start;
    }
}

/// The first local second that an era names itself. Of a local time that comes twice, a fixed time is named the first
/// time only.
fn own_start(fields: &Fields, before: Option<Era>, era: Era) -> i64 {
    match before {
        Some(before) if fields.is_fixed_time() => era.local_start().max(before.local_end()),
        Some(_) => era.local_start(),
        None => i64::MIN,
    }
}

/// Whether a fixed time lies in the gap before an era: then the era's start stands for it. A day that is left out whole
/// (as in Samoa, 2011-12-30) is no day: its times are not moved.
fn gap_is_named(fields: &Fields, before: Option<Era>, era: Era) -> bool {
    let Some(before) = before.filter(|_| fields.is_fixed_time()) else { return false };
    let (start, end) = (before.local_end(), era.local_start());
    first_in_gap(fields, start, end).is_some()
}

/// The first matching local second of a gap that lies on a day which has other hours.
pub(super) fn first_in_gap(fields: &Fields, start: i64, end: i64) -> Option<i64> {
    let mut from = start;
    while from < end {
        let local = fields.first_local(from, end)?;
        let day = local.div_euclid(DAY_S) * DAY_S;
        if day < start || day + DAY_S > end {
            return Some(local);
        }
        from = day + DAY_S;
    }
    None
}

fn count_within(fields: &Fields, eras: &[Era], from: i64, end: i64) -> u64 {
    let mut count = 0;
    for place in place(eras, from)..eras.len() {
        let era = eras[place];
        if era.start >= end {
            break;
        }
        let before = place.checked_sub(1).map(|before| eras[before]);
        let own = own_start(fields, before, era);
        let local_from = from.saturating_add(era.offset).max(own);
        let local_end = end.saturating_add(era.offset).min(era.local_end());
        count += fields.count_local(local_from, local_end);
        let is_begun = era.start >= from;
        let names_its_start =
            own <= era.local_start() && fields.count_local(era.local_start(), era.local_start() + 1) > 0;
        if is_begun && !names_its_start && gap_is_named(fields, before, era) {
            count += 1;
        }
    }
    count
}
