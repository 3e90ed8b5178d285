//! Slow clients: a third sends heads, a third bodies, byte by byte; a third asks for long answers and takes nothing of them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::fuzz::PREFIX;
use crate::stage::{Seen, Stage};
use crate::wire::{address_of, asked, connect};

const NETWORK: u8 = 20;
/// Each address has so many of the connections.
const PER_ADDRESS: usize = 50;
const BYTE_EACH: Duration = Duration::from_millis(500);
/// Beyond what the service is patient, as it is busy.
const SLACK: Duration = Duration::from_secs(10);
/// Of each long task: its answer is about as long.
const LONG: usize = 600_000;
/// How many answers are asked for at once over a connection: more than the system holds back for one who reads nothing.
const PIPELINED: usize = 16;

/// How a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Head,
    Body,
    Answer,
    Export,
}

const KINDS: [Kind; 6] = [Kind::Head, Kind::Body, Kind::Answer, Kind::Head, Kind::Body, Kind::Export];

pub(super) async fn play(stage: &Stage) -> Seen {
    let mut seen = Seen::default();
    if let Err(why) = put_long(stage).await {
        seen.broken.push(why);
        return seen;
    }
    let mut clients = JoinSet::new();
    for number in 0..stage.size.slow {
        let (stage, kind) = (stage.clone(), KINDS[number % KINDS.len()]);
        clients.spawn(async move { (kind, client(&stage, kind, number).await) });
    }
    let (mut dropped, mut slowest) = (0, Duration::ZERO);
    while let Some(Ok((kind, ended))) = clients.join_next().await {
        match ended {
            Ok(after) => {
                dropped += 1;
                slowest = slowest.max(after);
            }
            Err(why) if seen.broken.len() < 5 => seen.broken.push(format!("{kind:?}: {why}")),
            Err(_) => {}
        }
    }
    seen.what =
        format!("{} clients, {dropped} dropped, the last after {:.0} s", stage.size.slow, slowest.as_secs_f64());
    seen
}

/// After which time the service has ended the connection.
async fn client(stage: &Stage, kind: Kind, number: usize) -> Result<Duration, String> {
    let begun = Instant::now();
    let mut stream = connect(stage.address, address_of(NETWORK, number / PER_ADDRESS))
        .await
        .map_err(|error| format!("cannot connect ({error})"))?;
    let patient_for = stage.size.patience + SLACK;
    match timeout(patient_for, ended(&mut stream, stage, kind)).await {
        Ok(()) => Ok(begun.elapsed()),
        Err(_) => Err(format!("not dropped within {} s", patient_for.as_secs())),
    }
}

/// Returns when the service has ended the connection.
async fn ended(stream: &mut TcpStream, stage: &Stage, kind: Kind) {
    let key = &stage.key;
    match kind {
        Kind::Head => drip(stream, b"", b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await,
        Kind::Body => {
            let head =
                format!("POST /put HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\nContent-Length: 100000\r\n\r\n");
            drip(stream, head.as_bytes(), b"{\"identity\":\"").await;
        }
        Kind::Answer => {
            let body = format!(r#"{{"identity":"{PREFIX}-long"}}"#);
            let head = "POST /get HTTP/1.1\r\nHost: localhost\r\n";
            let length = body.len();
            let request = format!("{head}X-Api-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}").repeat(PIPELINED);
            take_nothing(stream, request.as_bytes()).await;
        }
        Kind::Export => {
            let request = format!("GET /export HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\n\r\n");
            take_nothing(stream, request.repeat(PIPELINED).as_bytes()).await;
        }
    }
}

/// Sends something, then one byte after the other.
async fn drip(stream: &mut TcpStream, first: &[u8], then: &[u8]) {
    if stream.write_all(first).await.is_err() {
        return;
    }
    let (mut reading, mut writing) = stream.split();
    let send = async {
        for byte in then.iter().chain(std::iter::repeat(&b'x')) {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(BYTE_EACH).await;
        }
    };
    let read = async { while let Ok(1..) = reading.read(&mut [0; 1_024]).await {} };
    tokio::select! { () = send => {}, () = read => {} }
}

/// Reads nothing, so the end of the connection is seen by what can no longer be written.
async fn take_nothing(stream: &mut TcpStream, request: &[u8]) {
    if stream.write_all(request).await.is_err() {
        return;
    }
    while stream.write_all(b"\r\n").await.is_ok() {
        sleep(BYTE_EACH).await;
    }
}

async fn put_long(stage: &Stage) -> Result<(), String> {
    let entry = format!(r#"{{"cron_time":"0 0 0 1 1 *","url":"http://127.0.0.1:9/","body":"{}"}}"#, "x".repeat(LONG));
    let body = format!(r#"{{"identity":"{PREFIX}-long","time_zone":"UTC","start":true,"entries":{{"e":{entry}}}}}"#);
    let head = format!("POST /put HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {}\r\n", stage.key);
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let answered = async {
        let mut stream = connect(stage.address, address_of(NETWORK, 60_000)).await?;
        asked(&mut stream, request.as_bytes(), SLACK).await
    };
    let came = answered.await.map_err(|error| format!("a long task cannot be put ({error})"))?;
    match came.statuses() == [200] && came.bytes.windows(9).any(|part| part == b"\"error\":0") {
        true => Ok(()),
        false => Err(format!("a long task is answered {}", String::from_utf8_lossy(&came.bytes))),
    }
}
