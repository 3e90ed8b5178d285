//! What is measured.

use std::path::Path;
use std::time::Duration;

use super::bulk::bulk;
use super::elastic;
use super::figure::{CLIENTS, Figure, SECONDLY, YEARLY, figure};
use super::load::{put_all, task};
use super::runs;
use super::service::{Service, Target};

/// What runs without anything else installed.
pub(crate) const NAMES: &[&str] = &["put", "bulk", "idle", "bound", "lateness", "one-shot", "on-demand", "in-flight"];
/// What needs an Elasticsearch, and is named to be run.
pub(crate) const ON_ELASTICSEARCH: &[&str] = &["es-history", "es-recover", "es-search", "es-lateness"];

pub(crate) async fn run(name: &str) -> Vec<Figure> {
    let folder = tempfile::tempdir().expect("a folder");
    match name {
        "put" => put(folder.path()).await,
        "bulk" => bulk(folder.path()).await,
        "idle" => idle(folder.path()).await,
        "bound" => bound().await,
        "one-shot" => runs::one_shot(folder.path()).await,
        "on-demand" => runs::on_demand(folder.path()).await,
        "in-flight" => runs::in_flight(folder.path()).await,
        "es-history" => elastic::history().await,
        "es-recover" => elastic::recover(folder.path()).await,
        "es-search" => elastic::search(folder.path()).await,
        "es-lateness" => {
            let embedded = lateness(&folder.path().join("embedded"), &[1_000], &[]).await;
            let environment = elastic::fresh("bench-lateness").await;
            let mut figures = lateness(&folder.path().join("elastic"), &[1_000], &environment).await;
            figures.iter_mut().for_each(|figure| figure.name.push_str(" (Elasticsearch)"));
            embedded.into_iter().chain(figures).collect()
        }
        _ => lateness(folder.path(), &[10, 1_000, 10_000], &[]).await,
    }
}

/// One-entry tasks, durable, and whether it gets slower with their number.
async fn put(folder: &Path) -> Vec<Figure> {
    const SAMPLE: usize = 10_000;
    let (service, target) = (Service::start(folder), Target::start());
    let body = {
        let base = target.base.clone();
        move |number| task(number, 1, YEARLY, &base)
    };
    put_all(&service.base, 0..1_000, CLIENTS, body.clone()).await;
    let few = put_all(&service.base, 1_000..1_000 + SAMPLE, CLIENTS, body.clone()).await;
    put_all(&service.base, 1_000 + SAMPLE..100_000, CLIENTS, body.clone()).await;
    let many = put_all(&service.base, 100_000..100_000 + SAMPLE, CLIENTS, body).await;
    service.kill();
    let rate = |took: Duration| SAMPLE as f64 / took.as_secs_f64();
    vec![
        figure("durable puts, 16 at once, from 1,000 tasks on", rate(few), "/s"),
        figure("durable puts, 16 at once, from 100,000 tasks on", rate(many), "/s"),
        figure("the second in parts of the first", rate(many) / rate(few), ""),
    ]
}

/// A million entries that do nothing.
async fn idle(folder: &Path) -> Vec<Figure> {
    const TASKS: usize = 100_000;
    const ENTRIES: usize = 10;
    let target = Target::start();
    let service = Service::start(folder);
    let empty = service.resident_bytes();
    let base = target.base.clone();
    put_all(&service.base, 0..TASKS, CLIENTS, move |number| task(number, ENTRIES, YEARLY, &base)).await;
    let base = target.base.clone();
    put_all(&service.base, TASKS..TASKS + 1, 1, move |number| task(number, 1, SECONDLY, &base)).await;
    let after_puts = service.resident_bytes();
    service.kill();

    let service = Service::start(folder);
    let ready = service.ready_after;
    target.report().await;
    let begun = tokio::time::Instant::now();
    while target.report().await["count"] == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let first_fire = ready + begun.elapsed();
    let after_start = service.resident_bytes();
    let delete = format!("{}/delete", service.base);
    let body = format!(r#"{{"identity":"task-{TASKS:08}"}}"#);
    reqwest::Client::new().post(delete).body(body).send().await.expect("it answers");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let used = service.cpu();
    // What is done each minute is in it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let idle = (service.cpu() - used).as_secs_f64() / 60.0;
    service.kill();
    let each = |bytes: u64| (bytes.saturating_sub(empty)) as f64 / (TASKS * ENTRIES) as f64;
    vec![
        figure("resident bytes an entry after a restart, 1,000,000 entries", each(after_start), "B"),
        figure("resident bytes an entry after the puts", each(after_puts), "B"),
        figure("processor while idle", idle * 100.0, "% of a core"),
        figure("process start to ready", ready.as_secs_f64(), "s"),
        figure("process start to first fire", first_fire.as_secs_f64(), "s"),
    ]
}

/// The least that lateness can be here: a bare timer and the same HTTP client, sending the same number of requests.
async fn bound() -> Vec<Figure> {
    let mut figures = Vec::new();
    for firing in [1_000, 10_000] {
        let (target, client) = (Target::start(), reqwest::Client::new());
        for second in 0..12 {
            if second == 2 {
                target.report().await;
            }
            burst(&client, &target.base, firing).await;
        }
        let report = target.report().await;
        for key in ["p50", "p99", "max"] {
            let value = report[format!("{key}_ms")].as_f64().expect("a number");
            figures.push(figure(format!("{firing} requests at one instant by a bare loop: {key}"), value, "ms"));
        }
    }
    figures
}

/// Sends so many requests at the next full second and waits for their answers.
async fn burst(client: &reqwest::Client, base: &str, count: usize) {
    let now = chrono::DateTime::from_timestamp_micros(super::target::now_us()).expect("a date");
    let next = chrono::DateTime::from_timestamp(now.timestamp() + 1, 0).expect("a date");
    let planned = next.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    tokio::time::sleep((next - now).to_std().expect("it comes")).await;
    let sends: Vec<_> = (0..count)
        .map(|number| {
            let request =
                client.post(format!("{base}/tasks/{number:08}/entries/00")).header("x-schedule-fire-time", &planned);
            let request = request.header("idempotency-key", format!("{planned} {number}"));
            tokio::spawn(async move { request.body("{}").send().await.expect("it answers").bytes().await })
        })
        .collect();
    for sent in sends {
        let _ = sent.await.expect("no panic");
    }
}

/// Arrival at the target minus the instant.
async fn lateness(folder: &Path, firing: &[usize], environment: &[(&'static str, String)]) -> Vec<Figure> {
    let (mut figures, seconds) = (Vec::new(), 20);
    for &firing in firing {
        let target = Target::start();
        let folder = folder.join(firing.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let service = Service::start_with(&folder, environment);
        let base = target.base.clone();
        let idle_tasks = (100_000 - firing) / 10;
        put_all(&service.base, 0..idle_tasks, CLIENTS, move |number| task(number, 10, YEARLY, &base)).await;
        let base = target.base.clone();
        let last = idle_tasks + firing;
        put_all(&service.base, idle_tasks..last, CLIENTS, move |number| task(number, 1, SECONDLY, &base)).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        target.report().await;
        let used = service.cpu();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let (report, cpu) = (target.report().await, service.cpu() - used);
        let of = |key: &str| report[key].as_f64().expect("a number");
        let name = |what: &str| format!("{firing} fires each second among 100,000 entries: {what}");
        figures.extend([
            figure(name("p50"), of("p50_ms"), "ms"),
            figure(name("p99"), of("p99_ms"), "ms"),
            figure(name("max"), of("max_ms"), "ms"),
            figure(name("fires a second that arrived"), of("count") / seconds as f64, "/s"),
            figure(name("arrived more than once"), of("count") - of("runs"), ""),
            figure(name("processor"), cpu.as_secs_f64() / seconds as f64 * 100.0, "% of a core"),
            figure(name("resident"), service.resident_bytes() as f64 / 1e6, "MB"),
        ]);
        service.kill();
    }
    figures
}
