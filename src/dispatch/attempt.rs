//! Sending one request and taking in its answer.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::HeaderMap;
use log::warn;
use reqwest::{Certificate, redirect};

use super::guard::{Guard, Lookup, SystemLookup};
use super::{OutgoingRequest, Settings};
use crate::model::Refusal;
use crate::observe::with_causes;

/// The body of an answer, as it comes in.
pub type AnswerBody = BoxStream<'static, Result<Bytes, TransportError>>;

/// What came back. Its body may still be coming.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
}

impl Answer {
    /// An answer without headers whose body is there already.
    pub fn whole(status: u16, body: impl Into<Bytes>) -> Self {
        let body = Box::pin(stream::iter([Ok(body.into())]));
        Self { status, headers: HeaderMap::new(), body }
    }
}

/// No answer came. The text says why, for the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The target could not be reached, or the connection broke. The next attempt may do better.
    #[error("{0}")]
    Broken(String),
    /// It may not be sent, or its redirect not be followed. No further attempt is of use.
    #[error("{0}")]
    Refused(String),
}

impl From<Refusal> for TransportError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(format!("refused: {refusal}"))
    }
}

/// The way out. Tests put a double in its place.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request once and waits for the head of its answer, however long that takes.
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError>;
}

/// Sends over HTTP/1.1 or HTTP/2 by one shared pool of connections, which lead nowhere but where requests may go.
pub struct HttpTransport {
    client: reqwest::Client,
    guard: Arc<Guard>,
}

impl HttpTransport {
    /// Builds the pool. Nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        Self::with_lookup(settings, Arc::new(SystemLookup))
    }

    /// The same, with another way to find the addresses of hosts.
    pub fn with_lookup(settings: &Settings, lookup: Arc<dyn Lookup>) -> Result<Self, reqwest::Error> {
        let guard = Arc::new(Guard::new(settings.targets.clone(), lookup));
        Ok(Self { client: build_client(|| builder(settings).dns_resolver(guard.clone()))?, guard })
    }
}

fn builder(settings: &Settings) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .connect_timeout(settings.connect_timeout)
        .pool_max_idle_per_host(settings.in_flight_per_host_max)
        // The mirrored service writes `Content-Type`, not `content-type`: old targets may compare letters.
        .http1_title_case_headers()
        .tcp_nodelay(true)
        .referer(false)
        // A proxy of the environment would resolve hosts by itself, and nobody would judge them.
        .no_proxy()
        // What came is kept as it came: a few packed bytes can stand for gigabytes.
        .no_gzip()
        // Followed by ourselves (`redirects.rs`): each place is judged, and credentials stay where they belong.
        .redirect(redirect::Policy::none())
        // A retry is a policy of the entry, never a habit of the client.
        .retry(reqwest::retry::never())
}

/// Builds a client with the certificates of the system, or with those built in.
pub fn build_client(builder: impl Fn() -> reqwest::ClientBuilder) -> Result<reqwest::Client, reqwest::Error> {
    builder().build().or_else(|error| {
        // A small container often has no certificates: targets over http must be reached from it all the same.
        warn!("the certificates of the system cannot be used, those built in are: {}", with_causes(&error));
        builder().tls_certs_only(built_in_certificates()).build()
    })
}

/// Mozilla's list, as it was when the program was built.
fn built_in_certificates() -> impl Iterator<Item = Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok())
}

/// The URL stays out: it may carry a credential, and the record has it anyway.
fn told(error: reqwest::Error) -> TransportError {
    match refusal_in(&error) {
        Some(refusal) => refusal.clone().into(),
        None => TransportError::Broken(with_causes(&error.without_url())),
    }
}

/// The refusal of our resolver, if that is why the client could not connect.
fn refusal_in(error: &reqwest::Error) -> Option<&Refusal> {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    causes.find_map(|cause| cause.downcast_ref::<Refusal>())
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let OutgoingRequest { method, url, headers, body } = request;
        let sent = self.client.request(method, url.clone()).headers(headers).body(Bytes::from(body)).send();
        let mut answer = self.guard.send(&url, sent).await?.map_err(told)?;
        let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
        let body = answer.bytes_stream().map(|chunk| chunk.map_err(told));
        Ok(Answer { status, headers, body: Box::pin(body) })
    }
}
