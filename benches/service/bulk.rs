//! Changes line by line, and all tasks back again.

use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::figure::{Figure, YEARLY, figure};
use super::load::task;
use super::service::Service;

/// How many tasks.
const TASKS: usize = 200_000;
/// How many lines are sent at once.
const LINES_AT_ONCE: usize = 100;

/// Puts of one-entry tasks by `/bulk`, new and again, and an export of all of them.
pub(crate) async fn bulk(folder: &Path) -> Vec<Figure> {
    let service = Service::start(folder);
    let empty = service.resident_bytes();
    let new = put_all(&service).await;
    let used = service.cpu();
    let again = put_all(&service).await;
    let used = service.cpu() - used;
    let grown = service.resident_bytes() - empty;
    let begun = Instant::now();
    let answer = reqwest::get(format!("{}/export", service.base)).await.expect("it answers");
    let exported = answer.bytes().await.expect("it is whole").iter().filter(|&&byte| byte == b'\n').count();
    let export = begun.elapsed();
    assert_eq!(exported, TASKS);
    service.kill();
    let rate = |took: Duration| TASKS as f64 / took.as_secs_f64();
    vec![
        figure("lines of /bulk, new tasks, durable", rate(new), "/s"),
        figure("lines of /bulk, each replacing a task, durable", rate(again), "/s"),
        figure("processor for such a line", used.as_secs_f64() / TASKS as f64 * 1e6, "µs"),
        figure("resident bytes a task after both", grown as f64 / TASKS as f64, "B"),
        figure("tasks of /export", rate(export), "/s"),
    ]
}

async fn put_all(service: &Service) -> Duration {
    let chunk = |first: usize| {
        let line = |number| format!("{{\"put\":{}}}\n", task(number, 1, YEARLY, "http://127.0.0.1:1"));
        Ok::<_, std::io::Error>((first..first + LINES_AT_ONCE).map(line).collect::<String>())
    };
    let chunks = stream::iter((0..TASKS).step_by(LINES_AT_ONCE).map(chunk));
    let begun = Instant::now();
    let call = reqwest::Client::new().post(format!("{}/bulk", service.base));
    let answer = call.body(reqwest::Body::wrap_stream(chunks)).send().await.expect("it answers");
    let mut answers = answer.bytes_stream();
    let mut end = Vec::new();
    while let Some(chunk) = answers.next().await {
        end = chunk.expect("it is whole").to_vec();
    }
    let took = begun.elapsed();
    let end = String::from_utf8(end).expect("a text");
    assert!(end.ends_with(&format!("{{\"lines\":{TASKS},\"failed\":0}}\n")), "{end}");
    took
}
