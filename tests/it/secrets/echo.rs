//! A target that notes each byte that comes, and sends all of it back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How often a request to `/plain…` is sent back, so that the answer is long.
const TIMES: usize = 3_000;

pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, arrived) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (counted, count) = watch::channel(0);
        let (noted, counted) = (arrived.clone(), Arc::new(counted));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, counted) = (noted.clone(), counted.clone());
                tokio::spawn(async move {
                    if let Some(request) = answer(stream).await {
                        noted.lock().unwrap().push(request);
                        counted.send_modify(|count| *count += 1);
                    }
                });
            }
        });
        Self { address, arrived, count }
    }

    /// Waits until so many requests have come.
    pub(crate) async fn wait_for(&self, wanted: usize) {
        let mut count = self.count.clone();
        let waited = tokio::time::timeout(Duration::from_secs(60), count.wait_for(|count| *count >= wanted));
        waited.await.expect("all come within a minute").unwrap();
    }

    /// The request that begins with this line.
    pub(crate) fn arrived(&self, line: &str) -> String {
        let arrived = self.arrived.lock().unwrap();
        let found = arrived.iter().find(|request| request.starts_with(line));
        found.unwrap_or_else(|| panic!("no {line:?} among {arrived:#?}")).clone()
    }
}

/// Takes one request in and sends it back.
async fn answer(mut stream: TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let whole = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break text;
        }
    };
    let times = if whole.starts_with("POST /plain") { TIMES } else { 1 };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", whole.len() * times);
    stream.write_all(head.as_bytes()).await.ok()?;
    for _ in 0..times {
        stream.write_all(whole.as_bytes()).await.ok()?;
    }
    stream.shutdown().await.ok()?;
    Some(whole)
}
