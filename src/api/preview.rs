//! `/validate` and `/preview`: what a put would say, and what will fire. Nothing is changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use warp::reply::Response;

use super::Services;
use super::asked::Asked;
use super::caller::Caller;
use super::forecast::{Coming, EntryForecast, ForecastView, Window};
use super::openapi::words;
use super::parts::gather;
use super::reply::{self, ApiError};
use super::routing::{Belongs, place};
use super::targets;
use super::wire::{Misunderstood, Parsed, identity_of, understand};
use super::wire_put::{self, Terms};
use crate::catalog::CatalogError;
use crate::model::object::{Kind, Mistake, Mistakes, Object, integer, kind, shown, string};
use crate::model::{Entry, EntryName, Identity, MASK, Revision, ShardSet, Task, TimeZone, Timestamp};

/// How many instants `/validate` shows of each entry.
const VALIDATE_COUNT: usize = 5;
/// How many instants `/preview` shows of each entry: when nothing is said, and at most.
const COUNT_DEFAULT: usize = 10;
const COUNT_MAX: usize = 1_000;
/// How many instants one answer holds at most. A question for more is refused.
const DATES_MAX: usize = 50_000;
/// How many instants of a window are told: when nothing is said, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 10_000;
/// The longest window.
const WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// What a draft is called that has no name of its own.
const DRAFT: &str = "draft";

/// What `/put` would say.
#[derive(Serialize, ToSchema)]
pub(super) struct Verdict {
    /// Whether it would be stored.
    valid: bool,
    mistakes: Vec<MistakeView>,
    /// How many mistakes there are beyond those that are told.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    /// What is odd, and no reason to refuse it.
    warnings: Vec<String>,
    /// The next instants of each entry, if it is valid.
    entries: BTreeMap<String, EntryForecast>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize, ToSchema)]
#[schema(as = Mistake)]
struct MistakeView {
    /// Where it is.
    path: String,
    /// What stands there, and what was expected.
    text: String,
}

/// `/validate` looks at a task only where a revision of it is expected, or where a mask may stand for a credential of it.
pub(super) fn place_of_validate(_services: &Services, asked: &mut Asked) -> Belongs {
    let may_be_masked = memmem::find(&asked.body, MASK.as_bytes()).is_some();
    let expecting = place::with_body(&asked.body, |body, mistakes| {
        (may_be_masked || body.get("revision").is_some()).then_some(())?;
        identity_of(body, mistakes)
    });
    expecting.map_or(Belongs::Anywhere, Belongs::Read)
}

/// `/preview` looks at a task, at all of them, or at what is not put.
pub(super) fn place_of_preview(_services: &Services, asked: &mut Asked) -> Belongs {
    let place = place::with_body(&asked.body, |body, mistakes| {
        let has = |key: &str| body.get(key).is_some();
        if has("from") || has("to") {
            return Some(Belongs::Everywhere);
        }
        if has("entries") { None } else { identity_of(body, mistakes).map(Belongs::Read) }
    });
    place.unwrap_or(Belongs::Anywhere)
}

/// `/validate`: what `/put` would say of a body.
pub(super) async fn validate(services: Services, body: Bytes, _caller: Caller) -> Result<Response, ApiError> {
    let verdict = apart(move || {
        let terms = services.terms();
        let (now, mut mistakes) = (terms.now, Mistakes::default());
        let mut put = wire_put::read_put(&body, &terms, &mut mistakes);
        if let Some(Err(CatalogError::Masked(text))) =
            put.as_mut().map(|put| services.catalog.check_masks(&mut put.task))
        {
            let split = |line: &str| line.split_once(": ").map(|(path, text)| (path.to_owned(), text.to_owned()));
            text.lines().filter_map(split).for_each(|(path, text)| mistakes.add(&path, text));
        }
        if let Some(put) = &put {
            targets::warn_of_refused(&put.task, "entries", &services.targets, &mut mistakes);
        }
        if let Some((put, known)) = put.as_ref().and_then(|put| Some((put, put.revision?))) {
            services.catalog.check_revision(&put.task.identity, known).unwrap_or_else(|error| {
                let text = error.to_string();
                mistakes.add("revision", text.strip_prefix("revision: ").unwrap_or(&text));
            });
        }
        let valid = put.filter(|_| mistakes.is_empty());
        let entries = valid.map(|put| {
            let revision = Revision { enabled: put.enabled, ..Revision::new(put.task, now) };
            forecasts(&revision, now, VALIDATE_COUNT)
        });
        let view = |mistake: &Mistake| MistakeView { path: mistake.path.clone(), text: mistake.text.clone() };
        Verdict {
            valid: mistakes.is_empty(),
            mistakes: mistakes.found().iter().map(view).collect(),
            more: mistakes.more(),
            entries: entries.unwrap_or_default(),
            warnings: mistakes.warnings,
        }
    });
    Ok(reply::data(verdict.await?))
}

fn forecasts(revision: &Revision, after: Timestamp, count: usize) -> BTreeMap<String, EntryForecast> {
    let forecast = |entry: &Entry| (entry.name.as_str().to_owned(), EntryForecast::new(revision, entry, after, count));
    revision.task.entries.iter().map(forecast).collect()
}

/// Runs what may take long where nobody waits behind it.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::Busy("the service is going down".to_owned()))
}

/// What is to be looked ahead.
enum Question {
    /// A definition that is not put, or a task that is.
    Next {
        revision: Arc<Revision>,
        entry: Option<EntryName>,
        after: Option<Timestamp>,
        count: usize,
    },
    Window {
        window: Window,
        limit: usize,
        prefix: String,
        zone: Option<TimeZone>,
    },
}

const EXAMPLE: &str = r#"{"cron_time":"0 30 2 * * *","time_zone":"Europe/Berlin","count":10}, {"identity":"backup"} or {"from":"2026-11-21T00:00:00Z","to":"2026-11-22T00:00:00Z"}"#;

/// `/preview`: the next instants of a draft or of a task, or what fires within a window.
pub(super) async fn preview(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let (catalog, asked) = (services.catalog.clone(), services.clone());
    let read = apart(move || understand(|mistakes| question(&asked, &body, mistakes))).await?;
    let Parsed { value, warnings } = read?;
    match value {
        Question::Next { revision, entry, after, count } => {
            let answer = apart(move || {
                let now = catalog.now();
                next(&revision, entry.as_ref(), after.unwrap_or(now), count)
            });
            Ok(reply::data(NextView { warnings, ..answer.await?? }))
        }
        Question::Window { window, limit, prefix, zone } => {
            let zone = zone.map(|zone| zone.name().to_owned());
            let (from, to) = (window.from.millis(), window.to.millis());
            let coming = Coming { from, to, limit, prefix, covered: caller.prefixes().to_texts(), zone };
            let told = gather(&services, &coming, ShardSet::ALL).await?;
            let (from, to) = (window.from.to_string(), window.to.to_string());
            Ok(reply::data(WindowView { from, to, forecast: ForecastView::of(told, limit) }))
        }
    }
}

/// What all tasks fire within a window.
#[derive(Serialize, ToSchema)]
#[schema(as = WindowForecast)]
pub(super) struct WindowView {
    #[schema(value_type = words::UtcDate)]
    from: String,
    #[schema(value_type = words::UtcDate)]
    to: String,
    #[serde(flatten)]
    forecast: ForecastView,
}

/// The next instants of the entries of a task.
#[derive(Serialize, ToSchema)]
#[schema(as = TaskForecast)]
pub(super) struct NextView {
    /// They are later than this.
    #[schema(value_type = words::ZonedDate)]
    after: String,
    #[schema(value_type = words::TimeZone)]
    time_zone: &'static str,
    entries: BTreeMap<String, EntryForecast>,
    /// What is odd, and no reason to refuse it.
    #[schema(value_type = Vec<String>)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A task names nothing before it is in force: what is asked for earlier is told from then on.
fn next(
    revision: &Revision,
    entry: Option<&EntryName>,
    after: Timestamp,
    count: usize,
) -> Result<NextView, Misunderstood> {
    let (after, zone) = (after.max(revision.in_force_from), revision.task.time_zone);
    let entries = match entry.and_then(|name| revision.entry(name)) {
        Some(index) => {
            let entry = &revision.task.entries[index];
            BTreeMap::from([(entry.name.as_str().to_owned(), EntryForecast::new(revision, entry, after, count))])
        }
        None => {
            let dates = count.saturating_mul(revision.task.entries.len());
            if dates > DATES_MAX {
                let text = format!("count: of all entries that is {dates} instants, expected at most {DATES_MAX}");
                return Err(Misunderstood(text));
            }
            forecasts(revision, after, count)
        }
    };
    let after = after.rfc3339_exact_in(zone);
    Ok(NextView { after, time_zone: zone.name(), entries, warnings: Vec::new() })
}

fn question(services: &Services, body: &[u8], mistakes: &mut Mistakes) -> Option<Question> {
    let body = Object::read_body(body, EXAMPLE, mistakes)?;
    let has = |key: &str| body.get(key).is_some();
    if has("from") || has("to") {
        return window(&body, mistakes);
    }
    let after = body.get("after").and_then(|raw| instant(raw, "after", mistakes));
    let count = body.get("count").and_then(|raw| integer(raw, "count", 1..=as_i64(COUNT_MAX), mistakes));
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(COUNT_DEFAULT);
    let now = services.catalog.now();
    if has("entries") || !has("identity") {
        let (is_task, has_url) = (has("entries"), has("url"));
        let draft = if is_task { draft_of_task } else { draft_of_entry };
        let (task, enabled) = draft(body, now, mistakes)?;
        if is_task {
            targets::warn_of_refused(&task, "entries", &services.targets, mistakes);
        } else if has_url {
            targets::warn_of_entry(&task.entries[0], "", &services.targets, mistakes);
        }
        // As if it had been put by then.
        let from = after.map_or(now, |after| after.min(now));
        let revision = Arc::new(Revision { enabled, ..Revision::new(task, from) });
        return Some(Question::Next { revision, entry: None, after, count });
    }
    body.refuse_unknown(&["identity", "entry", "after", "count"], mistakes);
    let identity = identity_of(&body, mistakes);
    let entry = body.get("entry").and_then(|raw| entry_name(raw, mistakes));
    let revision = stored(services, &identity?, entry.as_ref(), mistakes)?;
    targets::warn_of_refused(&revision.task, "entries", &services.targets, mistakes);
    Some(Question::Next { revision, entry, after, count })
}

fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn instant(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Timestamp> {
    let text = string(raw, path, mistakes)?;
    let possible = Timestamp::EPOCH..Timestamp::FAR_FUTURE;
    let instant = Timestamp::parse_rfc3339(&text).filter(|instant| possible.contains(instant));
    if instant.is_none() {
        let expected = "a date and time with an offset such as 2026-11-21T07:15:30Z";
        mistakes.add(path, format_args!("is `{}`, expected {expected}", shown(&text)));
    }
    instant
}

fn entry_name(raw: &RawValue, mistakes: &mut Mistakes) -> Option<EntryName> {
    let text = string(raw, "entry", mistakes)?;
    EntryName::parse(&text).map_err(|error| mistakes.add("entry", error)).ok()
}

/// A task that is there, and has the entry.
fn stored(
    services: &Services,
    identity: &Identity,
    entry: Option<&EntryName>,
    mistakes: &mut Mistakes,
) -> Option<Arc<Revision>> {
    let Some(revision) = services.catalog.get(identity) else {
        mistakes.add("identity", "this identity does not exists");
        return None;
    };
    if let Some(entry) = entry.filter(|entry| revision.entry(entry).is_none()) {
        mistakes.add("entry", format_args!("is `{}`, but the task has no such entry", shown(entry.as_str())));
        return None;
    }
    Some(revision)
}

/// A put body, with its switch; what a preview does not need may be left out.
fn draft_of_task(body: Object<'_>, now: Timestamp, mistakes: &mut Mistakes) -> Option<(Task, bool)> {
    let (name, on) = (raw(&format!("\"{DRAFT}\"")), raw("true"));
    let mut members = body.into_members();
    let is_null = |raw: &RawValue| kind(raw) == Kind::Null;
    members.retain(|(key, raw)| key != "count" && key != "after" && !is_null(raw));
    for (key, value) in [("identity", &name), ("start", &on)] {
        if members.iter().all(|(other, _)| other != key) {
            members.push((key.to_owned(), value));
        }
    }
    let put = wire_put::put_of(&Object::of(String::new(), members), &Terms::at(now), mistakes)?;
    Some((put.task, put.enabled))
}

/// The members of one entry and `time_zone`; the URL may be left out. It is switched on.
fn draft_of_entry(body: Object<'_>, now: Timestamp, mistakes: &mut Mistakes) -> Option<(Task, bool)> {
    let zone = match body.get("time_zone") {
        Some(_) => wire_put::time_zone_of(&body, mistakes),
        None => Some(TimeZone::UTC),
    };
    let url = raw("\"http://localhost/\"");
    let mut members = body.into_members();
    let is_null = |raw: &RawValue| kind(raw) == Kind::Null;
    members.retain(|(key, raw)| !["count", "after", "time_zone"].contains(&key.as_str()) && !is_null(raw));
    if members.iter().all(|(key, _)| key != "url") {
        members.push(("url".to_owned(), &url));
    }
    let members = Object::of(String::new(), members);
    let name = EntryName::parse(DRAFT).expect("it is a name");
    let entry = wire_put::entry_of(&members, Some(name), mistakes)?;
    let identity = Identity::parse(DRAFT).expect("it is a name");
    Some((wire_put::check_instants(Task::new(identity, zone?, vec![entry]), "entries", now, mistakes), true))
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("it is JSON")
}

fn window(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Question> {
    body.refuse_unknown(&["from", "to", "limit", "identity", "time_zone"], mistakes);
    let mut end = |key: &str| {
        let raw = body.required(key, "a date and time with an offset", mistakes)?;
        instant(raw, key, mistakes)
    };
    let (from, to) = (end("from"), end("to"));
    let limit = body.get("limit").and_then(|raw| integer(raw, "limit", 0..=as_i64(LIMIT_MAX), mistakes));
    let prefix = body.get("identity").and_then(|raw| string(raw, "identity", mistakes));
    let zone = body.get("time_zone").and_then(|_| wire_put::time_zone_of(body, mistakes));
    let window = Window { from: from?, to: to? };
    if window.to < window.from {
        mistakes.add("to", "is before `from`, expected it to be no earlier");
    } else if window.to.since(window.from) > WINDOW_MAX {
        mistakes.add("to", "is more than 31 days after `from`, expected at most that");
    }
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT);
    Some(Question::Window { window, limit, prefix: prefix.unwrap_or_default(), zone })
}
