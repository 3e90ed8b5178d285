//! Points in time, in whole milliseconds since the Unix epoch.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, Utc};

use super::zone::TimeZone;

/// How a date that does not exist is written on the wire: the zero time of the mirrored service.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// A point in time of the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The start of the Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// Later than every instant that a trigger can name (the year 9999 ends before it).
    pub const FAR_FUTURE: Self = Self(253_402_300_800_000);

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch; saturates at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The same instant without its part of a second.
    pub const fn floor_to_second(self) -> Self {
        Self(self.secs() * 1_000)
    }

    /// This instant moved ahead; saturates.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back; saturates.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The month it lies in, in UTC: year and month from 1.
    pub fn year_month(self) -> (i32, u32) {
        DateTime::<Utc>::from_timestamp_millis(self.0).map_or((0, 1), |date| (date.year(), date.month()))
    }

    /// The first moment of a month, in UTC.
    pub fn of_month(year: i32, month: u32) -> Option<Self> {
        let first = NaiveDate::from_ymd_opt(year, month, 1)?.and_time(NaiveTime::MIN);
        Some(Self(first.and_utc().timestamp_millis()))
    }

    /// Reads an RFC 3339 date and time.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|date| Self(date.timestamp_millis()))
    }

    /// RFC 3339 with the offset that `zone` has at this instant, in whole seconds (`Z` for UTC).
    pub fn rfc3339_in(self, zone: TimeZone) -> String {
        self.written_in(zone, SecondsFormat::Secs)
    }

    /// The same with milliseconds.
    pub fn rfc3339_millis_in(self, zone: TimeZone) -> String {
        self.written_in(zone, SecondsFormat::Millis)
    }

    fn written_in(self, zone: TimeZone, format: SecondsFormat) -> String {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(date) => date.with_timezone(&zone.tz()).to_rfc3339_opts(format, true),
            None => NEVER.to_owned(),
        }
    }
}

impl Timestamp {
    /// RFC 3339 with the offset that `zone` has at this instant, with milliseconds where it is no whole second.
    pub fn rfc3339_exact_in(self, zone: TimeZone) -> String {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(date) => date.with_timezone(&zone.tz()).to_rfc3339_opts(SecondsFormat::AutoSi, true),
            None => NEVER.to_owned(),
        }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(date) => f.write_str(&date.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_with_the_offset_its_zone_has_then() {
        let winter = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let summer = Timestamp::parse_rfc3339("2026-07-01T00:00:00.999Z").unwrap();
        let zone = TimeZone::parse("America/New_York").unwrap();

        assert_eq!(winter.rfc3339_in(zone), "2025-12-31T19:00:00-05:00");
        assert_eq!(summer.rfc3339_in(zone), "2026-06-30T20:00:00-04:00");
        assert_eq!(winter.rfc3339_in(TimeZone::UTC), "2026-01-01T00:00:00Z");
        assert_eq!(summer.to_string(), "2026-07-01T00:00:00.999Z");
    }

    #[test]
    fn a_month_begins_at_its_first_moment_in_utc() {
        let first = Timestamp::of_month(2028, 2).unwrap();

        assert_eq!(first.to_string(), "2028-02-01T00:00:00.000Z");
        assert_eq!(first.year_month(), (2028, 2));
        assert_eq!(Timestamp::from_millis(first.millis() - 1).year_month(), (2028, 1));
        assert_eq!(Timestamp::of_month(2028, 13), None);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let last = Timestamp::from_millis(i64::MAX);

        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(Timestamp::from_millis(i64::MIN).minus(Duration::MAX).millis(), i64::MIN);
        assert_eq!(Timestamp::EPOCH.since(last), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(-1).secs(), -1);
    }
}
