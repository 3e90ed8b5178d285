//! Records: what the journal keeps.

use uuid::Uuid;

use super::{EntryName, Identity, NameError, RunId, Timestamp};

/// What a record tells. The words are those of the log documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// A task was put.
    Put,
    /// A task was deleted.
    Delete,
    /// A task was switched on or off.
    Running,
    /// A fire was answered with success.
    Success,
    /// A fire was not answered with success.
    Error,
    /// A policy decided that instants are not fired.
    Skipped,
    /// Instants could not be fired.
    Missed,
    /// A run waits or is under way. Its outcome takes the place of this record.
    Started,
    /// Somebody changed something, was refused, or read. It is no part of a task's history: it is kept, searched and deleted apart.
    Audit,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Put,
        Self::Delete,
        Self::Running,
        Self::Success,
        Self::Error,
        Self::Skipped,
        Self::Missed,
        Self::Started,
        Self::Audit,
    ];

    /// The kinds of the history.
    pub const HISTORY: [Self; 8] = [
        Self::Put,
        Self::Delete,
        Self::Running,
        Self::Success,
        Self::Error,
        Self::Skipped,
        Self::Missed,
        Self::Started,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Started => "started",
            Self::Audit => "audit",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether a request was sent and its run has ended.
    pub fn is_fire(self) -> bool {
        matches!(self, Self::Success | Self::Error)
    }

    /// Whether it settles the instants it stands for.
    pub fn is_outcome(self) -> bool {
        matches!(self, Self::Success | Self::Error | Self::Skipped | Self::Missed)
    }
}

/// The instants that an outcome stands for: one, or a stretch of one entry's instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first instant.
    pub first: Timestamp,
    /// The last instant.
    pub last: Timestamp,
    /// How many instants the trigger names from the first to the last.
    pub count: u64,
}

impl Stretch {
    /// A single instant.
    pub fn one(fire_time: Timestamp) -> Self {
        Self { first: fire_time, last: fire_time, count: 1 }
    }
}

/// Which instants of which entry a record settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The entry.
    pub entry: EntryName,
    /// Its instants.
    pub stretch: Stretch,
}

/// One document of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name: a record with the same id replaces the earlier one.
    pub id: RecordId,
    /// The task it belongs to; [`Identity::none`] for an audit record of what concerns no task.
    pub identity: Identity,
    /// What it tells.
    pub kind: RecordKind,
    /// The planned instants it stands for: it settles them if it is an outcome. `None` for put, delete and running, and for
    /// runs that somebody asked for.
    pub settled: Option<Settled>,
    /// What it says of a run, or of a callback that has not ended; `None` where there is nothing to say.
    pub run: Option<RunState>,
    /// When it happened.
    pub time: Timestamp,
    /// The log document: one JSON object.
    pub source: Box<str>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunState {
    /// The entry that runs. `None`: a callback, which is no run of its own.
    pub entry: Option<EntryName>,
    /// Grows with each record of the same run: an older one never replaces a newer one.
    pub phase: u32,
    /// It failed for good and nobody has dealt with it.
    pub is_dead_letter: bool,
}

impl RunState {
    /// The phase of an outcome: nothing comes after it but the same outcome, or a note about it.
    pub const ENDED: u32 = 1_000_000;

    /// Of a run that has ended.
    pub fn ended(entry: EntryName) -> Self {
        Self { entry: Some(entry), phase: Self::ENDED, is_dead_letter: false }
    }
}

impl Record {
    /// The task that a record of a kind belongs to, as it was stored: only audit records may belong to none.
    pub fn identity_of(kind: RecordKind, text: &str) -> Result<Identity, NameError> {
        if text.is_empty() && kind == RecordKind::Audit { Ok(Identity::none()) } else { Identity::parse(text) }
    }

    /// The instants it settles.
    pub fn settles(&self) -> Option<&Settled> {
        self.settled.as_ref().filter(|_| self.kind.is_outcome())
    }

    /// Of two records with the same id, the one of the smaller phase never takes the place of the other. What tells of no run
    /// is as final as an outcome.
    pub fn phase(&self) -> u32 {
        self.run.as_ref().map_or(RunState::ENDED, |run| run.phase)
    }

    /// Whether it tells of a run: it is listed among those of its entry.
    pub fn is_of_run(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.entry.is_some())
    }

    /// Whether it tells of a run that failed for good, and that nobody has dealt with.
    pub fn is_dead_letter(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_dead_letter)
    }

    /// The entry it tells of. A callback's is told by its document only.
    pub fn entry(&self) -> Option<&EntryName> {
        let of_run = self.run.as_ref().and_then(|run| run.entry.as_ref());
        self.settled.as_ref().map(|settled| &settled.entry).or(of_run)
    }

    /// The instant it belongs to: the last that it stands for, that of its run, or when it happened.
    pub fn instant(&self) -> Timestamp {
        match (&self.settled, &self.run) {
            (Some(settled), _) => settled.stretch.last,
            (None, Some(_)) => RunId::from(self.id).instant(),
            (None, None) => self.time,
        }
    }
}

/// The name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId(Uuid);

impl RecordId {
    /// A new name.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Reads a name as it is written.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl From<RunId> for RecordId {
    fn from(run_id: RunId) -> Self {
        Self(run_id.uuid())
    }
}

impl From<RecordId> for RunId {
    fn from(id: RecordId) -> Self {
        Self::from_uuid(id.0)
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}
