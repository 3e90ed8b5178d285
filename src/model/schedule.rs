//! The trigger of an entry: what names its instants.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::NaiveDate;

use super::cron::{CronError, CronExpr};
use super::object::shown;
use super::{DurationError, TimeZone, Timestamp, parse_duration};

/// The trigger of an entry, with its text as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// `cron_time`.
    Cron {
        /// The text.
        text: Box<str>,
        /// The same, parsed.
        expr: CronExpr,
    },
    /// `every`: aligned to the epoch.
    Every {
        /// The text.
        text: Box<str>,
        /// The same, parsed: whole seconds.
        period: Duration,
    },
    /// `at`: one instant.
    At {
        /// The text.
        text: Box<str>,
        /// The same, parsed.
        instant: Timestamp,
    },
}

/// Why a trigger is refused. The text continues a sentence that begins with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is wrong.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The period is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The period is not whole seconds, or out of range.
    #[error("is `{text}`, expected whole seconds from 1s to 36500d")]
    Period {
        /// The period.
        text: String,
    },
    /// The instant is none.
    #[error("is `{text}`, expected a date and time with an offset, from 1970 to 9999, such as 2026-11-21T07:15:30Z")]
    Instant {
        /// The instant.
        text: String,
    },
}

impl Schedule {
    /// `cron_time`.
    pub fn cron(text: &str) -> Result<Self, CronError> {
        CronExpr::parse(text).map(|expr| Self::Cron { text: text.into(), expr })
    }

    /// `every`: a duration of whole seconds.
    pub fn every(text: &str) -> Result<Self, ScheduleError> {
        let period = parse_duration(text)?;
        if period < Duration::from_secs(1) || period.subsec_nanos() != 0 {
            return Err(ScheduleError::Period { text: shown(text) });
        }
        Ok(Self::Every { text: text.into(), period })
    }

    /// `at`: RFC 3339 with an offset; what is finer than a millisecond is dropped.
    pub fn at(text: &str) -> Result<Self, ScheduleError> {
        let possible = Timestamp::EPOCH..Timestamp::FAR_FUTURE;
        let instant = Timestamp::parse_rfc3339(text).filter(|instant| possible.contains(instant));
        match instant {
            Some(instant) => Ok(Self::At { text: text.into(), instant }),
            None => Err(ScheduleError::Instant { text: shown(text) }),
        }
    }

    /// The trigger with this key of an entry.
    pub fn parse(key: &str, text: &str) -> Option<Result<Self, ScheduleError>> {
        match key {
            "cron_time" => Some(Self::cron(text).map_err(ScheduleError::Cron)),
            "every" => Some(Self::every(text)),
            "at" => Some(Self::at(text)),
            _ => None,
        }
    }

    /// The keys of an entry that hold a trigger.
    pub const KEYS: [&str; 3] = ["cron_time", "at", "every"];

    /// The key of an entry under which it stands.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Cron { .. } => "cron_time",
            Self::Every { .. } => "every",
            Self::At { .. } => "at",
        }
    }

    /// What it says, in one English sentence without its zone.
    pub fn describe(&self) -> String {
        match self {
            Self::Cron { expr, .. } => expr.describe(),
            Self::Every { text, .. } => format!("every {text}"),
            Self::At { instant, .. } => format!("once, at {}", instant.rfc3339_exact_in(TimeZone::UTC)),
        }
    }

    /// The smallest distance of two instants that it names, at most a day; `None`: it names one.
    pub fn interval_min(&self) -> Option<Duration> {
        const MAX: Duration = Duration::from_secs(86_400);
        match self {
            Self::Cron { expr, .. } => Some(Duration::from_secs(expr.interval_min_s().into())),
            Self::Every { period, .. } => Some((*period).min(MAX)),
            Self::At { .. } => None,
        }
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        match self {
            Self::Cron { text, .. } | Self::Every { text, .. } | Self::At { text, .. } => text,
        }
    }
}

/// Days on which an entry names nothing, in the zone of its task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclude {
    /// These dates.
    pub dates: BTreeSet<NaiveDate>,
    /// These days of the week, bit 0 is Sunday.
    pub weekdays: u8,
}

impl Exclude {
    /// Every day of the week.
    pub const ALL_WEEKDAYS: u8 = 0b111_1111;
}
