//! The header `Retry-After`: seconds, or a date in one of the three forms of HTTP (RFC 9110, 5.6.7 and 10.2.3).

use std::time::Duration;

use chrono::NaiveDate;

use crate::model::Timestamp;

/// The longest text that is looked at, in bytes. A longer one says nothing.
const LEN_MAX: usize = 64;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How long a target asks to be left alone; `None` when the text says nothing. A date that has passed is no time at all.
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() || text.len() > LEN_MAX {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are longer than any pause.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    parse_http_date(text, now).map(|date| date.since(now))
}

/// The name of the weekday is not looked at: a wrong one would make the date no clearer.
fn parse_http_date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [_, day, month, year, time, "GMT" | "UTC"] => date(four_digits(year)?, month, day, time),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [_, date_text, time, "GMT" | "UTC"] => {
            let mut parts = date_text.splitn(3, '-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            date(century(number(year, 2)?, now), month, day, time)
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => date(four_digits(year)?, month, day, time),
        _ => None,
    }
}

fn date(year: i32, month: &str, day: &str, time: &str) -> Option<Timestamp> {
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    let date = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, number(day, day.len().clamp(1, 2))?)?;
    let mut parts = time.splitn(3, ':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second is the last one before it.
    let instant = date.and_hms_opt(hour, minute, if second == 60 { 59 } else { second })?;
    Some(Timestamp::from_millis(instant.and_utc().timestamp_millis()))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let is_whole = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_whole)
}

fn four_digits(text: &str) -> Option<i32> {
    i32::try_from(number(text, 4)?).ok()
}

/// Two digits of a year that seem to lie more than 50 years ahead mean the past.
fn century(two_digits: u32, now: Timestamp) -> i32 {
    let (this_year, _) = now.year_month();
    let two_digits = i32::try_from(two_digits).unwrap_or_default();
    let ahead = (two_digits - this_year).rem_euclid(100);
    this_year + if ahead > 50 { ahead - 100 } else { ahead }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(text: &str) -> Option<u64> {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:07Z").unwrap();
        parse_retry_after(text, now).map(|pause| pause.as_secs())
    }

    #[test]
    fn seconds_and_all_three_forms_of_dates_are_read() {
        assert_eq!([secs("120"), secs("0"), secs(" 7\t")], [Some(120), Some(0), Some(7)]);
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(secs("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30));
        assert_eq!(secs("Sun Nov  6 08:49:37 1994"), Some(30));
        assert_eq!(secs("Sun Nov 16 08:49:37 1994"), Some(30 + 10 * 86_400));
    }

    #[test]
    fn a_date_that_has_passed_is_no_time_and_too_many_seconds_are_the_most() {
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:06 GMT"), Some(0));
        assert_eq!(secs("Tuesday, 06-Nov-79 08:49:37 GMT"), Some(0));
        assert_eq!(secs("99999999999999999999999"), Some(u64::MAX));
        let end_of_century = Timestamp::parse_rfc3339("1999-12-31T23:59:59Z").unwrap();
        let second = Some(Duration::from_secs(1));
        assert_eq!(parse_retry_after("Saturday, 01-Jan-00 00:00:00 GMT", end_of_century), second);
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for text in [
            "",
            " ",
            "soon",
            "-1",
            "1.5",
            "1s",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, +6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(secs(text), None, "{text}");
        }
        assert_eq!(secs(&"1".repeat(65)), None);
    }

    proptest! {
        #[test]
        fn a_date_is_read_as_it_is_written(at in 0_i64..4_102_444_800, now in 0_i64..4_102_444_800) {
            let (at, now) = (Timestamp::from_secs(at), Timestamp::from_secs(now));
            let date = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(at.millis()).unwrap();
            for form in ["%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"] {
                let text = date.format(form).to_string();
                prop_assert_eq!(parse_retry_after(&text, now), Some(at.since(now)), "{}", text);
            }
        }

        #[test]
        fn two_digits_of_a_year_mean_the_nearest_past_or_at_most_fifty_years_ahead(year in 0_u32..100, now in 1970..2150_i32) {
            let now = Timestamp::of_month(now, 1).unwrap();
            let meant = century(year, now);
            let ahead = meant - now.year_month().0;
            prop_assert!(meant.rem_euclid(100) == year as i32 && (-49..=50).contains(&ahead));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[A-Za-z0-9:, -]{0,40}|\\PC{0,70}") {
            parse_retry_after(&text, Timestamp::EPOCH);
        }
    }
}
