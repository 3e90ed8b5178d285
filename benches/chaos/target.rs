//! The recording target: a process of its own in its namespace. It answers at once, and notes each request.

use std::convert::Infallible;
use std::net::IpAddr;
use std::process::Stdio;
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
use tokio::process::Child;

use super::net::{Net, address};
use super::shell::until;

/// The last part of its address.
const HOST: u8 = 31;
const PORT: u16 = 8080;
/// Of one answer to the harness.
const LINES_MAX: usize = 100_000;

type Notes = Arc<Mutex<Vec<String>>>;

/// Serves until it is killed.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
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

/// The target's process, and what was read from it so far.
pub(crate) struct Target {
    // Held: it ends with this.
    _child: Child,
    client: reqwest::Client,
    read: usize,
}

impl Target {
    pub(crate) async fn start(net: &mut Net) -> Result<Self> {
        net.add(&[HOST]).await?;
        let mut command = net.command(HOST, std::env::current_exe()?)?;
        let child = command.arg("target").stdin(Stdio::null()).kill_on_drop(true).spawn().context("the target")?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let mut target = Self { _child: child, client, read: 0 };
        let is_there = async || target.read_notes().await.is_ok();
        until("the target answers", Duration::from_secs(10), is_there).await?;
        Ok(target)
    }

    pub(crate) fn base() -> String {
        format!("http://{}:{PORT}", address(HOST))
    }

    /// What came since it was asked last.
    pub(crate) async fn read_notes(&mut self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        loop {
            let url = format!("{}/notes/{}", Self::base(), self.read);
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
