//! Records: what the journal keeps.

use uuid::Uuid;

use super::{EntryName, Identity, RunId, Timestamp};

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
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Put, Self::Delete, Self::Running, Self::Success, Self::Error, Self::Skipped, Self::Missed];

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
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether a request was sent.
    pub fn is_fire(self) -> bool {
        matches!(self, Self::Success | Self::Error)
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
    /// The task it belongs to.
    pub identity: Identity,
    /// What it tells.
    pub kind: RecordKind,
    /// The instants it settles; `None` for put, delete and running.
    pub settled: Option<Settled>,
    /// When it happened.
    pub time: Timestamp,
    /// The log document: one JSON object.
    pub source: Box<str>,
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

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}
