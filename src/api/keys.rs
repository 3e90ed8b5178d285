//! `/keys`: who may ask for what.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::reply::Response;

use super::asked::{Asked, under};
use super::caller::Caller;
use super::openapi::words;
use super::operations::name_of;
use super::reply::{self, ApiError, into_reply};
use super::routing::place;
use super::wire::{Misunderstood, Understood, known_word, understand};
use super::{Api, Services};
use crate::access::{Key, KeyError, KeyId, KeyLimits, NAME_MAX, NewKey, REQUESTS_PER_SECOND_MAX, Role, TASKS_MAX_MAX};
use crate::model::object::{Mistakes, Object, array, integer, string};
use crate::model::{Prefixes, Timestamp, parse_duration};

const EXAMPLE: &str = r#"{"name":"ci","role":"write","prefixes":["team-a/"],"expires_in":"90d"}"#;
const KEY_FIELDS: [&str; 7] =
    ["name", "role", "prefixes", "requests_per_second", "tasks_max", "expires_in", "expires_at"];
/// How long a key may be valid, if it ever ends.
const VALID_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10 * 366 * 86_400);
/// How long the secret before may go on to open after a rotation.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The routes of this file.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let answer = |services, asked| async move { into_reply(answer(&services, asked).await) };
    under(warp::path("keys"), api, place::anywhere, answer, |error| into_reply(Err(error)))
}

async fn answer(services: &Services, asked: Arc<Asked>) -> Result<Response, ApiError> {
    // Who is limited to some tasks must not make a key that is not.
    asked.caller.check_all_tasks("looking after keys")?;
    let segments: Vec<&str> = asked.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", []) => Ok(list(services)),
        ("POST", []) => create(services, &asked).await,
        ("DELETE", [id]) => {
            let id = key_id(id)?;
            note_key(&asked.caller, &id);
            let key = services.access.revoke(id, asked.caller.name()).await.map_err(not_done)?;
            note_key_now(services, &asked.caller, &key);
            Ok(reply::done(&[]))
        }
        ("POST", [id, "rotate"]) => rotate(services, key_id(id)?, &asked).await,
        _ => Err(ApiError::NotFound),
    }
}

/// A key as it is shown: without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView<'a> {
    #[schema(value_type = words::KeyId)]
    id: &'a str,
    name: &'a str,
    #[schema(value_type = words::RoleWord)]
    role: &'static str,
    /// It is for tasks whose identity begins with one of these; none: for all.
    prefixes: Vec<&'a str>,
    /// How often it may be used; 0: as often as one likes; `null`: as `[limits] requests_per_key_per_second` says.
    #[schema(required)]
    requests_per_second: Option<u32>,
    /// How many tasks there may be of those that it is for; 0: as many as one likes; `null`: as `[limits] tasks_per_key_max` says.
    #[schema(required)]
    tasks_max: Option<u64>,
    /// Whether it opens anything.
    #[schema(value_type = words::KeyStanding)]
    standing: &'static str,
    #[schema(value_type = words::UtcDate)]
    created_at: String,
    created_by: &'a str,
    /// From when on it opens nothing; `null`: never.
    #[schema(value_type = Option<words::UtcDate>, required)]
    expires_at: Option<String>,
    /// When it got its newest secret; `null`: it has its first one.
    #[schema(value_type = Option<words::UtcDate>, required)]
    rotated_at: Option<String>,
    /// Until when the secret before that one still opens.
    #[schema(value_type = Option<words::UtcDate>, required)]
    overlaps_until: Option<String>,
    #[schema(value_type = Option<words::UtcDate>, required)]
    revoked_at: Option<String>,
}

impl<'a> KeyView<'a> {
    fn new(key: &'a Key, now: Timestamp) -> Self {
        let date = |time: Option<Timestamp>| time.as_ref().map(Timestamp::to_string);
        Self {
            id: key.id.as_str(),
            name: &key.name,
            role: key.role.as_str(),
            prefixes: key.prefixes.iter().collect(),
            requests_per_second: key.limits.requests_per_second,
            tasks_max: key.limits.tasks_max,
            standing: key.standing(now).as_str(),
            created_at: key.created_at.to_string(),
            created_by: &key.created_by,
            expires_at: date(key.expires_at),
            rotated_at: date(key.rotated_at),
            overlaps_until: date(key.overlaps_until(now)),
            revoked_at: date(key.revoked_at),
        }
    }
}

/// The same with the key itself, which is told this once.
#[derive(Serialize, ToSchema)]
#[schema(as = NewKey)]
pub(super) struct NewKeyView<'a> {
    /// What is sent as `Authorization: Bearer …` or `X-API-Key: …`. It cannot be asked for again.
    key: String,
    #[serde(flatten)]
    view: KeyView<'a>,
}

fn list(services: &Services) -> Response {
    let (keys, now) = services.access.keys();
    let views: Vec<KeyView<'_>> = keys.iter().map(|key| KeyView::new(key, now)).collect();
    reply::data(views)
}

async fn create(services: &Services, asked: &Asked) -> Result<Response, ApiError> {
    let new = new_key(&asked.body, &asked.caller, services.access.now())?.value;
    let (key, text) = services.access.create(new).await.map_err(not_done)?;
    note_key(&asked.caller, &key.id);
    note_key_now(services, &asked.caller, &key);
    let view = NewKeyView { key: text.reveal(), view: KeyView::new(&key, services.access.now()) };
    let mut reply = reply::data(view);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

async fn rotate(services: &Services, id: KeyId, asked: &Asked) -> Result<Response, ApiError> {
    note_key(&asked.caller, &id);
    let overlap = overlap(&asked.body)?;
    let (key, text) = services.access.rotate(id, overlap, asked.caller.name()).await.map_err(not_done)?;
    note_key_now(services, &asked.caller, &key);
    Ok(reply::data(NewKeyView { key: text.reveal(), view: KeyView::new(&key, services.access.now()) }))
}

fn note_key(caller: &Caller, id: &KeyId) {
    if let Some(trail) = caller.trail() {
        trail.of("key", id.as_str());
    }
}

/// What its audit record says of a key that was changed: never its secret.
fn note_key_now(services: &Services, caller: &Caller, key: &Key) {
    if let Some(trail) = caller.trail() {
        trail.is_now(&KeyView::new(key, services.access.now()));
    }
}

fn not_done(error: KeyError) -> ApiError {
    let text = error.to_string();
    match error {
        KeyError::NameTaken(_)
        | KeyError::NameKept(_)
        | KeyError::TooMany
        | KeyError::FirstIsNoAdmin
        | KeyError::Unknown
        | KeyError::Over(_) => ApiError::Refused(text),
        KeyError::Contended | KeyError::NotReady => ApiError::Busy(text),
        KeyError::NoRandomness(_) | KeyError::Text(_) => ApiError::Failed(text),
        KeyError::Store(error) => error.into(),
    }
}

fn key_id(segment: &str) -> Result<KeyId, ApiError> {
    KeyId::parse(segment).ok_or_else(|| ApiError::Refused(KeyError::Unknown.to_string()))
}

fn new_key(bytes: &[u8], caller: &Caller, now: Timestamp) -> Understood<NewKey> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&KEY_FIELDS, mistakes);
        let name = name_of(&body, "name", key_name, mistakes);
        let role = body.string("role", mistakes);
        let role =
            role.and_then(|word| known_word(Role::parse(&word), &word, "role", Role::ALL.map(Role::as_str), mistakes));
        let prefixes = prefixes(&body, mistakes);
        let limits = limits(&body, mistakes);
        let expires_at = expiry(&body, now, mistakes);
        let created_by = caller.shared();
        Some(NewKey {
            name: name?,
            role: role?,
            prefixes: prefixes?,
            limits: limits?,
            expires_at: expires_at?,
            created_by,
        })
    })
}

fn key_name(text: &str) -> Result<Arc<str>, String> {
    let expected = format!("expected 1 to {NAME_MAX} bytes of visible letters, without blanks at its ends");
    match text.len() {
        0 => Err(format!("is empty, {expected}")),
        len if len > NAME_MAX => Err(format!("is {len} bytes long, {expected}")),
        _ if text.contains(char::is_control) || text.trim() != text => Err(format!("cannot be seen whole, {expected}")),
        _ => Ok(text.into()),
    }
}

fn prefixes(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Prefixes> {
    let Some(raw) = body.get("prefixes") else { return Some(Prefixes::all()) };
    let items = array(raw, "prefixes", "strings", 0..=Prefixes::COUNT_MAX, mistakes)?;
    let read = |(index, raw)| string(raw, &format!("prefixes[{index}]"), mistakes);
    let texts: Vec<_> = items.into_iter().enumerate().map(read).collect::<Option<_>>()?;
    Prefixes::parse(&texts).map_err(|error| mistakes.add("prefixes", error)).ok()
}

/// What it says of its limits; where it says nothing the configuration does.
fn limits(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<KeyLimits> {
    let mut number = |key: &str, max: i64| match body.get(key) {
        Some(raw) => integer(raw, key, 0..=max, mistakes).map(Some),
        None => Some(None),
    };
    let requests = number("requests_per_second", REQUESTS_PER_SECOND_MAX.into());
    let tasks = number("tasks_max", i64::try_from(TASKS_MAX_MAX).unwrap_or(i64::MAX));
    let (requests, tasks) = requests.zip(tasks)?;
    Some(KeyLimits {
        requests_per_second: requests.and_then(|number| number.try_into().ok()),
        tasks_max: tasks.and_then(|number| number.try_into().ok()),
    })
}

/// `Some(None)`: never.
fn expiry(body: &Object<'_>, now: Timestamp, mistakes: &mut Mistakes) -> Option<Option<Timestamp>> {
    let (has_span, has_time) = (body.get("expires_in").is_some(), body.get("expires_at").is_some());
    let expected = "1s to 3660d from now";
    if has_span && has_time {
        mistakes.add("expires_at", "stands beside expires_in, expected one of them");
        return None;
    }
    if has_span {
        let span = name_of(body, "expires_in", parse_duration, mistakes)?;
        if !VALID_FOR.contains(&span) {
            mistakes.add("expires_in", format_args!("is too short or too long, expected {expected}"));
            return None;
        }
        return Some(Some(now.plus(span)));
    }
    if !has_time {
        return Some(None);
    }
    let read = |text: &str| {
        let time =
            Timestamp::parse_rfc3339(text).ok_or("is no date and time, expected one such as 2027-01-31T00:00:00Z");
        time.and_then(|time| {
            let is_within = time > now && VALID_FOR.contains(&time.since(now));
            if is_within { Ok(time) } else { Err("has passed or is too far ahead, expected 1s to 3660d from now") }
        })
    };
    name_of(body, "expires_at", read, mistakes).map(Some)
}

/// How long the secret before goes on to open. No body is no overlap.
fn overlap(bytes: &[u8]) -> Result<Duration, Misunderstood> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Duration::ZERO);
    }
    let overlap = understand(|mistakes| {
        let body = Object::read_body(bytes, r#"{"overlap":"1h"}"#, mistakes)?;
        body.refuse_unknown(&["overlap"], mistakes);
        if body.get("overlap").is_none() {
            return Some(Duration::ZERO);
        }
        let overlap = name_of(&body, "overlap", parse_duration, mistakes)?;
        if overlap > OVERLAP_MAX {
            mistakes.add("overlap", "is too long, expected at most 30d");
            return None;
        }
        Some(overlap)
    });
    Ok(overlap?.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn refusal(body: &str) -> String {
        new_key(body.as_bytes(), &Caller::anonymous(), NOW).unwrap_err().0
    }

    #[test]
    fn a_key_needs_a_name_and_a_role_and_is_for_all_tasks_and_for_ever_if_nothing_else_is_said() {
        let read = |body: &str| new_key(body.as_bytes(), &Caller::anonymous(), NOW).unwrap().value;

        let least = read(r#"{"name":"ci","role":"read"}"#);
        let most = read(EXAMPLE);

        assert_eq!((&*least.name, least.role, least.expires_at), ("ci", Role::Read, None));
        assert_eq!(least.limits, KeyLimits::default());
        let limited = read(r#"{"name":"ci","role":"read","requests_per_second":1000000,"tasks_max":0}"#);
        assert_eq!(limited.limits, KeyLimits { requests_per_second: Some(1_000_000), tasks_max: Some(0) });
        assert!(least.prefixes.are_all());
        assert_eq!((most.role, most.prefixes.to_texts()), (Role::Write, vec!["team-a/".to_owned()]));
        assert_eq!(most.expires_at, Some(NOW.plus(Duration::from_secs(90 * 86_400))));
        let at = read(r#"{"name":"ci","role":"read","expires_at":"2027-02-01T00:00:00Z"}"#);
        assert_eq!(at.expires_at.unwrap().to_string(), "2027-02-01T00:00:00.000Z");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let told = refusal(
            r#"{"name":" a","role":"root","prefixes":["a",""],"expires_in":"0s","expire_at":1,
                "requests_per_second":1000001,"tasks_max":1e3}"#,
        );

        for expected in [
            "expire_at: is not known",
            "name: cannot be seen whole",
            "role: is `root`, expected one of read, operate, write, admin",
            "prefixes: holds an empty text",
            "expires_in: is too short",
            "requests_per_second: is `1000001`, expected a whole number from 0 to 1000000",
            "tasks_max: is `1e3`, expected a whole number from 0 to 1000000000",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        assert!(
            refusal(r#"{"name":"a","role":"read","expires_in":"1d","expires_at":"2030-01-01T00:00:00Z"}"#)
                .contains("beside")
        );
        for past in ["2027-01-15T08:00:00Z", "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
            let body = format!(r#"{{"name":"a","role":"read","expires_at":"{past}"}}"#);
            assert!(refusal(&body).starts_with("expires_at: has passed"), "{past}: {}", refusal(&body));
        }
    }

    #[test]
    fn a_rotation_overlaps_only_if_it_is_said_for_how_long() {
        assert_eq!(overlap(b""), Ok(Duration::ZERO));
        assert_eq!(overlap(b"{}"), Ok(Duration::ZERO));
        assert_eq!(overlap(br#"{"overlap":"1h"}"#), Ok(Duration::from_secs(3_600)));
        for wrong in [r#"{"overlap":"31d"}"#, r#"{"overlap":1}"#, r#"{"overlaps":"1h"}"#, "[]"] {
            assert!(overlap(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
