//! What `/put` says: a whole task.

use std::sync::{Arc, LazyLock};

use http::Method;
use serde_json::value::{RawValue, to_raw_value};

use super::put_limits::PutLimits;
use super::view::TaskView;
use super::wire::{Understood, identity_of, understand};
use crate::catalog::Put;
use crate::model::object::{Mistakes, Object, integer, string};
use crate::model::{
    Entry, EntryName, EntryOptions, Masking, Occasion, Request, Revision, Schedule, Task, TimeZone, Timestamp,
};
use crate::secrets::{SecretProblem, Secrets};

/// `paused` is ours: clients put back what they got.
const TASK_KEYS: [&str; 6] = ["identity", "time_zone", "start", "entries", "revision", "paused"];
/// The dates and the state are ours.
const ENTRY_KEYS: [&str; 7] = ["url", "method", "headers", "body", "next_date", "last_date", "state"];
static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| [&Schedule::KEYS[..], &ENTRY_KEYS, &EntryOptions::KEYS].concat());

/// What a put is read by.
#[derive(Clone)]
pub(super) struct Terms {
    /// Which instants have passed.
    pub(super) now: Timestamp,
    /// Which headers carry credentials.
    pub(super) masking: Masking,
    /// Which secrets there are; `None`: nobody knows.
    pub(super) secrets: Option<Secrets>,
    /// What it may hold.
    pub(super) limits: PutLimits,
}

impl Terms {
    /// Where there is no service that could say more.
    pub(super) fn at(now: Timestamp) -> Self {
        Self { now, masking: Masking::default(), secrets: None, limits: PutLimits::default() }
    }
}

/// `/put`: the task, whole.
pub(super) fn put(bytes: &[u8], terms: &Terms) -> Understood<Put> {
    understand(|mistakes| read_put(bytes, terms, mistakes))
}

/// The same, with its mistakes noted where the caller wants them. What it gives counts only if there is none.
pub(super) fn read_put(bytes: &[u8], terms: &Terms, mistakes: &mut Mistakes) -> Option<Put> {
    const EXAMPLE: &str = r#"{"identity":"backup","time_zone":"UTC","start":true,"entries":{"nightly":{"cron_time":"0 0 3 * * *","url":"https://example.com/backup"}}}"#;
    put_of(&Object::read_body(bytes, EXAMPLE, mistakes)?, terms, mistakes)
}

/// The same, wherever it stands.
pub(super) fn put_of(body: &Object<'_>, terms: &Terms, mistakes: &mut Mistakes) -> Option<Put> {
    let identity = identity_of(body, mistakes);
    let time_zone = time_zone_of(body, mistakes);
    let start = body.boolean("start", mistakes);
    let revision = body.get("revision");
    let revision = revision.and_then(|raw| integer(raw, &body.path_of("revision"), 0..=i64::MAX, mistakes));
    let entries = entries_of(body, &terms.limits, mistakes);
    body.warn_of_unknown(&TASK_KEYS, mistakes);
    let task = Task { identity: identity?, time_zone: time_zone?, entries: entries?, is_one_shot: false };
    let revision = revision.and_then(|number| u64::try_from(number).ok());
    terms.limits.check(&body.path_of("entries"), &task.entries, mistakes);
    let task = check_instants(task, &body.path_of("entries"), terms.now, mistakes);
    if let Some(secrets) = &terms.secrets {
        warn_of_secrets(&task, &body.path_of("entries"), secrets, mistakes);
    }
    Some(put_task(task, start?, revision, &terms.masking))
}

/// Warns of secrets that are not known: they may be set before the first fire.
fn warn_of_secrets(task: &Task, entries: &str, secrets: &Secrets, mistakes: &mut Mistakes) {
    for entry in &task.entries {
        let own = std::iter::once((None, &entry.request, &entry.options().credentials));
        let callback = |occasion: Occasion| {
            let callback = occasion.callback(entry.options())?;
            Some((Some(occasion), &callback.request, &callback.credentials))
        };
        for (occasion, request, credentials) in own.chain(Occasion::ALL.into_iter().filter_map(callback)) {
            if mistakes.has_all_warnings() {
                return;
            }
            let in_request = request.may_name_secrets().then(|| request.secrets()).into_iter().flatten();
            for (place, name) in in_request.chain(credentials.secrets()) {
                if let Err(error) = secrets.get(&name)
                    && matches!(error.problem, SecretProblem::Unknown { .. })
                {
                    let entry = entry_path(entries, entry.name.as_str());
                    let path = occasion.map_or(entry.clone(), |occasion| format!("{entry}.{}", occasion.as_str()));
                    mistakes.warn(&format!("{path}.{place}"), format_args!("{error}: without it, runs fail"));
                }
            }
        }
    }
}

fn put_task(task: Task, enabled: bool, revision: Option<u64>, masking: &Masking) -> Put {
    let request = to_raw_value(&TaskView::for_log(&task, enabled, masking)).expect("a task can be written as JSON");
    Put { task, enabled, request, revision, by: None, asked_by: None }
}

pub(super) fn time_zone_of(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<TimeZone> {
    let name = body.string("time_zone", mistakes)?;
    TimeZone::parse(&name).map_err(|error| mistakes.add(&body.path_of("time_zone"), error)).ok()
}

fn entries_of(body: &Object<'_>, limits: &PutLimits, mistakes: &mut Mistakes) -> Option<Box<[Entry]>> {
    let path = body.path_of("entries");
    let raw = body.required("entries", "an object of entries", mistakes)?;
    let members = Object::read(raw, path.clone(), mistakes)?.into_members();
    if !limits.check_entries(&path, members.len(), mistakes) {
        return None;
    }
    let read = |(name, raw): (String, &RawValue)| entry(&path, &name, raw, mistakes);
    let mut entries: Vec<Entry> = members.into_iter().filter_map(read).collect();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Some(entries.into())
}

/// Where an entry stands.
pub(super) fn entry_path(entries: &str, name: &str) -> String {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    format!("{entries}.{shown}")
}

fn entry(entries: &str, name: &str, raw: &RawValue, mistakes: &mut Mistakes) -> Option<Entry> {
    let path = entry_path(entries, name);
    let name = EntryName::parse(name).map_err(|error| mistakes.add(entries, format_args!("a name {error}"))).ok();
    entry_of(&Object::read(raw, path, mistakes)?, name, mistakes)
}

/// What an entry says, wherever it stands.
pub(super) fn entry_of(members: &Object<'_>, name: Option<EntryName>, mistakes: &mut Mistakes) -> Option<Entry> {
    let schedule = schedule_of(members, mistakes);
    let request = Request::read(members, mistakes);
    let options = EntryOptions::read(members, mistakes);
    members.warn_of_unknown(&KNOWN, mistakes);
    let entry = Entry::new(name?, schedule?, request?).with_options(options);
    if entry.request.method == Method::HEAD && entry.options().success.looks_at_body() {
        mistakes.warn(&members.path_of("success"), "looks at the body, and the answer to a HEAD has none");
    }
    Some(entry)
}

fn schedule_of(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Schedule> {
    let given: Vec<(&str, &RawValue)> =
        Schedule::KEYS.iter().filter_map(|&key| Some((key, members.get(key)?))).collect();
    match given[..] {
        [(key, raw)] => {
            let path = members.path_of(key);
            let text = string(raw, &path, mistakes)?;
            Schedule::parse(key, &text)?.map_err(|error| mistakes.add(&path, error)).ok()
        }
        [] => {
            let expected = "is missing, expected a cron expression here, or `at` or `every` in its place";
            mistakes.add(&members.path_of("cron_time"), expected);
            None
        }
        _ => {
            let given: Vec<&str> = given.iter().map(|&(key, _)| key).collect();
            let expected = "expected one of cron_time, at, every";
            mistakes.add(members.path(), format_args!("has more than one trigger ({}), {expected}", given.join(", ")));
            None
        }
    }
}

/// Refuses entries that their excluded days keep from ever firing, and warns of those that are finished already.
pub(super) fn check_instants(task: Task, entries: &str, now: Timestamp, mistakes: &mut Mistakes) -> Task {
    let revision = Revision::new(task, now);
    let fires = |entry: &&Entry| entry.options().enabled;
    for entry in revision.task.entries.iter().filter(fires) {
        if mistakes.is_full() {
            // Each look at an entry that never fires is long.
            break;
        }
        let entry_path = entry_path(entries, entry.name.as_str());
        let path = |key: &str| format!("{entry_path}.{key}");
        let instants = revision.draft_instants(entry);
        if instants.is_excluded_for_ever(now) {
            mistakes
                .add(&path("exclude"), "leaves none of the instants that the trigger names, expected some to be left");
            continue;
        }
        if instants.next(now).is_some() {
            continue;
        }
        let is_past = |instant: Option<Timestamp>| instant.is_some_and(|instant| instant <= now);
        match &entry.schedule {
            Schedule::At { instant, .. } if *instant <= now => {
                mistakes.warn(&path("at"), "is in the past: the entry is finished and does not fire");
            }
            _ if is_past(entry.options().end_at) => {
                mistakes.warn(&path("end_at"), "is in the past: the entry is finished and does not fire");
            }
            _ => mistakes.warn(&entry_path, "names no instant from now on: it is finished and does not fire"),
        }
    }
    Arc::into_inner(revision.task).expect("nobody else holds a task that is being read")
}

#[cfg(test)]
mod tests;
