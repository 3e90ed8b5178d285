use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One request that reached the target.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrival {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// A server that records every request.
///
/// `/status/418…` answers with that status, `/text…` with text, `/big…` with a large body, `/hang…` never, `/slow…` late,
/// `/to/302?…` redirects to what stands behind the question mark, `/flaky/2…` answers with 503 twice and then well, `/busy/2…` the
/// same with `Retry-After: 1`, all else with 200 and JSON.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    count: watch::Receiver<usize>,
}

impl Target {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let (counted, recorded) = (Arc::new(counted), arrivals.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, recorded) = (counted.clone(), recorded.clone());
                let service = service_fn(move |request| record(request, recorded.clone(), counted.clone()));
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, arrivals, count }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// How many requests have arrived.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// The requests whose path begins with `path`.
    pub(crate) fn arrivals_at(&self, path: &str) -> Vec<Arrival> {
        self.arrivals().into_iter().filter(|arrival| arrival.uri.path().starts_with(path)).collect()
    }

    /// Waits until `enough` holds of what has arrived.
    pub(crate) async fn wait_until(&self, enough: impl Fn(&[Arrival]) -> bool) -> Vec<Arrival> {
        let mut count = self.count.clone();
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !enough(&self.arrivals.lock().unwrap()) {
                count.changed().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("only {} requests arrived in a minute", self.count()));
        self.arrivals()
    }

    /// How often each run arrived, by its idempotency key.
    pub(crate) fn arrivals_by_run(&self) -> HashMap<String, usize> {
        let mut runs = HashMap::new();
        for arrival in self.arrivals() {
            *runs.entry(arrival.header("idempotency-key").to_owned()).or_default() += 1;
        }
        runs
    }
}

async fn record(
    request: Request<Incoming>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    counted: Arc<watch::Sender<usize>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().map(str::to_owned));
    let is_unwell = {
        let mut arrivals = arrivals.lock().unwrap();
        let is_unwell = is_unwell(&path, &arrivals);
        arrivals.push(Arrival { method: head.method, uri: head.uri, headers: head.headers, body });
        is_unwell
    };
    counted.send_modify(|count| *count += 1);
    if is_unwell {
        let busy = path.starts_with("/busy/").then_some(("retry-after", "1"));
        let reply =
            busy.into_iter().fold(Response::builder().status(503), |reply, (name, value)| reply.header(name, value));
        return Ok(reply.body(Full::new(Bytes::from_static(b"unwell"))).unwrap());
    }
    if let (Some(status), Some(location)) = (path.strip_prefix("/to/"), query) {
        let reply = Response::builder().status(status).header("location", location);
        return Ok(reply.body(Full::default()).unwrap());
    }
    Ok(answer(&path).await)
}

/// Whether a path that is well only after some requests is not yet.
fn is_unwell(path: &str, before: &[Arrival]) -> bool {
    let rest = path.strip_prefix("/flaky/").or_else(|| path.strip_prefix("/busy/"));
    let times = rest.and_then(|rest| rest.split('/').next()).and_then(|times| times.parse::<usize>().ok());
    times.is_some_and(|times| before.iter().filter(|arrival| arrival.uri.path() == path).count() < times)
}

async fn answer(path: &str) -> Response<Full<Bytes>> {
    if path.starts_with("/hang") {
        std::future::pending::<()>().await;
    }
    if path.starts_with("/slow") {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let status = path.strip_prefix("/status/").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(200);
    let body = if path.starts_with("/text") {
        Bytes::from_static(b"plain text")
    } else if path.starts_with("/null") {
        Bytes::from_static(b"null")
    } else if path.starts_with("/big") {
        Bytes::from("x".repeat(1024 * 1024))
    } else {
        Bytes::from_static(br#"{"ok":true}"#)
    };
    Response::builder().status(status).body(Full::new(body)).unwrap()
}
