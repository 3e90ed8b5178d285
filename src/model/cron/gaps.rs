//! How near two instants of an expression come to each other.

use super::calendar::{DAY_S, month_length};
use super::{CronExpr, Fields, Rule};

impl CronExpr {
    /// The smallest distance of two instants in seconds, as a clock without changes of offset shows it; at most a day, which stands
    /// for all that is longer.
    pub fn interval_min_s(&self) -> u32 {
        match &self.rule {
            Rule::Every { period_s } => i64::from(*period_s),
            Rule::Fields(fields) => fields.interval_min_s(),
        }
        .min(DAY_S) as u32
    }
}

/// The values of a field.
struct Values {
    /// The smallest distance of two that follow each other; `None`: there is one.
    nearest: Option<i64>,
    /// From the first to the last.
    length: i64,
}

impl Values {
    fn of(set: u64) -> Self {
        let mut values = (0..64_i64).filter(|value| set & (1 << value) != 0);
        let first = values.next().unwrap_or_default();
        let (mut nearest, mut last) = (None, first);
        for value in values {
            nearest = Some(nearest.map_or(value - last, |nearest: i64| nearest.min(value - last)));
            last = value;
        }
        Self { nearest, length: last - first }
    }
}

impl Fields {
    /// Two instants that follow each other lie in one minute, or else in two minutes of one hour that follow each other, and so on:
    /// each time from the last of the one to the first of the other.
    fn interval_min_s(&self) -> i64 {
        let [seconds, minutes, hours] = [self.seconds, self.minutes, self.hours.into()].map(Values::of);
        let of_minute = seconds.length;
        let of_hour = minutes.length * 60 + of_minute;
        let of_day = hours.length * 3_600 + of_hour;
        let over_minutes = minutes.nearest.map(|minutes| minutes * 60 - of_minute);
        let over_hours = hours.nearest.map(|hours| hours * 3_600 - of_hour);
        let over_days = self.has_days_in_a_row().then_some(DAY_S - of_day);
        [seconds.nearest, over_minutes, over_hours, over_days].into_iter().flatten().min().unwrap_or(DAY_S)
    }

    /// Whether two days that follow each other ever match. The calendar repeats its pairs of weekday and leap year within 28 years.
    fn has_days_in_a_row(&self) -> bool {
        let mut has_last = false;
        for (year, month) in (2000..=2028).flat_map(|year| (1..=12).map(move |month| (year, month))) {
            let days = if self.months & 1 << month != 0 { self.days.of(year, month) } else { 0 };
            // Bit n is day n.
            if days & (days >> 1) != 0 || (has_last && days & 0b10 != 0) {
                return true;
            }
            has_last = days & 1 << month_length(year, month) != 0;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{TimeZone, Timestamp};

    fn of(text: &str) -> u32 {
        CronExpr::parse(text).unwrap().interval_min_s()
    }

    #[test]
    fn the_smallest_distance_is_found_wherever_it_lies() {
        for (text, expected) in [
            ("* * * * * *", 1),
            ("0/10 * * * * *", 10),
            ("0,50 * * * * *", 10),
            ("0,50 0,2 * * * *", 50),
            ("0 * * * * *", 60),
            ("30 0,59 * * * *", 60),
            ("30 0,59 3,5 * * *", 59 * 60),
            ("0 0,30 0,23 * * *", 1_800),
            ("0 50 23,0 * * *", 3_600),
            ("0 0 3 * * *", 86_400),
            ("0 0 3 1 * *", 86_400),
            ("@every 90s", 90),
            ("@every 48h", 86_400),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn over_midnight_two_are_near_only_if_two_days_in_a_row_are_named() {
        assert_eq!(of("0 0,59 0,23 * * *"), 60, "each day");
        assert_eq!(of("0 0,59 0,23 1,15 * *"), 59 * 60, "never two days in a row");
        assert_eq!(of("0 0,59 0,23 1,31 * *"), 60, "the last of a month and the first of the next");
        assert_eq!(of("0 0,59 0,23 1,31 1,6 *"), 59 * 60, "no month before one that is named");
        assert_eq!(of("0 0,59 0,23 ? * 6,0"), 60, "a Saturday and the Sunday after it");
    }

    fn sets() -> impl Strategy<Value = String> {
        let field = |end: u32| prop::collection::btree_set(0..end, 1..4);
        (field(60), field(60), field(24)).prop_map(|(seconds, minutes, hours)| {
            let list =
                |set: std::collections::BTreeSet<u32>| set.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            format!("{} {} {} * * *", list(seconds), list(minutes), list(hours))
        })
    }

    proptest! {
        #[test]
        fn no_two_instants_are_nearer_and_two_are_as_near(text in sets()) {
            let expr = CronExpr::parse(&text).unwrap();
            let ticks = expr.ticks(TimeZone::UTC, Timestamp::EPOCH);
            let named: Vec<i64> = std::iter::successors(ticks.next(Timestamp::EPOCH), |&last| ticks.next(last))
                .map(Timestamp::secs)
                .take_while(|&second| second <= 3 * DAY_S)
                .collect();
            let nearest = named.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();

            prop_assert_eq!(i64::from(expr.interval_min_s()), nearest);
        }
    }
}
