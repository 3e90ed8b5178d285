//! The hosts of a cluster: which one a request goes to, and which ones are given up for a while.
//!
//! The client picks hosts blindly, so each host gets a client of its own, and the choice is made here. A host that does not
//! answer is given up, and what is under way there goes to another one. It is asked again each second until it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use elasticsearch::auth;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{
    CloudConnectionPool, ConnectionPool, SingleNodeConnectionPool, Transport, TransportBuilder,
};
use elasticsearch::http::{Method, StatusCode};
use log::{info, warn};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use super::exchange::{Answer, Away, Failure, FailureKind, Request};
use super::problem;
use super::settings::{Address, Credentials, Settings};
use crate::store::StoreError;

/// How often each host is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A host that does not answer such a question for this long is given up.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The hosts.
pub(super) struct Hosts {
    hosts: Arc<[Host]>,
    turn: AtomicUsize,
    probing: JoinHandle<()>,
}

struct Host {
    url: Url,
    transport: Transport,
    /// `None` while it answers, else why it was given up.
    problem: watch::Sender<Option<Arc<str>>>,
}

impl Hosts {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let urls = match &settings.address {
            Address::Hosts(urls) => urls.clone(),
            Address::CloudId(id) => vec![cloud_url(id)?],
        };
        let hosts: Result<Vec<Host>, StoreError> = urls.into_iter().map(|url| Host::new(url, settings)).collect();
        let hosts: Arc<[Host]> = hosts?.into();
        let probing = tokio::spawn(probe(hosts.clone()));
        Ok(Self { hosts, turn: AtomicUsize::new(0), probing })
    }

    /// Sends a request to a host that answers. Each host that does not costs one more try.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Away> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = None;
        for step in 0..self.hosts.len() {
            let host = &self.hosts[first.wrapping_add(step) % self.hosts.len()];
            if host.problem.borrow().is_some() {
                continue;
            }
            match host.send(request).await {
                // It answers, but has no cluster: another one may.
                Ok(answer) if is_gateway_problem(answer.status) => last = Some(Ok(answer)),
                Ok(answer) => return Ok(Answer { is_second_try: answer.is_second_try || last.is_some(), ..answer }),
                // Another host would take as long.
                Err(Failure { kind: FailureKind::TooLong, why }) => return Err(Away(why)),
                Err(failure) => last = Some(Err(Away(failure.why))),
            }
        }
        last.unwrap_or_else(|| Err(self.away()))
    }

    /// Why no host is left.
    fn away(&self) -> Away {
        let problems: Vec<String> = self.hosts.iter().filter_map(Host::told).collect();
        Away(problems.join("; ").into())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.probing.abort();
    }
}

fn is_gateway_problem(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn cloud_url(id: &str) -> Result<Url, StoreError> {
    let pool = CloudConnectionPool::new(id)
        .map_err(|error| StoreError::Refused(format!("[elasticsearch] cloud_id cannot be read: {error}")))?;
    Ok(Url::clone(&pool.next().url()))
}

impl Host {
    fn new(url: Url, settings: &Settings) -> Result<Self, StoreError> {
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url.clone()))
            .timeout(settings.timeout)
            .disable_proxy()
            .request_body_compression(settings.compression);
        if !settings.compression {
            builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        builder = match &settings.credentials {
            Credentials::None => builder,
            Credentials::Basic(user, password) => {
                builder.auth(auth::Credentials::Basic(user.clone(), password.clone()))
            }
            Credentials::ApiKey(key) => builder.auth(auth::Credentials::EncodedApiKey(key.clone())),
        };
        if let Some(file) = &settings.ca_file {
            let refused =
                |why: String| StoreError::Refused(format!("[elasticsearch] ca_file {}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
            let no_certificate = || refused("holds no certificate, expected PEM".to_owned());
            let certificates = Certificate::from_pem(&pem).map_err(|_| no_certificate())?;
            if certificates.is_empty() {
                return Err(no_certificate());
            }
            builder = builder.cert_validation(CertificateValidation::Full(certificates));
        }
        let transport = builder.build().map_err(|error| StoreError::Refused(format!("[elasticsearch]: {error}")))?;
        Ok(Self { url, transport, problem: watch::Sender::new(None) })
    }

    /// Sends, until the host is given up.
    async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let mut problem = self.problem.subscribe();
        tokio::select! {
            sent = self.send_twice(request) => sent.inspect_err(|failure| {
                // A host that takes long for one request may be well: whether it is, the probe finds out.
                if failure.kind != FailureKind::TooLong {
                    self.give_up(&failure.why);
                }
            }),
            Ok(why) = problem.wait_for(Option::is_some) => {
                Err(Failure { kind: FailureKind::Unreachable, why: why.clone().unwrap_or_default() })
            }
        }
    }

    /// A connection that was kept may have been closed by the other side: that says nothing about the host.
    async fn send_twice(&self, request: &Request) -> Result<Answer, Failure> {
        match self.try_send(request, None).await {
            Err(Failure { kind: FailureKind::BrokenConnection, .. }) => {
                let second = self.try_send(request, None).await;
                second.map(|answer| Answer { is_second_try: true, ..answer })
            }
            first => first,
        }
    }

    async fn try_send(&self, request: &Request, timeout: Option<Duration>) -> Result<Answer, Failure> {
        let Request { method, path, body, is_bulk } = request;
        let mut headers = HeaderMap::new();
        if body.is_some() {
            let kind = if *is_bulk { "application/x-ndjson" } else { "application/json" };
            headers.insert("content-type", HeaderValue::from_static(kind));
        }
        let sent = self.transport.send(*method, path, headers, None::<&()>, body.clone(), timeout).await;
        let failed = |error| Failure {
            kind: problem::kind_of_connection(&error),
            why: problem::of_connection(&self.url, &error).into(),
        };
        let response = sent.map_err(failed)?;
        let status = response.status_code();
        let is_elastic = response.headers().contains_key("x-elastic-product");
        let body = response.bytes().await.map_err(failed)?;
        Ok(Answer { status, is_elastic, is_second_try: false, body })
    }

    fn give_up(&self, why: &Arc<str>) {
        let is_new = self.problem.send_if_modified(|problem| problem.replace(why.clone()).is_none());
        if is_new {
            warn!(host:% = self.url; "an Elasticsearch host is given up until it answers: {why}");
        }
    }

    fn take_back(&self) {
        if self.problem.send_if_modified(|problem| problem.take().is_some()) {
            info!(host:% = self.url; "an Elasticsearch host answers again");
        }
    }

    fn told(&self) -> Option<String> {
        self.problem.borrow().as_ref().map(ToString::to_string)
    }
}

/// Asks each host whether it is there, for as long as the hosts are used.
async fn probe(hosts: Arc<[Host]>) {
    let question = Request { method: Method::Head, path: "/".to_owned(), body: None, is_bulk: false };
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let asked = hosts.iter().map(|host| async {
            // Any answer will do: what it says is for those who asked for something.
            match tokio::time::timeout(PROBE_TIMEOUT, host.try_send(&question, Some(PROBE_TIMEOUT))).await {
                Ok(Ok(_)) => host.take_back(),
                Ok(Err(failure)) => host.give_up(&failure.why),
                Err(_) => host.give_up(&problem::no_answer(&host.url, PROBE_TIMEOUT).into()),
            }
        });
        futures_util::future::join_all(asked).await;
    }
}
