//! The rules of `docs/cron.md`.

mod dialect;
mod properties;
mod recorded;

use super::CronExpr;
use crate::model::{TimeZone, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// The next instants of an expression, as local times of the zone.
fn next(expr: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (expr, zone) = (CronExpr::parse(expr).unwrap(), TimeZone::parse(zone).unwrap());
    let ticks = expr.ticks(zone, at(after));
    let instants = std::iter::successors(ticks.next(at(after)), |&last| ticks.next(last));
    instants.take(count).map(|instant| instant.rfc3339_in(zone)).collect()
}
