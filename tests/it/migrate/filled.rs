//! A store as a service may leave it, made at once.

use std::path::Path;

use schedule_service::model::{
    Claim, Entry, EntryName, Epoch, Identity, Lease, Pause, Pauses, Record, RecordId, RecordKind, Request, Revision,
    RunId, RunState, Schedule, Settled, ShardSet, Stretch, TargetUrl, Task, TimeZone, Timestamp,
};
use schedule_service::store::embedded::Embedded;
use schedule_service::store::{CatalogStore, Change, JournalStore, LeaseStore, RESULT_PIECE, ResultStore};
use serde_json::json;

/// Tasks that have a history.
pub(super) const NAMES: [&str; 3] = ["fired", "odd é\"\n", "cleared"];
/// How many records a full store holds that are not cleared.
pub(super) const RECORDS: u64 = 6_000 + 400 + 2 + 2;

fn at(second: i64) -> Timestamp {
    Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap().plus(std::time::Duration::from_secs(second as u64))
}

fn identity(name: &str) -> Identity {
    Identity::parse(name).unwrap()
}

fn entry() -> EntryName {
    EntryName::parse("e").unwrap()
}

/// Fills the store of a folder: many tasks, some with a past, thousands of records, a cleared history.
pub(super) async fn fill(folder: &Path) {
    let store = Embedded::open(&folder.join("data")).unwrap();
    let leases = store.take(ShardSet::ALL, "a test").await.unwrap();
    let epoch = leases[0].epoch;
    for (name, cron_time) in NAMES.iter().zip(["@every 10s", "0 0 0 1 1 *", "@every 10s"]) {
        put(&store, epoch, name, None, cron_time, 0).await;
    }
    for number in 0..397 {
        put(&store, epoch, &format!("task-{number}"), None, "0 0 0 1 1 *", 1).await;
    }
    put(&store, epoch, "fired", Some(1), "0 0 0 1 1 *", 60_001).await;
    let delete = change(epoch, "cleared", Some(1), at(60_001), None, RecordKind::Delete);
    store.change(delete).await.unwrap();
    let body = json!({ "long": "x".repeat(200), "number": 1.50 }).to_string();
    // Three instants have no outcome: `verify` has something to complain about.
    for second in (1..=6_003_i64).filter(|second| ![5, 600, 6_000].contains(second)).collect::<Vec<_>>().chunks(500) {
        store.append(second.iter().map(|&it| outcome("fired", at(it * 10), &body)).collect()).await.unwrap();
    }
    store.append((1..=5).map(|it| outcome("cleared", at(60_000 + it * 10), &body)).collect()).await.unwrap();
    store.clear(&identity("cleared"), at(60_100)).await.unwrap();
    let late = change_record(RecordKind::Delete, "cleared", at(60_101));
    store.append(vec![late, change_record(RecordKind::Running, NAMES[1], at(60_101))]).await.unwrap();
    fill_runs(&store).await;
    settle(&store, &leases, at(60_031)).await;
    store.close().await.unwrap();
}

/// Runs that somebody asked for, one of them a dead letter, the result of the other, and a pause.
async fn fill_runs(store: &Embedded) {
    let asked_for = |second: i64, is_dead_letter: bool| {
        let (id, run) = (RunId::asked(at(second)).into(), RunState { is_dead_letter, ..RunState::ended(entry()) });
        let record = outcome(NAMES[1], at(second), "null");
        Record { id, settled: None, run: Some(run), ..record }
    };
    let (run, dead) = (asked_for(60_102, false), asked_for(60_103, true));
    for number in 0..100 {
        let piece = vec![u8::try_from(number).unwrap(); RESULT_PIECE];
        store.put_piece(run.id.into(), number, piece.into()).await.unwrap();
    }
    store.append(vec![run, dead]).await.unwrap();
    let pause = Pause { since: at(60_103), by: "a test".into(), note: Some("why".into()) };
    let pauses = Pauses { version: 1, all: None, tags: [("no entry has it".into(), pause)].into(), lifted: Vec::new() };
    assert!(store.set_pauses(&pauses).await.unwrap());
}

/// Fills the store of a folder with a task, and a record for each body.
pub(super) async fn fill_with(folder: &Path, bodies: &[&str]) {
    let store = Embedded::open(&folder.join("data")).unwrap();
    let leases = store.take(ShardSet::ALL, "a test").await.unwrap();
    put(&store, leases[0].epoch, "fired", None, "0 0 0 1 1 *", 0).await;
    let records = bodies.iter().zip(1..).map(|(body, second)| outcome("fired", at(second * 10), body));
    store.append(records.collect()).await.unwrap();
    settle(&store, &leases, at(100)).await;
    store.close().await.unwrap();
}

async fn settle(store: &Embedded, leases: &[Lease], settled_through: Timestamp) {
    let claim = |lease: &Lease| Claim { shard: lease.shard, epoch: lease.epoch, through: at(60_200), settled_through };
    store.claim(&leases.iter().map(claim).collect::<Vec<_>>()).await.unwrap();
}

async fn put(store: &Embedded, epoch: Epoch, name: &str, replaces: Option<u64>, cron_time: &str, second: i64) {
    let from = at(second);
    let url = TargetUrl::parse("http://127.0.0.1:9/never").unwrap();
    let entry = Entry::new(entry(), Schedule::cron(cron_time).unwrap(), Request::post(url));
    let next = Revision::new(Task::new(identity(name), TimeZone::UTC, vec![entry]), from);
    let put = change(epoch, name, replaces, from, Some(next), RecordKind::Put);
    store.change(put).await.unwrap();
}

fn change(
    epoch: Epoch,
    name: &str,
    replaces: Option<u64>,
    at: Timestamp,
    next: Option<Revision>,
    kind: RecordKind,
) -> Change {
    Change { identity: identity(name), replaces, epoch, at, next, record: change_record(kind, name, at), audit: None }
}

fn change_record(kind: RecordKind, name: &str, time: Timestamp) -> Record {
    let source = json!({
        "type": kind.as_str(), "identity": name, "time": time.secs(), "@timestamp": time.to_string(),
    });
    let source = source.to_string().into();
    Record { id: RecordId::random(), identity: identity(name), kind, settled: None, run: None, time, source }
}

/// An outcome with a body that is spread over lines, as targets like to answer.
fn outcome(name: &str, fire_time: Timestamp, body: &str) -> Record {
    let record = change_record(RecordKind::Success, name, fire_time);
    let id = RunId::planned(&record.identity, &entry(), fire_time).into();
    let source = format!("{{\"key\":\"e\",\"body\":{body},\"response\":[\n 1\n],{}", &record.source[1..]);
    let settled = Some(Settled { entry: entry(), stretch: Stretch::one(fire_time) });
    Record { id, settled, source: source.into(), ..record }
}
