//! Errors of the job endpoints: RFC 9457, with the parameter, its value, and what was expected.

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use warp::reply::Response;

use super::reply::ApiError;

/// How much of a wrong value is shown, in characters.
const SHOWN_MAX: usize = 80;

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_run: Option<String>,
    #[serde(skip)]
    allow: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
            value: None,
            expected: None,
            waiting_run: None,
            allow: None,
        }))
    }

    fn with(mut self, add: impl FnOnce(&mut Parts)) -> Self {
        add(&mut self.0);
        self
    }

    /// With the parameter it is about, its value, and what was expected.
    fn about(self, name: &str, value: &str, expected: &str) -> Self {
        self.with(|parts| {
            parts.parameter = Some(name.to_owned());
            parts.value = Some(shown(value));
            parts.expected = Some(expected.to_owned());
        })
    }

    /// 400: a parameter that cannot be what it is.
    pub(super) fn parameter(name: &str, value: &str, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        let detail = format!("{name}: is `{}`, expected {expected}", shown(value));
        Self::new(StatusCode::BAD_REQUEST, detail).about(name, value, &expected)
    }

    /// 400: part of a body, or all of it, that is not understood.
    pub(super) fn body(part: &str, value: &str, detail: impl Into<String>, expected: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail).about(part, value, expected)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(parameter: &str, value: &str, detail: &str, expected: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail).about(parameter, value, expected)
    }

    /// 404: no such path.
    pub(super) fn no_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such path")
    }

    /// 405: the path is known, the method is not.
    pub(super) fn method(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(|parts| parts.allow = Some(allow))
    }

    /// 409: not now.
    pub(super) fn conflict(parameter: &str, value: &str, detail: impl Into<String>, expected: &str) -> Self {
        Self::new(StatusCode::CONFLICT, detail).about(parameter, value, expected)
    }

    /// The same with the run that waits already.
    pub(super) fn behind(self, waiting_run: String) -> Self {
        self.with(|parts| parts.waiting_run = Some(waiting_run))
    }

    /// 410: it was there.
    pub(super) fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, detail)
    }

    #[cfg(test)]
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(super) fn into_reply(self) -> Response {
        let Self(parts) = self;
        let bytes = serde_json::to_vec(&parts).expect("a problem can be written as JSON");
        let mut reply = Response::new(bytes.into());
        *reply.status_mut() = StatusCode::from_u16(parts.status).expect("it was made of a status");
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(allow) = parts.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if parts.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }
}

/// The errors that all endpoints share. What the envelope tells with 200 has a status here.
impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self::new(error.own_status(), error.to_string())
    }
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}
