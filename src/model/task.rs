//! Tasks, their entries, and the states a task goes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::cron::{CronExpr, Ticks};
use super::{EntryName, Identity, Request, Shard, TimeZone, Timestamp};

/// One trigger with one request.
#[derive(Debug)]
pub struct Entry {
    /// Its name, unique within the task.
    pub name: EntryName,
    /// The expression as it was given.
    pub cron_time: Box<str>,
    /// The same, parsed.
    pub cron: CronExpr,
    /// What it sends.
    pub request: Request,
    /// The newest instant that was fired.
    pub last_fire: LastFire,
}

/// The newest instant that an entry fired. The only part of a task that changes: the engine writes it, `/get` reads it.
#[derive(Debug)]
pub struct LastFire(AtomicI64);

impl LastFire {
    const UNKNOWN: i64 = i64::MIN;
    const NEVER: i64 = i64::MIN + 1;

    /// Of an entry that has just been put: it never fired.
    pub const fn never() -> Self {
        Self(AtomicI64::new(Self::NEVER))
    }

    /// Of an entry that was loaded: the journal knows.
    pub const fn unknown() -> Self {
        Self(AtomicI64::new(Self::UNKNOWN))
    }

    /// Notes a fire; an older instant than the one noted changes nothing.
    pub fn note(&self, fire_time: Timestamp) {
        self.0.fetch_max(fire_time.millis(), Ordering::Relaxed);
    }

    /// Notes that the journal holds no fire, unless one has been noted since.
    pub fn note_never(&self) {
        self.0.fetch_max(Self::NEVER, Ordering::Relaxed);
    }

    /// `None`: not known yet. `Some(None)`: never fired.
    pub fn get(&self) -> Option<Option<Timestamp>> {
        match self.0.load(Ordering::Relaxed) {
            Self::UNKNOWN => None,
            Self::NEVER => Some(None),
            millis => Some(Some(Timestamp::from_millis(millis))),
        }
    }
}

/// A named set of entries in one time zone.
#[derive(Debug)]
pub struct Task {
    /// Its name.
    pub identity: Identity,
    /// The zone in which its expressions are read.
    pub time_zone: TimeZone,
    /// Its entries, in the order of their names.
    pub entries: Box<[Entry]>,
}

impl Task {
    /// The most entries a task may have. More are refused.
    pub const ENTRIES_MAX: usize = 10_000;
}

/// One state of a task: which definition was in force, from when until when, and whether it was switched on.
///
/// The instants that a task names are those that its revisions name, each in its own time.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The definition; shared by the revisions that a switch makes.
    pub task: Arc<Task>,
    /// Counts the states of this task from 1.
    pub number: u64,
    /// The switch. While it is off, the triggers name nothing.
    pub enabled: bool,
    /// When the definition was put.
    pub put_at: Timestamp,
    /// It names instants later than this one.
    pub in_force_from: Timestamp,
    /// It names instants up to this one; `None` while it is in force.
    pub in_force_until: Option<Timestamp>,
}

impl Revision {
    /// The instants that one of its entries names, were it in force for ever. `@every` counts from the moment the
    /// revision came into force.
    pub fn ticks<'a>(&self, entry: &'a Entry) -> Ticks<'a> {
        entry.cron.ticks(self.task.time_zone, self.in_force_from)
    }

    /// The shard of its task.
    pub fn shard(&self) -> Shard {
        Shard::of(&self.task.identity)
    }
}
