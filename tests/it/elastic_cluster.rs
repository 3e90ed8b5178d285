//! Three hosts with TLS and a password: they die, get new certificates, and refuse whom they do not know.

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::elasticsearch::Instance;
use crate::support::{Loaded, Process, client};

/// The first of three ports.
const PORT: &str = "9250";

static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::const_new(());

async fn instance() -> (Instance, MutexGuard<'static, ()>) {
    let turn = ONE_AFTER_THE_OTHER.lock().await;
    (Instance::start("three", &["--nodes", "3", "--secure", "--port", PORT]).await, turn)
}

/// Every shard has its copies on two hosts.
async fn wait_until_green(es: &Instance) {
    let path = "/_cluster/health?wait_for_status=green&wait_for_no_initializing_shards=true&timeout=60s";
    let health = es.server().ask(http::Method::GET, path, Value::Null).await;
    assert_eq!(health["status"], "green", "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_hosts_dies_then_another_then_two_at_once() {
    let (es, _turn) = instance().await;
    let mut environment = es.environment();
    environment.push(("SCHEDULE__ELASTICSEARCH__REPLICAS", "1".to_owned()));
    let loaded = Loaded::start(&environment).await;

    for host in [1, 2] {
        wait_until_green(&es).await;
        es.node("kill", host).await;
        loaded.fires_for(10).await;
        es.heal().await;
    }
    wait_until_green(&es).await;
    // Two of three are no majority: the cluster cannot work until one is back.
    es.node("kill", 2).await;
    es.node("kill", 3).await;
    loaded.wait_until_ready(false).await;
    es.heal().await;

    loaded.prove(&es.server(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_while_it_runs() {
    let (es, _turn) = instance().await;
    let loaded = Loaded::start(&es.environment()).await;

    es.replace_certificate().await;
    // All connections are made anew, one host after the other.
    for host in [1, 2, 3] {
        es.node("halt", host).await;
        es.heal().await;
    }

    loaded.prove(&es.server(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_authority_end_the_start_or_hold_it_up_with_what_to_do() {
    let (es, _turn) = instance().await;
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &'static str, value: &str| -> Vec<(&'static str, String)> {
        let others = es.environment().into_iter().filter(|(other, _)| *other != name);
        others.chain([(name, value.to_owned())]).collect()
    };
    let said = async |environment: Vec<(&'static str, String)>| {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
        Process::try_start_with(folder.path(), &environment).await.err().expect("it does not start")
    };

    let wrong = said(with("SCHEDULE__ELASTICSEARCH__PASSWORD", "wr0ng")).await;
    let nobody = said(with("SCHEDULE__ELASTICSEARCH__CA_FILE", "/dev/null")).await;

    let strange = with("SCHEDULE__ELASTICSEARCH__CA_FILE", "");
    let strange: Vec<(&str, &str)> = strange.iter().map(|(name, value)| (*name, &**value)).collect();
    let waiting = Process::start_listening(folder.path(), &strange).await;
    let mut readiness = String::new();
    while !readiness.contains("its certificate is not trusted: set [elasticsearch] ca_file") {
        let answer = client().get(format!("{}/readyz", waiting.base)).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        readiness = answer.text().await.unwrap();
    }
    // A start that waits can be ended.
    waiting.signal("TERM").await;
    assert!(waiting.wait().await.success());

    assert!(wrong.contains("the credentials were refused: check [elasticsearch] username and password"), "{wrong}");
    assert!(!wrong.contains("wr0ng"), "{wrong}");
    assert!(nobody.contains("ca_file /dev/null: holds no certificate, expected PEM"), "{nobody}");
}
