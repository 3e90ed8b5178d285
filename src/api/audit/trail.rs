//! What is known of a request for its audit record, while it is worked on.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::AuditSettings;
use super::rules::Purpose;
use crate::access::Role;
use crate::api::view::TaskView;
use crate::journal::AskedBy;
use crate::model::{Identity, Masking, Task};

/// Operations whose record is written with the change, whatever comes.
pub(super) const WITH_CHANGE: [&str; 3] = ["putTask", "deleteTask", "switchTask"];
/// The name of who may not ask for anything.
const UNKNOWN: &str = "unknown";

/// Where a request comes from, and by what its sender is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::api) struct Origin {
    /// The other end of the connection; of a request that another node passes on, what that node says.
    pub(in crate::api) from: Option<IpAddr>,
    /// By what: `key 0123456789abcdef`, `admin_key`, `certificate`, `user_header`, or nothing.
    pub(in crate::api) source: Arc<str>,
}

/// One request on its way.
#[derive(Debug)]
pub(in crate::api) struct Trail {
    asked_by: Arc<AskedBy>,
    pub(super) purpose: Purpose,
    /// Somebody with a right of any kind asks.
    pub(super) is_known: bool,
    about: Mutex<About>,
}

/// What it is about, as far as that is known by now.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) identity: Option<Identity>,
    pub(super) object: Option<(&'static str, String)>,
    pub(super) after: Option<Box<RawValue>>,
    pub(super) is_passed_on: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Wanted<'a> {
    pub(in crate::api) method: &'a Method,
    pub(in crate::api) path: &'a str,
    pub(in crate::api) operation: &'static str,
    pub(in crate::api) needed: Role,
}

impl Trail {
    /// Of a request of somebody with this name; `None`: nobody knows who it is.
    pub(in crate::api) fn new(
        name: Option<Arc<str>>,
        origin: &Origin,
        wanted: Wanted<'_>,
        settings: AuditSettings,
    ) -> Self {
        let Wanted { method, path, operation, needed } = wanted;
        let is_known = name.is_some();
        let who = (name.unwrap_or_else(|| UNKNOWN.into()), origin.source.clone(), origin.from);
        Self {
            asked_by: Arc::new(AskedBy::new(who, operation, path, shown)),
            purpose: Purpose::of(method, needed, operation, settings),
            is_known,
            about: Mutex::default(),
        }
    }

    /// Of lines that another node sends for somebody.
    pub(in crate::api) fn of_lines(name: Arc<str>, origin: &Origin) -> Self {
        let who = (name, origin.source.clone(), origin.from);
        Self {
            asked_by: Arc::new(AskedBy::new(who, "changeTasks", "/bulk", shown)),
            purpose: Purpose::Lines,
            is_known: true,
            about: Mutex::default(),
        }
    }

    /// For what writes the record together with the change.
    pub(in crate::api) fn asked_by(&self) -> &Arc<AskedBy> {
        &self.asked_by
    }

    /// Whether it is a change that has its record with it: it goes on to its end, and knows its task, by itself.
    pub(super) fn is_with_change(&self) -> bool {
        WITH_CHANGE.contains(&self.asked_by.operation)
    }

    /// Whether it is to be known which task is asked for.
    pub(in crate::api) fn wants_task(&self) -> bool {
        !self.is_with_change() && self.purpose != Purpose::Unwatched
    }

    pub(super) fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is about a task.
    pub(in crate::api) fn of_task(&self, identity: &Identity) {
        self.about().identity = Some(identity.clone());
    }

    /// It is about something else.
    pub(in crate::api) fn of(&self, object: &'static str, name: &str) {
        self.about().object = Some((object, name.to_owned()));
    }

    /// What there is now. Nothing secret stands in it.
    pub(in crate::api) fn is_now(&self, state: &impl Serialize) {
        self.about().after = Some(raw(state));
    }

    /// Another node carries it out, and writes its record.
    pub(in crate::api) fn note_passed_on(&self) {
        self.about().is_passed_on = true;
    }
}

fn raw(state: &impl Serialize) -> Box<RawValue> {
    to_raw_value(state).expect("what is told of a change can be written as JSON")
}

/// As the log document of a put shows it.
fn shown(task: &Task, start: bool, masking: &Masking) -> Box<RawValue> {
    raw(&TaskView::for_log(task, start, masking))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::wire_put;
    use crate::api::wire_put::Terms;
    use crate::model::Timestamp;

    proptest! {
        /// Whatever stands in a header named like a credential, in `sign` or `auth`, of a request or of a callback, or as the password of
        /// a URL.
        #[test]
        fn no_state_of_a_task_shows_a_credential(
            value in "hunter2[a-zA-Z0-9]{1,40}",
            name in "[Aa]uthorization|AUTHORIZATION|[Xx]-(Api|API|api)-[Kk]ey|[Cc]ookie|[Xx]-[Aa]uth-[Tt]oken",
            key in "hunter2[a-zA-Z0-9]{33}",
            kind in 0..3_usize,
            start: bool,
        ) {
            let auth = [
                json!({ "type": "basic", "username": "seen", "password": value }),
                json!({ "type": "bearer", "token": value }),
                json!({ "type": "oauth2", "token_url": "https://seen.example/token", "client_id": "seen", "client_secret": value }),
            ][kind].clone();
            let sign = json!({ "secrets": [format!("whsec_{key}"), "${secret:hooks}"] });
            let request = json!({
                "url": format!("http://user:{value}@a.example/"), "headers": { name: value, "X-Trace": "traced" },
                "sign": sign,
            });
            let mut entry = request.clone();
            entry["cron_time"] = "0 0 0 1 1 *".into();
            entry["on_failure"] = request;
            let with_auth = json!({
                "cron_time": "0 0 0 1 1 *", "url": "http://a.example/", "auth": auth,
                "on_failure": { "url": "http://a.example/", "auth": auth },
            });
            let entries = json!({ "e": entry, "with_auth": with_auth });
            let body = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": entries });
            let put = wire_put::put(body.to_string().as_bytes(), &Terms::at(Timestamp::EPOCH));
            let put = put.map_err(|mistakes| TestCaseError::fail(format!("{mistakes:?}")))?.value;

            let shown = shown(&put.task, start, &Masking::default());

            prop_assert!(!shown.get().contains("hunter2"), "{shown}");
            for told in ["traced", "\"secrets\":[\"***\",\"${secret:hooks}\"]", auth["type"].as_str().unwrap()] {
                prop_assert!(shown.get().contains(told), "{told}: {shown}");
            }
        }
    }
}
