//! From results to status and envelope: the only place that knows both.

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use log::error;
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use super::audit::Failure;
use super::openapi::words::Zero;
use super::wire::Misunderstood;
use crate::catalog::CatalogError;
use crate::engine::EngineError;
use crate::observe::with_causes;
use crate::store::StoreError;

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The request was not understood or cannot be done. Answered 200 with `error: 1`, as clients expect.
    #[error("{0}")]
    Refused(String),
    /// The service could not do it. Answered the same.
    #[error("{0}")]
    Failed(String),
    /// It may be done or not. Answered the same.
    #[error("{0}")]
    BrokeOff(String),
    /// The task has another revision than the client says. Answered 200 with `error: 1` and the number.
    #[error("{text}")]
    Outdated { text: String, current: u64 },
    /// The path or the query cannot be read.
    #[error("{0}")]
    Unclear(String),
    /// The head is larger than allowed, or has too many headers.
    #[error("{0}")]
    HeadTooLarge(String),
    /// The URL is longer than allowed.
    #[error("the URL is {len} bytes long, expected at most {max} ([server] max_url_bytes)")]
    UrlTooLong { len: usize, max: usize },
    /// The client expects something that is not known.
    #[error("expect: is not understood, expected `100-continue` or none")]
    Expectation,
    /// The body is larger than allowed.
    #[error("the body is larger than {max} bytes ([server] max_body)")]
    TooLarge { max: usize },
    /// A line of the body is longer than allowed.
    #[error("the line is longer than {max} bytes ([server] max_body)")]
    LineTooLong { max: usize },
    /// The body took too long to come.
    #[error("the body did not come within {seconds} s")]
    TooSlow { seconds: u64 },
    /// The body broke off or cannot be decompressed.
    #[error("the body cannot be read: {0}")]
    Unreadable(String),
    /// The body is compressed in a way that is not known.
    #[error("Content-Encoding `{0}` is not known, expected `gzip` or `identity`")]
    Encoding(String),
    /// No such path.
    #[error("there is no such path")]
    NotFound,
    /// The path is known, the method is not.
    #[error("this path takes {allow} only")]
    Method { allow: &'static str },
    /// The service cannot do it now.
    #[error("{0}")]
    Busy(String),
    /// Another node owns the task, or will in a moment: nothing was done.
    #[error("another node owns this task")]
    Elsewhere,
    /// A key is needed, or the one that was shown is not valid.
    #[error("{0}")]
    Unauthorized(String),
    /// The token that was shown is not valid.
    #[error("{0}")]
    WrongToken(String),
    /// Who asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// Too many requests, or too many wrong keys.
    #[error("{text}")]
    TooMany { text: String, wait: Duration },
    /// Only nodes of this cluster may ask this.
    #[error("this is for nodes of this cluster: they show the [cluster] key, which is the same on all of them")]
    Stranger,
}

impl ApiError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_)
            | Self::Failed(_)
            | Self::BrokeOff(_)
            | Self::Outdated { .. }
            | Self::LineTooLong { .. } => StatusCode::OK,
            Self::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UrlTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Unreadable(_) | Self::Unclear(_) => StatusCode::BAD_REQUEST,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Elsewhere => StatusCode::MISDIRECTED_REQUEST,
            Self::Unauthorized(_) | Self::WrongToken(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::Stranger => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// For clients that know no envelope: what it tells with 200 has a status of its own. Who is answered 503 asks again, which must
    /// do no harm.
    pub(super) fn own_status(&self) -> StatusCode {
        match (self, self.status()) {
            (Self::BrokeOff(_), _) => StatusCode::INTERNAL_SERVER_ERROR,
            (_, StatusCode::OK) => StatusCode::SERVICE_UNAVAILABLE,
            (_, status) => status,
        }
    }

    /// The revision in force, where the client said another.
    pub(super) fn revision(&self) -> Option<u64> {
        let Self::Outdated { current, .. } = self else { return None };
        Some(*current)
    }
}

impl From<Misunderstood> for ApiError {
    fn from(Misunderstood(text): Misunderstood) -> Self {
        Self::Refused(text)
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let error = Self::quietly(error);
        if let Self::Failed(text) = &error {
            error!("a request failed: {text}");
        }
        error
    }
}

impl ApiError {
    /// The same without a line in the log: who asks for very much tells of it once.
    pub(super) fn quietly(error: CatalogError) -> Self {
        match &error {
            CatalogError::Unknown
            | CatalogError::Masked(_)
            | CatalogError::Passed
            | CatalogError::Store(StoreError::Conflict { .. }) => Self::Refused(with_causes(&error)),
            CatalogError::BrokeOff => Self::BrokeOff(error.to_string()),
            CatalogError::Outdated { current, .. } => Self::Outdated { text: error.to_string(), current: *current },
            // The client's own: there was nothing to be changed.
            CatalogError::Store(cause @ StoreError::Cursor(_)) => Self::Refused(cause.to_string()),
            CatalogError::NotEverywhere => Self::Busy(error.to_string()),
            CatalogError::Engine(EngineError::NotOwned) => Self::Elsewhere,
            CatalogError::Engine(EngineError::Stopped) => Self::Busy("the service is going down".to_owned()),
            CatalogError::Store(_)
            | CatalogError::Engine(EngineError::CannotClaim | EngineError::NotKept | EngineError::PausesChanged) => {
                Self::Failed(with_causes(&error))
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        CatalogError::Store(error).into()
    }
}

/// It is done.
#[derive(Serialize, ToSchema)]
pub(super) struct Done<'a> {
    #[schema(value_type = Zero)]
    error: u8,
    #[schema(example = "ok")]
    msg: &'static str,
    /// The revision that is in force now, for clients that asked for one.
    #[schema(value_type = u64)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// What is odd about the request, and no reason to refuse it.
    #[schema(value_type = Vec<String>)]
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Data<T> {
    error: u8,
    data: T,
}

#[derive(Serialize)]
struct Failed<'a> {
    error: u8,
    msg: &'a str,
    /// The revision in force, where the client said another.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

/// `{"error":0,"msg":"ok"}`, with warnings if there are any.
pub(super) fn done(warnings: &[String]) -> Response {
    json(StatusCode::OK, &Done { error: 0, msg: "ok", revision: None, warnings })
}

/// The same with the number of the revision that the change made.
pub(super) fn done_as(revision: u64, warnings: &[String]) -> Response {
    json(StatusCode::OK, &Done { error: 0, msg: "ok", revision: Some(revision), warnings })
}

/// `{"error":0,"data":…}`.
pub(super) fn data(data: impl Serialize) -> Response {
    json(StatusCode::OK, &Data { error: 0, data })
}

/// One answer for both: the reply, or the error's status and envelope.
pub(super) fn into_reply(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| {
        let revision = error.revision();
        let mut reply = json(error.status(), &Failed { error: 1, msg: &error.to_string(), revision });
        reply.extensions_mut().insert(Failure::of(&error));
        match &error {
            ApiError::Method { allow } => drop(reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow))),
            ApiError::Busy(_) => drop(reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            ApiError::Refused(_)
            | ApiError::Failed(_)
            | ApiError::BrokeOff(_)
            | ApiError::LineTooLong { .. }
            | ApiError::Outdated { .. }
            | ApiError::Unclear(_)
            | ApiError::HeadTooLarge(_)
            | ApiError::UrlTooLong { .. }
            | ApiError::Expectation
            | ApiError::TooLarge { .. }
            | ApiError::TooSlow { .. }
            | ApiError::Unreadable(_)
            | ApiError::Encoding(_)
            | ApiError::Elsewhere
            | ApiError::Unauthorized(_)
            | ApiError::WrongToken(_)
            | ApiError::Forbidden(_)
            | ApiError::TooMany { .. }
            | ApiError::Stranger
            | ApiError::NotFound => {}
        }
        reply
    })
}

/// Any JSON with any status.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).expect("our answers can be written as JSON");
    let mut reply = Response::new(bytes.into());
    *reply.status_mut() = status;
    // As the mirrored service writes it.
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    reply
}
