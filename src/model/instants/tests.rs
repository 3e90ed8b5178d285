use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use proptest::prelude::*;

use super::*;
use crate::model::{EntryName, EntryOptions, Identity, Request, TargetUrl, Task};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).unwrap()
}

fn revision(zone: TimeZone, schedule: Schedule, options: EntryOptions, put_at: Timestamp) -> Revision {
    let request = Request::post(TargetUrl::parse("http://a/").unwrap());
    let entry = Entry::new(EntryName::parse("e").unwrap(), schedule, request);
    let entry = entry.with_options(Some(Box::new(options)));
    Revision::new(Task::new(Identity::parse("t").unwrap(), zone, vec![entry]), put_at)
}

fn instants(revision: &Revision) -> Instants<'_> {
    revision.instants(&revision.task.entries[0])
}

fn first(revision: &Revision, after: Timestamp, count: usize) -> Vec<String> {
    let (instants, zone) = (instants(revision), revision.task.time_zone);
    let named = std::iter::successors(instants.next(after), |&last| instants.next(last));
    named.take(count).map(|instant| instant.rfc3339_in(zone)).collect()
}

fn cron(text: &str) -> Schedule {
    Schedule::cron(text).unwrap()
}

fn excluding(dates: &[&str], weekdays: u8) -> EntryOptions {
    let dates = dates.iter().map(|date| date.parse().unwrap()).collect();
    EntryOptions { exclude: Exclude { dates, weekdays }, ..EntryOptions::default() }
}

const SATURDAY: u8 = 1 << 6;
const SUNDAY: u8 = 1;

#[test]
fn a_period_is_aligned_to_the_epoch_whenever_it_is_put() {
    let put_at = at("2026-11-21T07:15:31.250Z");
    let revision = revision(TimeZone::UTC, Schedule::every("90s").unwrap(), EntryOptions::default(), put_at);

    assert_eq!(first(&revision, put_at, 2), ["2026-11-21T07:16:30Z", "2026-11-21T07:18:00Z"]);
    assert_eq!(instants(&revision).next(at("2026-11-21T07:16:30Z")), Some(at("2026-11-21T07:18:00Z")));
}

#[test]
fn one_instant_is_exact_to_the_millisecond_and_comes_once() {
    let (put_at, instant) = (at("2026-11-21T07:00:00Z"), at("2026-11-21T07:15:30.250Z"));
    let schedule = Schedule::at("2026-11-21T08:15:30.25+01:00").unwrap();
    let revision = revision(TimeZone::UTC, schedule, EntryOptions::default(), put_at);
    let instants = instants(&revision);

    assert_eq!((instants.next(put_at), instants.next(instant)), (Some(instant), None));
    assert_eq!(instants.latest(put_at, instant), Some(instant));
    assert_eq!(instants.latest(put_at, instant.minus(MILLISECOND)), None);
    assert_eq!((instants.count(put_at, instant), instants.count(instant, Timestamp::FAR_FUTURE)), (1, 0));
    assert!(!revision.is_finished(&revision.task.entries[0], put_at));
    assert!(revision.is_finished(&revision.task.entries[0], instant));
}

#[test]
fn start_and_end_belong_to_what_is_named() {
    let options = EntryOptions {
        start_at: Some(at("2026-11-21T10:00:00Z")),
        end_at: Some(at("2026-11-21T12:00:00Z")),
        ..EntryOptions::default()
    };
    let revision = revision(TimeZone::UTC, cron("@hourly"), options, at("2026-11-21T07:15:00Z"));

    let expected = ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"];
    assert_eq!(first(&revision, revision.put_at, 9), expected);
}

#[test]
fn excluded_days_are_days_of_the_zone_also_where_the_clocks_change() {
    // In Berlin the 25th of October 2026 has 25 hours, the 29th of March has 23.
    let zone = zone("Europe/Berlin");
    let october = revision(zone, cron("@hourly"), excluding(&["2026-10-25"], 0), at("2026-10-24T20:30:00Z"));
    let march = revision(zone, cron("@hourly"), excluding(&["2026-03-29"], 0), at("2026-03-28T21:30:00Z"));

    assert_eq!(first(&october, october.put_at, 2), ["2026-10-24T23:00:00+02:00", "2026-10-26T00:00:00+01:00"]);
    assert_eq!(first(&march, march.put_at, 2), ["2026-03-28T23:00:00+01:00", "2026-03-30T00:00:00+02:00"]);
    let all = |revision: &Revision| {
        instants(revision).count(revision.put_at, revision.put_at.plus(Duration::from_secs(172_800)))
    };
    assert_eq!((all(&october), all(&march)), (48 - 25, 48 - 23));
}

#[test]
fn weekdays_are_those_of_the_task_even_if_the_expression_has_its_own_zone() {
    // Noon in Auckland on Sunday is still Saturday evening in New York.
    let schedule = cron("CRON_TZ=Pacific/Auckland 0 0 12 * * *");
    let revision = revision(zone("America/New_York"), schedule, excluding(&[], SATURDAY), at("2026-11-20T00:00:00Z"));

    let expected = ["2026-11-20T18:00:00-05:00", "2026-11-22T18:00:00-05:00"];
    assert_eq!(first(&revision, at("2026-11-20T00:00:00Z"), 2), expected);
}

#[test]
fn fires_max_counts_from_the_put_and_not_from_the_last_switch() {
    let put_at = at("2026-11-21T07:00:05Z");
    let options = EntryOptions { fires_max: Some(3), ..EntryOptions::default() };
    let put = revision(TimeZone::UTC, cron("@every 10s"), options, put_at);
    let switched = Revision { in_force_from: at("2026-11-21T07:00:28Z"), ..put.clone() };

    let expected = ["2026-11-21T07:00:15Z", "2026-11-21T07:00:25Z", "2026-11-21T07:00:35Z"];
    assert_eq!(first(&put, put_at, 9), expected);
    assert_eq!(first(&switched, switched.in_force_from, 9), expected[2..]);
    assert_eq!(first(&put, at("2026-11-20T00:00:00Z"), 1), expected[..1]);
}

#[test]
fn fires_max_of_a_definition_that_is_put_again_is_counted_from_then() {
    let options = EntryOptions { fires_max: Some(1), ..EntryOptions::default() };
    let old = revision(TimeZone::UTC, cron("@hourly"), options, at("2026-11-21T07:30:00Z"));
    let restored = Revision::new(old.task.clone(), at("2026-11-22T07:30:00Z"));

    assert_eq!(first(&old, old.put_at, 2), ["2026-11-21T08:00:00Z"]);
    assert_eq!(first(&restored, restored.put_at, 2), ["2026-11-22T08:00:00Z"]);
    assert_eq!(first(&old, old.put_at, 2), ["2026-11-21T08:00:00Z"]);
}

#[test]
fn what_is_disabled_or_excludes_every_day_names_nothing() {
    let disabled = EntryOptions { enabled: false, ..EntryOptions::default() };
    for options in [disabled, excluding(&[], Exclude::ALL_WEEKDAYS)] {
        let revision = revision(TimeZone::UTC, cron("* * * * * *"), options, Timestamp::EPOCH);
        let instants = instants(&revision);
        assert_eq!(instants.next(Timestamp::EPOCH), None);
        assert_eq!(instants.latest(Timestamp::EPOCH, Timestamp::FAR_FUTURE), None);
        assert_eq!(instants.count(Timestamp::EPOCH, Timestamp::FAR_FUTURE), 0);
    }
}

#[test]
fn what_its_days_exclude_for_ever_is_known() {
    let now = at("2026-11-21T07:00:00Z");
    let is_never = |schedule: Schedule, options: EntryOptions| {
        let revision = revision(zone("Europe/Berlin"), schedule, options, now);
        revision.draft_instants(&revision.task.entries[0]).is_excluded_for_ever(now)
    };

    assert!(is_never(cron("0 0 9 * * sat,sun"), excluding(&[], SATURDAY | SUNDAY)));
    assert!(is_never(Schedule::every("7d").unwrap(), excluding(&[], 1 << 4)));
    assert!(is_never(Schedule::at("2026-12-25T00:00:00Z").unwrap(), excluding(&["2026-12-25"], 0)));
    assert!(is_never(cron("@hourly"), excluding(&[], Exclude::ALL_WEEKDAYS)));
    assert!(!is_never(cron("0 0 9 * * sat,sun"), excluding(&[], SATURDAY)));
    assert!(!is_never(cron("0 0 0 29 2 *"), excluding(&["2028-02-29", "2032-02-29"], 0)));
    assert!(!is_never(Schedule::at("2026-11-20T00:00:00Z").unwrap(), excluding(&["2026-11-20"], 0)));
    let ends = EntryOptions { end_at: Some(at("2026-11-22T00:00:00Z")), ..excluding(&[], SATURDAY) };
    assert!(!is_never(cron("@hourly"), ends));
}

#[test]
fn long_ranges_are_looked_into_fast() {
    let (begun, now) = (tokio::time::Instant::now(), at("2026-11-21T07:00:00Z"));
    let weekdays_only = EntryOptions { fires_max: Some(400_000_000), ..excluding(&["2026-12-25"], SATURDAY | SUNDAY) };
    let dense = revision(zone("Europe/Berlin"), cron("* * * * * *"), weekdays_only, now);
    let never = revision(TimeZone::UTC, cron("0 0 9 * * sat"), excluding(&[], SATURDAY), now);

    let last = instants(&dense).latest(now, Timestamp::FAR_FUTURE).unwrap();

    assert_eq!(instants(&dense).count(now, last), 400_000_000);
    assert_eq!(instants(&dense).next(last), None);
    assert_eq!(instants(&never).next(now), None);
    assert_eq!(instants(&never).count(now, Timestamp::FAR_FUTURE), 0);
    // The bound is far from what it takes: a search second by second would need minutes.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let crons = [
        "0 0 0 * * *",
        "0 30 2 * * *",
        "0 */10 * * * *",
        "0 0 */3 * * *",
        "@every 7m",
        "@every 26h",
        "0 0 12 * * mon,sat",
        "CRON_TZ=Asia/Tokyo 0 15 */5 * * *",
        "0 59 23 * * *",
        "*/20 * 0,23 * * *",
    ];
    prop_oneof![
        4 => prop::sample::select(crons.to_vec()).prop_map(cron),
        2 => prop::sample::select(vec!["90m", "1d", "7d", "25h", "1h1s"]).prop_map(|text| Schedule::every(text).unwrap()),
        1 => (0_i64..2_592_000_000).prop_map(|by| {
            let instant = Timestamp::from_millis(NEAR.millis() + by);
            Schedule::at(&instant.to_string()).unwrap()
        }),
    ]
}

/// In the weeks after it the clocks go ahead in the south and back in the north.
const NEAR: Timestamp = Timestamp::from_secs(1_790_208_000);
const DAY: i64 = 86_400_000;

prop_compose! {
    fn options()(
        weekdays in prop_oneof![Just(0_u8), 0_u8..127],
        days in prop::collection::btree_set(0_i64..40, 0..6),
        start in proptest::option::weighted(0.3, 0_i64..30 * DAY),
        length in proptest::option::weighted(0.3, 0_i64..30 * DAY),
        fires_max in proptest::option::weighted(0.4, prop_oneof![1_u64..5, 1_u64..3_000]),
        enabled in prop::bool::weighted(0.95),
    ) -> EntryOptions {
        let date = |day: i64| NaiveDate::from_epoch_days(((NEAR.millis() / DAY) + day) as i32).unwrap();
        let dates: BTreeSet<NaiveDate> = days.into_iter().map(date).collect();
        let start_at = start.map(|by| Timestamp::from_millis(NEAR.millis() + by));
        let end_at = length.map(|by| Timestamp::from_millis(start_at.unwrap_or(NEAR).millis() + by));
        EntryOptions { exclude: Exclude { dates, weekdays }, start_at, end_at, fires_max, enabled, ..EntryOptions::default() }
    }
}

fn a_zone() -> impl Strategy<Value = TimeZone> {
    // The last ones change their clocks at midnight, by half an hour, or are far from UTC.
    let names =
        ["UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Pacific/Auckland"];
    prop::sample::select(names.to_vec()).prop_map(zone)
}

/// Slow and obvious: every instant of the trigger alone, looked at one by one.
fn enumerated(revision: &Revision, until: Timestamp) -> Vec<Timestamp> {
    let entry = &revision.task.entries[0];
    let bare = Entry::new(entry.name.clone(), entry.schedule.clone(), entry.request.clone());
    let options = entry.options();
    let anchor = if options.fires_max.is_some() { revision.put_at } else { revision.in_force_from };
    let bare = Revision::new(Task::new(revision.task.identity.clone(), revision.task.time_zone, vec![bare]), anchor);
    let trigger = instants(&bare);
    let from = NEAR.minus(Duration::from_secs(86_400));
    let all = std::iter::successors(trigger.next(from), |&last| trigger.next(last)).take_while(|&it| it <= until);
    let is_left = |&instant: &Timestamp| {
        let utc = DateTime::<Utc>::from_timestamp_millis(instant.millis()).unwrap();
        let local = utc.with_timezone(&revision.task.time_zone.tz()).date_naive();
        let weekday = local.weekday().num_days_from_sunday();
        options.enabled
            && options.start_at.is_none_or(|start| instant >= start)
            && options.end_at.is_none_or(|end| instant <= end)
            && options.exclude.weekdays & 1 << weekday == 0
            && !options.exclude.dates.contains(&local)
    };
    let left = all.filter(is_left);
    match options.fires_max {
        Some(max) => left.filter(|&instant| instant > revision.put_at).take(max as usize).collect(),
        None => left.collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn next_latest_and_count_agree_with_looking_at_each_instant(
        schedule in schedule(), options in options(), zone in a_zone(), put in 0_i64..5 * DAY, switched in 0_i64..5 * DAY,
        looks in prop::collection::vec((0_i64..45 * DAY, 0_i64..20 * DAY), 6),
    ) {
        let put_at = Timestamp::from_millis(NEAR.millis() + put);
        let revision = revision(zone, schedule, options, put_at);
        let revision = Revision { in_force_from: Timestamp::from_millis(put_at.millis() + switched), ..revision };
        let end = Timestamp::from_millis(NEAR.millis() + 70 * DAY);
        let all = enumerated(&revision, end);
        let instants = instants(&revision);
        for (by, length) in looks {
            let after = Timestamp::from_millis(NEAR.millis() + by);
            let until = Timestamp::from_millis(after.millis() + length);
            let later = &all[all.partition_point(|&instant| instant <= after)..];
            let within = &later[..later.partition_point(|&instant| instant <= until)];
            if let Some(&next) = later.first() {
                prop_assert_eq!(instants.next(after), Some(next));
                prop_assert_eq!(instants.next(next.minus(MILLISECOND)), Some(next));
            } else {
                prop_assert!(instants.next(after).is_none_or(|next| next > end));
            }
            prop_assert_eq!(instants.latest(after, until), within.last().copied());
            prop_assert_eq!(instants.count(after, until), within.len() as u64);
        }
    }

    #[test]
    fn the_last_instant_is_the_one_with_the_number_of_fires_max(
        options in options(), zone in a_zone(), max in 1_u64..200_000, second in 0_i64..86_400,
    ) {
        let put_at = Timestamp::from_millis(NEAR.millis() + second * 1_000 + 250);
        let options = EntryOptions { fires_max: Some(max), enabled: true, start_at: None, end_at: None, ..options };
        let revision = revision(zone, cron("*/7 * * * * *"), options, put_at);
        let instants = instants(&revision);

        let Some(last) = instants.latest(put_at, Timestamp::FAR_FUTURE) else { return Ok(()) };

        prop_assert_eq!(instants.count(put_at, last), max);
        prop_assert_eq!(instants.count(put_at, last.minus(MILLISECOND)), max - 1);
        prop_assert_eq!(instants.next(last), None);
    }
}

/// Whatever may stand in an entry, also what asks for more than once a second.
fn a_trigger() -> impl Strategy<Value = Schedule> {
    let duration = || "([0-9]{1,4}(ms|s|m)){1,2}";
    let fields = prop::collection::vec(prop_oneof![Just("*".to_owned()), "[0-9*/,-]{1,4}"], 6);
    prop_oneof![
        fields.prop_map(|fields| ("cron_time", fields.join(" "))),
        duration().prop_map(|text| ("cron_time", format!("@every {text}"))),
        duration().prop_map(|text| ("every", text)),
        "2026-11-21T07:15:[0-5][0-9]\\.[0-9]{1,3}Z".prop_map(|text| ("at", text)),
    ]
    .prop_filter_map("it is refused", |(key, text)| Schedule::parse(key, &text)?.ok())
}

proptest! {
    #[test]
    fn no_trigger_fires_more_than_once_a_second(schedule in a_trigger(), zone in a_zone(), millis in 0_i64..86_400_000) {
        let put_at = Timestamp::from_millis(NEAR.millis() + millis);
        let revision = revision(zone, schedule, EntryOptions::default(), put_at);
        let instants = instants(&revision);
        let named: Vec<Timestamp> = std::iter::successors(instants.next(put_at), |&last| instants.next(last)).take(5).collect();

        for pair in named.windows(2) {
            prop_assert!(pair[1].since(pair[0]) >= Duration::from_secs(1), "{pair:?}");
        }
    }
}

#[test]
fn a_period_below_a_second_or_not_of_whole_seconds_is_refused() {
    assert!(Schedule::every("1s").is_ok());
    for text in ["999ms", "1ms", "0s", "1500ms", "1s1ms"] {
        assert!(Schedule::every(text).is_err(), "{text}");
    }
}
