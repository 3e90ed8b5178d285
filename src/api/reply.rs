//! From results to status and envelope: the only place that knows both.

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use log::error;
use serde::Serialize;
use warp::reply::Response;

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
    /// The body is larger than allowed.
    #[error("the body is larger than {max} bytes ([server] max_body)")]
    TooLarge { max: usize },
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
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::OK,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Misunderstood> for ApiError {
    fn from(Misunderstood(text): Misunderstood) -> Self {
        Self::Refused(text)
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match &error {
            CatalogError::Unknown | CatalogError::BrokeOff | CatalogError::Store(StoreError::Conflict { .. }) => {
                Self::Refused(with_causes(&error))
            }
            // The client's own: there was nothing to be changed.
            CatalogError::Store(cause @ StoreError::Cursor(_)) => Self::Refused(cause.to_string()),
            CatalogError::Engine(EngineError::Stopped) => Self::Busy("the service is going down".to_owned()),
            CatalogError::Store(_) | CatalogError::Engine(EngineError::CannotClaim) => {
                let text = with_causes(&error);
                error!("a request failed: {text}");
                Self::Refused(text)
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        CatalogError::Store(error).into()
    }
}

#[derive(Serialize)]
struct Done<'a> {
    error: u8,
    msg: &'static str,
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
}

/// `{"error":0,"msg":"ok"}`, with warnings if there are any.
pub(super) fn done(warnings: &[String]) -> Response {
    json(StatusCode::OK, &Done { error: 0, msg: "ok", warnings })
}

/// `{"error":0,"data":…}`.
pub(super) fn data(data: impl Serialize) -> Response {
    json(StatusCode::OK, &Data { error: 0, data })
}

/// One answer for both: the reply, or the error's status and envelope.
pub(super) fn into_reply(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| {
        let mut reply = json(error.status(), &Failed { error: 1, msg: &error.to_string() });
        match &error {
            ApiError::Method { allow } => drop(reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow))),
            ApiError::Busy(_) => drop(reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            ApiError::Refused(_)
            | ApiError::TooLarge { .. }
            | ApiError::TooSlow { .. }
            | ApiError::Unreadable(_)
            | ApiError::Encoding(_)
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
