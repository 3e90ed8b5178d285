//! Runs: their names, why they go out, and how far they have come.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::{Builder, Uuid};

use super::{
    Callback, Credentials, Entry, EntryName, EntryOptions, Identity, JsonText, Request, Revision, Timestamp,
    jitter_delay,
};

/// The name of a run. It begins with the run's instant, so names sort by time and a store finds the place of a run from
/// its name alone.
///
/// Every planned run has the same id whenever and wherever it is computed, so that a second record of it replaces the
/// first and a second request of it carries the same `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Uuid);

impl RunId {
    /// Before all names.
    pub const MIN: Self = Self(Uuid::nil());
    /// After all names.
    pub const MAX: Self = Self(Uuid::max());

    /// Names the run of one entry at one planned instant.
    pub fn planned(identity: &Identity, entry: &EntryName, fire_time: Timestamp) -> Self {
        let identity = identity.as_str().as_bytes();
        let mut name = Vec::with_capacity(identity.len() + entry.as_str().len() + 16);
        // The length stands first, so that no two pairs of names run into the same bytes.
        name.extend_from_slice(&(identity.len() as u64).to_be_bytes());
        name.extend_from_slice(identity);
        name.extend_from_slice(entry.as_str().as_bytes());
        name.extend_from_slice(&fire_time.millis().to_be_bytes());
        Self::derived(&name, fire_time)
    }

    /// Names a run that somebody asked for at a moment.
    pub fn asked(at: Timestamp) -> Self {
        Self::at(at, Uuid::new_v4())
    }

    /// Names what follows from a run, such as a callback: the same whenever it is computed.
    pub fn following(self, what: &str) -> Self {
        let mut name = self.0.as_bytes().to_vec();
        name.extend_from_slice(what.as_bytes());
        Self::derived(&name, self.instant())
    }

    /// Reads a name as it is written.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The planned instant, or the moment at which it was asked for.
    pub fn instant(self) -> Timestamp {
        let millis = self.0.as_u128() >> 80;
        Timestamp::from_millis(i64::try_from(millis).expect("48 bits fit"))
    }

    /// Whether it begins with its instant. Names that earlier versions gave do not, and nor does that of a change.
    pub fn tells_instant(self) -> bool {
        self.0.get_version_num() == 8
    }

    fn derived(name: &[u8], instant: Timestamp) -> Self {
        Self::at(instant, Uuid::new_v5(&Uuid::NAMESPACE_OID, name))
    }

    /// UUID version 8 (RFC 9562): 48 bits of milliseconds as in version 7, the rest of `unique`.
    fn at(instant: Timestamp, unique: Uuid) -> Self {
        const MILLIS_BITS: u64 = (1 << 48) - 1;
        let millis = u64::try_from(instant.millis()).unwrap_or(0) & MILLIS_BITS;
        let mut bytes = *unique.as_bytes();
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    pub(super) fn uuid(self) -> Uuid {
        self.0
    }

    pub(super) fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Why a fire goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Its instant came.
    Schedule,
    /// Somebody asked for it.
    Manual,
    /// Its instant passed while it could not be fired, or somebody asked for a past instant.
    CatchUp,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Schedule, Self::Manual, Self::CatchUp];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::CatchUp => "catch_up",
        }
    }

    /// The one with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }
}

/// What somebody asked for beyond what the schedule names. It settles no instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name of the run.
    pub run_id: RunId,
    /// Who asked.
    pub run_by: Box<str>,
    /// Words for the target.
    pub args: Box<str>,
    /// The run that this one does again.
    pub rerun_of: Option<RunId>,
    /// The backfill that it belongs to.
    pub backfill: Option<Backfill>,
}

/// Past instants of an entry that somebody wants run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Its name.
    pub id: RunId,
    /// How many of its runs may be in progress.
    pub at_once: usize,
}

/// One sending of a run's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// When it was sent.
    pub started_at: Timestamp,
    /// How long it took, to the end of the answer.
    pub duration: Duration,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it is no success.
    pub error: Option<Box<str>>,
    /// How many bytes the answer's body had, as far as it was read.
    pub bytes: u64,
}

/// How far a run had come when the process that worked on it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// Whether a request was under way: the target may have got it.
    pub is_under_way: bool,
    /// The phase of its newest record.
    pub phase: u32,
    /// When the next attempt is to be made, if the run was in a pause between two.
    pub resume_at: Option<Timestamp>,
    /// Why it does not go on: all that is left to do is to record its end, and to tell of it.
    pub given_up: Option<&'static str>,
    /// The node that gave its shard away has its request under way still, and records how that ends.
    pub is_elsewhere: bool,
}

/// At which end of a run somebody wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It failed.
    Failure,
    /// It succeeded.
    Success,
    /// It succeeded after one that failed.
    Recovery,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Failure, Self::Success, Self::Recovery];

    /// The word on the wire: the name of the option.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "on_failure",
            Self::Success => "on_success",
            Self::Recovery => "on_recovery",
        }
    }

    /// The one with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == word)
    }

    /// The callback that an entry names for it.
    pub fn callback(self, options: &EntryOptions) -> Option<&Callback> {
        match self {
            Self::Failure => options.on_failure.as_ref(),
            Self::Success => options.on_success.as_ref(),
            Self::Recovery => options.on_recovery.as_ref(),
        }
    }

    pub(super) fn callback_mut(self, options: &mut EntryOptions) -> Option<&mut Callback> {
        match self {
            Self::Failure => options.on_failure.as_mut(),
            Self::Success => options.on_success.as_mut(),
            Self::Recovery => options.on_recovery.as_mut(),
        }
    }
}

/// A message about the end of a run, to whom its entry names. It is sent as a run of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The name of the sending.
    pub run_id: RunId,
    /// The run that has ended.
    pub about: RunId,
    /// How it ended.
    pub occasion: Occasion,
    /// What is told of it.
    pub event: Option<JsonText>,
}

/// One run on its way to the target: of an instant that the schedule names, or of what somebody asked for.
#[derive(Clone, Debug)]
pub struct Fire {
    /// The state of the task that it runs.
    pub revision: Arc<Revision>,
    /// Index of the entry in its task.
    pub entry: usize,
    /// The planned instant; of a run on demand, the moment it was asked for.
    pub fire_time: Timestamp,
    /// Why it goes out.
    pub trigger: Trigger,
    /// A crash left it uncertain whether this run was sent before.
    pub redelivered: bool,
    /// Who asked for it; `None`: the schedule.
    pub asked: Option<Arc<Asked>>,
    /// What an earlier process did of it.
    pub progress: Option<Arc<Progress>>,
    /// It is no run of the entry, but tells of the end of one.
    pub notice: Option<Arc<Notice>>,
}

impl Fire {
    /// Of an instant that the schedule names.
    pub fn planned(revision: Arc<Revision>, entry: usize, fire_time: Timestamp, trigger: Trigger) -> Self {
        Self { revision, entry, fire_time, trigger, redelivered: false, asked: None, progress: None, notice: None }
    }

    /// Its entry.
    pub fn entry(&self) -> &Entry {
        &self.revision.task.entries[self.entry]
    }

    /// What it sends: the request of its entry, or of the callback that it is. `None`: the entry names no such callback.
    pub fn request(&self) -> Option<&Request> {
        match &self.notice {
            None => Some(&self.entry().request),
            Some(notice) => notice.occasion.callback(self.entry().options()).map(|callback| &callback.request),
        }
    }

    /// How its request shows who sends it. A callback that its entry does not name has none.
    pub fn credentials(&self) -> Option<&Credentials> {
        match &self.notice {
            None => Some(&self.entry().options().credentials),
            Some(notice) => notice.occasion.callback(self.entry().options()).map(|callback| &callback.credentials),
        }
    }

    /// The identity of its task.
    pub fn identity(&self) -> &Identity {
        &self.revision.task.identity
    }

    /// The name of its run.
    pub fn run_id(&self) -> RunId {
        match (&self.notice, &self.asked) {
            (Some(notice), _) => notice.run_id,
            (None, Some(asked)) => asked.run_id,
            (None, None) => RunId::planned(self.identity(), &self.entry().name, self.fire_time),
        }
    }

    /// Whether its outcome settles an instant that the schedule names.
    pub fn is_planned(&self) -> bool {
        self.asked.is_none() && self.notice.is_none()
    }

    /// Whether another node has its request under way, and records how that ends.
    pub fn is_elsewhere(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.is_elsewhere)
    }

    /// When it is to start, if that is put off: jitter spreads the runs of instants that the schedule names, and no others.
    pub fn due_at(&self) -> Option<Timestamp> {
        let jitter = self.entry().options().jitter.filter(|_| self.is_planned())?;
        let next = self.revision.instants(self.entry()).next(self.fire_time);
        let delay = jitter_delay(self.run_id(), jitter, next.map(|next| next.since(self.fire_time)));
        Some(self.fire_time.plus(delay))
    }

    /// Who is behind it: `schedule`, `catch_up`, or who asked.
    pub fn run_by(&self) -> &str {
        self.asked.as_ref().map_or(self.trigger.as_str(), |asked| &asked.run_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_instant_and_by_nothing_that_changes() {
        let (identity, entry) = (Identity::parse("t").unwrap(), EntryName::parse("e").unwrap());
        let instant = Timestamp::from_millis(1_800_000_000_123);

        let run = RunId::planned(&identity, &entry, instant);

        assert_eq!(run, RunId::planned(&identity, &entry, instant));
        assert_ne!(run, RunId::planned(&identity, &entry, Timestamp::from_millis(1_800_000_000_124)));
        assert_ne!(run, RunId::planned(&entry_as_identity(), &EntryName::parse("t").unwrap(), instant));
        assert_eq!((run.instant(), run.following("on_failure").instant()), (instant, instant));
        assert!(run.tells_instant() && RunId::asked(instant).tells_instant());
        assert!(!RunId(Uuid::new_v5(&Uuid::NAMESPACE_OID, b"earlier")).tells_instant());
        assert_eq!(RunId::parse(&run.to_string()), Some(run));
        assert_eq!(run.to_string().as_bytes()[14], b'8');
        assert!(RunId::asked(instant) > RunId::asked(Timestamp::from_millis(1_800_000_000_000)));
        assert_ne!(RunId::asked(instant), RunId::asked(instant));
    }

    fn entry_as_identity() -> Identity {
        Identity::parse("e").unwrap()
    }
}
