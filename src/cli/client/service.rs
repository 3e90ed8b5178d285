//! One service as a client sees it: a question by POST, an answer in the envelope, and what to check when none comes.

use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::{Certificate, RequestBuilder, Response, redirect};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::Ours;
use super::address::Address;
use super::key::ServiceKey;
use crate::access::API_KEY;
use crate::dispatch;
use crate::observe::with_causes;

/// How long connecting may take, and how long an answer may stand still. Then the command stops.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one question waits in all for a service that asks for patience. Then the command stops.
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// The shortest pause: "in 0 seconds" must not become a storm.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How long a connection may be idle. Services close theirs after 30 s, and a question must not meet that end.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// How much of an answer that is no success is read, in bytes. The rest is dropped.
const COMPLAINT_MAX: usize = 64 * 1024;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CallError {
    /// Ask for less.
    #[error("its answer is larger than {max} bytes")]
    TooLarge { max: usize },
    /// This one thing cannot be done, others may. The text is the service's.
    #[error("{0}")]
    Refused(String),
    /// Asking on makes no sense.
    #[error("{0}")]
    Failed(String),
}

/// What the envelope holds.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    /// JSON; empty for `null` or none.
    pub(in crate::cli) data: Bytes,
    pub(in crate::cli) warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    error: i64,
    msg: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// A running service.
pub(in crate::cli) struct Service {
    client: reqwest::Client,
    address: Address,
    key: Option<ServiceKey>,
}

impl Service {
    /// Nothing is connected yet. `key`: what it is shown.
    pub(in crate::cli) fn at(address: Address, ours: &Ours, key: Option<ServiceKey>) -> anyhow::Result<Self> {
        // Only the first call of a process installs one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = ours.ca_file.as_deref().map(dispatch::authorities).transpose().context("--ca-file")?;
        Self::new(address, &trusted.unwrap_or_default(), key).context("cannot build the HTTP client")
    }

    fn new(address: Address, trusted: &[Certificate], key: Option<ServiceKey>) -> Result<Self, reqwest::Error> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("schedule-service/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_MAX)
                .read_timeout(SILENCE_MAX)
                .pool_idle_timeout(IDLE_MAX)
                .referer(false)
                // Credentials go to the address that was named, nowhere else.
                .redirect(redirect::Policy::none())
                .tls_certs_merge(trusted.iter().cloned());
            if address.is_loopback() { builder.no_proxy() } else { builder }
        };
        Ok(Self { client: dispatch::build_client(builder)?, address, key })
    }

    pub(in crate::cli) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks and takes in the answer, if it is not larger than `answer_max` bytes.
    pub(in crate::cli) async fn post(&self, path: &str, body: Bytes, answer_max: usize) -> Result<Answer, CallError> {
        let answer = self.send(path, || self.request(Method::POST, path).body(body.clone())).await?;
        if !matches!(answer.status(), StatusCode::OK | StatusCode::CREATED) {
            return Err(self.complaint(path, answer).await);
        }
        let bytes = self.collect(path, answer, answer_max).await?;
        self.open(path, &bytes)
    }

    /// The same by GET.
    pub(in crate::cli) async fn get(&self, path: &str, answer_max: usize) -> Result<Answer, CallError> {
        self.ask(Method::GET, path, Bytes::new(), answer_max).await
    }

    /// The same by DELETE.
    pub(in crate::cli) async fn delete(&self, path: &str, answer_max: usize) -> Result<Answer, CallError> {
        self.ask(Method::DELETE, path, Bytes::new(), answer_max).await
    }

    /// The same by any method.
    pub(in crate::cli) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        answer_max: usize,
    ) -> Result<Answer, CallError> {
        let answer = self.send(path, || self.request(method.clone(), path).body(body.clone())).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.complaint(path, answer).await);
        }
        let bytes = self.collect(path, answer, answer_max).await?;
        self.open(path, &bytes)
    }

    /// Whether this program runs there. The mirrored service does not know the path.
    pub(in crate::cli) async fn is_ours(&self) -> Result<bool, CallError> {
        #[derive(Deserialize)]
        struct Process {
            #[serde(rename = "version")]
            _version: String,
        }
        const PATH: &str = "/healthz";
        let answer = self.send(PATH, || self.request(Method::GET, PATH)).await?;
        match answer.status() {
            StatusCode::OK => {
                let bytes = self.collect(PATH, answer, COMPLAINT_MAX).await?;
                Ok(serde_json::from_slice::<Process>(&bytes).is_ok())
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            _ => Err(self.complaint(PATH, answer).await),
        }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_to(method, self.address.at(path))
    }

    pub(super) fn request_to(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url).header(CONTENT_TYPE, "application/json");
        // Not as `Authorization`: that one may be for a proxy.
        let request = match &self.key {
            Some(key) => request.header(API_KEY, key.header()),
            None => request,
        };
        match self.address.credentials() {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// Sends, and sends again for as long as the service asks for patience and has not had too much of it.
    pub(super) async fn send(&self, path: &str, request: impl Fn() -> RequestBuilder) -> Result<Response, CallError> {
        let mut waited = Duration::ZERO;
        loop {
            let answer = request().send().await.map_err(|error| self.unreachable(path, error))?;
            match pause(&answer) {
                Some(pause) if waited.saturating_add(pause) <= PATIENCE_MAX => {
                    tokio::time::sleep(pause).await;
                    waited += pause;
                }
                Some(_) | None => return Ok(answer),
            }
        }
    }

    async fn collect(&self, path: &str, mut answer: Response, max: usize) -> Result<Bytes, CallError> {
        if answer.content_length().is_some_and(|length| length > max as u64) {
            return Err(CallError::TooLarge { max });
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(path, error))? {
            if bytes.len() + chunk.len() > max {
                return Err(CallError::TooLarge { max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    fn open(&self, path: &str, bytes: &Bytes) -> Result<Answer, CallError> {
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| {
            let text = format!("its answer is not understood ({error}): check that a schedule service listens there");
            self.failed(path, text)
        })?;
        if envelope.error != 0 {
            return Err(CallError::Refused(envelope.msg.unwrap_or_else(|| "no reason was given".to_owned())));
        }
        let data = envelope.data.map(|raw| bytes.slice_ref(raw.get().as_bytes())).unwrap_or_default();
        Ok(Answer { data, warnings: envelope.warnings })
    }

    /// What an answer that is no success says, and what to check.
    pub(super) async fn complaint(&self, path: &str, answer: Response) -> CallError {
        let status = answer.status();
        let bytes = self.collect(path, answer, COMPLAINT_MAX).await.unwrap_or_default();
        let said = serde_json::from_slice::<Envelope<'_>>(&bytes).ok().and_then(|envelope| envelope.msg);
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return CallError::Refused(said.unwrap_or_else(|| "it is larger than the service takes (413)".to_owned()));
        }
        let said = said.map(|text| format!(" ({text})")).unwrap_or_default();
        self.failed(path, format!("it answered {}{said}: {}", status.as_u16(), advice(status)))
    }

    pub(super) fn unreachable(&self, path: &str, error: reqwest::Error) -> CallError {
        let why = with_causes(&error.without_url());
        self.failed(path, format!("no whole answer ({why}): check that the service runs, and its host and port"))
    }

    /// An end of the command that names the place.
    pub(in crate::cli) fn failed(&self, path: &str, text: impl std::fmt::Display) -> CallError {
        CallError::Failed(format!("{}{path}: {text}", self.address))
    }
}

/// How long to wait before asking again, where the answer says so. A date in its place is not understood.
fn pause(answer: &Response) -> Option<Duration> {
    if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).max(PAUSE_MIN))
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => "check the scheme, and that it is the service itself and no redirection",
        401 | 403 => "check the key (SCHEDULE_KEY or --key-file), and user and password, http://user:password@host",
        404 | 405 => "check that a schedule service listens there, and the path before its own",
        503 => "it stays overloaded, is still loading or is going down; try again later",
        _ => "look into the log of that service",
    }
}
