use std::time::Duration;

use schedule_service::clock::{Clock, SystemClock};
use schedule_service::config::NodeSettings;
use serde_json::json;

use super::{outcomes, scrape, scrape_until};
use crate::support::elasticsearch::shared;
use crate::support::{BoxedNode, Cluster, Deed, Process, Proxy, Target, post_ok};

/// A task with one entry for each of these.
fn put(identity: &str, entries: serde_json::Value) -> String {
    json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": entries }).to_string()
}

/// So many milliseconds from now.
fn in_ms(millis: u64) -> String {
    SystemClock.now().plus(Duration::from_millis(millis)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_is_counted_once_and_a_start_begins_at_nothing() {
    let target = Target::start().await;
    let quick = |settings: &mut NodeSettings| settings.engine.misfire_grace = Duration::from_secs(1);
    let node = BoxedNode::start_with(quick).await;
    let entry = |at: &str, path: &str| json!({ "at": at, "url": target.url(path) });
    post_ok(&node.base, "/put", put("first", json!({ "a": entry(&in_ms(2_000), "/a") }))).await;
    assert_eq!(outcomes(&scrape_until(&node.base, |read| outcomes(read)[0] == 1.0).await), [1.0, 0.0, 0.0, 0.0]);
    // Two instants pass while it is down: the policy of one skips it, the other is too old by then.
    let passes_at = SystemClock.now().plus(Duration::from_secs(8));
    let at = passes_at.to_string();
    let skipped = json!({ "at": at, "url": target.url("/skipped"), "misfire": "skip" });
    let missed = json!({ "at": at, "url": target.url("/missed"), "catch_up_window": "1s" });
    post_ok(&node.base, "/put", put("passed", json!({ "skipped": skipped, "missed": missed }))).await;
    let folder = node.stop().await;
    // The time that passes is the case under test.
    tokio::time::sleep(passes_at.plus(Duration::from_secs(3)).since(SystemClock.now())).await;

    let node = BoxedNode::start_in(folder, quick).await;
    let retry = json!({ "attempts_max": 2, "backoff": { "initial": "100ms" } });
    let failing = json!({ "at": in_ms(2_000), "url": target.url("/status/503"), "retry": retry });
    let entries = json!({ "a": entry(&in_ms(2_000), "/a"), "b": entry(&in_ms(2_000), "/b"), "c": failing });
    post_ok(&node.base, "/put", put("second", entries)).await;

    let ended = |read: &crate::support::Exposition| outcomes(read).iter().sum::<f64>() >= 5.0;
    let read = scrape_until(&node.base, ended).await;
    assert_eq!(outcomes(&read), [2.0, 1.0, 1.0, 1.0]);
    let attempts = |result| read.sum("schedule_attempts_total", &[("result", result)]);
    assert_eq!([attempts("2xx"), attempts("5xx"), attempts("broken")], [2.0, 2.0, 0.0]);
    assert_eq!(read.sum("schedule_attempts_total", &[]), 4.0);
    assert_eq!(read.sum("schedule_retries_total", &[]), 1.0);
    assert_eq!(read.sum("schedule_dead_letters_total", &[]), 1.0);
    assert_eq!(read.sum("schedule_fire_lateness_seconds_count", &[]), 3.0);
    assert!(read.sum("schedule_fire_lateness_seconds_sum", &[]) < 30.0);
    assert_eq!(read.sum("schedule_attempt_duration_seconds_count", &[]), 4.0);
    assert!(read.sum("schedule_store_duration_seconds_count", &[("operation", "append")]) >= 1.0);
    assert!(read.sum("schedule_store_duration_seconds_count", &[("operation", "claim")]) >= 1.0);
    assert_eq!(read.sum("schedule_store_errors_total", &[]), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_told_as_it_stands() {
    let target = Target::start().await;
    let narrow = |settings: &mut NodeSettings| {
        settings.dispatch.in_flight_max = 2;
        settings.dispatch.in_flight_per_host_max = 1;
        settings.shutdown_grace = Duration::ZERO;
    };
    let node = BoxedNode::start_with(narrow).await;
    let at = in_ms(2_000);
    let hanging = |number: usize| (format!("e{number}"), json!({ "at": at, "url": target.url("/hang") }));
    let mut entries: serde_json::Map<String, serde_json::Value> = (0..3).map(hanging).collect();
    entries.insert("later".to_owned(), json!({ "cron_time": "0 0 0 1 1 *", "url": target.url("/") }));
    let broken = json!({ "at": at, "url": "http://127.0.0.1:9/", "retry": { "backoff": { "initial": "1h", "max": "1h", "jitter": "none" } } });
    entries.insert("pausing".to_owned(), broken);
    post_ok(&node.base, "/put", put("t", entries.into())).await;

    let waiting = |read: &crate::support::Exposition, reason| read.sum("schedule_runs_waiting", &[("reason", reason)]);
    let read = scrape_until(&node.base, |read| {
        let is_told = waiting(read, "limit") == 2.0 && waiting(read, "retry") == 1.0;
        is_told && read.sum("schedule_entries", &[]) == 1.0
    })
    .await;
    let gauges =
        ["in_flight", "in_flight_limit", "in_flight_per_host_limit", "hosts", "entries", "tasks", "fires_unsettled"];
    let gauges = gauges.map(|name| read.sum(&format!("schedule_{name}"), &[]));
    assert_eq!(gauges, [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 4.0]);
    assert_eq!((waiting(&read, "jitter"), waiting(&read, "turn")), (0.0, 0.0));
    assert_eq!(read.sum("schedule_attempts_total", &[("result", "broken")]), 1.0);
    assert_eq!(read.sum("schedule_fires_handed_out_total", &[]), 4.0);
    assert_eq!(read.sum("schedule_shards_owned", &[]), 64.0);
    assert_eq!(read.family("schedule_shard_epoch").samples.len(), 64);
    assert_eq!((read.sum("schedule_claiming", &[]), read.sum("schedule_journal_full", &[])), (1.0, 0.0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_tells_what_the_system_knows_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let before_s = SystemClock.now().millis() / 1_000;
    let process = Process::start(folder.path()).await;

    let read = scrape(&process.base).await;

    let started_s = read.sum("process_start_time_seconds", &[]);
    // Since the machine was started is told in hundredths, and when that was in whole seconds.
    assert!((started_s - before_s as f64).abs() < 10.0, "{started_s}, not about {before_s}");
    assert!((1e6..1e10).contains(&read.sum("process_resident_memory_bytes", &[])));
    assert!(read.sum("process_cpu_seconds_total", &[]) > 0.0 && read.sum("process_threads", &[]) > 1.0);
    let (open, max) = (read.sum("process_open_fds", &[]), read.sum("process_max_fds", &[]));
    assert!(open > 5.0 && open < max, "{open} of {max}");
    assert_eq!(read.family("schedule_build").samples[0].label("version"), Some(env!("CARGO_PKG_VERSION")));
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_take_records_shows_in_its_errors_in_the_lag_and_on_the_disk() {
    let (cluster, target, folder) = (Cluster::new(), Target::start().await, tempfile::tempdir().unwrap());
    let proxy = Proxy::start(&shared()).await;
    let (url, mut environment) = (proxy.url(), cluster.environment().to_vec());
    environment.push(("SCHEDULE__ELASTICSEARCH__HOSTS", &url));
    let process = Process::try_start_with(folder.path(), &environment).await.unwrap_or_else(|log| panic!("{log}"));
    let body = put("t", json!({ "e": { "cron_time": "* * * * * *", "url": target.url("/") } }));
    post_ok(&process.base, "/put", body).await;
    let well = scrape_until(&process.base, |read| outcomes(read)[0] >= 2.0).await;
    assert_eq!(well.sum("schedule_journal_spilled_records", &[]), 0.0);

    // Claims are written: so firing goes on.
    let is_history = |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(300)]).contains("-logs-");
    proxy.set(move |line, body| if line.contains("/_bulk") && is_history(body) { Deed::Refuse429 } else { Deed::Pass });
    let of = |error| [("operation", "append"), ("error", error)];
    let ill = scrape_until(&process.base, |read| {
        read.sum("schedule_journal_lag_seconds", &[]) > 2.0
            && read.sum("schedule_journal_spilled_records", &[]) >= 2.0
            && read.sum("schedule_store_errors_total", &of("unavailable")) >= 2.0
    });
    let ill = ill.await;
    let (bytes, limit) = ("schedule_journal_spilled_bytes", "schedule_journal_spill_limit_bytes");
    assert!(ill.sum(bytes, &[]) > 0.0 && ill.sum(bytes, &[]) < ill.sum(limit, &[]));
    assert_eq!(ill.sum("schedule_store_errors_total", &of("corrupt")), 0.0);
    proxy.set(|_, _| Deed::Pass);
    let again = scrape_until(&process.base, |read| read.sum("schedule_journal_spilled_records", &[]) == 0.0).await;
    assert!(outcomes(&again)[0] >= outcomes(&ill)[0], "fires are counted once, whichever way their records go");

    process.signal("TERM").await;
    assert!(process.wait().await.success());
    cluster.remove().await;
}
