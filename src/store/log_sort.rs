//! The orders in which log documents are given.

use std::cmp::Ordering;

use crate::model::{Record, Timestamp};

/// An order. Of one moment, the record that was written later is the later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogSort {
    /// Recorded last comes first.
    #[default]
    TimeDesc,
    /// Recorded first comes first.
    TimeAsc,
    /// The latest instant comes first.
    FireTimeDesc,
    /// The earliest instant comes first.
    FireTimeAsc,
}

impl LogSort {
    /// All orders.
    pub const ALL: [Self; 4] = [Self::TimeDesc, Self::TimeAsc, Self::FireTimeDesc, Self::FireTimeAsc];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimeDesc => "time_desc",
            Self::TimeAsc => "time_asc",
            Self::FireTimeDesc => "fire_time_desc",
            Self::FireTimeAsc => "fire_time_asc",
        }
    }

    /// The order with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == word)
    }

    /// Whether the latest comes first.
    pub(super) fn is_descending(self) -> bool {
        match self {
            Self::TimeDesc | Self::FireTimeDesc => true,
            Self::TimeAsc | Self::FireTimeAsc => false,
        }
    }

    /// Whether the instants count, not when they were recorded.
    pub(super) fn is_by_instant(self) -> bool {
        match self {
            Self::TimeDesc | Self::TimeAsc => false,
            Self::FireTimeDesc | Self::FireTimeAsc => true,
        }
    }

    /// What a record is ordered by.
    pub(super) fn key_of(self, record: &Record) -> Timestamp {
        if self.is_by_instant() { instant_of(record) } else { record.time }
    }

    /// Which of two comes first.
    pub(super) fn compare<K: Ord>(self, one: &K, other: &K) -> Ordering {
        if self.is_descending() { other.cmp(one) } else { one.cmp(other) }
    }
}

/// The last instant of a record; of a change, which has none, its time.
pub(super) fn instant_of(record: &Record) -> Timestamp {
    record.instant()
}
