use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use schedule_service::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::signer::Signer;

/// An issuer of tokens on this machine: it tells of itself, and publishes keys.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    keys: Vec<Value>,
    asked: usize,
    redirects_to: Option<String>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// Where another one was before.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let served = state.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = served.clone();
                let service = service_fn(move |request| answer(request, address, state.clone()));
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state, serving }
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        format!("http://{}/ours", self.address)
    }

    /// From now on it publishes these keys and no others.
    pub(crate) fn publish(&self, signers: &[(&str, &Signer)]) {
        self.state.lock().unwrap().keys = signers.iter().map(|(id, signer)| signer.public(id)).collect();
    }

    /// From now on its keys are said to be elsewhere.
    pub(crate) fn redirect_to(&self, url: &str) {
        self.state.lock().unwrap().redirects_to = Some(url.to_owned());
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// Nobody is there any more; the address is free.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.serving.abort();
        let _ = self.serving.await;
        self.address
    }

    /// The claims of a token of this issuer for the service, for the next ten minutes; with more of them, or others.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let now = SystemClock.now().secs();
        let mut claims =
            json!({ "iss": self.name(), "aud": ["schedule", "other"], "sub": "ann", "exp": now + 600, "iat": now });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut state = state.lock().unwrap();
    let (status, body, to): (u16, Value, Option<String>) = match request.uri().path() {
        "/ours/.well-known/openid-configuration" => (
            200,
            json!({ "issuer": format!("http://{address}/ours"), "jwks_uri": format!("http://{address}/keys") }),
            None,
        ),
        "/keys" => {
            state.asked += 1;
            let status = if state.redirects_to.is_some() { 302 } else { 200 };
            (status, json!({ "keys": state.keys }), state.redirects_to.clone())
        }
        _ => (404, Value::Null, None),
    };
    // Kept open, it would answer on when the issuer has gone.
    let mut answer = Response::builder().status(status).header("connection", "close");
    if let Some(to) = to {
        answer = answer.header("location", to);
    }
    Ok(answer.body(Full::new(body.to_string().into())).unwrap())
}
