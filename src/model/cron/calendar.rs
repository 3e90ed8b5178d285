//! Days: which of a month match, and the arithmetic of the proleptic Gregorian calendar.

use super::{CronError, Days, Fields};

/// Seconds of a day.
pub(super) const DAY_S: i64 = 86_400;

/// Days of a month.
pub(super) fn month_length(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. The method is Howard Hinnant's "days from civil": years begin in March, so that the
/// leap day is the last of its year.
pub(super) fn day_number(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date that lies so many days after 1970-01-01: the inverse of [`day_number`].
pub(super) fn date(day_number: i64) -> (i64, u32, u32) {
    let shifted = day_number + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The weekday of a day, 0 is Sunday. 1970-01-01 was a Thursday.
fn weekday(day_number: i64) -> u32 {
    (day_number + 4).rem_euclid(7) as u32
}

impl Days {
    /// The days of a month that match, bits 1 to 31. As in the Go library a day matches one of the two fields when both
    /// are restricted, and both when one has a star.
    pub(super) fn of(&self, year: i64, month: u32) -> u32 {
        let length = month_length(year, month);
        let all = ((1_u64 << (length + 1)) - 2) as u32;
        let first_weekday = weekday(day_number(year, month, 1));
        let by_month = self.by_month(length, first_weekday);
        let by_week = self.by_week(length, first_weekday);
        let both = self.any_of_month || self.any_of_week;
        all & if both { by_month & by_week } else { by_month | by_week }
    }

    fn by_month(&self, length: u32, first_weekday: u32) -> u32 {
        let mut days = self.of_month;
        for before in bits(self.before_last) {
            if before < length {
                days |= 1 << (length - before);
            }
        }
        for day in bits(self.nearest_weekday).filter(|&day| day <= length) {
            days |= 1 << nearest_weekday(day, length, first_weekday);
        }
        if self.last_weekday {
            days |= 1 << nearest_weekday_before(length, first_weekday);
        }
        days
    }

    fn by_week(&self, length: u32, first_weekday: u32) -> u32 {
        let mut days = 0;
        for weekday in 0..7 {
            let first = 1 + (weekday + 7 - first_weekday) % 7;
            let bit = 1 << weekday;
            if self.of_week & bit != 0 {
                // Each seventh day from the first one on.
                days |= 0x1020_4081_u64 << first;
            }
            if self.last_of_week & bit != 0 {
                days |= 1 << (first + (length - first) / 7 * 7);
            }
            for (weeks, nth) in (0..).zip(self.nth_of_week) {
                if nth & bit != 0 && first + 7 * weeks <= length {
                    days |= 1 << (first + 7 * weeks);
                }
            }
        }
        (days & 0xffff_fffe) as u32
    }
}

/// The weekday (Monday to Friday) nearest to a day, without leaving the month: Quartz's `W`.
fn nearest_weekday(day: u32, length: u32, first_weekday: u32) -> u32 {
    match (first_weekday + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

fn nearest_weekday_before(day: u32, first_weekday: u32) -> u32 {
    match (first_weekday + day - 1) % 7 {
        6 => day - 1,
        0 => day - 2,
        _ => day,
    }
}

fn bits(mut set: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit)
    })
}

/// The first bit that is set, from `from` on.
pub(super) fn first_bit(set: u64, from: u32) -> Option<u32> {
    let rest = if from < 64 { set >> from << from } else { 0 };
    (rest != 0).then(|| rest.trailing_zeros())
}

impl Fields {
    /// Refuses what no day or time ever matches. The calendar repeats its pairs of weekday and leap year within 28 years.
    pub(super) fn check_that_it_fires(&self) -> Result<(), CronError> {
        if self.seconds == 0 || self.minutes == 0 || self.hours == 0 || self.months == 0 {
            return Err(CronError::Never { reason: "a field names no value" });
        }
        let days = &self.days;
        let months = (1..=12).filter(|&month| self.months & 1 << month != 0);
        let has_day = |month| (2000..2028).any(|year| days.of(year, month) != 0);
        if months.into_iter().any(has_day) {
            return Ok(());
        }
        Err(CronError::Never { reason: "no month that is named has such a day" })
    }

    /// The first local second that matches, from `from` on and before `end`, both in seconds since 1970 local time.
    pub(super) fn first_local(&self, from: i64, end: i64) -> Option<i64> {
        let from_day = from.div_euclid(DAY_S);
        let mut day = self.first_day(from_day, end.div_euclid(DAY_S))?;
        if day == from_day {
            let second = u32::try_from(from.rem_euclid(DAY_S)).ok()?;
            if let Some(second) = self.first_second(second) {
                return Some(day * DAY_S + i64::from(second)).filter(|&local| local < end);
            }
            day = self.first_day(from_day + 1, end.div_euclid(DAY_S))?;
        }
        let second = self.first_second(0)?;
        Some(day * DAY_S + i64::from(second)).filter(|&local| local < end)
    }

    /// The first day that matches, from `from` to `last`.
    fn first_day(&self, from: i64, last: i64) -> Option<i64> {
        let (mut year, mut month, first) = date(from);
        let mut day = first;
        loop {
            let days = if self.months & 1 << month != 0 { self.days.of(year, month) } else { 0 };
            if let Some(found) = first_bit(days.into(), day) {
                return Some(day_number(year, month, found)).filter(|&found| found <= last);
            }
            (month, day) = (month + 1, 1);
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
            if day_number(year, month, 1) > last {
                return None;
            }
        }
    }

    /// The first second of a day that matches, from `from` on.
    fn first_second(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        let found_hour = first_bit(self.hours.into(), hour)?;
        let first_minute = first_bit(self.minutes, 0)?;
        let first_second = first_bit(self.seconds, 0)?;
        if found_hour > hour {
            return Some(found_hour * 3_600 + first_minute * 60 + first_second);
        }
        if self.minutes & 1 << minute != 0
            && let Some(second) = first_bit(self.seconds, second)
        {
            return Some(hour * 3_600 + minute * 60 + second);
        }
        if let Some(minute) = first_bit(self.minutes, minute + 1) {
            return Some(hour * 3_600 + minute * 60 + first_second);
        }
        let next_hour = first_bit(self.hours.into(), hour + 1)?;
        Some(next_hour * 3_600 + first_minute * 60 + first_second)
    }

    /// How many local seconds match, from `from` on and before `end`.
    pub(super) fn count_local(&self, from: i64, end: i64) -> u64 {
        if from >= end {
            return 0;
        }
        let (first_day, last_day) = (from.div_euclid(DAY_S), end.div_euclid(DAY_S));
        let before = |day: i64, second: i64| if self.matches_day(day) { self.count_before(second) } else { 0 };
        let whole = self.count_days(first_day, last_day) * self.count_before(DAY_S);
        whole + before(last_day, end.rem_euclid(DAY_S)) - before(first_day, from.rem_euclid(DAY_S))
    }

    fn matches_day(&self, day: i64) -> bool {
        let (year, month, day) = date(day);
        self.months & 1 << month != 0 && self.days.of(year, month) & 1 << day != 0
    }

    /// How many days match, from `from` on and before `end`.
    fn count_days(&self, from: i64, end: i64) -> u64 {
        let (mut year, mut month, _) = date(from);
        let mut count = 0;
        let mut month_start = day_number(year, month, 1);
        while month_start < end {
            let days = if self.months & 1 << month != 0 { self.days.of(year, month) } else { 0 };
            let skipped = (from - month_start).clamp(0, 31) as u32;
            let reach = (end - month_start).clamp(0, 31) as u32;
            // Bit n is day n: days `skipped + 1` to `reach`.
            let wanted = ((1_u64 << (reach + 1)) - (1_u64 << (skipped + 1).min(reach + 1))) as u32;
            count += u64::from((days & wanted).count_ones());
            month_start += i64::from(month_length(year, month));
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        count
    }

    /// How many seconds of a matching day match before second `end` of the day.
    fn count_before(&self, end: i64) -> u64 {
        let below = |set: u64, end: i64| u64::from((set & ((1_u64 << end.clamp(0, 63)) - 1)).count_ones());
        let (hour, minute, second) = (end / 3_600, end / 60 % 60, end % 60);
        let has = |set: u64, value: i64| value < 64 && set & 1 << value != 0;
        let (per_hour, per_minute) = (u64::from(self.minutes.count_ones()), u64::from(self.seconds.count_ones()));
        let mut count = below(self.hours.into(), hour) * per_hour * per_minute;
        if has(self.hours.into(), hour) {
            count += below(self.minutes, minute) * per_minute;
            if has(self.minutes, minute) {
                count += below(self.seconds, second);
            }
        }
        count
    }
}
