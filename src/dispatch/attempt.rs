//! Sending one request and taking in its answer.

use async_trait::async_trait;
use bytes::Bytes;
use log::warn;
use reqwest::{Certificate, redirect};

use super::{OutgoingRequest, Settings};
use crate::observe::with_causes;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as far as it is kept.
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub is_truncated: bool,
}

/// No answer came. The text says why, for the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);

/// The way out. Tests put a double in its place.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request once and waits for the end of its answer.
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError>;
}

/// Sends over HTTP/1.1 or HTTP/2 by one shared pool of connections.
pub struct HttpTransport {
    client: reqwest::Client,
    settings: Settings,
}

impl HttpTransport {
    /// Builds the pool. Nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        Ok(Self { client: build_client(|| builder(settings))?, settings: settings.clone() })
    }

    async fn send_whole(&self, request: OutgoingRequest) -> Result<Answer, reqwest::Error> {
        let mut answer = self
            .client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(Bytes::from(request.body))
            .send()
            .await?;
        let status = answer.status().as_u16();
        let (mut body, mut is_truncated) = (Vec::new(), false);
        while let Some(chunk) = answer.chunk().await? {
            let room = self.settings.response_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                is_truncated = true;
                break;
            }
        }
        Ok(Answer { status, body, is_truncated })
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

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        match tokio::time::timeout(self.settings.timeout, self.send_whole(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            // The URL stays out: it may carry a credential, and the record has it anyway.
            Ok(Err(error)) => Err(TransportError(with_causes(&error.without_url()))),
            Err(_) => Err(TransportError(format!("no whole answer within {} s", self.settings.timeout.as_secs_f64()))),
        }
    }
}
