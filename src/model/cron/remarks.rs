//! What is special on days with a change of offset.

use super::Fields;
use super::calendar::{DAY_S, date};
use super::offsets::{Era, eras};
use super::ticks::first_in_gap;
use crate::model::{TimeZone, Timestamp};

/// How many remarks are made. Later ones are left out.
const REMARKS_MAX: usize = 10;

pub(super) fn remarks(fields: &Fields, zone: TimeZone, from: Timestamp, until: Timestamp) -> Vec<String> {
    let eras = eras(zone);
    let changes = eras.windows(2).filter(|pair| pair[1].start > from.secs() && pair[1].start <= until.secs());
    changes.filter_map(|pair| remark(fields, zone, pair[0], pair[1])).take(REMARKS_MAX).collect()
}

fn remark(fields: &Fields, zone: TimeZone, before: Era, after: Era) -> Option<String> {
    let (old, new) = (before.local_end(), after.local_start());
    if new > old { in_gap(fields, zone, old, new) } else { in_fold(fields, zone, new, old) }
}

fn in_gap(fields: &Fields, zone: TimeZone, start: i64, end: i64) -> Option<String> {
    let local = fields.first_local(start, end)?;
    let (day, time) = (day(local), time(local));
    if !fields.is_fixed_time() {
        let (start, end) = (self::time(start), self::time(end));
        return Some(format!("{day}: {start} to {end} does not exist in {zone}, nothing fires in it"));
    }
    Some(match first_in_gap(fields, start, end) {
        Some(_) => format!("{day}: {time} does not exist in {zone}, fires at {} instead", self::time(end)),
        None => format!("{day}: this day does not exist in {zone}, nothing fires on it"),
    })
}

fn in_fold(fields: &Fields, zone: TimeZone, start: i64, end: i64) -> Option<String> {
    let local = fields.first_local(start, end)?;
    let (day, time) = (day(local), time(local));
    if fields.is_fixed_time() {
        return Some(format!("{day}: {time} comes twice in {zone}, fires the first time only"));
    }
    let (start, end) = (self::time(start), self::time(end));
    Some(format!("{day}: {start} to {end} comes twice in {zone}, fires both times"))
}

fn day(local: i64) -> String {
    let (year, month, day) = date(local.div_euclid(DAY_S));
    format!("{year}-{month:02}-{day:02}")
}

fn time(local: i64) -> String {
    let second = local.rem_euclid(DAY_S);
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}
