//! Cron expressions: the dialect of robfig/cron v3 with seconds, and what Quartz users write beyond it.
//!
//! An expression is parsed into bit sets, about 56 bytes; the next instant is found by bit arithmetic on local days. The
//! rules, those for days with a change of offset among them, stand in `docs/cron.md`.

mod calendar;
mod error;
mod gaps;
mod offsets;
mod parse;
mod remarks;
mod ticks;
mod words;

#[cfg(test)]
mod tests;

pub use self::error::CronError;
pub(super) use self::offsets::eras;
pub use self::ticks::Ticks;

use super::{TimeZone, Timestamp};

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpr {
    zone: Option<TimeZone>,
    rule: Rule,
}

/// What an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// `@every`: one instant each so many seconds.
    Every { period_s: u32 },
    /// Six fields.
    Fields(Fields),
}

/// The six fields as bit sets: bit n stands for the value n.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u32,
    days: Days,
    months: u16,
}

/// Which days of a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Days {
    /// Days of the month, bits 1 to 31.
    of_month: u32,
    /// `L` and `L-n`: bit n is the n-th day before the last.
    before_last: u32,
    /// `15W`: bit n is the weekday nearest to the day n.
    nearest_weekday: u32,
    /// Days of the week, bit 0 is Sunday.
    of_week: u8,
    /// `5L`: the last such day of the month.
    last_of_week: u8,
    /// `1#2`: for each n from 1 to 5 the n-th such day of the month.
    nth_of_week: [u8; 5],
    /// `LW`: the last weekday of the month.
    last_weekday: bool,
    /// A star in the field: then the other field alone decides.
    any_of_month: bool,
    any_of_week: bool,
}

impl CronExpr {
    /// The longest expression, in bytes. Longer ones are refused.
    pub const LEN_MAX: usize = 512;

    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        parse::expression(text)
    }

    /// The zone that a `CRON_TZ=` or `TZ=` prefix gives. It wins over the task's zone.
    pub fn zone(&self) -> Option<TimeZone> {
        self.zone
    }

    /// The instants that the expression names in a zone. `@every` counts from `anchor`, all else ignores it.
    pub fn ticks(&self, zone: TimeZone, anchor: Timestamp) -> Ticks<'_> {
        Ticks::new(&self.rule, self.zone.unwrap_or(zone), anchor)
    }

    /// What the expression says, in one English sentence without its zone.
    pub fn describe(&self) -> String {
        words::describe(&self.rule)
    }

    /// What is special on days with a change of offset later than `from` and not later than `until`.
    pub fn dst_remarks(&self, zone: TimeZone, from: Timestamp, until: Timestamp) -> Vec<String> {
        match &self.rule {
            Rule::Every { .. } => Vec::new(),
            Rule::Fields(fields) => remarks::remarks(fields, self.zone.unwrap_or(zone), from, until),
        }
    }
}

impl Fields {
    /// A single hour: an entry with a fixed time of day, which runs once on a day with a change of offset.
    fn is_fixed_time(&self) -> bool {
        self.hours.count_ones() == 1
    }
}
