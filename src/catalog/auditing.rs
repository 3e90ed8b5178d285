//! The audit records of changes of tasks: written together with the change.

use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};

use super::Rooms;
use crate::journal::{AskedBy, Audit, AuditOutcome, audit_record};
use crate::model::{Identity, Record, Revision, Timestamp};

/// What is written of a change: its log document, and its audit record if one is kept.
pub(super) struct Told {
    pub(super) record: Record,
    audit: Option<(Record, Arc<AskedBy>)>,
}

impl Told {
    /// Of a change that nobody asked for.
    pub(super) fn unasked(record: Record) -> Self {
        Self { record, audit: None }
    }

    /// The records, and what to call when they are stored.
    pub(super) fn into_parts(self) -> (Record, Option<Record>, impl FnOnce()) {
        let (audit, asked_by) = self.audit.unzip();
        let note = move || asked_by.iter().for_each(|asked_by| asked_by.note_written());
        (self.record, audit, note)
    }
}

/// What became of a task.
pub(super) struct Step<'a> {
    pub(super) identity: &'a Identity,
    /// What is in force.
    pub(super) before: Option<&'a Revision>,
    pub(super) after: After<'a>,
    pub(super) at: Timestamp,
}

/// What comes into force.
pub(super) enum After<'a> {
    /// This definition, as it is shown.
    Shown(&'a RawValue),
    /// The same one, switched.
    Switched(bool),
    /// Nothing.
    Nothing,
}

impl Rooms {
    /// What is written of a change.
    pub(super) fn told(&self, record: Record, asked_by: Option<&Arc<AskedBy>>, step: &Step<'_>) -> Told {
        let audit = asked_by.map(|asked_by| (self.audit_of(asked_by, step), asked_by.clone()));
        Told { record, audit }
    }

    fn audit_of(&self, asked_by: &AskedBy, step: &Step<'_>) -> Record {
        let Step { identity, before, after, at } = step;
        let switched = |start: bool| to_raw_value(&Switched { start }).expect("a switch can be written as JSON");
        let (state, next) = match after {
            After::Shown(shown) => (before.map(|before| self.shown(asked_by, before)), Some((*shown).to_owned())),
            After::Switched(start) => (before.map(|before| switched(before.enabled)), Some(switched(*start))),
            After::Nothing => (before.map(|before| self.shown(asked_by, before)), None),
        };
        let is_change = match after {
            After::Shown(_) => true,
            After::Switched(start) => before.is_some_and(|before| before.enabled != *start),
            After::Nothing => before.is_some(),
        };
        let number = before.map(|before| before.number);
        let audit = Audit {
            identity: Some(identity),
            before: state.as_deref().map(|state| (state, number)),
            after: next.as_deref(),
            ..Audit::ended(if is_change { AuditOutcome::Done } else { AuditOutcome::NoChange })
        };
        audit_record(asked_by, &audit, *at)
    }

    fn shown(&self, asked_by: &AskedBy, revision: &Revision) -> Box<RawValue> {
        (asked_by.shows)(&revision.task, revision.enabled, self.journal.masking())
    }
}

/// As a task shows its switch.
#[derive(serde::Serialize)]
struct Switched {
    start: bool,
}
