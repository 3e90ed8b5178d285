//! Tasks, their entries, and the states a task goes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use super::{EntryName, EntryOptions, Identity, Instants, Request, Schedule, Shard, TimeZone, Timestamp};

/// One trigger with one request.
#[derive(Debug)]
pub struct Entry {
    /// Its name, unique within the task.
    pub name: EntryName,
    /// Its trigger.
    pub schedule: Schedule,
    /// What it sends.
    pub request: Request,
    /// What else it says; `None`: nothing.
    pub options: Option<Box<EntryOptions>>,
    /// The newest instant that was fired.
    pub last_fire: LastFire,
    /// How its newest run ended.
    last_end: LastEnd,
}

impl Entry {
    /// An entry without options that never ran.
    pub fn new(name: EntryName, schedule: Schedule, request: Request) -> Self {
        Self { name, schedule, request, options: None, last_fire: LastFire::never(), last_end: LastEnd(None) }
    }

    /// The same with these options.
    pub fn with_options(self, options: Option<Box<EntryOptions>>) -> Self {
        let last_end = options.as_deref().map_or(LastEnd(None), LastEnd::of);
        Self { options, last_end, ..self }
    }

    /// How its newest run ended.
    pub fn last_end(&self) -> &LastEnd {
        &self.last_end
    }

    /// Its options, or those that hold where none are given.
    pub fn options(&self) -> &EntryOptions {
        self.options.as_deref().unwrap_or_else(|| EntryOptions::none())
    }
}

/// Whether an entry fires, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It has instants to come.
    Active,
    /// Its task is switched off.
    Stopped,
    /// It says itself that it names nothing.
    Disabled,
    /// It names no further instant.
    Finished,
}

impl EntryState {
    /// Of an entry whose next instant is known: `None` where it names no further one.
    pub fn of(revision: &Revision, entry: &Entry, next: Option<Timestamp>) -> Self {
        match (revision.enabled, entry.options().enabled, next) {
            (false, _, _) => Self::Stopped,
            (true, false, _) => Self::Disabled,
            (true, true, None) => Self::Finished,
            (true, true, Some(_)) => Self::Active,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
            Self::Finished => "finished",
        }
    }
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
}

/// How the newest run of an entry ended, where somebody wants to be told of ends: dispatch writes it and reads it.
///
/// The states of a task share it, entry by entry: a run of an earlier one may end after the next was put. Until a run has ended in
/// this process, the history knows.
#[derive(Clone, Debug)]
pub struct LastEnd(Option<Arc<AtomicU8>>);

impl LastEnd {
    const UNKNOWN: u8 = 0;
    const SUCCEEDED: u8 = 1;
    const FAILED: u8 = 2;

    /// Of an entry with these options. One that tells nobody costs nothing: there may be a million.
    fn of(options: &EntryOptions) -> Self {
        Self(options.has_callbacks().then(|| Arc::new(AtomicU8::new(Self::UNKNOWN))))
    }

    /// Notes how a run ended, and gives how the one before did. `None`: the history knows.
    pub fn note(&self, end: End) -> Option<End> {
        let code = match end {
            End::Succeeded => Self::SUCCEEDED,
            End::Failed => Self::FAILED,
        };
        match self.0.as_ref()?.swap(code, Ordering::Relaxed) {
            Self::SUCCEEDED => Some(End::Succeeded),
            Self::FAILED => Some(End::Failed),
            _ => None,
        }
    }

    /// A run has ended of which this process does not know how: the history does.
    pub fn forget(&self) {
        if let Some(code) = &self.0 {
            code.store(Self::UNKNOWN, Ordering::Relaxed);
        }
    }
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
    /// It was asked for as one request at one instant: it is not listed among the tasks, and goes when it has fired.
    pub is_one_shot: bool,
}

impl Task {
    /// The most entries a task may have. More are refused.
    pub const ENTRIES_MAX: usize = 10_000;

    /// The same definition for another put: its entries have not run yet.
    pub fn to_put(&self) -> Self {
        let entry = |entry: &Entry| {
            let fresh = Entry::new(entry.name.clone(), entry.schedule.clone(), entry.request.clone());
            fresh.with_options(entry.options.clone())
        };
        let (identity, time_zone) = (self.identity.clone(), self.time_zone);
        let entries = self.entries.iter().map(entry).collect();
        Self { identity, time_zone, entries, is_one_shot: self.is_one_shot }
    }

    /// Takes the place of an earlier definition: how the runs of its entries ended is known to those with the same names.
    pub fn follow(&mut self, earlier: &Self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.last_end.0.is_some()) {
            let same = earlier.entry(&entry.name).map(|place| &earlier.entries[place].last_end);
            if let Some(known) = same.filter(|same| same.0.is_some()) {
                entry.last_end = known.clone();
            }
        }
    }

    /// The place of the entry with this name.
    fn entry(&self, name: &EntryName) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.name.cmp(name)).ok()
    }

    /// A task whose entries stand in the order of their names.
    pub fn new(identity: Identity, time_zone: TimeZone, mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self { identity, time_zone, entries: entries.into(), is_one_shot: false }
    }
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
    /// Who made it.
    pub by: Option<Arc<str>>,
    /// What was said when it was made.
    pub note: Option<Arc<str>>,
}

impl Revision {
    /// A definition that is put and switched on at a moment.
    pub fn new(task: impl Into<Arc<Task>>, at: Timestamp) -> Self {
        Self {
            task: task.into(),
            number: 0,
            enabled: true,
            put_at: at,
            in_force_from: at,
            in_force_until: None,
            by: None,
            note: None,
        }
    }

    /// The instants that one of its entries names, were it in force for ever.
    pub fn instants<'a>(&'a self, entry: &'a Entry) -> Instants<'a> {
        Instants::new(self, entry)
    }

    /// The same without `fires_max`, which is counted from a put that may be yet to come.
    pub fn draft_instants<'a>(&'a self, entry: &'a Entry) -> Instants<'a> {
        Instants::unlimited(self, entry)
    }

    /// Whether an entry names no instant later than `now`, although task and entry are switched on.
    pub fn is_finished(&self, entry: &Entry, now: Timestamp) -> bool {
        let next = || self.instants(entry).next(now.max(self.in_force_from));
        self.enabled && entry.options().enabled && next().is_none()
    }

    /// Whether any of its entries names an instant later than `after`, were it in force for ever.
    pub fn names_any_after(&self, after: Timestamp) -> bool {
        self.task.entries.iter().any(|entry| self.instants(entry).next(after).is_some())
    }

    /// The entry with this name.
    pub fn entry(&self, name: &EntryName) -> Option<usize> {
        self.task.entry(name)
    }

    /// The shard of its task.
    pub fn shard(&self) -> Shard {
        Shard::of(&self.task.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Callback, TargetUrl};

    fn task(names: &[&str], is_told: bool) -> Task {
        let request = || Request::post(TargetUrl::parse("http://a/").unwrap());
        let on_failure = || Some(Callback { request: request(), each: false, credentials: Default::default() });
        let options = || EntryOptions { on_failure: on_failure().filter(|_| is_told), ..EntryOptions::default() };
        let entry = |name: &&str| {
            let entry = Entry::new(EntryName::parse(name).unwrap(), Schedule::every("1s").unwrap(), request());
            entry.with_options(Some(Box::new(options())))
        };
        Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, names.iter().map(entry).collect())
    }

    #[test]
    fn an_entry_that_is_put_again_knows_how_runs_ended_also_those_of_before_that_end_later() {
        let (earlier, mut later) = (task(&["a", "b"], true), task(&["b", "c"], true));
        earlier.entries[1].last_end().note(End::Succeeded);

        later.follow(&earlier);

        assert_eq!(earlier.entries[1].last_end().note(End::Failed), Some(End::Succeeded));
        assert_eq!(later.entries[0].last_end().note(End::Succeeded), Some(End::Failed));
        assert_eq!(later.entries[1].last_end().note(End::Failed), None, "its name is new: the history knows");
    }

    #[test]
    fn of_an_entry_that_tells_nobody_nothing_is_kept() {
        let (earlier, mut later) = (task(&["a"], false), task(&["a"], true));
        earlier.entries[0].last_end().note(End::Failed);

        later.follow(&earlier);

        assert_eq!(later.entries[0].last_end().note(End::Succeeded), None);
        assert_eq!(later.entries[0].last_end().note(End::Succeeded), Some(End::Succeeded));
    }
}
