//! `/secrets`: which there are, and those that the store keeps. No answer holds a value.

use std::sync::Arc;

use http::Method;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::reply::Response;

use super::asked::{Asked, under};
use super::openapi::words;
use super::reply::{self, ApiError, into_reply};
use super::routing::place;
use super::wire::{Parsed, Understood, understand};
use super::{Api, Services, uri};
use crate::model::object::{Kind, Object, kind, string};
use crate::model::{SecretName, SecretText};
use crate::observe::with_causes;
use crate::secrets::{ChangeError, Listed};

/// The routes of this file. They are for those who administer the service: whoever sets a secret decides what others send.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let answer = |services, asked| async move { into_reply(answer(&services, asked).await) };
    // Each node reads the environment and the files for itself, and the store of all.
    under(warp::path("secrets"), api, place::anywhere, answer, |error| into_reply(Err(error)))
}

async fn answer(services: &Services, asked: Arc<Asked>) -> Result<Response, ApiError> {
    // Whoever sets a secret decides what the tasks of all send.
    asked.caller.check_all_tasks("looking after secrets")?;
    match (&asked.method, asked.path.as_str()) {
        (&Method::GET, "") => Ok(list(services)),
        (&Method::POST, "rotate") => rotate(services, &asked).await,
        (&Method::PUT, name) if !name.is_empty() => set(services, &named(name, &asked)?, &asked).await,
        (&Method::DELETE, name) if !name.is_empty() => delete(services, &named(name, &asked)?, &asked).await,
        _ => Err(ApiError::NotFound),
    }
}

fn named(segment: &str, asked: &Asked) -> Result<SecretName, ApiError> {
    let name = uri::decode("name", segment)?;
    let name = SecretName::parse(&name).map_err(|error| ApiError::Refused(format!("name: {error}")))?;
    if let Some(trail) = asked.caller.trail() {
        trail.of("secret", name.as_str());
    }
    Ok(name)
}

/// The secrets that the node which answers knows.
#[derive(Serialize, ToSchema)]
#[schema(as = Secrets)]
pub(super) struct SecretsView<'a> {
    /// In the order of their names.
    secrets: Vec<SecretView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
struct SecretView<'a> {
    #[schema(value_type = words::SecretName)]
    name: &'a str,
    /// Where it is known; the first one counts.
    #[schema(value_type = Vec<words::SecretSource>, min_items = 1)]
    sources: Vec<&'static str>,
    /// When it got its value; `null`: that is not known.
    #[schema(value_type = Option<words::UtcDate>, required)]
    changed: Option<String>,
    /// Who gave it its value, if that is known.
    #[schema(required)]
    by: Option<&'a str>,
    /// Why it cannot be read; `null`: it can.
    #[schema(required)]
    problem: Option<&'a str>,
}

impl<'a> SecretView<'a> {
    fn new(listed: &'a Listed) -> Self {
        Self {
            name: listed.name.as_str(),
            sources: listed.sources.iter().map(|source| source.as_str()).collect(),
            changed: listed.changed.map(|at| at.to_string()),
            by: listed.by.as_deref(),
            problem: listed.problem.as_deref(),
        }
    }
}

fn list(services: &Services) -> Response {
    let listed = services.secrets.list();
    reply::data(SecretsView { secrets: listed.iter().map(SecretView::new).collect() })
}

/// How many secrets were encrypted anew.
#[derive(Serialize, ToSchema)]
#[schema(as = SecretsRotated)]
pub(super) struct RotatedView {
    rotated: usize,
}

async fn rotate(services: &Services, asked: &Asked) -> Result<Response, ApiError> {
    let (secrets, by) = (services.secrets.clone(), asked.caller.shared());
    let rotated = apart(async move { secrets.rotate(&by).await }).await?;
    Ok(reply::data(RotatedView { rotated }))
}

fn value(bytes: &[u8]) -> Understood<SecretText> {
    const EXAMPLE: &str = r#"{"value":"…"}"#;
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&["value"], mistakes);
        let raw = body.required("value", "a string", mistakes)?;
        if kind(raw) != Kind::String {
            // What stands there may be the secret all the same.
            mistakes.add("value", "is no string, expected a string");
            return None;
        }
        let text = Zeroizing::new(string(raw, "value", mistakes)?);
        let (len, max) = (text.len(), SecretText::LEN_MAX);
        if !(1..=max).contains(&len) {
            mistakes.add("value", format_args!("is {len} bytes long, expected 1 to {max}"));
            return None;
        }
        Some(SecretText::new(&text))
    })
}

async fn set(services: &Services, name: &SecretName, asked: &Asked) -> Result<Response, ApiError> {
    let Parsed { value, .. } = value(&asked.body)?;
    let (secrets, by, named) = (services.secrets.clone(), asked.caller.shared(), name.clone());
    let hidden_by = apart(async move { secrets.set(&named, &value, &by).await }).await?;
    let warning = hidden_by.map(|source| {
        let source = source.as_str();
        format!("secret {name} is known from the {source} of this node as well, which goes before the store")
    });
    Ok(reply::done(warning.as_slice()))
}

async fn delete(services: &Services, name: &SecretName, asked: &Asked) -> Result<Response, ApiError> {
    let (secrets, by, named) = (services.secrets.clone(), asked.caller.shared(), name.clone());
    let was_there = apart(async move { secrets.remove(&named, &by).await }).await?;
    let warning = (!was_there).then(|| format!("the store held no secret {name}"));
    Ok(reply::done(warning.as_slice()))
}

/// Makes a change to its end, also if the client that asked for it goes away in the middle.
async fn apart<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ApiError> {
    let changed = tokio::spawn(change).await;
    let broke_off = || ApiError::BrokeOff("the change broke off, list the secrets".to_owned());
    changed.map_err(|_| broke_off())?.map_err(|error| match &error {
        ChangeError::Refused(why) => ApiError::Refused(why.clone()),
        ChangeError::Busy => ApiError::Busy(error.to_string()),
        ChangeError::Store(_) => ApiError::BrokeOff(with_causes(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wrong_with_a_value_it_is_not_told_back() {
        let refused = |body: &str| value(body.as_bytes()).unwrap_err().0;

        assert_eq!(refused(r#"{"value":12345678}"#), "value: is no string, expected a string");
        assert_eq!(refused(r#"{"value":["hunter2"]}"#), "value: is no string, expected a string");
        assert_eq!(refused(r#"{"value":""}"#), "value: is 0 bytes long, expected 1 to 65536");
        let long = "x".repeat(65_537);
        assert_eq!(refused(&format!("{{\"value\":\"{long}\"}}")), "value: is 65537 bytes long, expected 1 to 65536");
        for body in [r#"{"value":"hunter2"#, r#"{"value":"hunter2","x":1}"#, r#"{"value":"hunter2\q"}"#, "hunter2"] {
            assert!(!refused(body).contains("hunter2"), "{body}");
        }
        assert_eq!(value(r#"{"value":"é\n"}"#.as_bytes()).unwrap().value.expose(), "é\n");
    }
}
