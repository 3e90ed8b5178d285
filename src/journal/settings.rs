use std::time::Duration;

use crate::model::Masking;

/// How records are written and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a record may wait for others to be written with it.
    pub flush_interval: Duration,
    /// How many records may wait to be written. A full journal makes fires wait.
    pub records_waiting_max: usize,
    /// How many bulk writes are under way at once.
    pub writes_in_flight_max: usize,
    /// How many bytes of records may wait on the disk while the store is away.
    pub spill_bytes_max: u64,
    /// What happens when that is reached.
    pub when_spill_full: WhenSpillFull,
    /// Records older than this are deleted.
    pub retention_age: Duration,
    /// While the store is larger than this many bytes, its oldest records are deleted. Results do not count.
    pub retention_bytes: u64,
    /// Results of runs older than this are deleted.
    pub results_retention_age: Duration,
    /// While all results together are larger than this many bytes, the oldest are deleted.
    pub results_bytes: u64,
    /// Audit records older than this are deleted.
    pub audit_retention_age: Duration,
    /// While all audit records together are larger than this many bytes, the oldest are deleted.
    pub audit_bytes: u64,
    /// Which headers carry credentials.
    pub masking: Masking,
}

/// What gives way when no more records can wait on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenSpillFull {
    /// Fires: they go out late, when the store is back.
    StopFiring,
    /// The oldest records: they are lost, and counted.
    DropOldest,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_millis(100),
            records_waiting_max: 100_000,
            writes_in_flight_max: 4,
            spill_bytes_max: 1024 * 1024 * 1024,
            when_spill_full: WhenSpillFull::StopFiring,
            retention_age: Duration::from_secs(30 * 24 * 60 * 60),
            retention_bytes: 10 * 1024 * 1024 * 1024,
            results_retention_age: Duration::from_secs(7 * 24 * 60 * 60),
            results_bytes: 1024 * 1024 * 1024,
            audit_retention_age: Duration::from_secs(365 * 24 * 60 * 60),
            audit_bytes: 1024 * 1024 * 1024,
            masking: Masking::default(),
        }
    }
}
