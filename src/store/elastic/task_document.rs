//! Documents of the task index: what is in force of each task, and what was.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::bulk::Seen;
use super::client::read;
use super::format;
use crate::model::{Identity, Record, RecordId, RecordKind, Revision, Shard, Timestamp};
use crate::store::{BoxError, StoreError, document};

/// The newest state of a task. A change replaces it by one compare-and-set, which is the moment the change happens: all that
/// follows from the change stands in it, too, until it is written where it belongs.
pub(super) const TASK: &str = "task";
/// A state that a task was in.
pub(super) const PAST: &str = "past";
/// Until when the history of a task was cleared.
pub(super) const MARK: &str = "mark";

/// One state of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RevisionDocument {
    pub(super) number: u64,
    pub(super) enabled: bool,
    pub(super) put_at: i64,
    pub(super) in_force_from: i64,
    pub(super) in_force_until: Option<i64>,
    /// The definition as a JSON text: exactly as it was given.
    pub(super) document: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    /// What was said when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// The newest state of a task, or a past one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TaskDocument {
    pub(super) kind: Cow<'static, str>,
    pub(super) identity: String,
    pub(super) shard: usize,
    pub(super) in_force: bool,
    pub(super) changed_at: i64,
    /// Of the lease of who wrote it; `None`: an earlier version of this program wrote it, or it was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<u64>,
    #[serde(flatten)]
    pub(super) revision: RevisionDocument,
    /// The log document of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<RecordDocument>,
    /// The state that the change ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<RevisionDocument>,
}

/// A log document that still has to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordDocument {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) time: i64,
    pub(super) source: String,
    /// The audit record of the same change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) audit: Option<Box<RecordDocument>>,
}

impl RecordDocument {
    pub(super) fn of(record: &Record, audit: Option<&Record>) -> Self {
        Self {
            audit: audit.map(|audit| Box::new(Self::of(audit, None))),
            id: record.id.to_string(),
            kind: record.kind.as_str().to_owned(),
            time: record.time.millis(),
            source: record.source.to_string(),
        }
    }

    /// All that the change has to write; `None`: it cannot be read.
    pub(super) fn to_records(&self, identity: &Identity) -> Option<Vec<Record>> {
        let audit = self.audit.as_ref().map(|audit| audit.to_record(identity).ok_or(()));
        let audit = audit.transpose().ok()?;
        Some(std::iter::once(self.to_record(identity)?).chain(audit).collect())
    }

    fn to_record(&self, identity: &Identity) -> Option<Record> {
        Some(Record {
            id: RecordId::parse(&self.id)?,
            identity: identity.clone(),
            kind: RecordKind::parse(&self.kind)?,
            settled: None,
            run: None,
            time: Timestamp::from_millis(self.time),
            source: self.source.as_str().into(),
        })
    }
}

impl RevisionDocument {
    pub(super) fn of(revision: &Revision) -> Self {
        Self {
            number: revision.number,
            enabled: revision.enabled,
            put_at: revision.put_at.millis(),
            in_force_from: revision.in_force_from.millis(),
            in_force_until: revision.in_force_until.map(Timestamp::millis),
            document: document::write(&revision.task),
            by: revision.by.as_deref().map(str::to_owned),
            note: revision.note.as_deref().map(str::to_owned),
        }
    }

    /// The same, ended at this moment if it was still in force.
    pub(super) fn ended(self, at: Timestamp) -> Self {
        Self { in_force_until: self.in_force_until.or(Some(at.millis())), ..self }
    }
}

impl TaskDocument {
    /// Reads the document of this id; one of a newer format is refused.
    pub(super) fn read(id: &str, source: &str) -> Result<Self, StoreError> {
        let what = || format!("document {id:?}");
        format::read(what, source)?.or_refuse(what)
    }

    /// A state that is over.
    pub(super) fn past(identity: &Identity, changed_at: Timestamp, revision: RevisionDocument) -> Self {
        Self {
            kind: PAST.into(),
            identity: identity.as_str().to_owned(),
            shard: Shard::of(identity).index(),
            in_force: false,
            changed_at: changed_at.millis(),
            epoch: None,
            revision,
            record: None,
            replaced: None,
        }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("a task document can be written as JSON").into()
    }

    /// The number of the state in force.
    pub(super) fn number_in_force(&self) -> Option<u64> {
        self.in_force.then_some(self.revision.number)
    }

    pub(super) fn to_revision(&self) -> Result<Revision, StoreError> {
        let what = || format!("task {:?}", self.identity);
        let corrupt = |source: BoxError| StoreError::Corrupt { what: what(), source };
        let identity = Identity::parse(&self.identity).map_err(|error| corrupt(error.into()))?;
        let task = document::read(&identity, &self.revision.document).map_err(corrupt)?;
        Ok(Revision {
            task: task.into(),
            number: self.revision.number,
            enabled: self.revision.enabled,
            put_at: Timestamp::from_millis(self.revision.put_at),
            in_force_from: Timestamp::from_millis(self.revision.in_force_from),
            in_force_until: self.revision.in_force_until.map(Timestamp::from_millis),
            by: self.revision.by.as_deref().map(Into::into),
            note: self.revision.note.as_deref().map(Into::into),
        })
    }
}

/// The id of the newest state of a task.
pub(super) fn task_id(identity: &Identity) -> String {
    format!("{TASK}:{}", identity.as_str())
}

/// The id of a past state.
pub(super) fn past_id(identity: &Identity, number: u64) -> String {
    format!("{PAST}:{number}:{}", identity.as_str())
}

/// A page of an answer, with what its hits hold.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) hits: Hits<T>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Hits<T> {
    pub(super) hits: Vec<Hit<T>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Hit<T> {
    pub(super) _id: String,
    pub(super) _source: T,
    #[serde(default)]
    pub(super) sort: Vec<serde_json::Value>,
    pub(super) _seq_no: Option<u64>,
    pub(super) _primary_term: Option<u64>,
}

impl Hit<Box<RawValue>> {
    /// The task or past state that was found.
    pub(super) fn task(&self) -> Result<TaskDocument, StoreError> {
        TaskDocument::read(&self._id, self._source.get())
    }
}

impl<T> Hit<T> {
    /// The state of the document that was found, if it was asked for.
    pub(super) fn seen(&self) -> Option<Seen> {
        let (seq_no, primary_term) = self._seq_no.zip(self._primary_term)?;
        Some(Seen { seq_no, primary_term })
    }
}

/// Reads a page.
pub(super) fn page<T: serde::de::DeserializeOwned>(doing: &'static str, body: &[u8]) -> Result<Page<T>, StoreError> {
    read(doing, body)
}
