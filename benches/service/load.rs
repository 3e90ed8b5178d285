//! Puts, many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Puts the tasks `from..to`, `clients` at once, and gives how long it took.
pub(crate) async fn put_all(
    base: &str,
    range: std::ops::Range<usize>,
    clients: usize,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Duration {
    let (next, body) = (Arc::new(AtomicUsize::new(range.start)), Arc::new(body));
    let client = reqwest::Client::new();
    let begun = Instant::now();
    let workers: Vec<_> = (0..clients)
        .map(|_| {
            let (next, body, client, url) = (next.clone(), body.clone(), client.clone(), format!("{base}/put"));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= range.end {
                        return;
                    }
                    let answer = client.post(&url).body(body(number)).send().await.expect("it answers");
                    let text = answer.text().await.expect("a text");
                    assert!(text.starts_with("{\"error\":0"), "{text}");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no panic");
    }
    begun.elapsed()
}

/// A task with so many entries of about 150 bytes each.
pub(crate) fn task(number: usize, entries: usize, cron_time: &str, target: &str) -> String {
    let entries: Vec<String> = (0..entries)
        .map(|entry| {
            let url = format!("{target}/tasks/{number:08}/entries/{entry:02}?source=schedule&pad=xxxxxxxxxxxxxxxxxxxx");
            format!(r#""entry-{entry:02}":{{"cron_time":"{cron_time}","url":"{url}","body":{{"n":{number}}}}}"#)
        })
        .collect();
    let entries = entries.join(",");
    format!(r#"{{"identity":"task-{number:08}","time_zone":"UTC","start":true,"entries":{{{entries}}}}}"#)
}
