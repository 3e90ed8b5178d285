//! Audit records: who asked for what, from where, how it ended, and what was before and after.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::documents::json;
use crate::model::{Identity, Masking, Record, RecordId, RecordKind, Task, Timestamp};

/// The longest state before or after that is kept whole, in bytes. A longer one is named by its hash and its length.
const STATE_MAX: usize = 16 * 1024;
/// The longest path, name or message that is kept, in bytes. What stands behind it is cut off.
const TEXT_MAX: usize = 1024;

/// Shows a task and its switch without credentials, in the words of the API.
pub type ShowTask = fn(&Task, bool, &Masking) -> Box<RawValue>;

/// Who asks for what: what all audit records of one request share.
#[derive(Debug)]
pub struct AskedBy {
    /// The name of who asks.
    pub name: Arc<str>,
    /// By what that is known.
    pub source: Arc<str>,
    /// The address that the request came from.
    pub from: Option<IpAddr>,
    /// The operation, as the description of the API names it.
    pub operation: &'static str,
    /// The path that was asked for, without its query.
    pub path: Box<str>,
    /// How a task is shown.
    pub shows: ShowTask,
    is_written: AtomicBool,
}

impl AskedBy {
    /// Nothing is written of it yet.
    pub fn new(
        (name, source, from): (Arc<str>, Arc<str>, Option<IpAddr>),
        operation: &'static str,
        path: &str,
        shows: ShowTask,
    ) -> Self {
        Self { name, source, from, operation, path: cut(path).into(), shows, is_written: AtomicBool::new(false) }
    }

    /// A change was stored together with its audit record.
    pub fn note_written(&self) {
        self.is_written.store(true, Ordering::Relaxed);
    }

    /// Whether a change was stored together with its audit record.
    pub fn is_written(&self) -> bool {
        self.is_written.load(Ordering::Relaxed)
    }
}

/// How something that was asked for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It is done.
    Done,
    /// There was nothing to change.
    NoChange,
    /// It was not done, as it may not or cannot be.
    Refused,
    /// It was not done, or not wholly, as the service could not.
    Failed,
}

impl AuditOutcome {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NoChange => "no_change",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What an audit record tells beside who asked.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a> {
    /// The task that it is about, if it is about one.
    pub identity: Option<&'a Identity>,
    /// What else it is about: the word for its kind, and its name.
    pub object: Option<(&'a str, &'a str)>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The status of the answer, and what it says.
    pub answer: (Option<u16>, Option<&'a str>),
    /// The state that was in force, and the number of its revision.
    pub before: Option<(&'a RawValue, Option<u64>)>,
    /// The state that came into force when the record was made.
    pub after: Option<&'a RawValue>,
    /// How many others like it have no record, as there were too many in a short time.
    pub unlogged: u64,
}

impl Audit<'_> {
    /// Nothing but how it ended.
    pub fn ended(outcome: AuditOutcome) -> Self {
        Self { identity: None, object: None, outcome, answer: (None, None), before: None, after: None, unlogged: 0 }
    }
}

#[derive(Serialize)]
struct AuditDocument<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    operation: &'a str,
    path: &'a str,
    by: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "is_zero")]
    unlogged: u64,
    time: i64,
    #[serde(rename = "@timestamp")]
    timestamp: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The audit record of something that was asked for.
pub fn audit_record(asked_by: &AskedBy, audit: &Audit<'_>, time: Timestamp) -> Record {
    let identity = audit.identity.filter(|identity| identity.is_some());
    let document = AuditDocument {
        r#type: RecordKind::Audit.as_str(),
        identity: identity.map(Identity::as_str),
        operation: asked_by.operation,
        path: &asked_by.path,
        by: &asked_by.name,
        source: &asked_by.source,
        from: asked_by.from.map(|address| address.to_canonical().to_string()),
        outcome: audit.outcome.as_str(),
        status: audit.answer.0,
        reason: audit.answer.1.map(cut),
        object: audit.object.map(|(object, _)| object),
        name: audit.object.map(|(_, name)| cut(name)),
        before: audit.before.map(|(state, _)| bounded(state)),
        before_revision: audit.before.and_then(|(_, revision)| revision),
        after: audit.after.map(bounded),
        unlogged: audit.unlogged,
        time: time.secs(),
        timestamp: time.to_string(),
    };
    Record {
        id: RecordId::random(),
        identity: identity.cloned().unwrap_or_else(Identity::none),
        kind: RecordKind::Audit,
        settled: None,
        run: None,
        time,
        source: json(&document),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}

/// A state, or what it can be known by.
fn bounded(state: &RawValue) -> Cow<'_, RawValue> {
    #[derive(Serialize)]
    struct Digested {
        sha256: String,
        bytes: usize,
    }
    let text = state.get();
    if text.len() <= STATE_MAX {
        return Cow::Borrowed(state);
    }
    let hash: String = digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let digested = Digested { sha256: hash, bytes: text.len() };
    Cow::Owned(to_raw_value(&digested).expect("a hash can be written as JSON"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn nobody(_: &Task, _: bool, _: &Masking) -> Box<RawValue> {
        to_raw_value(&()).unwrap()
    }

    fn asked_by(path: &str) -> AskedBy {
        let from = Some("::ffff:192.0.2.1".parse().unwrap());
        AskedBy::new(("ada".into(), "key 0123456789abcdef".into(), from), "putTask", path, nobody)
    }

    fn told(audit: &Audit<'_>) -> Value {
        let record = audit_record(&asked_by("/put"), audit, Timestamp::from_millis(1_500));
        assert_eq!((record.kind, record.settled, record.run), (RecordKind::Audit, None, None));
        serde_json::from_str(&record.source).unwrap()
    }

    #[test]
    fn it_says_who_what_from_where_and_what_was_before_and_after() {
        let (before, after) = (to_raw_value(&json!({ "a": 1 })).unwrap(), to_raw_value(&json!({ "a": 2 })).unwrap());
        let identity = Identity::parse("t").unwrap();
        let audit = Audit {
            identity: Some(&identity),
            before: Some((&before, Some(7))),
            after: Some(&after),
            ..Audit::ended(AuditOutcome::Done)
        };

        let expected = json!({
            "type": "audit", "identity": "t", "operation": "putTask", "path": "/put", "by": "ada",
            "source": "key 0123456789abcdef", "from": "192.0.2.1", "outcome": "done",
            "before": { "a": 1 }, "before_revision": 7, "after": { "a": 2 },
            "time": 1, "@timestamp": "1970-01-01T00:00:01.500Z",
        });
        assert_eq!(told(&audit), expected);
        assert_eq!(audit_record(&asked_by("/put"), &audit, Timestamp::EPOCH).identity, identity);
    }

    #[test]
    fn what_concerns_no_task_belongs_to_none() {
        let audit = Audit { object: Some(("key", "0123")), unlogged: 3, ..Audit::ended(AuditOutcome::Refused) };

        let record = audit_record(&asked_by("/keys"), &audit, Timestamp::EPOCH);

        assert!(!record.identity.is_some());
        let told = told(&audit);
        assert_eq!((&told["object"], &told["name"], &told["unlogged"]), (&json!("key"), &json!("0123"), &json!(3)));
        assert_eq!(told.get("identity"), None);
    }

    #[test]
    fn a_long_state_is_named_by_its_hash_and_long_texts_are_cut() {
        let state = |len: usize| to_raw_value(&"x".repeat(len - 2)).unwrap();
        let (whole, long) = (state(STATE_MAX), state(STATE_MAX + 1));
        let text = "é".repeat(TEXT_MAX);
        let audit = Audit {
            before: Some((&whole, None)),
            after: Some(&long),
            answer: (Some(403), Some(&text)),
            ..Audit::ended(AuditOutcome::Refused)
        };

        let told = told(&audit);

        assert_eq!(told["before"].as_str().unwrap().len(), STATE_MAX - 2);
        assert_eq!(told["after"]["bytes"], STATE_MAX + 1);
        assert_eq!(told["after"]["sha256"].as_str().unwrap().len(), 64);
        assert_eq!(told["reason"].as_str().unwrap().len(), TEXT_MAX);
        assert_eq!(asked_by(&text).path.len(), TEXT_MAX);
    }
}
