//! `/history/{identity}`: the versions that a task went through, and putting one of them again.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;
use warp::Filter;
use warp::reply::Response;

use super::asked::{Asked, under};
use super::caller::Caller;
use super::openapi::words;
use super::reply::{self, ApiError, into_reply};
use super::routing::Belongs;
use super::uri::{self, Query};
use super::view::TaskView;
use super::wire::{Parsed, understand};
use super::{Api, Services, quota};
use crate::catalog::Put;
use crate::model::object::{Object, integer};
use crate::model::{Entry, Identity, Masking, Revision, Timestamp};

/// The largest number that a store counts to.
const NUMBER_MAX: u64 = i64::MAX as u64;
/// How many versions a page holds at most, and when nothing is said.
const LIMIT_MAX: u64 = 100;
const LIMIT_DEFAULT: u64 = 20;
/// How many versions are read at once, so that those of a large task are not all in memory.
const READ_AT_ONCE: usize = 10;
/// How large a page may become, in bytes. Then it ends early, and `next_before` leads on.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// The routes of this file.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let answer = |services, asked| async move { into_reply(answer(&services, asked).await) };
    under(warp::path("history"), api, place, answer, |error| into_reply(Err(error)))
}

/// The versions are in the store; what puts one of them again is a put.
fn place(_services: &Services, asked: &mut Asked) -> Belongs {
    match named(&asked.path) {
        Ok((identity, true)) => Belongs::Change(identity),
        Ok((identity, false)) => Belongs::Stored(identity),
        Err(_) => Belongs::Anywhere,
    }
}

/// The task that a path names, and whether one of its versions is to be put again.
fn named(path: &str) -> Result<(Identity, bool), ApiError> {
    let (segment, is_restore) = match path.split_once('/') {
        None if !path.is_empty() => (path, false),
        Some((segment, "restore")) if !segment.is_empty() => (segment, true),
        None | Some(_) => return Err(ApiError::NotFound),
    };
    let identity = uri::decode("identity", segment)?;
    let identity = Identity::parse(&identity).map_err(|error| ApiError::Unclear(format!("identity: {error}")))?;
    Ok((identity, is_restore))
}

async fn answer(services: &Services, asked: Arc<Asked>) -> Result<Response, ApiError> {
    let (identity, is_restore) = named(&asked.path)?;
    match (asked.method.as_str(), is_restore) {
        ("GET", false) => {
            let query = Query::read(&asked.query, &["before", "limit"])?;
            let before = query.number("before", 1..=NUMBER_MAX)?;
            let limit = query.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
            versions(services, &identity, before, usize::try_from(limit).unwrap_or_default()).await
        }
        ("POST", true) => restore(services, &identity, &asked.body, &asked.caller).await,
        (_, false) => Err(ApiError::Method { allow: "GET" }),
        (_, true) => Err(ApiError::Method { allow: "POST" }),
    }
}

/// A page of the versions of a task, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Versions)]
pub(super) struct VersionsView<'a> {
    #[schema(value_type = words::Identity)]
    identity: &'a str,
    #[schema(value_type = Vec<VersionView<'a>>)]
    versions: Vec<Box<RawValue>>,
    /// What to give as `before` for the next page; `null` when there is none.
    #[schema(required)]
    next_before: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
struct VersionView<'a> {
    revision: u64,
    /// What made it: a put, or a switch.
    #[schema(value_type = words::VersionType)]
    r#type: &'static str,
    /// Who did it, if that is known.
    #[schema(required)]
    by: Option<&'a str>,
    /// Since when it is in force.
    #[schema(value_type = words::UtcDate)]
    at: String,
    /// How long it was in force; `null`: it is.
    #[schema(value_type = Option<words::UtcDate>, required)]
    until: Option<String>,
    /// Whether the task was switched on.
    start: bool,
    #[schema(required)]
    note: Option<&'a str>,
    /// Against the version before; `null` when that is not known.
    #[schema(required)]
    changes: Option<ChangesView<'a>>,
    task: TaskView<'a>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = VersionChanges)]
struct ChangesView<'a> {
    /// The task had been deleted meanwhile.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    put_after_delete: bool,
    #[schema(value_type = Change<bool>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Change<bool>>,
    #[schema(value_type = Change<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<Change<&'static str>>,
    entries: EntryChanges<'a>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Change<T> {
    from: T,
    to: T,
}

/// Names of entries.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct EntryChanges<'a> {
    #[schema(value_type = Vec<words::EntryName>)]
    added: Vec<&'a str>,
    #[schema(value_type = Vec<words::EntryName>)]
    removed: Vec<&'a str>,
    #[schema(value_type = Vec<words::EntryName>)]
    changed: Vec<&'a str>,
}

/// A page of versions, newest first.
async fn versions(
    services: &Services,
    identity: &Identity,
    before: Option<u64>,
    limit: usize,
) -> Result<Response, ApiError> {
    let (mut versions, mut size) = (Vec::new(), 0);
    let mut next_before = before;
    loop {
        let wanted = (limit - versions.len()).min(READ_AT_ONCE);
        // One more than is shown: each version is told by what it changed.
        let read = services.catalog.versions(identity, next_before, wanted + 1).await?;
        for (index, revision) in read.iter().take(wanted).enumerate() {
            let older = read.get(index + 1);
            let version: Box<RawValue> =
                to_raw_value(&view(revision, older, services.masking())).expect("a version can be written as JSON");
            size += version.get().len();
            versions.push(version);
            next_before = older.is_some().then_some(revision.number);
            if size > ANSWER_MAX {
                break;
            }
        }
        if read.is_empty() {
            next_before = None;
        }
        if next_before.is_none() || versions.len() == limit || size > ANSWER_MAX {
            break;
        }
    }
    Ok(reply::data(VersionsView { identity: identity.as_str(), versions, next_before }))
}

fn view<'a>(revision: &'a Revision, older: Option<&'a Revision>, masking: &'a Masking) -> VersionView<'a> {
    VersionView {
        revision: revision.number,
        r#type: if revision.put_at == revision.in_force_from { "put" } else { "running" },
        by: revision.by.as_deref(),
        at: revision.in_force_from.to_string(),
        until: revision.in_force_until.as_ref().map(Timestamp::to_string),
        start: revision.enabled,
        note: revision.note.as_deref(),
        changes: older.map(|older| changes(older, revision)),
        task: TaskView::for_log(&revision.task, revision.enabled, masking),
    }
}

/// What is different in the newer version. Both have their entries in the order of names.
fn changes<'a>(older: &'a Revision, newer: &'a Revision) -> ChangesView<'a> {
    let (old, new) = (&older.task, &newer.task);
    let name = |entry: &'a Entry| entry.name.as_str();
    let added = new.entries.iter().filter(|entry| older.entry(&entry.name).is_none()).map(name);
    let removed = old.entries.iter().filter(|entry| newer.entry(&entry.name).is_none()).map(name);
    let is_changed = |entry: &&Entry| {
        let before = older.entry(&entry.name).map(|index| &old.entries[index]);
        before.is_some_and(|before| !is_same(before, entry))
    };
    let changed = new.entries.iter().filter(is_changed).map(name);
    let (from, to) = (old.time_zone.name(), new.time_zone.name());
    ChangesView {
        put_after_delete: older.in_force_until.is_some_and(|until| until < newer.in_force_from),
        start: (older.enabled != newer.enabled).then_some(Change { from: older.enabled, to: newer.enabled }),
        time_zone: (from != to).then_some(Change { from, to }),
        entries: EntryChanges { added: added.collect(), removed: removed.collect(), changed: changed.collect() },
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    let given = |entry: &Entry| {
        let mut given = entry.options().given.to_vec();
        given.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        given
    };
    one.schedule == other.schedule && one.request == other.request && given(one) == given(other)
}

/// Puts a version again, as a new one.
async fn restore(
    services: &Services,
    identity: &Identity,
    body: &Bytes,
    caller: &Caller,
) -> Result<Response, ApiError> {
    let Parsed { value: number, .. } = understand(|mistakes| {
        let body = Object::read_body(body, r#"{"revision":3}"#, mistakes)?;
        body.refuse_unknown(&["revision"], mistakes);
        let raw = body.required("revision", "the number of a version", mistakes)?;
        u64::try_from(integer(raw, "revision", 1..=i64::MAX, mistakes)?).ok()
    })?;
    let found = services.catalog.versions(identity, number.checked_add(1), 1).await?;
    let Some(version) = found.into_iter().find(|version| version.number == number) else {
        let text = format!("revision: is {number}, but the history of this task holds no such version");
        return Err(ApiError::Refused(text));
    };
    if version.task.is_one_shot {
        return Err(ApiError::Refused("identity: is a request at one instant, it cannot be restored".to_owned()));
    }
    let (task, enabled) = (version.task.to_put(), version.enabled);
    understand(|mistakes| {
        services.put_limits.check("entries", &task.entries, mistakes);
        Some(())
    })?;
    let place = quota::place(services, caller, identity).await?;
    let request = TaskView::for_log(&task, enabled, services.masking());
    let request = to_raw_value(&request).expect("a task can be written as JSON");
    let (by, asked_by) = (Some(caller.shared()), caller.asked_by());
    let put = Put { task, enabled, request, revision: None, by, asked_by };
    Ok(reply::done_as(services.catalog.put_in(place, put).await?, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryName, Request, Schedule, TargetUrl, Task, TimeZone};

    fn revision(zone: &str, enabled: bool, entries: &[(&str, &str)]) -> Revision {
        let entry = |&(name, cron): &(&str, &str)| {
            let request = Request::post(TargetUrl::parse("http://a/").unwrap());
            Entry::new(EntryName::parse(name).unwrap(), Schedule::cron(cron).unwrap(), request)
        };
        let zone = TimeZone::parse(zone).unwrap();
        let task = Task::new(Identity::parse("t").unwrap(), zone, entries.iter().map(entry).collect());
        Revision { enabled, ..Revision::new(task, Timestamp::from_secs(100)) }
    }

    #[test]
    fn a_version_tells_which_entries_switch_and_zone_it_changed() {
        let older = revision("UTC", true, &[("a", "@daily"), ("b", "@daily"), ("c", "@daily")]);
        let newer = revision("Asia/Tokyo", false, &[("b", "@hourly"), ("c", "@daily"), ("d", "@daily")]);

        let entries = EntryChanges { added: vec!["d"], removed: vec!["a"], changed: vec!["b"] };
        let expected = ChangesView {
            put_after_delete: false,
            start: Some(Change { from: true, to: false }),
            time_zone: Some(Change { from: "UTC", to: "Asia/Tokyo" }),
            entries,
        };
        assert_eq!(changes(&older, &newer), expected);
        assert_eq!(changes(&older, &older), ChangesView::default());
    }

    #[test]
    fn a_version_that_was_put_after_a_delete_says_so() {
        let newer = revision("UTC", true, &[]);
        let older = Revision { in_force_until: Some(Timestamp::from_secs(50)), ..newer.clone() };

        assert!(changes(&older, &newer).put_after_delete);
    }
}
