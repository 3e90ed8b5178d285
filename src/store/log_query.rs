//! What can be asked of all log documents, the same for every store.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh64::Xxh64;

use super::log_words::Looked;
use super::{LogSort, Words};
use crate::model::{EntryName, Identity, Prefixes, Record, RecordId, RecordKind, Stretch, Timestamp};

/// Which log documents, in which order, and how many in a page.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Which.
    pub filter: LogFilter,
    /// In which order.
    pub sort: LogSort,
    /// How many a page holds at most.
    pub limit: usize,
}

impl LogQuery {
    /// How many a page may hold. More are refused.
    pub const LIMIT_MAX: usize = 1_000;

    /// The same for the same question. The limit is no part of it: each page may have its own.
    pub(super) fn question(&self) -> u64 {
        let mut hasher = Xxh64::new(0);
        (&self.filter, self.sort).hash(&mut hasher);
        hasher.finish()
    }
}

/// Every condition must hold; an empty set is none.
#[derive(Clone, Debug, Default, Hash)]
pub struct LogFilter {
    /// Each must occur in message, URL or response.
    pub words: Words,
    /// Of one of these tasks, exactly.
    pub identities: BTreeSet<Identity>,
    /// Of tasks that these cover.
    pub prefixes: Prefixes,
    /// Of one of these entries, exactly.
    pub entries: BTreeSet<EntryName>,
    /// Of one of these kinds.
    pub kinds: BTreeSet<RecordKind>,
    /// Answered with one of these statuses.
    pub statuses: BTreeSet<StatusRange>,
    /// With this id.
    pub run_id: Option<RecordId>,
    /// Of instants within this time; of a stretch, any; of a run that somebody asked for, when that was.
    pub fire_time: Within<Timestamp>,
    /// Recorded within this time.
    pub time: Within<Timestamp>,
    /// So late, in milliseconds.
    pub lateness_ms: Within<i64>,
    /// So long, in milliseconds.
    pub duration_ms: Within<i64>,
}

/// From one value to another, both included.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Within<T> {
    /// The lowest.
    pub gte: Option<T>,
    /// The highest.
    pub lte: Option<T>,
}

impl<T> Default for Within<T> {
    fn default() -> Self {
        Self { gte: None, lte: None }
    }
}

impl<T: Copy + Ord> Within<T> {
    /// Whether neither end is given.
    pub fn is_open(&self) -> bool {
        self.gte.is_none() && self.lte.is_none()
    }

    fn overlaps(&self, first: T, last: T) -> bool {
        self.gte.is_none_or(|gte| last >= gte) && self.lte.is_none_or(|lte| first <= lte)
    }

    /// What is not known is not within, unless both ends are open.
    fn holds(&self, value: Option<T>) -> bool {
        self.is_open() || value.is_some_and(|value| self.overlaps(value, value))
    }
}

/// The HTTP statuses from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusRange {
    first: i64,
    last: i64,
}

impl StatusRange {
    /// One status, such as 404.
    pub fn one(status: u16) -> Option<Self> {
        let status = i64::from(status);
        (100..=999).contains(&status).then_some(Self { first: status, last: status })
    }

    /// All statuses of a class, such as `4xx`.
    pub fn class(word: &str) -> Option<Self> {
        let digit = word.strip_suffix("xx")?.parse::<i64>().ok().filter(|digit| (1..=9).contains(digit))?;
        Some(Self { first: digit * 100, last: digit * 100 + 99 })
    }

    /// The lowest.
    pub fn first(self) -> i64 {
        self.first
    }

    /// The highest.
    pub fn last(self) -> i64 {
        self.last
    }
}

impl LogFilter {
    /// Whether it is about the audit, which is apart from the history: only its kind is asked for.
    pub fn is_of_audit(&self) -> bool {
        self.kinds.len() == 1 && self.kinds.contains(&RecordKind::Audit)
    }

    /// Whether a record matches.
    pub(super) fn matches(&self, record: &Record) -> bool {
        let is_one_of_the_tasks = self.identities.is_empty() || self.identities.contains(&record.identity);
        let of_run = record.is_of_run().then(|| Stretch::one(record.instant()));
        let stretch = record.settled.as_ref().map(|settled| settled.stretch).or(of_run);
        is_one_of_the_tasks
            && self.prefixes.cover(&record.identity)
            && (self.kinds.is_empty() || self.kinds.contains(&record.kind))
            && self.run_id.is_none_or(|run_id| run_id == record.id)
            && (self.fire_time.is_open()
                || stretch.is_some_and(|stretch| self.fire_time.overlaps(stretch.first, stretch.last)))
            && self.time.holds(Some(record.time))
            && (!self.needs_document() || self.matches_document(&record.source))
    }

    /// Whether the document must be looked at; the rest is known without. Only the document of a callback names its entry.
    pub(super) fn needs_document(&self) -> bool {
        let is_known_without = self.entries.is_empty() && self.words.is_empty() && self.statuses.is_empty();
        !(is_known_without && self.lateness_ms.is_open() && self.duration_ms.is_open())
    }

    /// Whether what only the document tells matches.
    pub(super) fn matches_document(&self, source: &str) -> bool {
        let looked = Looked::at(source);
        let is = |status: i64| self.statuses.iter().any(|range| (range.first..=range.last).contains(&status));
        let is_of = |key: &str| self.entries.iter().any(|entry| entry.as_str() == key);
        (self.entries.is_empty() || looked.key.as_deref().is_some_and(is_of))
            && (self.statuses.is_empty() || looked.status.is_some_and(is))
            && self.lateness_ms.holds(looked.lateness_ms)
            && self.duration_ms.holds(looked.duration_ms)
            && self.words.occur_in(looked.texts())
    }
}
