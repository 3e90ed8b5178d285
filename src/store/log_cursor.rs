//! Pages of log documents, and the cursor that leads from one to the next.
//!
//! A cursor comes back from a client: all of it is checked, and a forged one can show nothing that its query could not.

use std::fmt;

use super::{Found, LogQuery};
use crate::model::Record;

/// How many log documents match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTotal {
    /// How many, counted up to [`Found::TOTAL_MAX`].
    pub value: usize,
    /// Whether more may match than were counted.
    pub is_lower_bound: bool,
}

impl LogTotal {
    /// From a count that may have ended early.
    pub(super) fn counted(count: usize, ended_early: bool) -> Self {
        Self { value: count.min(Found::TOTAL_MAX), is_lower_bound: ended_early || count > Found::TOTAL_MAX }
    }
}

/// A page of log documents.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The documents, in the order asked for. There may be fewer than asked for, even none, before the last page.
    pub records: Vec<Record>,
    /// How many matched at the first page.
    pub total: LogTotal,
    /// What leads to the next page; `None` on the last one.
    pub next: Option<LogCursor>,
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCursor {
    question: u64,
    total: LogTotal,
    /// The store's own.
    place: Box<str>,
}

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Nobody gave it, or another store did.
    #[error("is none that this service gave, begin again without it")]
    Foreign,
    /// It was given for another query.
    #[error("belongs to another query: expected the query and the sort that it was given for, or no cursor")]
    OtherQuery,
    /// What it leads to is no longer kept.
    #[error("has expired, begin again without it")]
    Expired,
}

impl LogCursor {
    /// The longest cursor, in bytes. A longer one is refused.
    pub const LEN_MAX: usize = 64 * 1024;

    pub(super) fn new(query: &LogQuery, total: LogTotal, place: String) -> Self {
        Self { question: query.question(), total, place: place.into() }
    }

    /// Reads a cursor that was given for this query.
    pub fn parse(text: &str, query: &LogQuery) -> Result<Self, CursorError> {
        let cursor = Self::read(text).ok_or(CursorError::Foreign)?;
        if cursor.question != query.question() {
            return Err(CursorError::OtherQuery);
        }
        Ok(cursor)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = Some(text).filter(|text| text.len() <= Self::LEN_MAX)?.splitn(3, '.');
        let (question, total, place) = (parts.next()?, parts.next()?, parts.next()?);
        let question = u64::from_str_radix(question, 16).ok()?;
        let (value, is_lower_bound) = match total.strip_suffix('-') {
            Some(value) => (value, true),
            None => (total, false),
        };
        let value = value.parse().ok().filter(|&value| value <= Found::TOTAL_MAX)?;
        Some(Self { question, total: LogTotal { value, is_lower_bound }, place: place.into() })
    }

    /// How many matched at the first page.
    pub(super) fn total(&self) -> LogTotal {
        self.total
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for LogCursor {
    /// Only characters that stand in JSON and in a URL as they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.total.is_lower_bound { "-" } else { "" };
        write!(f, "{:016x}.{}{open}.{}", self.question, self.total.value, self.place)
    }
}

/// A place in a store of numbered rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// The highest row at the first page: later ones do not belong to the pages.
    pub(super) newest: i64,
    /// What the rows are ordered by, of the last row given.
    pub(super) key: i64,
    /// The last row given.
    pub(super) seq: i64,
}

impl RowPlace {
    /// `store` tells the places of one kind of store from those of another.
    pub(super) fn write(self, store: &str) -> String {
        format!("{store}.{}.{}.{}", self.newest, self.key, self.seq)
    }

    pub(super) fn parse(text: &str, store: &str) -> Result<Self, CursorError> {
        let read = || {
            let numbers = text.strip_prefix(store)?.strip_prefix('.')?;
            let mut numbers = numbers.splitn(3, '.').map(|number| number.parse::<i64>().ok());
            Some(Self { newest: numbers.next()??, key: numbers.next()??, seq: numbers.next()?? })
        };
        read().ok_or(CursorError::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::{LogSort, Words};

    fn query(words: &str, sort: LogSort, limit: usize) -> LogQuery {
        let mut query = LogQuery { sort, limit, ..LogQuery::default() };
        query.filter.words = Words::parse(words).unwrap();
        query
    }

    #[test]
    fn a_cursor_comes_back_with_its_query_and_with_no_other() {
        let asked = query("disk full", LogSort::TimeDesc, 10);
        let place = RowPlace { newest: i64::MAX, key: i64::MIN, seq: -1 };
        let cursor = LogCursor::new(&asked, LogTotal { value: 7, is_lower_bound: true }, place.write("row"));
        let text = cursor.to_string();

        assert_eq!(LogCursor::parse(&text, &asked), Ok(cursor.clone()));
        assert_eq!(LogCursor::parse(&text, &query("Full disk", LogSort::TimeDesc, 99)), Ok(cursor.clone()));
        for other in [query("disk", LogSort::TimeDesc, 10), query("disk full", LogSort::TimeAsc, 10)] {
            assert_eq!(LogCursor::parse(&text, &other), Err(CursorError::OtherQuery));
        }
        assert_eq!(RowPlace::parse(cursor.place(), "row"), Ok(place));
        assert_eq!(RowPlace::parse(cursor.place(), "ro"), Err(CursorError::Foreign));
    }

    proptest! {
        #[test]
        fn a_cursor_of_any_form_is_read_or_refused(text in "[0-9a-f]{0,17}\\.?[0-9]{0,6}-?\\.?.{0,40}") {
            if let Ok(cursor) = LogCursor::parse(&text, &LogQuery::default()) {
                let _ = RowPlace::parse(cursor.place(), "row");
            }
        }
    }

    #[test]
    fn a_cursor_that_is_too_long_or_counts_too_much_is_foreign() {
        let question = LogQuery::default().question();

        let long = format!("{question:016x}.1.{}", "x".repeat(LogCursor::LEN_MAX));
        let large = format!("{question:016x}.10001.x");

        assert_eq!(LogCursor::parse(&long, &LogQuery::default()), Err(CursorError::Foreign));
        assert_eq!(LogCursor::parse(&large, &LogQuery::default()), Err(CursorError::Foreign));
    }
}
