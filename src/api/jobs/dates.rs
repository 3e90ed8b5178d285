//! Dates in queries: `20220221`, `20220221T061500`, and ISO 8601, in the zone of a task where they have no offset.

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};

use crate::model::{TimeZone, Timestamp};

/// What is expected of a date.
pub(in crate::api) const EXPECTED: &str = "a date such as 20220221, 20220221T061500 or 2022-02-21T06:15:00+01:00";

/// Which end of a range a date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Bound {
    /// A bare day means its first moment.
    From,
    /// A bare day means its last millisecond.
    To,
}

/// Reads a date; `None`: it is none.
pub(in crate::api) fn read(text: &str, zone: TimeZone, bound: Bound) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(day) = day(text) {
        return match bound {
            Bound::From => local(day.and_time(NaiveTime::MIN), zone),
            Bound::To => {
                let next = local(day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN), zone)?;
                Some(Timestamp::from_millis(next.millis() - 1))
            }
        };
    }
    moment(text, zone)
}

/// Reads a moment: a day with a time.
pub(in crate::api) fn moment(text: &str, zone: TimeZone) -> Option<Timestamp> {
    const WITH_OFFSET: [&str; 4] =
        ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y%m%dT%H%M%S%.f%#z", "%Y%m%dT%H%M%#z"];
    const WITHOUT: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y%m%dT%H%M%S%.f", "%Y%m%dT%H%M"];
    let text = normal(text)?;
    let zoned = WITH_OFFSET.iter().find_map(|format| DateTime::parse_from_str(&text, format).ok());
    if let Some(date) = zoned {
        return known(date.timestamp_millis());
    }
    let date = WITHOUT.iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok())?;
    local(date, zone)
}

/// One way to write it: `T` between day and time, `+00:00` for `Z`. A `+` that was not encoded in a query is a blank there.
fn normal(text: &str) -> Option<String> {
    const LEN_MAX: usize = 64;
    if text.len() > LEN_MAX || !text.is_ascii() {
        return None;
    }
    let mut text = text.replace('t', "T").replace('z', "Z");
    if !text.contains('T') {
        text = text.replacen(' ', "T", 1);
    }
    let text = text.replace(' ', "+").replace(',', ".");
    Some(match text.strip_suffix('Z') {
        Some(rest) => format!("{rest}+00:00"),
        None => text,
    })
}

fn day(text: &str) -> Option<NaiveDate> {
    let is_plain = |len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let format = if is_plain(8) {
        "%Y%m%d"
    } else if is_plain(10) {
        "%Y-%m-%d"
    } else {
        return None;
    };
    NaiveDate::parse_from_str(text, format).ok()
}

/// The instant of a local time: the first of two; in a gap the first instant after it.
fn local(date: NaiveDateTime, zone: TimeZone) -> Option<Timestamp> {
    let instant = match zone.tz().from_local_datetime(&date) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.timestamp_millis(),
        LocalResult::None => after_gap(date, zone)?,
    };
    known(instant)
}

fn after_gap(date: NaiveDateTime, zone: TimeZone) -> Option<i64> {
    // No gap is longer than a day and a bit: Samoa left one out.
    const MINUTES_MAX: i64 = 26 * 60;
    let whole = date.with_second_and_nanosecond()?;
    let minutes = (1..=MINUTES_MAX).filter_map(|minute| whole.checked_add_signed(chrono::Duration::minutes(minute)));
    let found = minutes.map(|later| zone.tz().from_local_datetime(&later)).find_map(LocalResult::earliest);
    found.map(|instant| instant.timestamp_millis())
}

trait WholeMinute: Sized {
    fn with_second_and_nanosecond(self) -> Option<Self>;
}

impl WholeMinute for NaiveDateTime {
    fn with_second_and_nanosecond(self) -> Option<Self> {
        use chrono::Timelike;
        self.with_second(0)?.with_nanosecond(0)
    }
}

/// Within the years that have four digits.
fn known(millis: i64) -> Option<Timestamp> {
    let instant = Timestamp::from_millis(millis);
    (Timestamp::EPOCH <= instant && instant < Timestamp::FAR_FUTURE).then_some(instant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, zone: &str, bound: Bound) -> Option<String> {
        read(text, TimeZone::parse(zone).unwrap(), bound).map(|instant| instant.to_string())
    }

    #[test]
    fn a_date_is_read_in_the_zone_of_the_task_unless_it_has_its_own_offset() {
        let read = |text| at(text, "Europe/Berlin", Bound::From).unwrap();

        for text in ["20220221T061500", "2022-02-21T06:15:00", "2022-02-21 06:15", "20220221T0615", "20220221t061500"] {
            assert_eq!(read(text), "2022-02-21T05:15:00.000Z", "{text}");
        }
        for text in [
            "20220221T061500Z",
            "2022-02-21T08:15:00+02:00",
            "2022-02-21T08:15:00 02:00",
            "2022-02-21T08:15:00+0200",
            "2022-02-21T08:15+02",
        ] {
            assert_eq!(read(text), "2022-02-21T06:15:00.000Z", "{text}");
        }
        assert_eq!(read("2022-02-21T06:15:00.250"), "2022-02-21T05:15:00.250Z");
    }

    #[test]
    fn a_bare_day_is_its_first_moment_or_its_end_also_when_the_clocks_change() {
        assert_eq!(at("20220221", "UTC", Bound::From).unwrap(), "2022-02-21T00:00:00.000Z");
        assert_eq!(at("2022-02-21", "UTC", Bound::To).unwrap(), "2022-02-21T23:59:59.999Z");
        assert_eq!(at("20260329", "Europe/Berlin", Bound::To).unwrap(), "2026-03-29T21:59:59.999Z");
        assert_eq!(at("20261025", "Europe/Berlin", Bound::To).unwrap(), "2026-10-25T22:59:59.999Z");
    }

    #[test]
    fn a_local_time_that_comes_twice_is_the_first_and_one_that_is_left_out_the_moment_after() {
        assert_eq!(at("20261025T023000", "Europe/Berlin", Bound::From).unwrap(), "2026-10-25T00:30:00.000Z");
        assert_eq!(at("20260329T023000", "Europe/Berlin", Bound::From).unwrap(), "2026-03-29T01:00:00.000Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "2022", "20220230", "2022-13-01", "20220221T2500", "yesterday", "2022-02-21T06:15:00+99:00"] {
            assert_eq!(at(text, "UTC", Bound::From), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_answered(text in "\\PC{0,70}", digits in "[0-9TZ+:. -]{0,30}") {
            for text in [text, digits] {
                let _ = (at(&text, "Pacific/Apia", Bound::From), at(&text, "America/St_Johns", Bound::To));
            }
        }
    }
}
