//! One request at one instant: the contract's second family.

mod values;

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use utoipa::ToSchema;
use warp::Filter;
use warp::reply::Response;

use self::values::{python_type, text};
use super::asked::{Asked, under};
use super::audit::Failure;
use super::caller::Caller;
use super::jobs::dates;
use super::openapi::words;
use super::reply::ApiError;
use super::routing::Belongs;
use super::view::TaskView;
use super::{Api, Services, quota, reply};
use crate::catalog::{CatalogError, Put, Removal};
use crate::model::{
    Entry, EntryName, Identity, Record, RecordKind, Request, RunId, Schedule, TargetUrl, Task, TimeZone, Timestamp,
};

/// The only entry of such a task.
const ENTRY: &str = "request";
/// What a client is told of a date that is none.
const DATE_EXPECTED: &str = "Datetime has wrong format. Use one of these formats instead: \
                             YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";
/// What a client is told of a date that has passed.
const PASSED: &str = "The date and time must be in the future.";

/// The routes of this family.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let prefix = warp::path("schedule").or(warp::path("api").and(warp::path("schedule"))).unify();
    under(prefix, api, place, answer, |error| Refusal::from(error).into_reply(&Method::POST))
}

/// A one-shot is a task under its own name. That of a new one is chosen by whoever is asked, so that its owner is known.
fn place(services: &Services, asked: &mut Asked) -> Belongs {
    let identity = match asked.path.as_str() {
        "" => {
            asked.chosen = asked.chosen.or_else(|| choose(services, asked));
            asked.chosen.and_then(|run| Identity::parse(&run.to_string()).ok())
        }
        id => named(id).map(|(_, identity)| identity),
    };
    match identity {
        Some(identity) if asked.method == Method::GET => Belongs::Read(identity),
        Some(identity) => Belongs::Change(identity),
        None => Belongs::Anywhere,
    }
}

/// The name of what is to be scheduled. `None`: every node refuses it alike.
fn choose(services: &Services, asked: &Asked) -> Option<RunId> {
    let fields = fields(asked.header("content-type"), &asked.body).ok()?;
    let instant = instant(fields.get("date_time"), services.default_time_zone, services.catalog.now()).ok()?;
    Some(RunId::asked(instant))
}

/// Whether a path belongs to one-shots.
pub(super) fn is_below(path: &str) -> bool {
    let below = path.strip_prefix("/api").unwrap_or(path).strip_prefix("/schedule");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The answer where no route is. `allow`: what the path takes.
pub(super) fn unserved(method: &Method, allow: Option<&'static str>) -> Response {
    allow.map_or_else(Refusal::not_found, Refusal::Method).into_reply(method)
}

/// The answer to what is refused before it comes here.
pub(super) fn refused(method: &Method, error: ApiError) -> Response {
    let failure = Failure::of(&error);
    let mut reply = Refusal::from(error).into_reply(method);
    reply.extensions_mut().insert(failure);
    reply
}

async fn answer(services: Services, asked: Arc<Asked>) -> Response {
    let routed = match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "") => schedule(&services, &asked).await,
        ("GET", id) if !id.is_empty() => status(&services, id, &asked.caller).await,
        ("DELETE", id) if !id.is_empty() => cancel(&services, id, &asked.caller).await,
        (_, _) => Err(Refusal::not_found()),
    };
    routed.unwrap_or_else(|refusal| refusal.into_reply(&asked.method))
}

/// Why it is not done, in the words that such clients know.
enum Refusal {
    /// Messages by field.
    Fields(Map<String, Value>),
    Detail(StatusCode, String),
    Method(&'static str),
}

impl Refusal {
    fn not_found() -> Self {
        Self::Detail(StatusCode::NOT_FOUND, "Not found.".to_owned())
    }

    fn failed(error: CatalogError) -> Self {
        if matches!(error, CatalogError::Passed) {
            return Self::Fields(Map::from_iter([("date_time".to_owned(), json!([PASSED]))]));
        }
        ApiError::from(error).into()
    }

    fn into_reply(self, method: &Method) -> Response {
        match self {
            Self::Fields(fields) => reply::json(StatusCode::BAD_REQUEST, &fields),
            Self::Detail(status, detail) => {
                let mut reply = reply::json(status, &json!({ "detail": detail }));
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                reply
            }
            Self::Method(allow) => {
                let detail = format!("Method \"{method}\" not allowed.");
                let mut reply = reply::json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "detail": detail }));
                reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
                reply
            }
        }
    }
}

/// The errors that all endpoints share. What the envelope tells with 200 has a status here.
impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Detail(error.own_status(), error.to_string())
    }
}

/// A request at one instant, and where it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = OneShot)]
pub(super) struct OneShotView<'a> {
    #[schema(value_type = words::OneShotId)]
    id: &'a str,
    #[schema(value_type = words::ZonedDate)]
    date_time: String,
    /// As long as it is scheduled and was not deleted.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[schema(value_type = words::OneShotStatus)]
    status: &'static str,
    /// The status of the answer, where one came.
    #[schema(value_type = words::Status)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    /// Why it failed.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

async fn schedule(services: &Services, asked: &Asked) -> Result<Response, Refusal> {
    // Its name is made up, so no prefix could be meant for it.
    asked.caller.check_all_tasks("scheduling a request")?;
    let fields = fields(asked.header("content-type"), &asked.body)?;
    let mut mistakes = Map::new();
    let instant = match asked.chosen {
        // Another node may read a date without an offset otherwise.
        Some(chosen) => Ok(chosen.instant()),
        None => instant(fields.get("date_time"), services.default_time_zone, services.catalog.now()),
    };
    let instant = noted(instant, "date_time", &mut mistakes);
    let url = noted(url(fields.get("url")), "url", &mut mistakes);
    let (Some(instant), Some(url)) = (instant, url) else { return Err(Refusal::Fields(mistakes)) };
    let id = asked.chosen.unwrap_or_else(|| RunId::asked(instant)).to_string();
    let put = put(&id, instant, url, services, &asked.caller);
    let (date_time, url) = (instant.rfc3339_millis_in(services.default_time_zone), url_of(&put));
    let place = quota::place(services, &asked.caller, &put.task.identity).await.map_err(|error| match error {
        // Asking again does not help.
        ApiError::Refused(text) => Refusal::Detail(StatusCode::FORBIDDEN, text),
        error => error.into(),
    })?;
    services.catalog.put_in(place, put).await.map_err(Refusal::failed)?;
    let view =
        OneShotView { id: &id, date_time, url: Some(&url), status: "scheduled", status_code: None, reason: None };
    Ok(reply::json(StatusCode::CREATED, &view))
}

fn url_of(put: &Put) -> String {
    put.task.entries[0].request.url.as_str().to_owned()
}

fn noted<T>(read: Result<T, String>, field: &str, mistakes: &mut Map<String, Value>) -> Option<T> {
    read.map_err(|mistake| mistakes.insert(field.to_owned(), json!([mistake]))).ok()
}

/// The fields of a body: JSON, or a form.
fn fields(content_type: Option<&str>, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let media_type = content_type.map(|given| given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media_type.as_deref() {
        Some("application/x-www-form-urlencoded") => {
            let pairs = form_urlencoded::parse(body).into_owned();
            Ok(pairs.map(|(name, value)| (name, Value::String(value))).collect())
        }
        None | Some("" | "application/json") => match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(other) => {
                let text = format!("Invalid data. Expected a dictionary, but got {}.", python_type(&other));
                Err(Refusal::Fields(Map::from_iter([("non_field_errors".to_owned(), json!([text]))])))
            }
            // As an empty form: each field is missing.
            Err(_) if body.iter().all(u8::is_ascii_whitespace) => Ok(Map::new()),
            Err(error) => Err(Refusal::Detail(StatusCode::BAD_REQUEST, format!("JSON parse error - {error}"))),
        },
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            let text = format!("Unsupported media type \"{shown}\" in request.");
            Err(Refusal::Detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }
}

fn instant(value: Option<&Value>, zone: TimeZone, now: Timestamp) -> Result<Timestamp, String> {
    let instant = dates::moment(text(value)?, zone).ok_or(DATE_EXPECTED)?;
    if instant <= now {
        return Err(PASSED.to_owned());
    }
    if instant.year_month().0 >= 2200 {
        return Err("The date and time must be before the year 2200.".to_owned());
    }
    Ok(instant)
}

fn url(value: Option<&Value>) -> Result<TargetUrl, String> {
    let text = text(value)?;
    if text.len() > TargetUrl::LEN_MAX {
        return Err(format!("Ensure this field has no more than {} bytes.", TargetUrl::LEN_MAX));
    }
    TargetUrl::parse(text.trim()).map_err(|_| "Enter a valid URL.".to_owned())
}

/// The task of one request.
fn put(id: &str, instant: Timestamp, url: TargetUrl, services: &Services, caller: &Caller) -> Put {
    let (zone, masking) = (services.default_time_zone, services.masking());
    let request = Request { method: Method::GET, ..Request::post(url) };
    let schedule = Schedule::At { text: instant.to_string().into(), instant };
    let identity = Identity::parse(id).expect("a UUID is a name");
    let mut task = Task::new(identity, zone, vec![Entry::new(entry_name(), schedule, request)]);
    task.is_one_shot = true;
    let request = to_raw_value(&TaskView::for_log(&task, true, masking)).expect("a task can be written as JSON");
    Put { task, enabled: true, request, revision: Some(0), by: Some(caller.shared()), asked_by: caller.asked_by() }
}

fn entry_name() -> EntryName {
    EntryName::parse(ENTRY).expect("it is a name")
}

/// Where a one-shot stands.
enum Stage {
    /// It is still to come, or under way.
    Scheduled {
        /// `None`: its task was deleted while it was under way.
        url: Option<TargetUrl>,
    },
    Ended {
        kind: RecordKind,
        record: Option<Record>,
    },
}

/// What a path names, if it can be a one-shot.
fn named(id: &str) -> Option<(RunId, Identity)> {
    let run = RunId::parse(id).filter(|run| run.to_string() == id)?;
    Some((run, Identity::parse(id).expect("a UUID is a name")))
}

/// A one-shot with its instant. `None`: there is none.
async fn find(services: &Services, id: &str) -> Result<Option<(Timestamp, Stage)>, Refusal> {
    let Some((run, identity)) = named(id) else { return Ok(None) };
    let entry = entry_name();
    let planned = RunId::planned(&identity, &entry, run.instant());
    let record = services.catalog.run(&identity, planned).await.map_err(Refusal::failed)?;
    let known = services.catalog.get(&identity).filter(|revision| revision.task.is_one_shot);
    let url = known.map(|revision| revision.task.entries[0].request.url.clone());
    let stage = match record {
        Some(record) if record.kind.is_fire() => Stage::Ended { kind: record.kind, record: Some(record) },
        started => match services.catalog.outcome(&identity, &entry, run.instant()).await.map_err(Refusal::failed)? {
            Some(kind) => Stage::Ended { kind, record: None },
            None if url.is_some() || started.is_some() => Stage::Scheduled { url },
            None => return Ok(None),
        },
    };
    Ok(Some((run.instant(), stage)))
}

async fn status(services: &Services, id: &str, caller: &Caller) -> Result<Response, Refusal> {
    let Some((instant, stage)) = find(services, id).await? else { return Err(Refusal::not_found()) };
    let date_time = instant.rfc3339_millis_in(services.default_time_zone);
    let view = match &stage {
        Stage::Scheduled { url } => {
            let url = url.as_ref().map(|url| match caller.sees_credentials() {
                true => Cow::Borrowed(url.as_str()),
                false => url.masked(),
            });
            let view = OneShotView {
                id,
                date_time,
                url: url.as_deref(),
                status: "scheduled",
                status_code: None,
                reason: None,
            };
            return Ok(reply::json(StatusCode::OK, &view));
        }
        Stage::Ended { kind, record } => ended(id, date_time, *kind, record.as_ref()),
    };
    Ok(reply::json(StatusCode::OK, &view))
}

fn ended<'a>(id: &'a str, date_time: String, kind: RecordKind, record: Option<&'a Record>) -> OneShotView<'a> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Seen {
        status: Option<u16>,
        message: Vec<String>,
    }
    let seen: Seen = record.and_then(|record| serde_json::from_str(&record.source).ok()).unwrap_or_default();
    let status = if kind == RecordKind::Success { "succeeded" } else { "failed" };
    let reason = match kind {
        RecordKind::Success => None,
        RecordKind::Error => Some(seen.message.join("\n")),
        kind => Some(format!("it was {}", kind.as_str())),
    };
    OneShotView { id, date_time, url: None, status, status_code: seen.status, reason }
}

async fn cancel(services: &Services, id: &str, caller: &Caller) -> Result<Response, Refusal> {
    let (_, identity) = named(id).ok_or_else(Refusal::not_found)?;
    let request = json!({ "identity": id, "by": caller.name() });
    let request = to_raw_value(&request).expect("a value can be written as JSON");
    let removal = Removal { identity, request, revision: None, asked_by: caller.asked_by() };
    let is_cancelled = match services.catalog.cancel_one_shot(removal).await {
        Ok(is_cancelled) => is_cancelled,
        // It has gone: as it was sent, or was cancelled before.
        Err(CatalogError::Unknown) => match find(services, id).await? {
            Some(_) => false,
            None => return Err(Refusal::not_found()),
        },
        Err(error) => return Err(Refusal::failed(error)),
    };
    if !is_cancelled {
        let text = "It has been sent, there is nothing to cancel.";
        return Err(Refusal::Detail(StatusCode::CONFLICT, text.to_owned()));
    }
    let mut reply = Response::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whose_instant_passes_while_it_is_put_is_refused_as_one_in_the_past_is() {
        let reply = Refusal::failed(CatalogError::Passed).into_reply(&Method::POST);

        assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn the_limit_of_a_url_is_told_in_bytes_as_it_is_counted() {
        let long = json!(format!("http://a/{}", "é".repeat(5_000)));

        assert_eq!(url(Some(&long)).unwrap_err(), "Ensure this field has no more than 8192 bytes.");
    }
}
