//! Runs that somebody asks for, requests at one instant, and slow targets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::figure::{CLIENTS, Figure, SECONDLY, YEARLY, figure};
use super::load::{put_all, task};
use super::service::{Service, Target};
use super::target::now_us;

/// How many fires a second are measured beside others.
const QUICK: usize = 100;

/// So many requests at random instants of the next minute.
pub(crate) async fn one_shot(folder: &Path) -> Vec<Figure> {
    const COUNT: usize = 100_000;
    const WITHIN_US: i64 = 60_000_000;
    let (service, target) = (Service::start(folder), Target::start());
    let begun = Instant::now();
    let end_us = now_us() + WITHIN_US;
    let (next, client) = (Arc::new(AtomicUsize::new(0)), reqwest::Client::new());
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            let (next, client, url) = (next.clone(), client.clone(), format!("{}/schedule", service.base));
            let base = target.base.clone();
            tokio::spawn(async move {
                let mut dice = 0x9E37_79B9_7F4A_7C15_u64 ^ (worker as u64) << 32;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= COUNT {
                        return;
                    }
                    let from_us = now_us() + 200_000;
                    let at_us = from_us + i64::try_from(roll(&mut dice)).expect("63 bits") % (end_us - from_us).max(1);
                    let at = chrono::DateTime::from_timestamp_micros(at_us).expect("a date");
                    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                    let body = format!(r#"{{"date_time":"{at}","url":"{base}/one-shot/{number}"}}"#);
                    let answer = client.post(&url).header("content-type", "application/json").body(body);
                    let answer = answer.send().await.expect("it answers");
                    assert_eq!(answer.status().as_u16(), 201, "{}", answer.text().await.unwrap_or_default());
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no panic");
    }
    let took = begun.elapsed();
    tokio::time::sleep(Duration::from_micros(u64::try_from(end_us - now_us()).unwrap_or(0)) + Duration::from_secs(3))
        .await;
    let (report, resident) = (target.report().await, service.resident_bytes());
    service.kill();
    let of = |key: &str| report[key].as_f64().expect("a number");
    vec![
        figure("one-shots accepted, 16 at once", COUNT as f64 / took.as_secs_f64(), "/s"),
        figure("100,000 one-shots within a minute: arrived", of("count"), ""),
        figure("arrived more than once", of("count") - of("runs"), ""),
        figure("lateness p50", of("p50_ms"), "ms"),
        figure("lateness p99", of("p99_ms"), "ms"),
        figure("lateness max", of("max_ms"), "ms"),
        figure("resident", resident as f64 / 1e6, "MB"),
    ]
}

/// An xorshift generator: the same instants in each run of the bench.
fn roll(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice >> 1
}

/// From the request for a run to its arrival at the target.
pub(crate) async fn on_demand(folder: &Path) -> Vec<Figure> {
    const JOBS: usize = 100;
    const RUNS: usize = 1_000;
    let (service, target) = (Service::start(folder), Target::start());
    let base = target.base.clone();
    put_all(&service.base, 0..JOBS, CLIENTS, move |number| task(number, 1, YEARLY, &base)).await;
    let client = reqwest::Client::new();
    for number in 0..RUNS {
        if number == JOBS {
            // The first ones opened connections.
            target.report().await;
        }
        let url = format!("{}/scheduled-jobs/task-{:08}:entry-00/runs", service.base, number % JOBS);
        let body = format!(r#"{{"args":"{}"}}"#, now_us());
        let answer = client.post(url).body(body).send().await.expect("it answers");
        assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = target.report().await;
    service.kill();
    let of = |key: &str| report[key].as_f64().expect("a number");
    vec![
        figure("run on demand, from its request to the target: p50", of("p50_ms"), "ms"),
        figure("p99", of("p99_ms"), "ms"),
        figure("arrived, of 900", of("count"), ""),
    ]
}

/// The lateness of a hundred fires each second, beside others that are answered at once or in ten seconds.
pub(crate) async fn in_flight(folder: &Path) -> Vec<Figure> {
    let room = [("SCHEDULE__DISPATCH__IN_FLIGHT_PER_HOST_MAX", "4096".to_owned())];
    let (service, target) = (Service::start_with(folder, &room), Target::start());
    let base = target.base.clone();
    put_all(&service.base, 0..QUICK, CLIENTS, move |number| task(number, 1, SECONDLY, &base)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    target.report().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let alone = target.report().await;
    // As many more due at the same instants: first they are answered at once, then in ten seconds.
    let quick = with_two_hundred_more(&service, &target, "/beside").await;
    let before = service.resident_bytes();
    let slow = with_two_hundred_more(&service, &target, "/wait").await;
    let after = service.resident_bytes();
    service.kill();
    let of = |report: &serde_json::Value, key: &str| report[key].as_f64().expect("a number");
    vec![
        figure("100 quick fires each second, alone: p50", of(&alone, "p50_ms"), "ms"),
        figure("alone: p99", of(&alone, "p99_ms"), "ms"),
        figure("beside 200 more each second, answered at once: p50", of(&quick, "p50_ms"), "ms"),
        figure("beside them: p99", of(&quick, "p99_ms"), "ms"),
        figure("beside 200 more each second that take 10 s: p50", of(&slow, "p50_ms"), "ms"),
        figure("beside them: p99", of(&slow, "p99_ms"), "ms"),
        figure("in flight at the target", of(&slow, "waiting"), ""),
        figure("resident for each run in flight", (after.saturating_sub(before)) as f64 / 2_000.0 / 1e3, "KB"),
    ]
}

/// What the target saw in twenty seconds, with two hundred fires more in each of them.
async fn with_two_hundred_more(service: &Service, target: &Target, path: &str) -> serde_json::Value {
    for second in 0..10 {
        let base = format!("{}{path}", target.base);
        let first = QUICK + second * 200;
        let cron_time = format!("{second}/10 * * * * *");
        put_all(&service.base, first..first + 200, CLIENTS, move |number| task(number, 1, &cron_time, &base)).await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    target.report().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    target.report().await
}
