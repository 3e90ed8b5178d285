//! What people do with tasks and runs: pause and resume, run past instants.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use utoipa::ToSchema;
use warp::Filter;
use warp::reply::Response;

use super::asked::post;
use super::caller::Caller;
use super::gate::asker;
use super::jobs::dates::{self, Bound};
use super::openapi::words;
use super::reply::{self, ApiError, into_reply};
use super::routing::place;
use super::wire::{Understood, understand};
use super::{Api, Services, with};
use crate::catalog::{PauseScope, RunRefused, Switch};
use crate::model::object::{Mistakes, Object, integer, string};
use crate::model::{EntryName, Identity, Pause, TimeZone, Timestamp};

/// The longest note, in bytes.
const NOTE_MAX: usize = 1_024;

/// The routes of this file.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let pauses = warp::path!("pauses").and(warp::get()).and(asker()).and(with(api)).then(|_, api| pauses(api));
    let pausing = post(warp::path("pause"), api, place::change, pause)
        .or(post(warp::path("resume"), api, place::change, resume))
        .unify()
        .or(pauses)
        .unify();
    pausing.or(post(warp::path("backfill"), api, place::change, backfill)).unify()
}

/// What is paused or resumed.
enum Scope {
    Task(Identity),
    Tag(String),
    All,
}

impl Scope {
    /// A tag may stand at tasks that the caller does not know of.
    fn check(&self, caller: &Caller) -> Result<(), ApiError> {
        if let Some(trail) = caller.trail() {
            match self {
                Self::Task(_) => {}
                Self::Tag(tag) => trail.of("tag", tag),
                Self::All => trail.of("all", ""),
            }
        }
        match self {
            Self::Task(identity) => caller.check_task(identity),
            Self::Tag(_) => caller.check_all_tasks("pausing or resuming a tag"),
            Self::All => caller.check_all_tasks("pausing or resuming everything"),
        }
    }
}

struct PauseWish {
    scope: Scope,
    note: Option<String>,
}

fn pause_wish(bytes: &[u8]) -> Understood<PauseWish> {
    const EXAMPLE: &str = r#"{"identity":"backup","note":"the disk is full"}"#;
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&["identity", "tag", "all", "note"], mistakes);
        let note = text_of(&body, "note", NOTE_MAX, mistakes);
        let scopes = ["identity", "tag", "all"].iter().filter(|key| body.get(key).is_some()).count();
        if scopes != 1 {
            mistakes.add("body", "expected exactly one of identity, tag, all");
            return None;
        }
        let scope = if body.get("identity").is_some() {
            Scope::Task(name_of(&body, "identity", Identity::parse, mistakes)?)
        } else if body.get("tag").is_some() {
            Scope::Tag(text_of(&body, "tag", 64, mistakes)?)
        } else {
            if body.boolean("all", mistakes)? {
                Scope::All
            } else {
                mistakes.add("all", "is `false`, expected true");
                return None;
            }
        };
        Some(PauseWish { scope, note })
    })
}

/// A text of 1 to `max` bytes, if it is there.
fn text_of(body: &Object<'_>, key: &str, max: usize, mistakes: &mut Mistakes) -> Option<String> {
    let raw = body.get(key)?;
    let text = string(raw, &body.path_of(key), mistakes)?;
    if text.is_empty() || text.len() > max {
        mistakes.add(key, format_args!("is {} bytes long, expected 1 to {max}", text.len()));
        return None;
    }
    Some(text)
}

pub(super) fn name_of<T, E: std::fmt::Display>(
    body: &Object<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    let text = body.string(key, mistakes)?;
    parse(&text).map_err(|error| mistakes.add(key, error)).ok()
}

async fn pause(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let PauseWish { scope, note } = pause_wish(&body)?.value;
    scope.check(&caller)?;
    let (by, note): (_, Option<Arc<str>>) = (caller.shared(), note.map(Into::into));
    match scope {
        Scope::Task(identity) => switch(&services, identity, false, &caller, note).await?,
        Scope::Tag(tag) => services.catalog.pause(PauseScope::Tag(tag.into()), &by, note.as_deref()).await?,
        Scope::All => services.catalog.pause(PauseScope::All, &by, note.as_deref()).await?,
    }
    Ok(reply::done(&[]))
}

async fn resume(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let PauseWish { scope, note } = pause_wish(&body)?.value;
    scope.check(&caller)?;
    let (by, note): (_, Option<Arc<str>>) = (caller.shared(), note.map(Into::into));
    match scope {
        Scope::Task(identity) => switch(&services, identity, true, &caller, note).await?,
        Scope::Tag(tag) => services.catalog.resume(PauseScope::Tag(tag.into()), &by).await?,
        Scope::All => services.catalog.resume(PauseScope::All, &by).await?,
    }
    Ok(reply::done(&[]))
}

async fn switch(
    services: &Services,
    identity: Identity,
    running: bool,
    caller: &Caller,
    note: Option<Arc<str>>,
) -> Result<(), ApiError> {
    let by = caller.shared();
    let mut request = json!({ "identity": identity.as_str(), "running": running, "by": &*by });
    if let Some(note) = &note {
        request["note"] = Value::from(&**note);
    }
    let request = to_raw_value(&request).expect("a value can be written as JSON");
    let asked_by = caller.asked_by();
    let switch = Switch { identity, enabled: running, request, revision: None, by: Some(by), note, asked_by };
    services.catalog.switch(switch).await?;
    Ok(())
}

/// Since when something is paused, by whom and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Pause)]
pub(super) struct PauseView<'a> {
    #[schema(value_type = words::UtcDate)]
    since: String,
    by: &'a str,
    #[schema(required)]
    note: Option<&'a str>,
}

impl<'a> PauseView<'a> {
    fn new(pause: &'a Pause) -> Self {
        Self { since: pause.since.to_string(), by: &pause.by, note: pause.note.as_deref() }
    }
}

/// `GET /pauses`: what is paused at present, beside single tasks.
async fn pauses(api: Api) -> Response {
    into_reply(api.services().map(|services| shown(&services)))
}

fn shown(services: &Services) -> Response {
    let pauses = services.catalog.pauses();
    let tags: serde_json::Map<String, Value> =
        pauses.tags.iter().map(|(tag, pause)| (tag.to_string(), json!(PauseView::new(pause)))).collect();
    reply::data(json!({ "all": pauses.all.as_ref().map(PauseView::new), "tags": tags }))
}

struct BackfillWish {
    identity: Identity,
    entry: EntryName,
    from: String,
    to: String,
    at_once: usize,
}

fn backfill_wish(bytes: &[u8]) -> Understood<BackfillWish> {
    const EXAMPLE: &str = r#"{"identity":"backup","entry":"nightly","from":"2026-11-01","to":"2026-11-07"}"#;
    const AT_ONCE: RangeInclusive<i64> = 1..=100;
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&["identity", "entry", "from", "to", "at_once"], mistakes);
        let identity = name_of(&body, "identity", Identity::parse, mistakes);
        let entry = name_of(&body, "entry", EntryName::parse, mistakes);
        let (from, to) = (body.string("from", mistakes), body.string("to", mistakes));
        let at_once = match body.get("at_once") {
            Some(raw) => integer(raw, "at_once", AT_ONCE, mistakes).and_then(|number| usize::try_from(number).ok()),
            None => Some(1),
        };
        Some(BackfillWish { identity: identity?, entry: entry?, from: from?, to: to?, at_once: at_once? })
    })
}

/// A date of a body, or a mistake that names it.
fn date(text: &str, key: &str, zone: TimeZone, bound: Bound) -> Result<Timestamp, ApiError> {
    let shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    let refused = || ApiError::Refused(format!("{key}: is `{shown}`, expected {}", dates::EXPECTED));
    dates::read(text, zone, bound).ok_or_else(refused)
}

async fn backfill(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let BackfillWish { identity, entry, from, to, at_once } = backfill_wish(&body)?.value;
    let revision = services.catalog.get(&identity).ok_or(crate::catalog::CatalogError::Unknown)?;
    let zone = revision.task.time_zone;
    let (from, to) = (date(&from, "from", zone, Bound::From)?, date(&to, "to", zone, Bound::To)?);
    if from > to {
        return Err(ApiError::Refused("to: is earlier than from".to_owned()));
    }
    let queued = services.catalog.backfill(&identity, &entry, from, to, at_once, caller.name()).await;
    let (id, runs) = queued.map_err(not_done)?;
    if let Some(trail) = caller.trail() {
        trail.of("backfill", &id.to_string());
        let (from, to) = (from.to_string(), to.to_string());
        trail.is_now(&json!({ "entry": entry.as_str(), "from": from, "to": to, "runs": runs }));
    }
    Ok(reply::data(json!({ "backfill": id.to_string(), "runs": runs })))
}

fn not_done(refused: RunRefused) -> ApiError {
    match refused {
        RunRefused::InHand(run) => ApiError::Refused(format!("another request deals with run {run}")),
        RunRefused::Waiting(run) => ApiError::Refused(format!("run {run} waits already behind one in progress")),
        RunRefused::Unknown => ApiError::Refused("entry: the task has no such entry".to_owned()),
        RunRefused::TooMany { count, max } => {
            ApiError::Refused(format!("to: the range holds {count} instants, expected at most {max}: ask for parts"))
        }
        RunRefused::Failed(error) => error.into(),
    }
}
