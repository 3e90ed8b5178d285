//! What holds for every expression, zone and instant.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Timelike, Utc};
use chrono_tz::TZ_VARIANTS;
use proptest::prelude::*;

use super::super::calendar::{date, day_number};
use super::super::{CronExpr, Rule, offsets};
use crate::model::{TimeZone, Timestamp};

/// 1990 to 2060.
const SECONDS: std::ops::Range<i64> = 631_152_000..2_871_763_200;

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let value = min..=max;
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => value.clone().prop_map(|value| value.to_string()),
        1 => (value.clone(), value.clone()).prop_map(|(a, b)| format!("{a}-{b}")),
        1 => (1..=max).prop_map(|step| format!("*/{step}")),
        1 => (value.clone(), 1..=max).prop_map(|(start, step)| format!("{start}/{step}")),
        1 => (value.clone(), value).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn expression() -> impl Strategy<Value = CronExpr> {
    let fields = (field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7));
    fields.prop_filter_map("it never fires", |(second, minute, hour, day, month, weekday)| {
        CronExpr::parse(&format!("{second} {minute} {hour} {day} {month} {weekday}")).ok()
    })
}

/// One whose hour field names more than one hour.
fn expression_by_hour() -> impl Strategy<Value = CronExpr> {
    let hours =
        prop_oneof![Just("*".to_owned()), Just("*/2".to_owned()), Just("0-5".to_owned()), Just("1,2,3".to_owned())];
    (field(0, 59), field(0, 59), hours, field(1, 31))
        .prop_filter_map("it never fires", |(second, minute, hour, day)| {
            CronExpr::parse(&format!("{second} {minute} {hour} {day} * *")).ok()
        })
}

fn zone() -> impl Strategy<Value = TimeZone> {
    (0..TZ_VARIANTS.len()).prop_map(|place| TimeZone::parse(TZ_VARIANTS[place].name()).unwrap())
}

/// An instant, half of the time near a change of the zone's offset.
fn zone_and_instant() -> impl Strategy<Value = (TimeZone, Timestamp)> {
    (zone(), SECONDS, any::<bool>(), -200_000_i64..200_000).prop_map(|(zone, second, near, by)| {
        let eras = offsets::eras(zone);
        let change = eras[eras.partition_point(|era| era.end <= second)].start;
        let second = if near && SECONDS.contains(&change) { change + by } else { second };
        (zone, Timestamp::from_secs(second))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_next_instant_is_always_later(expr in expression(), (zone, after) in zone_and_instant()) {
        let ticks = expr.ticks(zone, after);
        let mut last = after;
        for _ in 0..20 {
            let Some(next) = ticks.next(last) else { break };
            prop_assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    #[test]
    fn it_is_the_same_from_wherever_one_looks(expr in expression(), (zone, after) in zone_and_instant()) {
        let ticks = expr.ticks(zone, after);
        let Some(next) = ticks.next(after) else { return Ok(()) };
        let between = next.millis() - after.millis();
        for part in [0, 1, between / 3, between / 2, between - 1_000, between - 1] {
            let from = Timestamp::from_millis(after.millis() + part.max(0));
            prop_assert_eq!(ticks.next(from), Some(next), "from {}", from);
        }
    }

    #[test]
    fn counting_and_the_latest_agree_with_going_through(expr in expression(), (zone, after) in zone_and_instant()) {
        let ticks = expr.ticks(zone, after);
        let instants: Vec<Timestamp> =
            std::iter::successors(ticks.next(after), |&last| ticks.next(last)).take(60).collect();
        for (passed, instant) in instants.iter().enumerate() {
            let just_before = Timestamp::from_millis(instant.millis() - 1);
            prop_assert_eq!(ticks.count(after, *instant), passed as u64 + 1);
            prop_assert_eq!(ticks.count(after, just_before), passed as u64);
            prop_assert_eq!(ticks.latest(after, *instant), Some(*instant));
            prop_assert_eq!(ticks.latest(after, just_before), passed.checked_sub(1).map(|before| instants[before]));
        }
    }

    #[test]
    fn what_repeats_by_hour_names_the_seconds_whose_local_time_matches(
        expr in expression_by_hour(), (zone, after) in zone_and_instant(),
    ) {
        let Rule::Fields(fields) = &expr.rule else { unreachable!() };
        let ticks = expr.ticks(zone, after);
        let until = Timestamp::from_secs(after.secs() + 4_000);
        let named = std::iter::successors(ticks.next(after), |&last| ticks.next(last));
        let named: Vec<i64> = named.take_while(|&instant| instant <= until).map(Timestamp::secs).collect();
        let matching: Vec<i64> = (after.secs() + 1..=until.secs()).filter(|&second| matches(fields, zone, second)).collect();
        prop_assert_eq!(named, matching);
    }

    #[test]
    fn a_fixed_time_runs_exactly_once_on_each_day(
        hour in 0_u32..24, minute in 0_u32..60, (zone, near) in zone_and_instant(),
    ) {
        let expr = CronExpr::parse(&format!("0 {minute} {hour} * * *")).unwrap();
        let ticks = expr.ticks(zone, near);
        let mut last_day = None;
        for instant in std::iter::successors(ticks.next(near), |&last| ticks.next(last)).take(6) {
            let day = day_of(zone, instant.secs(), hour, minute);
            if let Some(last_day) = last_day {
                let step = day - last_day;
                prop_assert!(step == 1 || (step == 2 && is_left_out(zone, last_day + 1)), "{instant} in {zone}");
            }
            last_day = Some(day);
        }
    }

    #[test]
    fn croner_agrees_where_the_dialects_do(
        second in field(0, 59), minute in field(0, 59), hour in field(0, 23), day in 1_u32..=31, month in field(1, 12),
        after in SECONDS,
    ) {
        // One day of the month, no weekday, no range that goes around, UTC: there both mean the same.
        let text = format!("{second} {minute} {hour} {day} {month} *");
        let Ok(ours) = CronExpr::parse(&text) else { return Ok(()) };
        let parser = croner::parser::CronParser::builder().seconds(croner::parser::Seconds::Required).build();
        let Ok(theirs) = parser.parse(&text) else { return Ok(()) };
        let after = DateTime::<Utc>::from_timestamp(after, 0).unwrap();
        let Ok(expected) = theirs.find_next_occurrence(&after, false) else { return Ok(()) };
        let found = ours.ticks(TimeZone::UTC, Timestamp::EPOCH).next(Timestamp::from_secs(after.timestamp()));
        prop_assert_eq!(found.map(Timestamp::secs), Some(expected.timestamp()), "{}", text);
    }

    #[test]
    fn the_calendar_goes_both_ways(day in -1_000_000_i64..1_000_000) {
        let (year, month, of_month) = date(day);
        prop_assert_eq!(day_number(year, month, of_month), day);
        let known = chrono::NaiveDate::from_ymd_opt(year as i32, month, of_month).unwrap();
        prop_assert_eq!(i64::from(known.to_epoch_days()), day);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        if let Err(error) = CronExpr::parse(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn no_text_that_looks_like_an_expression_makes_it_panic(
        text in "(CRON_TZ=[A-Z/a-z]{0,12} )?[0-9*/?,#LWAa@+ -]{0,12}( [0-9*/?,#LWMONFRI-]{0,9}){0,7}",
        after in SECONDS,
    ) {
        match CronExpr::parse(&text) {
            Ok(expr) => {
                let ticks = expr.ticks(TimeZone::UTC, Timestamp::EPOCH);
                prop_assert!(ticks.next(Timestamp::from_secs(after)).is_none_or(|next| next.secs() > after));
                prop_assert!(!expr.describe().is_empty());
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}

#[test]
fn in_every_zone_each_change_from_1990_to_2060_keeps_the_order() {
    let exprs =
        ["0 30 2 * * *", "0 0 0 * * *", "0 */20 1-3 * * *", "0 0 * * * *"].map(|expr| CronExpr::parse(expr).unwrap());
    for tz in TZ_VARIANTS {
        let zone = TimeZone::parse(tz.name()).unwrap();
        for era in offsets::eras(zone).iter().filter(|era| SECONDS.contains(&era.start)) {
            for expr in &exprs {
                let ticks = expr.ticks(zone, Timestamp::EPOCH);
                let mut last = Timestamp::from_secs(era.start - 7_200);
                while last.secs() < era.start + 7_200 {
                    let next = ticks.next(last).unwrap();
                    assert!(next > last, "{next} after {last} in {zone}");
                    last = next;
                }
            }
        }
    }
}

fn local(zone: TimeZone, second: i64) -> DateTime<chrono_tz::Tz> {
    let tz = chrono_tz::Tz::from_str(zone.name()).unwrap();
    DateTime::<Utc>::from_timestamp(second, 0).unwrap().with_timezone(&tz)
}

/// The day whose `hour:minute` an instant is: a gap that holds it may end at midnight, or after.
fn day_of(zone: TimeZone, instant: i64, hour: u32, minute: u32) -> i64 {
    let local = local(zone, instant).naive_local();
    let unchanged = self::local(zone, instant - 1).naive_local() + chrono::Duration::seconds(1);
    let planned = unchanged.date().and_hms_opt(hour, minute, 0).unwrap();
    let day = if (unchanged..=local).contains(&planned) { unchanged.date() } else { local.date() };
    day_number(i64::from(day.year()), day.month(), day.day())
}

/// Slow and obvious: asks the zone for the local time of a second and looks at each field.
fn matches(fields: &super::super::Fields, zone: TimeZone, second: i64) -> bool {
    let local = local(zone, second);
    fields.seconds & 1 << local.second() != 0
        && fields.minutes & 1 << local.minute() != 0
        && fields.hours & 1 << local.hour() != 0
        && fields.months & 1 << local.month() != 0
        && fields.days.of(i64::from(local.year()), local.month()) & 1 << local.day() != 0
}

/// Whether a zone left out a whole local day.
fn is_left_out(zone: TimeZone, day: i64) -> bool {
    let (start, end) = (day * 86_400, (day + 1) * 86_400);
    offsets::eras(zone).windows(2).any(|pair| pair[0].local_end() <= start && pair[1].local_start() >= end)
}
