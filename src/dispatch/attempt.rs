//! Sending one request and taking in its answer.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::HeaderMap;
use log::warn;
use reqwest::{Certificate, redirect};

use super::{OutgoingRequest, Settings};
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
#[error("{0}")]
pub struct TransportError(pub String);

/// The way out. Tests put a double in its place.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request once and waits for the head of its answer, however long that takes.
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError>;
}

/// Sends over HTTP/1.1 or HTTP/2 by one shared pool of connections.
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// Builds the pool. Nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: build_client(|| builder(settings))? })
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
    TransportError(with_causes(&error.without_url()))
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let OutgoingRequest { method, url, headers, body } = request;
        let sent = self.client.request(method, url).headers(headers).body(Bytes::from(body)).send();
        let mut answer = sent.await.map_err(told)?;
        let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
        let body = answer.bytes_stream().map(|chunk| chunk.map_err(told));
        Ok(Answer { status, headers, body: Box::pin(body) })
    }
}
