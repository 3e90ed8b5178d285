//! When a zone changes its offset from UTC.

use std::sync::{LazyLock, OnceLock};

use chrono::{DateTime, Offset, TimeZone as _, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::calendar::{DAY_S, day_number};
use crate::model::TimeZone;

/// A stretch of time in which a zone keeps its offset. In UTC seconds since 1970, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Era {
    pub(in crate::model) start: i64,
    pub(in crate::model) end: i64,
    pub(in crate::model) offset: i64,
}

impl Era {
    pub(super) fn local_start(self) -> i64 {
        self.start.saturating_add(self.offset)
    }

    pub(super) fn local_end(self) -> i64 {
        self.end.saturating_add(self.offset)
    }
}

/// Changes are looked up between these years; before and after, the first and the last offset stand.
const YEARS: (i64, i64) = (1970, HORIZON_YEAR);
/// Nothing is named after the start of this year.
pub(super) const HORIZON_YEAR: i64 = 2200;
/// Changes that are undone within this time are not seen. The shortest pair since 1970 lies weeks apart.
const STEP_S: i64 = DAY_S;

/// The eras of a zone, without gaps. Found once for each zone that is used, then kept.
pub(in crate::model) fn eras(zone: TimeZone) -> &'static [Era] {
    static ERAS: LazyLock<Vec<OnceLock<Vec<Era>>>> = LazyLock::new(|| vec![OnceLock::new(); TZ_VARIANTS.len()]);
    let tz = zone.tz();
    // The variants stand in the order of their numbers; a test holds it.
    ERAS[tz as usize].get_or_init(|| find(tz))
}

fn find(tz: Tz) -> Vec<Era> {
    let (first, last) = (day_number(YEARS.0, 1, 1) * DAY_S, day_number(YEARS.1, 1, 1) * DAY_S);
    let mut eras = vec![Era { start: i64::MIN, end: i64::MAX, offset: offset_at(tz, first) }];
    let mut from = first;
    while from < last {
        let to = (from + STEP_S).min(last);
        let known = eras.last_mut().expect("there is the first era");
        if offset_at(tz, to) == known.offset {
            from = to;
            continue;
        }
        let change = bisect(tz, known.offset, from, to);
        known.end = change;
        eras.push(Era { start: change, end: i64::MAX, offset: offset_at(tz, change) });
        from = change;
    }
    eras
}

/// The first second in `(same, other]` that has another offset than `offset`.
fn bisect(tz: Tz, offset: i64, mut same: i64, mut other: i64) -> i64 {
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if offset_at(tz, middle) == offset {
            same = middle;
        } else {
            other = middle;
        }
    }
    other
}

fn offset_at(tz: Tz, second: i64) -> i64 {
    let utc = DateTime::<Utc>::from_timestamp(second, 0).expect("the years are within chrono's range");
    i64::from(tz.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_zone_is_its_place_among_all() {
        assert!(TZ_VARIANTS.iter().enumerate().all(|(place, tz)| *tz as usize == place));
    }

    #[test]
    fn a_zone_with_summer_time_changes_twice_a_year() {
        let eras = eras(TimeZone::parse("Europe/Berlin").unwrap());
        let change = DateTime::parse_from_rfc3339("2026-03-29T01:00:00Z").unwrap().timestamp();

        let summer = eras.iter().find(|era| era.start == change).unwrap();

        assert_eq!((summer.offset, summer.end - summer.start), (7_200, 210 * DAY_S));
        assert!(self::eras(TimeZone::UTC).len() == 1);
    }
}
