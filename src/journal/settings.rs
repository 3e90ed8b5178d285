use std::time::Duration;

/// How records are written and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a record may wait for others to be written with it.
    pub flush_interval: Duration,
    /// How many records may wait to be written. A full journal makes fires wait.
    pub records_waiting_max: usize,
    /// Records older than this are deleted.
    pub retention_age: Duration,
    /// While the store is larger than this many bytes, its oldest records are deleted.
    pub retention_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_millis(100),
            records_waiting_max: 100_000,
            retention_age: Duration::from_secs(30 * 24 * 60 * 60),
            retention_bytes: 10 * 1024 * 1024 * 1024,
        }
    }
}
