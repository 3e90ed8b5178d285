//! Which stretches of time the excluded days are. A day is one of the task's zone, so it may be 23 or 25 hours long.

use chrono::NaiveDate;

use super::cron::eras;
use super::{Exclude, TimeZone, Timestamp};

const DAY_S: i64 = 86_400;

impl Exclude {
    /// Whether it excludes nothing.
    pub fn is_empty(&self) -> bool {
        self.weekdays == 0 && self.dates.is_empty()
    }

    /// Whether it excludes everything.
    pub fn is_everything(&self) -> bool {
        self.weekdays & Self::ALL_WEEKDAYS == Self::ALL_WEEKDAYS
    }

    /// The stretch of excluded days that holds an instant: from its start up to its end, which does not belong to it.
    /// Where the zone changes its offset a stretch ends, and another may begin. Not to be asked where everything is
    /// excluded.
    pub(super) fn stretch_of(&self, zone: TimeZone, instant: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let (second, eras) = (instant.secs(), eras(zone));
        let era = eras[eras.partition_point(|era| era.end <= second)];
        let day = (second + era.offset).div_euclid(DAY_S);
        if !self.holds(day) {
            return None;
        }
        let (mut first, mut end) = (day, day + 1);
        while self.holds(first - 1) {
            first -= 1;
        }
        while self.holds(end) {
            end += 1;
        }
        let utc = |day: i64| (day * DAY_S - era.offset).clamp(era.start, era.end);
        Some((Timestamp::from_secs(utc(first)), Timestamp::from_secs(utc(end))))
    }

    /// The stretches of excluded days that reach into the time later than `after` and not later than `until`, in order.
    pub(super) fn stretches(
        &self,
        zone: TimeZone,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let (from, end) = (after.secs() + 1, until.secs() + 1);
        let eras = eras(zone);
        let touched = eras[eras.partition_point(|era| era.end <= from)..].iter().take_while(move |era| era.start < end);
        touched.flat_map(move |era| {
            let (from, end) = (from.max(era.start), end.min(era.end));
            let utc = move |day: i64| Timestamp::from_secs((day * DAY_S - era.offset).clamp(from, end));
            let (first_day, last_day) =
                ((from + era.offset).div_euclid(DAY_S), (end - 1 + era.offset).div_euclid(DAY_S));
            let excluded = (first_day..=last_day).filter(|&day| self.holds(day));
            excluded.map(move |day| (utc(day), utc(day + 1)))
        })
    }

    /// Whether it excludes the day that lies so many days after 1970-01-01.
    fn holds(&self, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = (day + 4).rem_euclid(7);
        if self.weekdays >> weekday & 1 != 0 {
            return true;
        }
        let date = || i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
        !self.dates.is_empty() && date().is_some_and(|date| self.dates.contains(&date))
    }
}
