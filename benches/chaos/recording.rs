//! What a target notes of the requests that come to it, and how that is read from it. It answers at once.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use schedule_service::clock::{Clock, SystemClock};
use tokio::net::TcpListener;

/// Of one answer to the harness.
const LINES_MAX: usize = 100_000;

type Notes = Arc<Mutex<Vec<String>>>;

/// Takes in and notes what comes, for ever.
pub(crate) async fn serve(listener: TcpListener) {
    let notes = Notes::default();
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let notes = notes.clone();
        let service = service_fn(move |request| answer(request, from.ip(), notes.clone()));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, from: IpAddr, notes: Notes) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = now();
    let body = match request.uri().path().strip_prefix("/notes/") {
        Some(first) => {
            let notes = notes.lock().expect("no panic");
            let first = first.parse().unwrap_or(0).min(notes.len());
            notes[first..notes.len().min(first + LINES_MAX)].join("\n")
        }
        None => {
            let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
            let line = format!(
                "{at}\t{from}\t{}\t{}\t{}\t{}",
                header("x-schedule-identity"),
                header("x-schedule-fire-time"),
                header("idempotency-key"),
                header("x-schedule-attempt"),
            );
            notes.lock().expect("no panic").push(line);
            String::new()
        }
    };
    Ok(Response::new(Full::new(Bytes::from(body))))
}

/// The machine's time in milliseconds.
pub(crate) fn now() -> i64 {
    SystemClock.now().millis()
}

/// One request as it was noted.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) at: i64,
    pub(crate) from: String,
    pub(crate) identity: String,
    pub(crate) instant: i64,
    pub(crate) run: String,
}

/// What was read from a target so far.
pub(crate) struct Reader {
    base: String,
    client: reqwest::Client,
    read: usize,
}

impl Reader {
    /// Of the target at this address.
    pub(crate) fn new(base: String) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { base, client, read: 0 })
    }

    /// What came since it was asked last.
    pub(crate) async fn read_notes(&mut self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        loop {
            let url = format!("{}/notes/{}", self.base, self.read);
            let text = self.client.get(url).send().await?.text().await?;
            let lines = text.lines().count();
            self.read += lines;
            for line in text.lines() {
                notes.push(note(line).with_context(|| format!("the target noted `{line}`"))?);
            }
            if lines < LINES_MAX {
                return Ok(notes);
            }
        }
    }
}

fn note(line: &str) -> Option<Note> {
    let [at, from, identity, instant, run, _attempt] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let instant = chrono::DateTime::parse_from_rfc3339(instant).ok()?.timestamp_millis();
    let (from, identity, run) = (from.to_owned(), identity.to_owned(), run.to_owned());
    Some(Note { at: at.parse().ok()?, from, identity, instant, run })
}
