//! What the journal shows of itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use log::{error, info};

/// How writing goes.
#[derive(Debug, Default)]
pub struct Status {
    pub(super) spilled: AtomicU64,
    pub(super) spilled_bytes: AtomicU64,
    pub(super) spill_bytes_max: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Nearly all room on the disk is used.
    has_little_room: AtomicBool,
    /// The last batch was taken neither by the store nor by the disk.
    is_refusing: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl Status {
    /// Why the last write failed; `None` when it did not.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many records wait on the disk.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// How many bytes of records wait on the disk.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes.load(Ordering::Relaxed)
    }

    /// How many bytes of records may wait on the disk; 0: records do not wait there.
    pub fn spill_bytes_max(&self) -> u64 {
        self.spill_bytes_max.load(Ordering::Relaxed)
    }

    /// How many records were lost because there was no room for them, as the configuration wants it.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether nothing should be fired, as its record could not be kept.
    pub fn is_full(&self) -> bool {
        self.has_little_room.load(Ordering::Relaxed) || self.is_refusing.load(Ordering::Relaxed)
    }

    pub(super) fn note_room(&self, has_little: bool) {
        self.note_full(&self.has_little_room, has_little);
    }

    pub(super) fn note_refusing(&self, is_refusing: bool) {
        self.note_full(&self.is_refusing, is_refusing);
    }

    fn note_full(&self, flag: &AtomicBool, value: bool) {
        let was_full = self.is_full();
        flag.store(value, Ordering::Relaxed);
        match (was_full, self.is_full()) {
            (false, true) => error!("no more records can wait on the disk ([history] spill_max_mib), nothing is fired"),
            (true, false) => info!("there is room for records again"),
            (true, true) | (false, false) => {}
        }
    }

    /// Notes why a write failed, or that one succeeded, and logs what is news.
    pub(super) fn note(&self, problem: Option<String>, records: usize) {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match (known.is_some(), &problem) {
            (false, Some(why)) => error!(records; "the journal cannot write, records wait: {why}"),
            (true, None) => info!("the journal writes again"),
            (false, None) | (true, Some(_)) => {}
        }
        *known = problem;
    }
}
