//! What goes to a host and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use elasticsearch::http::{Method, StatusCode};

/// A request to the cluster.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Bytes>,
    pub(super) is_bulk: bool,
}

/// An answer of the cluster, whatever its status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) is_elastic: bool,
    /// The request was sent before, and what became of it is not known.
    pub(super) is_second_try: bool,
    pub(super) body: Bytes,
}

/// No host answered. What was asked may have been done or not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Away(pub(super) Arc<str>);

/// Why a host did not answer a request.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) why: Arc<str>,
}

/// What a failure says about the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It cannot be reached.
    Unreachable,
    /// It was reached, and the connection broke.
    BrokenConnection,
    /// It was reached, and the time ran out.
    TooLong,
}
