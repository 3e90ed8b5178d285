//! An honest client, from an address of its own: it asks for the health and for a task, over new connections and over one that it
//! keeps, as long as the service is ill-treated.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::service::ADMIN_KEY;
use super::wire::{asked, connect, is_open};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const PAUSE: Duration = Duration::from_millis(200);
/// Then it gives up.
const PATIENCE: Duration = Duration::from_secs(10);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// How it was served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visits {
    pub(crate) served: usize,
    /// What was not answered, or not with 200.
    pub(crate) failed: Vec<String>,
    pub(crate) slowest: Duration,
}

/// It asks until it is dropped.
pub(crate) struct Visitor {
    visits: Arc<Mutex<Visits>>,
    asking: JoinHandle<()>,
}

impl Visitor {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let visits: Arc<Mutex<Visits>> = Arc::default();
        let asking = tokio::spawn(ask(address, visits.clone()));
        Self { visits, asking }
    }

    /// How it was served since it was asked for that last.
    pub(crate) fn visits(&self) -> Visits {
        std::mem::take(&mut self.visits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(address: SocketAddr, visits: Arc<Mutex<Visits>>) {
    let body = r#"{"identity":"steady-0000"}"#;
    let task = format!(
        "POST /get HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {ADMIN_KEY}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut kept = None;
    loop {
        for (what, request) in [("health", HEALTH), ("a task", &task)] {
            let begun = Instant::now();
            let answered = tokio::time::timeout(PATIENCE, answered(address, request, &mut kept)).await;
            let mut visits = visits.lock().unwrap_or_else(PoisonError::into_inner);
            visits.slowest = visits.slowest.max(begun.elapsed());
            match answered {
                Ok(Ok(())) => visits.served += 1,
                Ok(Err(why)) => visits.failed.push(format!("{what}: {why}")),
                Err(_) => visits.failed.push(format!("{what}: no answer within {} s", PATIENCE.as_secs())),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn answered(address: SocketAddr, request: &str, kept: &mut Option<TcpStream>) -> Result<(), String> {
    let mut stream = match kept.take().filter(is_open).filter(|_| request != HEALTH) {
        Some(stream) => stream,
        None => connect(address, ADDRESS).await.map_err(|error| format!("cannot connect ({error})"))?,
    };
    let came = asked(&mut stream, request.as_bytes(), PATIENCE).await.map_err(|error| error.to_string())?;
    if came.statuses() != [200] {
        return Err(format!("answered {:?}", String::from_utf8_lossy(&came.bytes[..came.bytes.len().min(200)])));
    }
    match request == HEALTH {
        true => drop(stream.shutdown().await),
        false => *kept = Some(stream),
    }
    Ok(())
}
