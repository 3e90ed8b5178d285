//! Elasticsearch goes away, in every way that it can, under 500 fires a second. It costs time, never data.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::support::elasticsearch::{Instance, Server, shared};
use crate::support::{Deed, Loaded, Proxy};

/// Of the instance that one test after the other ill-treats.
const PORT: &str = "9240";
const HOSTS: &str = "SCHEDULE__ELASTICSEARCH__HOSTS";

static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::const_new(());

async fn instance() -> (Instance, MutexGuard<'static, ()>) {
    let turn = ONE_AFTER_THE_OTHER.lock().await;
    (Instance::start("faults", &["--port", PORT]).await, turn)
}

/// Whether a bulk writes history.
fn is_history(line: &str, body: &[u8]) -> bool {
    line.contains("/_bulk") && String::from_utf8_lossy(&body[..body.len().min(300)]).contains("-logs-")
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_a_minute_and_back() {
    let (es, _turn) = instance().await;
    let loaded = Loaded::start(&es.environment()).await;

    es.node("halt", 1).await;
    let said = loaded.wait_until_ready(false).await.to_string();
    assert!(said.contains("check [elasticsearch] hosts, and whether it runs"), "{said}");
    // The minute is the case under test.
    tokio::time::sleep(Duration::from_secs(60)).await;
    es.heal().await;

    loaded.prove(&es.server(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again() {
    let (es, _turn) = instance().await;
    let loaded = Loaded::start(&es.environment()).await;

    es.node("kill", 1).await;
    es.heal().await;

    loaded.prove(&es.server(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_for_twenty_seconds() {
    let (es, _turn) = instance().await;
    let loaded = Loaded::start(&es.environment()).await;

    es.node("pause", 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    es.node("resume", 1).await;

    loaded.prove(&es.server(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_because_the_disk_is_full() {
    let (es, _turn) = instance().await;
    let server = es.server();
    let loaded = Loaded::start(&es.environment()).await;
    let set = async |level: Value, enabled: Value| {
        let watermark = "cluster.routing.allocation.disk.watermark";
        let settings = json!({ "persistent": {
            "cluster.routing.allocation.disk.threshold_enabled": enabled, "cluster.info.update.interval": "10s",
            format!("{watermark}.low"): level, format!("{watermark}.high"): level, format!("{watermark}.flood_stage"): level,
        } });
        server.ask(http::Method::PUT, "/_cluster/settings", settings).await;
    };

    set(json!("0.01%"), json!(true)).await;
    let said = loaded.wait_until_ready(false).await.to_string();
    assert!(said.contains("an index is read-only, mostly because the disk is full"), "{said}");
    set(Value::Null, json!(false)).await;
    let lift = json!({ "index.blocks.read_only_allow_delete": null });
    server.ask(http::Method::PUT, "/_all/_settings", lift).await;

    loaded.prove(&server, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_for_ten_seconds() {
    let proxy = Proxy::start(&shared()).await;
    let loaded = Loaded::start(&[(HOSTS, proxy.url())]).await;

    // Claims are written: so firing goes on, and the records go to the disk.
    proxy.set(|line, body| if is_history(line, body) { Deed::Refuse429 } else { Deed::Pass });
    let said = loaded.wait_until_ready(false).await.to_string();
    assert!(said.contains("the cluster is overloaded"), "{said}");
    loaded.fires_for(10).await;
    proxy.set(|_, _| Deed::Pass);

    loaded.prove(&Server::shared(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost() {
    let proxy = Proxy::start(&shared()).await;
    let loaded = Loaded::start(&[(HOSTS, proxy.url())]).await;

    // Every fifth write is done, and nobody hears of it.
    let mut number = 0;
    proxy.set(move |line, _| {
        number += usize::from(line.contains("/_bulk"));
        if line.contains("/_bulk") && number.is_multiple_of(5) { Deed::LoseAnswer } else { Deed::Pass }
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    proxy.set(|_, _| Deed::Pass);

    loaded.prove(&Server::shared(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_process_killed_while_records_wait_on_the_disk() {
    let proxy = Proxy::start(&shared()).await;
    let loaded = Loaded::start(&[(HOSTS, proxy.url())]).await;
    proxy.set(|line, body| if is_history(line, body) { Deed::Refuse429 } else { Deed::Pass });
    loaded.wait_until_ready(false).await;
    loaded.fires_for(5).await;

    let loaded = loaded.kill_and_start(|| proxy.set(|_, _| Deed::Pass)).await;

    loaded.prove(&Server::shared(), true).await;
}
