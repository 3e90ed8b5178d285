//! What is special about runs, results and states in Elasticsearch, on a real server.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use schedule_service::model::{
    EntryName, Epoch, Identity, Pause, Pauses, Record, RecordId, RecordKind, Revision, RunId, RunState, Shard,
    ShardSet, Task, TimeZone, Timestamp,
};
use schedule_service::store::elastic::{Address, Elastic, Refresh, Settings};
use schedule_service::store::{CatalogStore, Change, JournalStore, LeaseStore, ResultStore, Retention, RunQuery};
use serde_json::{Value, json};

use crate::elastic_store::{all, at, fire, identity, open, settings};
use crate::support::elasticsearch::{Server, shared};
use crate::support::{Deed, Proxy};

const MONTH: i64 = 31 * 24 * 60 * 60;

fn entry() -> EntryName {
    EntryName::parse("e").unwrap()
}

/// A run of a planned instant in a phase; it is an error once it has ended.
fn run(second: i64, phase: u32, more: &str) -> Record {
    let (kind, record) =
        (if phase < RunState::ENDED { RecordKind::Started } else { RecordKind::Error }, fire(second, more));
    let source = record.source.replacen("success", kind.as_str(), 1).into();
    Record { kind, run: Some(RunState { entry: Some(entry()), phase, is_dead_letter: false }), source, ..record }
}

async fn kinds(store: &Elastic) -> Vec<RecordKind> {
    store.search(all(100, 0)).await.unwrap().records.iter().map(|record| record.kind).collect()
}

async fn instants(store: &Elastic, query: RunQuery) -> Vec<Timestamp> {
    store.runs(query).await.unwrap().records.iter().map(Record::instant).collect()
}

async fn unfinished(store: &Elastic) -> Vec<Timestamp> {
    let (mut pages, mut all) = (store.unfinished(ShardSet::ALL), Vec::new());
    while let Some(page) = pages.recv().await {
        all.extend(page.unwrap().iter().map(Record::instant));
    }
    all.sort();
    all
}

/// Who sees what was written only when it is told so.
fn unhurried() -> Settings {
    Settings { refresh: Refresh::EverySeconds(3_600), ..settings(&[&shared()]) }
}

#[tokio::test]
async fn what_must_be_known_at_once_is_known_before_any_refresh() {
    let store = open(&unhurried()).await.unwrap();
    let other = RunId::asked(at(MONTH));
    store.append(vec![run(1, 0, ""), run(2, 0, ""), run(MONTH, 3, "")]).await.unwrap();
    store.put_piece(other, 3, Bytes::from_static(b"piece")).await.unwrap();
    assert_eq!(unfinished(&store).await, [at(1), at(2), at(MONTH)]);

    store.append(vec![run(1, RunState::ENDED, ""), run(3, 1, "")]).await.unwrap();

    let ended = store.run(&identity(), RunId::from(run(1, 0, "").id)).await.unwrap();
    assert_eq!(ended.map(|record| record.kind), Some(RecordKind::Error));
    assert_eq!(store.piece(other, 3).await.unwrap(), Some(Bytes::from_static(b"piece")));
    assert_eq!(unfinished(&store).await, [at(2), at(3), at(MONTH)]);
}

/// Names of runs did not begin with their instant.
fn earlier_name() -> RecordId {
    RecordId::parse("1b4e28ba-2fa1-5d3b-a3f5-ef19b5a7633b").unwrap()
}

/// The index of a month as it was before there were phases, with one document that was written twice.
async fn older_history(settings: &Settings) {
    let (server, index) = (Server::shared(), format!("/{}-logs-2027.01", settings.index));
    let (keyword, long) = (json!({ "type": "keyword" }), json!({ "type": "long" }));
    let record = json!({ "properties": {
        "seq": long, "first": long, "last": long, "at": long, "count": long, "instant": long, "target": keyword,
        "text": { "type": "text" },
    } });
    let mappings = json!({ "dynamic": "strict", "properties": {
        "type": keyword, "identity": keyword, "key": keyword, "url": { "type": "text" }, "time": long,
        "@timestamp": { "type": "date" }, "policy": keyword, "record": record,
    } });
    let aliases = json!({ settings.index.as_str(): {} });
    server.ask(Method::PUT, &index, json!({ "mappings": mappings, "aliases": aliases })).await;
    let older = Record { id: earlier_name(), ..fire(1, "") };
    let mut document: Value = serde_json::from_str(&older.source).unwrap();
    let instant = at(1).millis();
    document["record"] =
        json!({ "seq": 1, "at": instant, "first": instant, "last": instant, "count": 1, "instant": instant });
    for _ in 0..2 {
        server.ask(Method::PUT, &format!("{index}/_doc/{}?refresh=true", older.id), document.clone()).await;
    }
}

#[tokio::test]
async fn an_older_index_gets_the_fields_of_runs_and_its_outcomes_are_runs_that_have_ended() {
    let settings = settings(&[&shared()]);
    older_history(&settings).await;
    let store = open(&settings).await.unwrap();
    let older = store.runs(RunQuery { limit: 9, ..RunQuery::default() }).await.unwrap().records;
    assert_eq!(older[0].run, Some(RunState::ended(entry())));
    assert_eq!(store.run(&identity(), older[0].id.into()).await.unwrap().as_ref(), Some(&older[0]));

    let named = |record: Record| Record { id: earlier_name(), ..record };
    let error = run(1, RunState::ENDED, r#","policy":{"retry":{"attempts_max":3}}"#);
    store.append(vec![named(error)]).await.unwrap();
    assert_eq!(kinds(&store).await, [RecordKind::Error]);
    store.append(vec![named(fire(1, "")), run(2, 0, "")]).await.unwrap();
    assert_eq!(kinds(&store).await, [RecordKind::Started, RecordKind::Success]);

    assert_eq!((unfinished(&store).await, store.parked()), (vec![at(2)], 0));
}

#[tokio::test]
async fn a_run_whose_document_is_refused_keeps_its_phase_as_a_text_and_when_it_is_parked() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let twice = r#","body":{"a":1,"a":2}"#;
    let immense = format!(r#","header":{{"{}":"v"}}"#, "n".repeat(40_000));

    for (second, refused) in [(1, twice), (2, &immense)] {
        store.append(vec![run(second, 5, refused)]).await.unwrap();
        store.append(vec![run(second, 4, "")]).await.unwrap();
        let stands = store.run(&identity(), run(second, 0, "").id.into()).await.unwrap().unwrap();
        assert_eq!(stands.run.map(|run| run.phase), Some(5));
        store.append(vec![run(second, RunState::ENDED, refused), run(second, 6, refused)]).await.unwrap();
    }

    assert_eq!(kinds(&store).await, [RecordKind::Error, RecordKind::Error]);
    assert_eq!(unfinished(&store).await, []);
}

/// Every field that a run's document may have.
const EVERY_FIELD: &str = r#","run_id":"r","fire_time":"2027-01-15T08:00:00Z","due_at":"2027-01-15T08:00:01.5Z",
    "run_by":"schedule","args":"one two","policy":{"timeout_ms":1000,"retry":{"attempts_max":3,"on":["5xx",408]},
    "success":{"status":["2xx",304],"body_contains":"x"},"overlap":"skip"},"state":"backing_off","phase":4,"revision":7,
    "attempts":[{"attempt":1,"started_at":"2027-01-15T08:00:02Z","duration_ms":5,"error":"refused","bytes":0}],
    "dead_letter":true,"rerun_of":"a","rerun_as":"b","backfill":"c","backfill_at_once":2,"callback":"on_failure",
    "result_size":70000,"content_type":"text/plain","result_pieces":2,"result_truncated":true,"result_error":"why","note":"why",
    "redirects":2,"last_url":"http://b/",
    "by":"who","resume_at":"2027-01-15T08:00:03Z","discarded_by":"ada","callback_of":"d","response_lead":" \n","response_trail":" ""#;

#[tokio::test]
async fn every_field_of_a_run_is_taken_and_its_policies_can_be_searched() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    let every = EVERY_FIELD.replace('\n', "");
    let long = every.replace("one two", &"long ".repeat(20_000)).replace("text/plain", &"x".repeat(40_000));
    let skipped = Record { kind: RecordKind::Skipped, ..fire(3, r#","policy":"overlap skip""#) };
    let skipped = Record { source: skipped.source.replacen("success", "skipped", 1).into(), ..skipped };
    let records = [run(1, RunState::ENDED, &every), run(2, RunState::ENDED, &long), skipped];

    store.append(records.to_vec()).await.unwrap();

    let mut found = store.search(all(9, 0)).await.unwrap().records;
    found.reverse();
    assert_eq!((found, store.parked()), (records.to_vec(), 0));
    let count = async |field: &str, value: &str| {
        Server::shared().count(&settings.index, json!({ "term": { field: value } })).await
    };
    assert_eq!((count("record.policy.overlap", "skip").await, count("policy", "overlap skip").await), (2, 1));
}

#[tokio::test]
async fn the_outcome_of_a_callback_replaces_its_start_also_in_another_month() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let id = RecordId::from(RunId::asked(at(0)).following("on_failure"));
    let started = Record { id, settled: None, ..run(5, 1, r#","callback":"on_failure""#) };
    let ended = fire(MONTH, r#","callback":"on_failure""#);
    let ended = Record { id, settled: None, run: None, ..ended };

    store.append(vec![started]).await.unwrap();
    assert_eq!(unfinished(&store).await, [at(0)]);
    store.append(vec![ended]).await.unwrap();

    assert_eq!((unfinished(&store).await, kinds(&store).await), (vec![], vec![RecordKind::Success]));
    assert_eq!(store.run(&identity(), id.into()).await.unwrap(), None);
}

#[tokio::test]
async fn runs_are_listed_beyond_the_ten_thousandth_and_beside_more_clears_than_a_query_can_name() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let records: Vec<Record> = (0..10_500).map(|second| fire(second, "")).collect();
    for part in records.chunks(2_000) {
        store.append(part.to_vec()).await.unwrap();
    }
    let query = |skip| RunQuery { skip, limit: 10, ..RunQuery::default() };

    let expected: Vec<Timestamp> = (140..150).rev().map(at).collect();
    assert_eq!(instants(&store, query(10_350)).await, expected);
    assert_eq!(instants(&store, query(10_495)).await.len(), 5);
    let named = |name: &str| Identity::parse(name).unwrap();
    for number in 0..=100 {
        store.clear(&named(&format!("cleared {number}")), at(9)).await.unwrap();
    }
    // Of tasks with the oldest mark, which no query names.
    let hidden = Record { identity: named("cleared 0"), id: RunId::asked(at(10_490)).into(), ..fire(10_490, "") };
    let hidden = Record { source: hidden.source.replace(r#""task""#, r#""cleared 0""#).into(), ..hidden };
    store.append(vec![hidden]).await.unwrap();
    store.clear(&named("cleared 0"), at(9)).await.unwrap();
    for number in 1..=100 {
        store.clear(&named(&format!("cleared {number}")), at(9)).await.unwrap();
    }

    let page = store.runs(RunQuery { skip: 5, limit: 10, ..RunQuery::default() }).await.unwrap();
    let expected: Vec<Timestamp> = (10_485..10_495).rev().map(at).collect();
    assert_eq!(page.records.iter().map(Record::instant).collect::<Vec<_>>(), expected);
    assert!(page.total > 15 && page.total_is_lower_bound, "{}", page.total);
    let whole = store.runs(RunQuery { since: Some(at(10_480)), limit: 100, ..RunQuery::default() }).await.unwrap();
    assert_eq!((whole.records.len(), whole.total, whole.total_is_lower_bound), (20, 20, false));
    assert!(page.records.iter().all(|record| record.identity == identity()));
}

#[tokio::test]
async fn results_of_a_month_go_whole_only_if_all_of_them_have_to() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    let piece = |number: u8| Bytes::from(vec![number; 100]);
    let runs = [at(0), at(1), at(MONTH)].map(RunId::asked);
    for run in runs {
        for number in 0..4 {
            store.put_piece(run, number.into(), piece(number)).await.unwrap();
        }
    }
    let first = async |run: usize| store.piece(runs[run], 0).await.unwrap().is_some();
    let months = async || {
        let path = format!("/{}-results-*?expand_wildcards=all", settings.index);
        Server::shared().ask(Method::GET, &path, Value::Null).await.as_object().unwrap().len()
    };

    let one_too_many = store.prune_results(Timestamp::EPOCH, 1_100, 100).await.unwrap();
    assert_eq!((one_too_many.records, one_too_many.more), (1, false));
    assert_eq!([first(0).await, first(1).await, months().await == 2], [false, true, true]);
    assert_eq!(store.piece(runs[0], 1).await.unwrap(), Some(piece(1)));
    let of_the_second = store.prune_results(Timestamp::EPOCH, 250, 100).await.unwrap();
    assert_eq!((of_the_second.records, of_the_second.more), (9, false));
    assert_eq!([first(1).await, first(2).await, months().await == 1], [false, false, true]);
    store.put_piece(runs[1], 0, piece(1)).await.unwrap();
    let young = RunId::asked(at(2));
    store.put_piece(young, 0, piece(2)).await.unwrap();
    let of_a_part = store.prune_results(at(2), u64::MAX, 100).await.unwrap();
    assert_eq!((of_a_part.records, of_a_part.more), (1, false));
    assert_eq!([first(1).await, store.piece(young, 0).await.unwrap().is_some()], [false, true]);
    // A month that is over, also when nothing is left in it.
    store.prune_results(Timestamp::EPOCH, 0, 100).await.unwrap();
    store.prune_results(at(3 * MONTH), u64::MAX, 100).await.unwrap();
    assert_eq!(months().await, 0);
    store.put_piece(runs[2], 0, piece(7)).await.unwrap();
    assert_eq!(store.piece(runs[2], 0).await.unwrap(), Some(piece(7)));
}

fn change(replaces: Option<u64>, epoch: Epoch, second: i64) -> Change {
    let next = Revision::new(Task::new(identity(), TimeZone::UTC, Vec::new()), at(second));
    let source = format!(r#"{{"type":"put","identity":"task","time":{}}}"#, at(second).secs());
    let record = Record {
        id: RecordId::random(),
        kind: RecordKind::Put,
        settled: None,
        run: None,
        source: source.into(),
        ..fire(second, "")
    };
    Change { identity: identity(), replaces, epoch, at: at(second), next: Some(next), record, audit: None }
}

/// A store behind a proxy.
async fn behind(proxy: &Proxy) -> Elastic {
    let settings = settings(&[&shared()]);
    open(&Settings { address: Address::Hosts(vec![proxy.url().parse().unwrap()]), ..settings }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_waits_to_be_written_is_in_the_history_of_its_task() {
    let proxy = Proxy::start(&shared()).await;
    let store = behind(&proxy).await;
    let epoch = store.take(ShardSet::ALL, "test").await.unwrap()[Shard::of(&identity()).index()].epoch;
    store.change(change(None, epoch, 0)).await.unwrap();
    proxy.set(|line, body| {
        let is_past = line.contains("/_bulk") && String::from_utf8_lossy(body).contains(r#""kind":"past""#);
        if is_past { Deed::Refuse429 } else { Deed::Pass }
    });

    store.change(change(Some(1), epoch, 5)).await.unwrap();

    let states = store.history_of(&identity(), None, 9).await.unwrap();
    let told: Vec<_> = states.iter().map(|it| (it.number, it.in_force_from, it.in_force_until)).collect();
    assert_eq!(told, [(2, at(5), None), (1, at(0), Some(at(5)))]);
}

#[tokio::test]
async fn a_history_of_many_states_is_read_in_steps() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let epoch = store.take(ShardSet::ALL, "test").await.unwrap()[Shard::of(&identity()).index()].epoch;
    for number in 0..120_u64 {
        store.change(change((number > 0).then_some(number), epoch, number.cast_signed())).await.unwrap();
    }
    let numbers = async |before: Option<u64>, max: usize| {
        let states = store.history_of(&identity(), before, max).await.unwrap();
        states.iter().map(|state| state.number).collect::<Vec<u64>>()
    };

    assert_eq!(numbers(None, 1_000).await, (1..=120).rev().collect::<Vec<u64>>());
    assert_eq!(numbers(Some(111), 60).await, (51..=110).rev().collect::<Vec<u64>>());
    store.forget_revisions(at(61)).await.unwrap();
    assert_eq!(numbers(None, 1_000).await, (61..=120).rev().collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_whose_answer_is_lost_count_as_written() {
    let proxy = Proxy::start(&shared()).await;
    let store = behind(&proxy).await;
    let pause = Pause { since: at(1), by: "who".into(), note: None };
    let pauses = Pauses { version: 1, all: Some(pause), ..Pauses::default() };
    let mut is_lost = false;
    proxy.set(move |line, _| {
        let loses = line.contains("/_bulk") && !std::mem::replace(&mut is_lost, line.contains("/_bulk"));
        if loses { Deed::LoseAnswer } else { Deed::Pass }
    });

    assert!(store.set_pauses(&pauses).await.unwrap());

    assert_eq!(store.pauses().await.unwrap(), pauses);
    assert!(!store.set_pauses(&pauses).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_written_again_while_retention_deletes_it_stays() {
    let settings = settings(&[&shared()]);
    let (proxy, quick) = (Proxy::start(&shared()).await, open(&settings).await.unwrap());
    let slow = Settings { address: Address::Hosts(vec![proxy.url().parse().unwrap()]), ..settings };
    let slow = open(&slow).await.unwrap();
    quick.append(vec![run(1, RunState::ENDED, ""), run(2, RunState::ENDED, "")]).await.unwrap();
    quick.clear(&identity(), at(9)).await.unwrap();
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let mut gate = Some((reached, may_go));
    proxy.set(move |_, body| {
        if String::from_utf8_lossy(body).contains(r#"{"delete":"#)
            && let Some((reached, may_go)) = gate.take()
        {
            reached.send(()).unwrap();
            tokio::task::block_in_place(|| may_go.recv_timeout(Duration::from_secs(60))).unwrap();
        }
        Deed::Pass
    });
    let retention = Retention { before: Timestamp::EPOCH, bytes_max: u64::MAX, step_max: 100 };

    let meanwhile = async {
        is_reached.await.unwrap();
        quick.append(vec![run(1, RunState::ENDED + 1, "")]).await.unwrap();
        go.send(()).unwrap();
    };
    let (pruned, ()) = tokio::join!(slow.prune(retention, at(9)), meanwhile);

    pruned.unwrap();
    assert_eq!(instants(&quick, RunQuery { limit: 9, ..RunQuery::default() }).await, [at(1)]);
    // A deleted one may be written again at once.
    quick.append(vec![run(2, RunState::ENDED, "")]).await.unwrap();
    assert_eq!(instants(&quick, RunQuery { limit: 9, ..RunQuery::default() }).await, [at(2), at(1)]);
}
