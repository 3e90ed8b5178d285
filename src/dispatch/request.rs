//! From a fire to the request that goes out. Pure.

use std::borrow::Cow;
use std::fmt;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

use super::body;
use crate::model::{
    Failure, Fire, Header, JsonText, Request, RunId, SecretTexts, StringKind, TemplateError, TemplateGrowth,
    TemplateValues,
};
use crate::secrets::{SecretError, SecretProblem, Secrets};

/// A request, ready to be sent. It may hold secrets: no text shows more of it than where it goes.
#[derive(Clone)]
pub struct OutgoingRequest {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// All headers but those that the transport adds.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl fmt::Debug for OutgoingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, headers, body } = self;
        let names: Vec<&HeaderName> = headers.keys().collect();
        let origin = url.origin().ascii_serialization();
        let shown = &mut f.debug_struct("OutgoingRequest");
        shown.field("method", method).field("origin", &origin).field("headers", &names).field("bytes", &body.len());
        shown.finish()
    }
}

/// Why a request cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// As its templates are filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// As it names a secret that is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// As its credentials are none, with their secrets filled in.
    #[error("{0}")]
    Credentials(String),
}

impl Unsendable {
    /// As what it counts for a retry: a secret that cannot be read now is like a target that cannot be reached. `None`: another
    /// attempt would be the same.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Secret(SecretError { problem: SecretProblem::Unreadable { .. }, .. }) => Some(Failure::Connect),
            Self::Secret(SecretError { problem: SecretProblem::Unknown { .. }, .. }) => None,
            Self::Template(_) | Self::Credentials(_) => None,
        }
    }
}

/// The secrets that a fire names. Who asked for one request at one instant knows of none.
pub(super) fn secrets_of(fire: &Fire, secrets: &Secrets) -> Result<SecretTexts, SecretError> {
    let given = request_of(fire);
    if fire.revision.task.is_one_shot {
        return Ok(SecretTexts::default());
    }
    let in_request = given.may_name_secrets().then(|| given.secrets()).into_iter().flatten();
    let in_credentials = fire.credentials().into_iter().flat_map(|credentials| credentials.secrets());
    let mut names: Vec<_> = in_request.chain(in_credentials).map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| secrets.get(&name).map(|text| (name, text))).collect()
}

/// How many headers a run brings itself.
const OWN_HEADERS: usize = 12;

/// Headers that the transport computes; an entry's own are left out, as the mirrored service does.
const COMPUTED: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER];

/// Visible ASCII stands in a header as it is. A blank is none: at the ends of a value HTTP drops it.
const IN_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

impl OutgoingRequest {
    /// Builds attempt number `attempt` of the run of a fire. The error says what cannot be sent, with its templates filled in.
    pub fn of(fire: &Fire, attempt: u32, secrets: &SecretTexts, growth: TemplateGrowth) -> Result<Self, TemplateError> {
        let run_id = fire.run_id();
        let given = request_of(fire);
        let kind = given.body.as_ref().and_then(StringKind::of_body);
        // Who asked for one request at one instant knows of no templates: it goes out as it was given.
        let request = match fire.revision.task.is_one_shot {
            true => Cow::Borrowed(given),
            false => given.filled_in(&values(fire, run_id, attempt, secrets, growth))?,
        };
        let mut headers = own_headers(&request, given);
        let given_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let body = body::encode(request.body.as_ref().or_else(|| event_of(fire)), kind, given_type, run_id);
        if let Some(content_type) = body.content_type {
            set(&mut headers, CONTENT_TYPE, &content_type);
        }
        if body.bytes.is_empty() && matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
            // Said outright: a target may wait for the body of a POST without a length.
            set(&mut headers, CONTENT_LENGTH, "0");
        }
        add_run_headers(&mut headers, fire, run_id, attempt);
        let mut url = request.url.to_url();
        if let Some(args) = args(fire).filter(|_| request.method == Method::GET) {
            url.query_pairs_mut().append_pair("args", args);
        }
        Ok(Self { method: request.method.clone(), url, headers, body: body.bytes })
    }
}

/// The request of a fire. A callback that its entry does not name is made nowhere; if it were, the entry's own request is the
/// nearest.
pub(super) fn request_of(fire: &Fire) -> &Request {
    fire.request().unwrap_or(&fire.entry().request)
}

/// What a callback without a body of its own carries. Its text is never looked at for templates: a target may have written it.
fn event_of(fire: &Fire) -> Option<&JsonText> {
    let has_body = !matches!(request_of(fire).method, Method::GET | Method::HEAD);
    fire.notice.as_ref().and_then(|notice| notice.event.as_ref()).filter(|_| has_body)
}

/// What a callback fills in is about the run that it tells of.
fn values<'a>(
    fire: &'a Fire,
    run_id: RunId,
    attempt: u32,
    secrets: &'a SecretTexts,
    growth: TemplateGrowth,
) -> TemplateValues<'a> {
    TemplateValues {
        identity: fire.identity().as_str(),
        entry: fire.entry().name.as_str(),
        run_id: fire.notice.as_ref().map_or(run_id, |notice| notice.about),
        fire_time: fire.fire_time,
        attempt,
        args: args(fire).unwrap_or_default(),
        secrets,
        growth,
    }
}

fn args(fire: &Fire) -> Option<&str> {
    fire.asked.as_ref().map(|asked| &*asked.args).filter(|args| !args.is_empty())
}

fn own_headers(request: &Request, given: &Request) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(OWN_HEADERS + request.headers.as_ref().map_or(0, |own| own.len()));
    for (header, given) in request.headers.iter().flatten().zip(given.headers.iter().flatten()) {
        let (name, mut value) = parsed(header);
        // What is filled in may be a secret: no log of the client shows it, and HTTP/2 does not keep it.
        value.set_sensitive(header != given);
        if !COMPUTED.contains(&name) {
            headers.append(name, value);
        }
    }
    headers
}

fn parsed(header: &Header) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_bytes(header.name().as_bytes()).expect("a Header has a name that HTTP allows");
    let value = HeaderValue::from_bytes(header.value().as_bytes()).expect("a Header has a value that HTTP allows");
    (name, value)
}

/// What every fire carries. The entry's own `Idempotency-Key` and `traceparent` stand; `X-Schedule-*` are ours.
fn add_run_headers(headers: &mut HeaderMap, fire: &Fire, run_id: RunId, attempt: u32) {
    const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
    const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
    let run_id = run_id.to_string();
    if !headers.contains_key(IDEMPOTENCY_KEY) {
        set(headers, IDEMPOTENCY_KEY, &run_id);
    }
    if !headers.contains_key(TRACEPARENT) {
        set(headers, TRACEPARENT, &traceparent(&run_id, attempt));
    }
    let own = [
        (HeaderName::from_static("x-schedule-identity"), in_header(fire.identity().as_str())),
        (HeaderName::from_static("x-schedule-entry"), in_header(fire.entry().name.as_str())),
        (HeaderName::from_static("x-schedule-run-id"), run_id),
        (HeaderName::from_static("x-schedule-fire-time"), fire.fire_time.to_string()),
        (HeaderName::from_static("x-schedule-attempt"), attempt.to_string()),
        (HeaderName::from_static("x-schedule-trigger"), fire.trigger.as_str().to_owned()),
    ];
    for (name, value) in own {
        set(headers, name, &value);
    }
    if let Some(args) = args(fire) {
        set(headers, HeaderName::from_static("x-schedule-args"), &in_header(args));
    }
    if let Some(notice) = &fire.notice {
        set(headers, HeaderName::from_static("x-schedule-callback"), notice.occasion.as_str());
    }
}

/// W3C Trace Context: the run is the trace, the attempt the span.
fn traceparent(run_id: &str, attempt: u32) -> String {
    let trace: String = run_id.chars().filter(|letter| *letter != '-').collect();
    format!("00-{trace}-{:016x}-01", u64::from(attempt))
}

fn in_header(name: &str) -> String {
    utf8_percent_encode(name, IN_HEADER).to_string()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("our own values are visible ASCII"));
}

#[cfg(test)]
mod tests;
