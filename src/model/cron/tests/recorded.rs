//! The recorded answers of the Go library: equal, or different in a way that `docs/cron.md` lists with its count.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::offsets::eras;
use super::{CronExpr, at};
use crate::model::{TimeZone, Timestamp};

#[derive(Deserialize)]
struct Case {
    expr: String,
    zone: String,
    after: String,
    next: Vec<String>,
    err: Option<String>,
}

#[test]
fn every_recorded_answer_is_given_or_differs_in_a_way_that_is_listed() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in include_str!("../../../../tests/data/cron-cases.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        *counts.entry(classify(&case)).or_default() += 1;
    }

    let table = include_str!("../../../../docs/cron.md");
    for (class, count) in &counts {
        let row = format!("| {class} | {count} |");
        assert!(table.contains(&row), "docs/cron.md lacks the row `{row}`");
    }
    let listed = table.lines().filter(|line| line.starts_with("| "));
    let listed = listed.filter(|line| line.rsplit('|').nth(1).is_some_and(|cell| cell.trim().parse::<usize>().is_ok()));
    assert_eq!(listed.count(), counts.len(), "docs/cron.md lists a class that no case is in");
}

fn classify(case: &Case) -> &'static str {
    let expr = match (CronExpr::parse(&case.expr), &case.err) {
        (Err(_), Some(_)) => return "refused by both",
        (Err(error), None) => {
            assert!(case.next.is_empty() && error.to_string().starts_with("never fires"), "{}: {error}", case.expr);
            return "never fires: accepted there, refused here";
        }
        (Ok(_), Some(_)) => {
            assert!(is_beyond(&case.expr), "{} is refused by the Go library", case.expr);
            return "beyond the dialect: refused there, accepted here";
        }
        (Ok(expr), None) => expr,
    };
    let zone = TimeZone::parse(&case.zone).unwrap();
    let theirs: Vec<Timestamp> = case.next.iter().map(|text| at(text)).collect();
    let ticks = expr.ticks(zone, at(&case.after));
    let ours = std::iter::successors(ticks.next(at(&case.after)), |&last| ticks.next(last));
    let ours: Vec<Timestamp> = ours.take(theirs.len()).collect();
    if ours == theirs {
        return "equal";
    }
    let zone = expr.zone().unwrap_or(zone);
    difference(zone, &ours, &theirs).unwrap_or_else(|| panic!("{} {} {}", case.expr, case.zone, case.after))
}

/// The forms of Quartz: `L`, `W`, `#`, the weekday 7, and ranges that go around.
fn is_beyond(expr: &str) -> bool {
    let last = expr.split_whitespace().last().unwrap_or_default();
    expr.contains(['L', 'W', '#']) || last.contains('7') || matches!(expr, "0 0 0 * * FRI-SUN" | "5-1 * * * * *")
}

/// The wanted differences on days of change.
fn difference(zone: TimeZone, ours: &[Timestamp], theirs: &[Timestamp]) -> Option<&'static str> {
    let until = ours.last()?.min(theirs.last()?);
    let missing = |in_one: &[Timestamp], in_other: &[Timestamp]| -> Vec<Timestamp> {
        in_one.iter().copied().filter(|instant| instant <= until && !in_other.contains(instant)).collect()
    };
    let (only_ours, only_theirs) = (missing(ours, theirs), missing(theirs, ours));
    let is_change = |instant: &Timestamp| eras(zone).iter().any(|era| era.start == instant.secs());
    if only_ours.is_empty() && !only_theirs.is_empty() && only_theirs.iter().all(|instant| comes_again(zone, *instant))
    {
        Some("fold: fired twice there, once here")
    } else if only_theirs.is_empty() && !only_ours.is_empty() && only_ours.iter().all(is_change) {
        Some("gap: left out there, fired at its end here")
    } else if zone.name() == "Australia/Lord_Howe" && has_change(zone, ours, theirs) {
        Some("a change by half an hour: lost or fired at a wrong time there, right here")
    } else {
        None
    }
}

/// Whether the zone changes its offset in the days before or between the instants.
fn has_change(zone: TimeZone, ours: &[Timestamp], theirs: &[Timestamp]) -> bool {
    let instants = || ours.iter().chain(theirs).map(|instant| instant.secs());
    let (Some(first), Some(last)) = (instants().min(), instants().max()) else { return false };
    eras(zone).iter().any(|era| (first - 31 * 86_400..=last).contains(&era.start))
}

/// Whether the local time of an instant has been there before.
fn comes_again(zone: TimeZone, instant: Timestamp) -> bool {
    let pairs = eras(zone).windows(2).map(|pair| (pair[0], pair[1]));
    pairs.into_iter().any(|(before, era)| {
        let local = instant.secs() + era.offset;
        (era.start..era.end).contains(&instant.secs()) && local < before.local_end()
    })
}
