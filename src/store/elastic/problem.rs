//! From what a cluster answers, or does not, to a text that names the setting and the remedy.

use std::error::Error;
use std::time::Duration;

use elasticsearch::http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::exchange::{Answer, FailureKind};

/// Why a host could not be talked to.
pub(super) fn of_connection(url: &Url, error: &elasticsearch::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    let hint = hint_of(&text, error.is_timeout());
    // The client's own text repeats the whole address, and its causes each other.
    let cause = text.rsplit(": ").next().unwrap_or(&text);
    format!("{url}: {cause} ({hint})")
}

/// What a failure says about the host.
pub(super) fn kind_of_connection(error: &elasticsearch::Error) -> FailureKind {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            let is_broken = matches!(cause.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
            return if is_broken { FailureKind::BrokenConnection } else { FailureKind::Unreachable };
        }
        if cause.to_string().contains("before message completed") {
            return FailureKind::BrokenConnection;
        }
        next = cause.source();
    }
    if error.is_timeout() { FailureKind::TooLong } else { FailureKind::Unreachable }
}

fn hint_of(text: &str, is_timeout: bool) -> &'static str {
    if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        "its certificate is not trusted: set [elasticsearch] ca_file to the authority that signed it"
    } else if text.contains("InvalidContentType") || text.contains("corrupt message") {
        "it does not speak TLS: check https:// in [elasticsearch] hosts"
    } else if text.contains("connection closed") || text.contains("invalid HTTP") || text.contains("IncompleteMessage")
    {
        "it closed the connection: if it speaks TLS, write https:// in [elasticsearch] hosts"
    } else if text.contains("dns error") || text.contains("failed to lookup") {
        "its name is unknown: check [elasticsearch] hosts"
    } else if is_timeout {
        "it took too long: check [elasticsearch] hosts and timeout_s, and the load of the cluster"
    } else {
        "check [elasticsearch] hosts, and whether it runs"
    }
}

/// Why a host that holds the connection counts as away.
pub(super) fn no_answer(url: &Url, after: Duration) -> String {
    format!("{url}: no answer within {} s (it hangs, or the way to it is broken)", after.as_secs())
}

#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    error: Option<ErrorBody<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorBody<'a> {
    Cause(#[serde(borrow)] Cause<'a>),
    Text(std::borrow::Cow<'a, str>),
}

/// What Elasticsearch says about a failure.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cause<'a> {
    #[serde(borrow, default)]
    pub(super) r#type: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) reason: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    root_cause: Vec<Cause<'a>>,
    #[serde(borrow, default)]
    caused_by: Option<Box<Cause<'a>>>,
}

impl Cause<'_> {
    /// Its words, cut to a length that fits a log line.
    pub(super) fn text(&self) -> String {
        const TEXT_MAX: usize = 400;
        let mut line = self.line();
        let mut deepest = self.root_cause.first().unwrap_or(self);
        while let Some(cause) = &deepest.caused_by {
            deepest = cause;
        }
        let deepest = deepest.line();
        if deepest != line {
            line = format!("{line}: {deepest}");
        }
        line.chars().take(TEXT_MAX).collect()
    }

    fn line(&self) -> String {
        const LINE_MAX: usize = 200;
        let reason = self.reason.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
        let line = format!("{}: {reason}", self.r#type);
        line.chars().take(LINE_MAX).collect()
    }
}

/// Why a request was answered with an error, and what to do about it.
pub(super) fn of_answer(answer: &Answer) -> String {
    // Who is not let in is not told what it is, either.
    let is_let_in = !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let is_away = answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
    if !answer.is_elastic && is_let_in && !is_away {
        return "there is no Elasticsearch at this address: check [elasticsearch] hosts".to_owned();
    }
    let said = match serde_json::from_slice::<Failed<'_>>(&answer.body).ok().and_then(|failed| failed.error) {
        Some(ErrorBody::Cause(cause)) => cause.text(),
        Some(ErrorBody::Text(text)) => text.chars().take(300).collect(),
        None => String::new(),
    };
    of_status(answer.status.as_u16(), &said)
}

/// The same for one item of a bulk.
pub(super) fn of_status(status: u16, said: &str) -> String {
    let remedy = if status == StatusCode::UNAUTHORIZED.as_u16() {
        "the credentials were refused: check [elasticsearch] username and password, or api_key"
    } else if is_read_only(said) {
        "an index is read-only, mostly because the disk is full: free space, then Elasticsearch lifts the block, \
         or lift it by setting index.blocks.read_only_allow_delete and index.blocks.write to null"
    } else if status == StatusCode::FORBIDDEN.as_u16() {
        "[elasticsearch] username or api_key may not do this: it needs manage_index_templates and monitor on the cluster, \
         and all on the indices that begin with default_index"
    } else if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
        "the cluster is overloaded: it is tried again; if this stays, give it more"
    } else if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
        "the cluster is not able to work (red, or without a master): look at _cluster/health and its log"
    } else if status == StatusCode::PAYLOAD_TOO_LARGE.as_u16() {
        "a request was too large for it: raise http.max_content_length there"
    } else {
        "an unexpected answer"
    };
    if said.is_empty() { format!("{remedy} (status {status})") } else { format!("{remedy} ({status} {said})") }
}

/// Whether a failure says that an index takes no writes.
pub(super) fn is_read_only(said: &str) -> bool {
    said.contains("cluster_block_exception") && (said.contains("read-only") || said.contains("index write"))
        || said.contains("flood-stage")
}
