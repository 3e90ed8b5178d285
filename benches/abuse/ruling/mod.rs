//! Says which promises were broken. Pure; its tests are in tests/it/abuse.rs, as a bench has none.

mod promises;
mod table;

use std::time::Duration;

pub(crate) use self::promises::{Breach, Promise, breaches};
pub(crate) use self::table::{json, table};

const MIB: u64 = 1024 * 1024;

/// What is asked of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// p99 of the lateness in each scene; none where it is only shown.
    pub(crate) lateness_p99_ms: Option<i64>,
    /// An honest client waits no longer.
    pub(crate) visit: Duration,
    /// Memory above its level before, at any time.
    pub(crate) memory_more: u64,
    /// The same at the end.
    pub(crate) memory_left: u64,
    /// What a scene may write to the log: so much, and so much more each second.
    pub(crate) log: u64,
    pub(crate) log_each_s: u64,
}

impl Bounds {
    pub(crate) const FULL: Self = Self {
        lateness_p99_ms: Some(50),
        visit: Duration::from_secs(2),
        memory_more: 512 * MIB,
        memory_left: 30 * MIB,
        log: 64 * 1024,
        log_each_s: 8 * 1024,
    };

    /// On a machine that does other things, too, and without optimisation: times are shown and not judged, and memory that the
    /// allocator keeps for the next time is allowed for.
    pub(crate) const SHORT: Self =
        Self { lateness_p99_ms: None, visit: Duration::from_secs(10), memory_left: 128 * MIB, ..Self::FULL };
}

/// A scene that was played.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) scene: String,
    /// First instant, and the one that is the first of the next scene, in milliseconds since 1970.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    /// In a few words, what was done.
    pub(crate) what: String,
    /// What the one who played it saw that must not be.
    pub(crate) broken: Vec<String>,
    pub(crate) fires: Fires,
    pub(crate) visits: Visits,
    pub(crate) memory_max: u64,
    pub(crate) logged: u64,
    pub(crate) panics: Vec<String>,
}

/// What fired while a scene was played.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fires {
    pub(crate) owed: usize,
    /// An instant of a task each: no request, or no record.
    pub(crate) lost: Vec<String>,
    /// Two requests or two records, or one that no trigger names.
    pub(crate) doubled: Vec<String>,
    pub(crate) p50_ms: i64,
    pub(crate) p99_ms: i64,
    pub(crate) max_ms: i64,
}

/// How an honest client was served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visits {
    pub(crate) served: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) slowest: Duration,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    /// The first one is the calm before.
    pub(crate) rows: Vec<Row>,
    /// How the process ended before it was asked to, or that it did not end well when it was.
    pub(crate) ended: Option<String>,
    pub(crate) memory_before: u64,
    pub(crate) memory_after: u64,
}
