//! The description of all that can be asked, and the page to try it.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use super::openapi;
use super::reply::{ApiError, into_reply};
use crate::ui;

/// The page may load and ask what stands beside it, and nothing else: whatever a target answered cannot run in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of this file.
pub(super) fn routes() -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
    let description = warp::path!("openapi.json").and(warp::get()).map(description);
    let page = warp::path!("docs").and(warp::get()).and(warp::path::full()).map(page);
    let file = warp::path!("docs" / String).and(warp::get()).map(|name: String| file(&name));
    description.or(page).unify().or(file).unify()
}

fn description() -> Response {
    let mut reply = Response::new(openapi::document().json.clone().into());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// What the page names stands beside it, so it must not stand behind a slash. The way is told without the host and without
/// what a proxy may have cut off.
fn page(path: FullPath) -> Response {
    if !path.as_str().ends_with('/') {
        return file("");
    }
    let mut reply = Response::default();
    *reply.status_mut() = StatusCode::PERMANENT_REDIRECT;
    reply.headers_mut().insert(LOCATION, HeaderValue::from_static("../docs"));
    reply
}

fn file(name: &str) -> Response {
    let Some(file) = ui::DOCS.iter().find(|file| file.name == name) else {
        return into_reply(Err(ApiError::NotFound));
    };
    let mut reply = Response::new(file.bytes.into());
    let all: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, file.content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in all {
        reply.headers_mut().insert(name, HeaderValue::from_str(value).expect("these are visible letters"));
    }
    reply
}
