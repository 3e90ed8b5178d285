//! What `/delete` and `/running` are asked, also as lines of `/bulk`.

use serde_json::value::{RawValue, to_raw_value};

use super::caller::Caller;
use super::wire::{Understood, identity_of, understand};
use crate::catalog::{Removal, Switch};
use crate::model::Identity;
use crate::model::object::{Mistakes, Object, integer};

/// `/delete`: which task.
pub(super) fn removal(bytes: &[u8], caller: &Caller) -> Understood<Removal> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup"}"#, mistakes)?;
        let (identity, revision) = (identity_of(&body, mistakes), revision_of(&body, mistakes));
        let identity = identity?;
        note_task(caller, &identity);
        let mut body = serde_json::json!({ "identity": identity.as_str() });
        if caller.is_known() {
            // A delete leaves no revision that could say it.
            body["by"] = caller.name().into();
        }
        let request = request(&body);
        Some(Removal { identity, request, revision, asked_by: caller.asked_by() })
    })
}

/// `/running`: which task, and where the switch goes.
pub(super) fn switch(bytes: &[u8], caller: &Caller) -> Understood<Switch> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"identity":"backup","running":true}"#, mistakes)?;
        let (identity, running) = (identity_of(&body, mistakes), body.boolean("running", mistakes));
        let revision = revision_of(&body, mistakes);
        let (identity, enabled) = identity.zip(running)?;
        note_task(caller, &identity);
        let request = request(&serde_json::json!({ "identity": identity.as_str(), "running": enabled }));
        let (by, asked_by) = (Some(caller.shared()), caller.asked_by());
        Some(Switch { identity, enabled, request, revision, by, note: None, asked_by })
    })
}

fn note_task(caller: &Caller, identity: &Identity) {
    if let Some(trail) = caller.trail() {
        trail.of_task(identity);
    }
}

/// The revision that the client knows.
fn revision_of(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<u64> {
    let raw = body.get("revision")?;
    u64::try_from(integer(raw, &body.path_of("revision"), 0..=i64::MAX, mistakes)?).ok()
}

/// The request as the history keeps it.
fn request(body: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(body).expect("a value can be written as JSON")
}
