//! Answers that are made to hurt: each has its bound.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Method};
use schedule_service::clock::{Clock, SystemClock};
use schedule_service::config::NodeSettings;
use schedule_service::dispatch::{HttpTransport, OutgoingRequest, Settings, Transport, TransportError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::{BoxedNode, client, post_ok, targets};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the system may hold of a stream that nobody reads any more, with room to spare.
const BUFFERED_MAX: u64 = 64 * 1024 * 1024;

/// A server that writes `first`, then `rest` again and again with a pause, until its client has gone.
struct Raw {
    address: SocketAddr,
    /// How many bytes each connection took until then, and the head of its request.
    gone: mpsc::UnboundedReceiver<(u64, String)>,
}

impl Raw {
    async fn start(first: Vec<u8>, rest: Vec<u8>, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (went, gone)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
        let (first, rest): (Arc<[u8]>, Arc<[u8]>) = (first.into(), rest.into());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (first, rest, went) = (first.clone(), rest.clone(), went.clone());
                tokio::spawn(async move {
                    // The test may be over.
                    let _ = went.send(write_until_gone(stream, &first, &rest, pause).await);
                });
            }
        });
        Self { address, gone }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until a client has gone.
    async fn gone(&mut self) -> (u64, String) {
        tokio::time::timeout(PATIENCE, self.gone.recv()).await.expect("the connection is dropped").unwrap()
    }
}

async fn write_until_gone(mut stream: TcpStream, first: &[u8], rest: &[u8], pause: Duration) -> (u64, String) {
    let mut head = vec![0; 8192];
    let len = stream.read(&mut head).await.unwrap_or_default();
    let head = String::from_utf8_lossy(&head[..len]).into_owned();
    let mut written = 0;
    if stream.write_all(first).await.is_err() {
        return (written, head);
    }
    written += first.len() as u64;
    if rest.is_empty() {
        // Nothing more: waits for the end of the other side.
        let _ = stream.read(&mut [0; 1]).await;
        return (written, head);
    }
    while stream.write_all(rest).await.is_ok() {
        written += rest.len() as u64;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    (written, head)
}

/// What comes of a request without our limits of time.
async fn sent(url: &str) -> Result<u16, TransportError> {
    drop(client());
    let settings = Settings { targets: targets("loopback", ""), ..Settings::default() };
    let transport = HttpTransport::new(&settings).unwrap();
    let request =
        OutgoingRequest { method: Method::GET, url: url.parse().unwrap(), headers: HeaderMap::new(), body: Vec::new() };
    let answer = tokio::time::timeout(PATIENCE, transport.send(request)).await.expect("it ends by itself");
    answer.map(|answer| answer.status)
}

#[tokio::test]
async fn ten_thousand_headers_are_an_error() {
    let headers: String = (0..10_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let first = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n").into_bytes();
    let mut server = Raw::start(first, Vec::new(), Duration::ZERO).await;

    let answer = sent(&server.url()).await;

    assert!(matches!(answer, Err(TransportError::Broken(_))), "{answer:?}");
    server.gone().await;
}

#[tokio::test]
async fn a_header_without_an_end_is_an_error_and_the_connection_is_dropped() {
    let beginnings = [&b"HTTP/1.1 200 OK\r\nx: "[..], b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n"];
    for (first, rest) in
        beginnings.into_iter().zip([vec![b'a'; 16 * 1024], vec![b'a'; 16 * 1024], b"x: y\r\n".repeat(999)])
    {
        let mut server = Raw::start(first.to_vec(), rest, Duration::ZERO).await;

        let answer = sent(&server.url()).await;

        assert!(matches!(answer, Err(TransportError::Broken(_))), "{answer:?}");
        let (written, _) = server.gone().await;
        assert!(written < BUFFERED_MAX, "{written} bytes were taken");
    }
}

async fn fired(node: &BoxedNode, identity: &str, url: &str, timeout: &str) -> Value {
    let at = SystemClock.now().plus(Duration::from_millis(300)).to_string();
    let entry = json!({ "at": at, "url": url, "timeout": timeout });
    let body = json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&node.base, "/put", body.to_string()).await;
    let search = json!({ "identity": [identity], "type": ["success", "error"] }).to_string();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = post_ok(&node.base, "/logs/search", search.clone()).await;
            if let Some(found) = answer["data"]["logs"].get(0) {
                return found["log"].clone();
            }
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the run ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_drips_ends_at_the_timeout_and_its_connection_is_dropped() {
    let node = BoxedNode::start().await;
    let pause = Duration::from_millis(20);
    let head = &b"HTTP/1.1 200 OK\r\n\r\n"[..];
    for (identity, first, rest, pause) in [
        ("body", head, &b"x"[..], pause),
        ("head", b"HTTP/1.1 200 OK\r\nx: ", b"a", pause),
        ("interim", b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause),
    ] {
        let mut server = Raw::start(first.to_vec(), rest.to_vec(), pause).await;

        let record = fired(&node, identity, &server.url(), "500ms").await;

        assert_eq!(record["message"], json!(["no whole answer within 0.5 s"]), "{identity}");
        server.gone().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_an_end_is_cut_and_its_connection_is_dropped() {
    const MIB: u64 = 1024 * 1024;
    let small = |settings: &mut NodeSettings| settings.dispatch.result_max = MIB;
    let node = BoxedNode::start_with(small).await;
    let first = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n".to_vec();
    let mut server = Raw::start(first, vec![b'x'; 64 * 1024], Duration::ZERO).await;

    let record = fired(&node, "endless", &server.url(), "30s").await;

    assert_eq!((&record["type"], &record["status"]), (&"success".into(), &200.into()));
    assert_eq!((&record["result_size"], &record["result_truncated"]), (&MIB.into(), &true.into()));
    let (written, _) = server.gone().await;
    assert!(written < BUFFERED_MAX, "{written} bytes were taken");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_answer_is_kept_as_it_came() {
    let node = BoxedNode::start().await;
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        packer.write_all(&vec![0; 1024 * 1024]).unwrap();
    }
    let packed = packer.finish().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let mut server = Raw::start([head.as_bytes(), &packed].concat(), Vec::new(), Duration::ZERO).await;

    let record = fired(&node, "bomb", &server.url(), "30s").await;

    assert_eq!((&record["type"], &record["result_size"]), (&"success".into(), &packed.len().into()));
    assert_eq!(record["attempts"][0]["bytes"], packed.len());
    // The pool holds its connection until the node ends.
    node.stop().await;
    let (_, request) = server.gone().await;
    assert!(!request.to_ascii_lowercase().contains("accept-encoding"), "nobody asks for it: {request}");
}
