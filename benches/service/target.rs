//! The recording target: answers at once, and notes how late each request came. Below `/wait` it answers after ten seconds, and
//! counts who waits; what comes below `/beside` is only answered.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Default)]
struct Notes {
    lateness_us: Vec<i64>,
    runs: HashSet<String>,
    waiting: usize,
}

/// Serves until its standard input ends, which it does with the process that started it.
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let notes: Arc<Mutex<Notes>> = Arc::default();
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let notes = notes.clone();
            let service = service_fn(move |request| answer(request, notes.clone()));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    tokio::select! { () = accept => {}, _ = ended => {} }
}

#[expect(clippy::disallowed_methods, reason = "it measures from outside")]
pub(crate) fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros()).expect("before 290000")
}

async fn answer(request: Request<Incoming>, notes: Arc<Mutex<Notes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let arrived_us = now_us();
    if request.uri().path().starts_with("/wait") {
        notes.lock().expect("no panic").waiting += 1;
        tokio::time::sleep(Duration::from_secs(10)).await;
        notes.lock().expect("no panic").waiting -= 1;
        return Ok(Response::new(Full::default()));
    }
    let body = match request.uri().path() {
        "/report" => report(&mut notes.lock().expect("no panic")),
        path if path.starts_with("/beside") => String::new(),
        _ => {
            let header =
                |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let planned = chrono::DateTime::parse_from_rfc3339(header("x-schedule-fire-time"));
            let planned_us = planned.map(|date| date.timestamp_micros()).unwrap_or(arrived_us);
            // A run on demand brings the moment at which it was asked for.
            let planned_us = header("x-schedule-args").parse().unwrap_or(planned_us);
            let mut notes = notes.lock().expect("no panic");
            notes.lateness_us.push(arrived_us - planned_us);
            notes.runs.insert(header("idempotency-key").to_owned());
            String::new()
        }
    };
    Ok(Response::new(Full::new(Bytes::from(body))))
}

/// What came since the last report.
fn report(notes: &mut Notes) -> String {
    let (mut lateness_us, runs) = (std::mem::take(&mut notes.lateness_us), std::mem::take(&mut notes.runs));
    lateness_us.sort_unstable();
    let at =
        |part: f64| lateness_us.get(((lateness_us.len() as f64 - 1.0) * part) as usize).copied().unwrap_or_default();
    serde_json::json!({
        "count": lateness_us.len(), "runs": runs.len(), "waiting": notes.waiting,
        "p50_ms": at(0.5) as f64 / 1e3, "p99_ms": at(0.99) as f64 / 1e3, "max_ms": at(1.0) as f64 / 1e3,
    })
    .to_string()
}
