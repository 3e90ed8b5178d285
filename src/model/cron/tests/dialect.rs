//! Examples of each rule.

use super::{CronExpr, at, next};
use crate::model::TimeZone;

const NEW_YEAR: &str = "2026-01-01T00:00:00Z";

#[test]
fn an_expression_takes_at_most_64_bytes() {
    assert!(size_of::<CronExpr>() <= 64, "{}", size_of::<CronExpr>());
}

#[test]
fn the_forms_of_quartz_mean_what_they_mean_there() {
    let days = |expr: &str| -> Vec<String> {
        next(expr, "UTC", NEW_YEAR, 3).into_iter().map(|instant| instant[..10].to_owned()).collect()
    };

    assert_eq!(days("0 0 12 L * ?"), ["2026-01-31", "2026-02-28", "2026-03-31"]);
    assert_eq!(days("0 0 12 L-2 * ?"), ["2026-01-29", "2026-02-26", "2026-03-29"]);
    assert_eq!(days("0 0 12 LW * ?"), ["2026-01-30", "2026-02-27", "2026-03-31"]);
    assert_eq!(days("0 0 12 15W * ?"), ["2026-01-15", "2026-02-16", "2026-03-16"]);
    assert_eq!(days("0 0 12 1W * ?"), ["2026-01-01", "2026-02-02", "2026-03-02"]);
    assert_eq!(days("0 0 12 31W * ?"), ["2026-01-30", "2026-03-31", "2026-05-29"]);
    assert_eq!(days("0 0 12 ? * 5L"), ["2026-01-30", "2026-02-27", "2026-03-27"]);
    assert_eq!(days("0 0 12 ? * MON#2"), ["2026-01-12", "2026-02-09", "2026-03-09"]);
    assert_eq!(days("0 0 12 ? * 1#5"), ["2026-03-30", "2026-06-29", "2026-08-31"]);
    assert_eq!(days("0 0 12 ? * 7"), ["2026-01-04", "2026-01-11", "2026-01-18"]);
    assert_eq!(days("0 0 12 ? * 7-7"), ["2026-01-04", "2026-01-11", "2026-01-18"]);
    assert_eq!(days("0 0 12 ? * 7-1"), ["2026-01-04", "2026-01-05", "2026-01-11"]);
    assert_eq!(days("0 0 12 ? * 6-7"), ["2026-01-03", "2026-01-04", "2026-01-10"]);
    assert_eq!(days("0 0 12 ? * FRI-SUN"), ["2026-01-02", "2026-01-03", "2026-01-04"]);
    assert_eq!(days("0 0 12 1 NOV-FEB ?"), ["2026-01-01", "2026-02-01", "2026-11-01"]);
}

#[test]
fn a_range_that_goes_around_midnight_is_one_night() {
    let hours = next("0 0 22-2 * * *", "UTC", "2026-01-01T12:00:00Z", 5);

    assert_eq!(hours.iter().map(|instant| &instant[11..13]).collect::<Vec<_>>(), ["22", "23", "00", "01", "02"]);
}

#[test]
fn a_fixed_time_in_the_gap_fires_once_at_its_end() {
    let expected = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];

    assert_eq!(next("0 30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3), expected);
    assert_eq!(next("0 */20 2 29 3 *", "Europe/Berlin", "2026-03-01T00:00:00Z", 1), ["2026-03-29T03:00:00+02:00"]);
}

#[test]
fn a_fixed_time_in_the_fold_fires_the_first_time_only() {
    let expected = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"];

    assert_eq!(next("0 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2), expected);
    assert_eq!(next("0 30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1), expected[1..]);
}

#[test]
fn what_repeats_by_hour_follows_elapsed_time() {
    let spring = next("0 0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2);
    let autumn = next("0 30 2-3 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", 3);

    assert_eq!(spring, ["2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]);
    assert_eq!(autumn, ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]);
}

#[test]
fn a_day_that_is_left_out_whole_is_no_day() {
    let fires = next("0 0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);

    assert_eq!(fires, ["2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00", "2012-01-01T12:00:00+14:00"]);
}

#[test]
fn a_change_by_half_an_hour_moves_only_what_lies_in_it() {
    let spring = next("0 15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);

    assert_eq!(spring, ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]);
}

#[test]
fn every_counts_from_its_anchor() {
    let expr = CronExpr::parse("@every 90s").unwrap();
    let ticks = expr.ticks(TimeZone::UTC, at("2026-01-01T00:00:07.9Z"));

    assert_eq!(ticks.next(at("2026-01-01T00:00:07.9Z")), Some(at("2026-01-01T00:01:37Z")));
    assert_eq!(ticks.next(at("2026-01-01T00:01:37Z")), Some(at("2026-01-01T00:03:07Z")));
    assert_eq!(ticks.next(at("2020-01-01T00:00:00Z")), Some(at("2026-01-01T00:01:37Z")));
}

#[test]
fn a_refusal_names_the_field_the_text_and_what_was_expected() {
    let refusal = |expr: &str| CronExpr::parse(expr).unwrap_err().to_string();

    assert_eq!(
        refusal("*/5 * * * *"),
        "has five fields, expected six with the seconds first; did you mean `0 */5 * * * *`?"
    );
    assert!(refusal("0 0 24 * * *").starts_with("hour: `24` is out of range in `24`, expected 0-23"));
    assert!(refusal("0 0 0 * * MONDAY").starts_with("day of week: `MONDAY` is not understood"));
    assert!(refusal("*/0 * * * * *").starts_with("second: `*/0` has a step of 0"));
    assert_eq!(refusal("0 0 0 30 2 *"), "never fires: no month that is named has such a day");
    assert_eq!(refusal("0 0 0 31 4,6 ?"), "never fires: no month that is named has such a day");
    assert!(refusal("0 0 0 1 1 * 2027").starts_with("has 7 fields"));
    assert!(refusal("@every 1d").contains("`1d` is no duration"));
    assert!(refusal("@Daily").starts_with("unknown descriptor `@Daily`"));
    assert!(!refusal("TZ=a\nb 0 0 0 * * *").contains('\n'));
    assert!(refusal("TZ=Mars/Base @daily").contains("unknown time zone `Mars/Base`"));
    assert!(refusal(&"*".repeat(600)).starts_with("is 600 bytes long"));
}

#[test]
fn an_expression_is_told_in_words() {
    let words = |expr: &str| CronExpr::parse(expr).unwrap().describe();

    assert_eq!(words("0 30 2 * * 1-5"), "at 02:30:00 on Monday to Friday");
    assert_eq!(words("*/10 * * * * *"), "every 10 seconds of every minute");
    assert_eq!(words("* * * * * *"), "every second");
    assert_eq!(words("0 */5 * * * *"), "every 5 minutes of every hour");
    assert_eq!(words("@hourly"), "every hour");
    assert_eq!(words("@every 1h30m"), "every 1h 30m");
    assert_eq!(words("0 0 9,17 L 1-3 ?"), "at 09:00:00 and 17:00:00 on the last day of the month in January to March");
    assert_eq!(words("0 0 12 13 * FRI"), "at 12:00:00 on day 13 of the month or Friday");
    assert_eq!(words("0 15 8-18 * * *"), "minute 15 of hours 8 to 18");
}

#[test]
fn days_of_change_are_remarked_on() {
    let remarks = |expr: &str| {
        let expr = CronExpr::parse(expr).unwrap();
        expr.dst_remarks(TimeZone::parse("Europe/Berlin").unwrap(), at(NEW_YEAR), at("2027-01-01T00:00:00Z"))
    };

    assert_eq!(
        remarks("0 30 2 * * *"),
        [
            "2026-03-29: 02:30:00 does not exist in Europe/Berlin, fires at 03:00:00 instead",
            "2026-10-25: 02:30:00 comes twice in Europe/Berlin, fires the first time only",
        ]
    );
    assert_eq!(
        remarks("0 0 * * * *")[1],
        "2026-10-25: 02:00:00 to 03:00:00 comes twice in Europe/Berlin, fires both times"
    );
    assert!(remarks("0 0 12 * * *").is_empty());
}

#[test]
fn a_gap_that_ends_at_midnight_moves_what_lies_in_it_to_the_next_day() {
    let spring = next("0 30 23 * * *", "America/Nuuk", "2025-03-29T00:00:00Z", 3);

    assert_eq!(spring, ["2025-03-28T23:30:00-02:00", "2025-03-30T00:00:00-01:00", "2025-03-30T23:30:00-01:00"]);
}
