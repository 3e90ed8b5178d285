//! From one store to the other: the real program and the real Elasticsearch.

mod filled;
mod refusals;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::filled::{NAMES, RECORDS, fill};
use crate::support::{Cluster, Process, Target, post_ok, task};

const THERE: [&str; 4] = ["--from", "embedded", "--to", "elasticsearch"];
const BACK: [&str; 4] = ["--from", "elasticsearch", "--to", "embedded"];

struct Ended {
    code: Option<i32>,
    said: String,
    complaint: String,
}

impl Ended {
    fn report(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("no JSON: {} {}", self.said, self.complaint))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), said: text(output.stdout), complaint: text(output.stderr) }
    }
}

async fn run(command: &mut tokio::process::Command) -> Ended {
    command.output().await.unwrap().into()
}

async fn migrate(cluster: &Cluster, folder: &Path, way: [&str; 4], more: &[&str]) -> Ended {
    run(cluster.command(folder).arg("migrate").args(way).args(["--format", "json"]).args(more)).await
}

/// The same, which has to succeed.
async fn migrated(cluster: &Cluster, folder: &Path, way: [&str; 4], more: &[&str]) -> Value {
    let ended = migrate(cluster, folder, way, more).await;
    assert_eq!(ended.code, Some(0), "{} {}", ended.said, ended.complaint);
    ended.report()
}

/// Count and checksum of each kind, which have to be the same on both sides.
fn counted(report: &Value) -> Vec<Value> {
    let kinds = report["kinds"].as_array().unwrap();
    assert!(kinds.iter().all(|kind| kind["ok"] == true && kind["source"] == kind["target"]), "{report}");
    kinds.iter().map(|kind| kind["source"].clone()).collect()
}

/// What `verify` says of all there is, in an order that both stores share, and its exit code.
async fn verified(mut command: tokio::process::Command) -> (BTreeSet<String>, Option<i32>) {
    let ended =
        run(command.args(["verify", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z", "--json"]));
    let ended = ended.await;
    let lines: BTreeSet<String> = ended.said.lines().map(str::to_owned).collect();
    assert!(lines.len() > 100, "{} {}", ended.said, ended.complaint);
    (lines, ended.code)
}

/// What `/search` gives of each task, by a service that is started for it.
async fn found(folder: &Path, environment: &[(&str, &str)]) -> Vec<Vec<(Value, Value)>> {
    let process = Process::try_start_with(folder, environment).await.unwrap();
    let mut all = Vec::new();
    // Only what was copied: the service adds what it misses meanwhile.
    let time = json!({ "lte": 1_767_312_000 });
    for (name, skip) in NAMES.iter().flat_map(|name| [(name, 0), (name, 5_950)]) {
        let asked = json!({ "identity": name, "limit": 100, "skip": skip, "time": time }).to_string();
        let answer = post_ok(&process.base, "/search", asked).await;
        let hits = answer["data"]["hits"]["hits"].as_array().unwrap().clone();
        all.push(hits.into_iter().map(|hit| (hit["_id"].clone(), hit["_source"].clone())).collect());
    }
    process.signal("TERM").await;
    assert!(process.wait().await.success());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_there_and_back_and_verify_and_search_and_checksums_stay_the_same() {
    let (cluster, one, other) = (Cluster::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(one.path()).await;

    let there = migrated(&cluster, one.path(), THERE, &[]).await;
    let back = migrated(&cluster, other.path(), BACK, &[]).await;

    assert_eq!(counted(&there), counted(&back));
    assert_eq!((&there["resumed"], &there["adapted"], &there["foreign"]), (&json!(false), &json!(0), &json!(0)));
    assert_eq!(there["kinds"][3]["source"]["count"], json!(RECORDS));
    assert_eq!(there["copied"], json!(there["kinds"].as_array().unwrap().iter().map(count_of).sum::<u64>()));
    for folder in [&one, &other] {
        let verify_only = migrated(&cluster, folder.path(), BACK, &["--verify-only"]).await;
        assert_eq!((counted(&verify_only), &verify_only["copied"]), (counted(&there), &Value::Null));
    }
    let of_source = verified(Process::command(one.path())).await;
    assert!(of_source.1 == Some(1) && of_source.0.iter().any(|line| line.contains("missing")), "{of_source:?}");
    assert_eq!(verified(cluster.command(one.path())).await, of_source);
    assert_eq!(verified(Process::command(other.path())).await, of_source);
    let of_source = found(one.path(), &[]).await;
    assert_eq!(of_source.iter().map(Vec::len).collect::<Vec<_>>(), [100, 52, 4, 0, 1, 0]);
    assert_eq!(found(one.path(), &cluster.environment()).await, of_source);
    assert_eq!(found(other.path(), &[]).await, of_source);
    cluster.remove().await;
}

fn count_of(kind: &Value) -> u64 {
    kind["source"]["count"].as_u64().unwrap()
}

/// Starts a migration and kills it once the note of how far it is has changed so often; its end, if that came before.
async fn kill_after(cluster: &Cluster, folder: &Path, way: [&str; 4], changes: usize) -> Option<Ended> {
    let mut command = cluster.command(folder);
    command.arg("migrate").args(way).args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let file = folder.join("data/migration.json");
    let (mut seen, mut last) = (0, std::fs::read(&file).ok());
    while seen < changes {
        if child.try_wait().unwrap().is_some() {
            return Some(child.wait_with_output().await.unwrap().into());
        }
        // Nothing tells of a change but the file itself.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = std::fs::read(&file).ok();
        seen += usize::from(now != last);
        last = now;
    }
    child.kill().await.unwrap();
    None
}

/// Kills a migration at moment after moment, until one ends: its report, and what was copied when others were killed.
async fn kill_and_resume(cluster: &Cluster, folder: &TempDir, way: [&str; 4]) -> (Value, BTreeSet<String>) {
    let mut killed_at = BTreeSet::new();
    for changes in [1, 2, 1, 2, 3, 1, 2, 1, usize::MAX] {
        if let Some(ended) = kill_after(cluster, folder.path(), way, changes).await {
            assert_eq!(ended.code, Some(0), "{} {}", ended.said, ended.complaint);
            return (ended.report(), killed_at);
        }
        let note = std::fs::read(folder.path().join("data/migration.json")).unwrap();
        let note: Value = serde_json::from_slice(&note).expect("the note is whole at any moment");
        killed_at.insert(note["kind"].to_string());
    }
    unreachable!("the last one was not killed")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_goes_on_and_ends_with_the_same() {
    let (cluster, one, other) = (Cluster::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(one.path()).await;

    let (there, killed_there) = kill_and_resume(&cluster, &one, THERE).await;
    let (back, killed_back) = kill_and_resume(&cluster, &other, BACK).await;

    assert_eq!(counted(&there), counted(&back));
    for (report, killed_at) in [(there, killed_there), (back, killed_back)] {
        let all: u64 = report["kinds"].as_array().unwrap().iter().map(count_of).sum();
        assert_eq!(report["resumed"], true, "{report}");
        assert!(report["copied"].as_u64().unwrap() < all && killed_at.len() >= 2, "{report} {killed_at:?}");
    }
    let of_source = verified(Process::command(one.path())).await;
    assert_eq!(verified(cluster.command(one.path())).await, of_source);
    assert_eq!(verified(Process::command(other.path())).await, of_source);
    assert!(!one.path().join("data/migration.json").exists());
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_the_target_goes_on_where_the_other_stopped() {
    let (cluster, folder, target) = (Cluster::new(), tempfile::tempdir().unwrap(), Target::start().await);
    let process = Process::start(folder.path()).await;
    post_ok(&process.base, "/put", task("moved", "* * * * * *", &target.url("/ok"))).await;
    target.wait_until(|arrivals| arrivals.len() >= 2).await;
    process.signal("TERM").await;
    assert!(process.wait().await.success());

    migrated(&cluster, folder.path(), THERE, &[]).await;
    let arrived = target.count();
    let process = Process::try_start_with(folder.path(), &cluster.environment()).await.unwrap();
    target.wait_until(|arrivals| arrivals.len() >= arrived + 3).await;
    process.signal("TERM").await;
    assert!(process.wait().await.success());

    assert!(target.arrivals_by_run().values().all(|&count| count == 1), "{:?}", target.arrivals_by_run());
    let words = ["verify", "--from", "2026-01-01T00:00:00Z"];
    let verified = run(cluster.command(folder.path()).args(words)).await;
    assert_eq!(verified.code, Some(0), "{} {}", verified.said, verified.complaint);
    let differ = migrate(&cluster, folder.path(), THERE, &["--verify-only"]).await;
    assert_eq!(differ.code, Some(1), "{}", differ.said);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_elasticsearch_cannot_read_is_told_as_adapted_and_is_no_error() {
    let (cluster, one, other) = (Cluster::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled::fill_with(one.path(), &[r#"{"a":1,"a":2}"#, &format!("{}1{}", "[".repeat(1_500), "]".repeat(1_500))]).await;

    let there = migrated(&cluster, one.path(), THERE, &[]).await;
    let back = migrated(&cluster, other.path(), BACK, &[]).await;

    assert_eq!((&there["adapted"], &back["adapted"]), (&json!(2), &json!(0)));
    assert_eq!(counted(&there), counted(&back));
    let text = run(cluster.command(one.path()).arg("migrate").args(THERE).arg("--verify-only")).await.said;
    assert!(text.contains("adapted    2 records: Elasticsearch cannot read the JSON"), "{text}");
    assert!(
        text.ends_with(&format!("the embedded store to elasticsearch index {}: both hold the same\n", cluster.index))
    );
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_an_error_that_names_the_kind_and_both_numbers() {
    let (cluster, folder) = (Cluster::new(), tempfile::tempdir().unwrap());
    filled::fill_with(folder.path(), &["1"]).await;
    migrated(&cluster, folder.path(), THERE, &[]).await;
    let database = rusqlite::Connection::open(folder.path().join("data/schedule.db")).unwrap();
    database.execute("DELETE FROM history WHERE seq = (SELECT max(seq) FROM history)", []).unwrap();
    drop(database);

    let differ = migrate(&cluster, folder.path(), THERE, &["--verify-only"]).await;

    let report = differ.report();
    let count = |side: &str| report["kinds"][3][side]["count"].as_u64().unwrap();
    assert_eq!((differ.code, &report["ok"], count("source") + 1), (Some(1), &json!(false), count("target")));
    let text = format!("the stores differ: records {} in the embedded store (checksum ", count("source"));
    assert!(differ.complaint.contains(&text), "{}", differ.complaint);
    let text = format!("{} in elasticsearch index {} (checksum ", count("target"), cluster.index);
    assert!(differ.complaint.contains(&text), "{}", differ.complaint);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_the_mirrored_service_stay_and_are_counted() {
    let (cluster, one, other) = (Cluster::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..3 {
        let old = json!({ "type": "success", "identity": "old", "key": "e", "time": 1_700_000_000 + number });
        cluster.ask(http::Method::POST, &format!("{}/_doc?refresh=true", cluster.index), &old).await;
    }
    filled::fill_with(one.path(), &["1"]).await;

    let there = migrated(&cluster, one.path(), THERE, &[]).await;
    let back = migrated(&cluster, other.path(), BACK, &[]).await;

    assert_eq!((&there["foreign"], &back["foreign"]), (&json!(0), &json!(3)));
    assert_eq!(counted(&there), counted(&back));
    cluster.remove().await;
}
