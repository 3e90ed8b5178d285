//! What is measured on a real Elasticsearch: `SCHEDULE_TEST_ELASTICSEARCH` names it, as for the tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schedule_service::clock::SystemClock;
use schedule_service::cluster::Tenure;
use schedule_service::journal::{self, FireOutcome, Journal, KeptAnswer};
use schedule_service::model::{
    Attempt, Entry, EntryName, Fire, Identity, Request, Revision, Schedule, TargetUrl, Task, TimeZone, Timestamp,
    Trigger,
};
use schedule_service::store::elastic::{Address, Credentials, Durability, Elastic, Refresh, Settings};
use tokio::time::Instant;

use super::figure::{CLIENTS, Figure, YEARLY, figure};
use super::load::{put_all, task};
use super::service::{Service, Target, resident_bytes};

/// How many tasks the records belong to.
const TASKS: usize = 1_000;
/// How many records the sustained load and the history that is searched have.
const SUSTAINED: usize = 1_000_000;
const SEARCHED: usize = 10_000_000;

fn host() -> String {
    std::env::var("SCHEDULE_TEST_ELASTICSEARCH").expect("SCHEDULE_TEST_ELASTICSEARCH names an Elasticsearch")
}

fn settings(index: &str) -> Settings {
    Settings {
        address: Address::Hosts(vec![host().parse().expect("a URL")]),
        credentials: Credentials::None,
        ca_file: None,
        timeout: Duration::from_secs(30),
        compression: false,
        index: index.to_owned(),
        shards: 1,
        replicas: 0,
        refresh: Refresh::EverySeconds(1),
        durability: Durability::Request,
        wait_for_active_shards: "1".to_owned(),
    }
}

fn environment(index: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SCHEDULE__ELASTICSEARCH__HOSTS", host()),
        ("SCHEDULE__ELASTICSEARCH__DEFAULT_INDEX", index.to_owned()),
        ("SCHEDULE__ELASTICSEARCH__REPLICAS", "0".to_owned()),
        ("SCHEDULE__HISTORY__SIZE_MAX_MIB", "1000000".to_owned()),
    ]
}

async fn delete(index: &str) {
    let url = format!("{}/{index}-*", host().trim_end_matches('/'));
    reqwest::Client::new().delete(url).send().await.expect("Elasticsearch answers");
}

fn revision(number: usize) -> Arc<Revision> {
    let url = TargetUrl::parse(&format!("http://127.0.0.1:8080/tasks/{number:08}/entries/00")).expect("a URL");
    let (name, schedule) = (EntryName::parse("entry"), Schedule::cron(YEARLY));
    let entry = Entry::new(name.expect("a name"), schedule.expect("an expression"), Request::post(url));
    let identity = Identity::parse(&format!("task-{number:08}")).expect("a name");
    Arc::new(Revision::new(Task::new(identity, TimeZone::UTC, vec![entry]), Timestamp::EPOCH))
}

fn attempt(started_at: Timestamp) -> Attempt {
    Attempt { number: 1, started_at, duration: Duration::from_millis(7), status: Some(200), error: None, bytes: 22 }
}

fn answer() -> KeptAnswer {
    let body = br#"{"error":0,"msg":"ok"}"#.to_vec();
    KeptAnswer { status: 200, size: body.len() as u64, body, ..KeptAnswer::default() }
}

/// Gives the journal so many records of fires, one a millisecond, all of one month.
async fn write(journal: &Journal, count: usize) {
    let first = Timestamp::parse_rfc3339("2026-10-01T00:00:00Z").expect("a date");
    let revisions: Vec<Arc<Revision>> = (0..TASKS).map(revision).collect();
    for number in 0..count {
        let fire_time = first.plus(Duration::from_millis(number as u64));
        let revision = revisions[number % TASKS].clone();
        let fire = Fire::planned(revision, 0, fire_time, Trigger::Schedule);
        let outcome = FireOutcome {
            attempts: vec![attempt(fire_time.plus(Duration::from_millis(2)))],
            ended_at: fire_time.plus(Duration::from_millis(9)),
            answer: Some(answer()),
            ..FireOutcome::default()
        };
        journal.settle_with(fire, outcome, Vec::new()).await.expect("the journal runs");
    }
    journal.flush().await.expect("the journal runs");
}

async fn open(index: &str) -> Journal {
    let store = Elastic::open(&settings(index), Arc::new(SystemClock)).await.expect("Elasticsearch is there");
    journal::start(Arc::new(store), &journal::Settings::default(), None, Tenure::alone(Arc::new(SystemClock)))
}

/// Records of fires into one node, as fast as it takes them.
pub(crate) async fn history() -> Vec<Figure> {
    const INDEX: &str = "bench-history";
    delete(INDEX).await;
    let journal = open(INDEX).await;
    write(&journal, 100_000).await;
    let begun = Instant::now();
    write(&journal, SUSTAINED).await;
    let rate = SUSTAINED as f64 / begun.elapsed().as_secs_f64();
    delete(INDEX).await;
    vec![
        figure("fire records written to one node, 1,000,000 in a row", rate, "/s"),
        figure("resident memory of the writer after it", resident_bytes(std::process::id()) as f64 / 1e6, "MB"),
    ]
}

/// A million entries, loaded from Elasticsearch alone.
pub(crate) async fn recover(folder: &Path) -> Vec<Figure> {
    const INDEX: &str = "bench-recover";
    const TASKS: usize = 100_000;
    delete(INDEX).await;
    let (target, environment) = (Target::start(), environment(INDEX));
    let service = Service::start_with(folder, &environment);
    let base = target.base.clone();
    let took = put_all(&service.base, 0..TASKS, CLIENTS, move |number| task(number, 10, YEARLY, &base)).await;
    service.kill();
    let service = Service::start_with(folder, &environment);
    let ready = service.ready_after;
    let resident = service.resident_bytes();
    service.kill();
    delete(INDEX).await;
    vec![
        figure("puts of 10 entries, 16 at once", TASKS as f64 / took.as_secs_f64(), "/s"),
        figure("1,000,000 entries: process start to ready", ready.as_secs_f64(), "s"),
        figure("resident after it", resident as f64 / 1e6, "MB"),
    ]
}

/// `/search` on a long history.
pub(crate) async fn search(folder: &Path) -> Vec<Figure> {
    const INDEX: &str = "bench-search";
    delete(INDEX).await;
    let journal = open(INDEX).await;
    write(&journal, SEARCHED).await;
    drop(journal);
    let service = Service::start_with(folder, &environment(INDEX));
    let (client, mut figures) = (reqwest::Client::new(), Vec::new());
    for (what, more) in [
        ("the newest 20", r#""skip":0"#),
        ("of one type and hour", r#""skip":0,"type":"success","time":{"gte":1790812800,"lte":1790816400}"#),
        ("20 behind 5,000", r#""skip":5000"#),
    ] {
        let mut took = Vec::new();
        for number in 0..300 {
            let body = format!(r#"{{"identity":"task-{:08}","limit":20,{more}}}"#, number * 3 % TASKS);
            let begun = Instant::now();
            let answer = client.post(format!("{}/search", service.base)).body(body).send().await.expect("it answers");
            let text = answer.text().await.expect("a text");
            took.push(begun.elapsed().as_secs_f64() * 1_000.0);
            assert!(text.contains("fire_time"), "{text}");
        }
        took.sort_by(f64::total_cmp);
        figures.push(figure(format!("/search on 10,000,000 records, {what}: p50"), took[took.len() / 2], "ms"));
        figures.push(figure(format!("/search on 10,000,000 records, {what}: p99"), took[took.len() * 99 / 100], "ms"));
    }
    service.kill();
    delete(INDEX).await;
    figures
}

/// The environment of a service for the lateness on Elasticsearch.
pub(crate) async fn fresh(index: &str) -> Vec<(&'static str, String)> {
    delete(index).await;
    environment(index)
}
