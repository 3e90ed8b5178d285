use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Arrival;

/// What a played service answers.
pub(crate) enum Reply {
    /// 200 with this envelope.
    Says(Value),
    /// 200 with this text.
    Text(String),
    /// 200 with this text and more to come, but the connection ends.
    BreaksOff(String),
    /// Another status, and when to come again.
    Status(u16, Option<u32>),
    /// 200 with a body that is announced with so many bytes and never comes.
    Announces(u64),
}

/// A service that is played by a function, and what it was asked.
pub(crate) struct Double {
    pub(crate) base: String,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Double {
    pub(crate) async fn start(play: impl Fn(&Arrival) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let (recorded, play) = (arrivals.clone(), Arc::new(play));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (recorded, play) = (recorded.clone(), play.clone());
                let service = service_fn(move |request| answer(request, recorded.clone(), play.clone()));
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { base, arrivals }
    }

    /// The mirrored service, as far as it is read: with these tasks, and those that `/all` names beyond them.
    pub(crate) async fn mirrored(tasks: Vec<Value>, only_named: &[&str]) -> Self {
        let mut named: Vec<String> = tasks.iter().map(|task| task["identity"].as_str().unwrap().to_owned()).collect();
        named.extend(only_named.iter().map(|&identity| identity.to_owned()));
        Self::start(move |arrival| play_mirrored(arrival, &tasks, &named)).await
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.arrivals().iter().map(|arrival| arrival.uri.path().to_owned()).collect()
    }
}

/// `/all` and `/lists` as they were recorded. The zero dates and `start: true` stand in the tasks.
pub(crate) fn play_mirrored(arrival: &Arrival, tasks: &[Value], named: &[String]) -> Reply {
    match (arrival.method.as_str(), arrival.uri.path()) {
        ("POST", "/all") if named.is_empty() => Reply::Says(json!({ "data": null, "error": 0 })),
        ("POST", "/all") => Reply::Says(json!({ "data": named, "error": 0 })),
        ("POST", "/lists") => {
            let asked = arrival.json()["identity"].as_array().unwrap().clone();
            let find = |identity: &Value| tasks.iter().find(|task| task["identity"] == *identity).cloned();
            Reply::Says(json!({ "data": asked.iter().filter_map(find).collect::<Vec<_>>(), "error": 0 }))
        }
        _ => Reply::Status(404, None),
    }
}

async fn answer(
    request: Request<Incoming>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    play: Arc<impl Fn(&Arrival) -> Reply>,
) -> Result<Response<BoxBody<Bytes, std::io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let arrival = Arrival { method: head.method, uri: head.uri, headers: head.headers, body };
    let reply = play(&arrival);
    arrivals.lock().unwrap().push(arrival);
    let response = Response::builder();
    Ok(match reply {
        Reply::Says(envelope) => response.body(whole(envelope.to_string())),
        Reply::Text(text) => response.body(whole(text)),
        Reply::BreaksOff(text) => {
            let chunks = [Ok(Frame::data(Bytes::from(text))), Err(std::io::Error::other("played"))];
            response.body(BodyExt::boxed(StreamBody::new(stream::iter(chunks))))
        }
        Reply::Status(status, again) => {
            let response = again.into_iter().fold(response, |response, again| response.header("retry-after", again));
            response.status(StatusCode::from_u16(status).unwrap()).body(whole(String::new()))
        }
        Reply::Announces(length) => {
            let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
            response.header("content-length", length).body(BodyExt::boxed(never))
        }
    }
    .unwrap())
}

fn whole(text: String) -> BoxBody<Bytes, std::io::Error> {
    Full::from(text).map_err(|never| match never {}).boxed()
}
