//! What only a cluster's store can do wrong, on a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use schedule_service::clock::SystemClock;
use schedule_service::model::{EntryName, Identity, Record, RecordKind, RunId, Settled, ShardSet, Stretch, Timestamp};
use schedule_service::store::elastic::{Address, Credentials, Elastic, Settings};
use schedule_service::store::{JournalStore, LeaseStore, Retention, Search, StoreError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::elasticsearch::{self, Server, shared};
use crate::support::{Deed, Proxy};

pub(crate) fn settings(hosts: &[&str]) -> Settings {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Settings { address: Address::Hosts(hosts), ..elasticsearch::settings() }
}

pub(crate) async fn open(settings: &Settings) -> Result<Elastic, StoreError> {
    Elastic::open(settings, Arc::new(SystemClock)).await
}

async fn refusal(settings: &Settings) -> String {
    let error = open(settings).await.err().expect("it is refused");
    std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + second)
}

pub(crate) fn identity() -> Identity {
    Identity::parse("task").unwrap()
}

/// The record of a fire whose document has these fields beside its own.
pub(crate) fn fire(second: i64, more: &str) -> Record {
    let (identity, entry) = (identity(), EntryName::parse("e").unwrap());
    let source = format!(
        r#"{{"type":"success","identity":"task","key":"e","url":"http://a/","time":{},"@timestamp":"{}"{more}}}"#,
        at(second).secs(),
        at(second),
    );
    let settled = Some(Settled { entry: entry.clone(), stretch: Stretch::one(at(second)) });
    let id = RunId::planned(&identity, &entry, at(second)).into();
    Record { id, identity, kind: RecordKind::Success, settled, run: None, time: at(second), source: source.into() }
}

pub(crate) fn all(limit: usize, skip: usize) -> Search {
    Search { identity: identity(), kind: None, since_secs: None, until_secs: None, limit, skip }
}

async fn sources(store: &Elastic) -> Vec<String> {
    let found = store.search(all(100, 0)).await.unwrap();
    found.records.into_iter().rev().map(|record| record.source.into_string()).collect()
}

#[tokio::test]
async fn any_json_of_clients_and_targets_is_kept_and_makes_neither_fields_nor_conflicts() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    let keys: Vec<String> = (0..10_000).map(|key| format!(r#""k{key}":{}"#, ["1", "\"s\"", "[{}]"][key % 3])).collect();
    let deep = |levels: usize| format!(r#"{}1{}"#, r#"{"x":"#.repeat(levels), "}".repeat(levels));
    let values = [
        format!("{{{}}}", keys.join(",")),
        r#"{"a":1}"#.to_owned(),
        r#"{"a":"text"}"#.to_owned(),
        r#"[{"a":[1,"b",null]},2.50,1e400]"#.to_owned(),
        format!(r#"{{"long":"{}"}}"#, "s".repeat(32 * 1024)),
        deep(50),
        r#"{"":1,".":2,"a.b":{"a":3},"a":4," ":5}"#.to_owned(),
        "\"\\u0000 \\ud800\"".to_owned(),
        "{\n\"pretty\":\r\n1\n}".to_owned(),
        "12345678901234567890123456789.10".to_owned(),
    ];
    let records: Vec<Record> = values
        .iter()
        .enumerate()
        .map(|(second, value)| {
            fire(second as i64, &format!(r#","body":{value},"response":{value},"header":{{"X.y":"{second}"}}"#))
        })
        .collect();

    store.append(records.clone()).await.unwrap();

    let expected: Vec<String> = records.iter().map(|record| record.source.replace(['\n', '\r'], " ")).collect();
    assert_eq!(sources(&store).await, expected);
    assert_eq!(store.parked(), 0);
    let mapping = Server::shared()
        .ask(http::Method::GET, &format!("/{}-logs-2027.01/_mapping", settings.index), Value::Null)
        .await;
    assert!(
        !mapping.to_string().contains("k1") && !mapping.to_string().contains("pretty"),
        "no field came from a value"
    );
}

#[tokio::test]
async fn json_that_elasticsearch_cannot_read_is_kept_as_its_text_and_the_others_as_they_are() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let deep = format!("{}1{}", "[".repeat(1_200), "]".repeat(1_200));
    let unreadable = [r#"{"a":1,"a":2}"#.to_owned(), deep, "9".repeat(2_000)];
    let mut records: Vec<Record> = unreadable
        .iter()
        .enumerate()
        .map(|(second, value)| fire(second as i64, &format!(r#","body":{value},"response":{{"b":1}}"#)))
        .collect();
    records.push(fire(9, r#","body":{"a":1}"#));

    store.append(records.clone()).await.unwrap();

    let found = sources(&store).await;
    for (source, text) in found.iter().zip(&unreadable) {
        let source: Value = serde_json::from_str(source).unwrap();
        assert_eq!((source["body"].as_str(), source["identity"].as_str()), (Some(text.as_str()), Some("task")));
        assert_eq!(source["response"], json!(r#"{"b":1}"#));
    }
    assert_eq!(found[3], *records[3].source);
    assert_eq!(store.parked(), 0);
}

#[tokio::test]
async fn a_document_that_is_refused_whatever_is_done_is_parked_with_its_reason_and_blocks_no_other() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let poison = fire(0, &format!(r#","body":{{"kept":1}},"header":{{"{}":"v"}}"#, "n".repeat(40_000)));

    store.append(vec![poison.clone(), fire(1, "")]).await.unwrap();

    let found = sources(&store).await;
    let parked: Value = serde_json::from_str(&found[0]).unwrap();
    assert!(parked["parked"].as_str().unwrap().contains("immense"), "{}", parked["parked"]);
    assert_eq!(parked["parked_source"], *poison.source);
    assert_eq!((found.len(), store.parked()), (2, 1));
    let entry = [(identity(), EntryName::parse("e").unwrap())];
    assert_eq!(store.outcomes(&entry, at(-1)).await.unwrap()[0].len(), 2, "its instant has its outcome");
}

#[tokio::test]
async fn a_search_goes_on_beyond_the_ten_thousandth_record() {
    let store = open(&settings(&[&shared()])).await.unwrap();
    let records: Vec<Record> = (0..10_500).map(|second| fire(second, "")).collect();
    for part in records.chunks(2_000) {
        store.append(part.to_vec()).await.unwrap();
    }

    let page = store.search(all(100, 10_350)).await.unwrap();
    let last = store.search(all(100, 10_450)).await.unwrap();
    let beyond = store.search(all(100, 20_000)).await.unwrap();

    let times: Vec<Timestamp> = page.records.iter().map(|record| record.time).collect();
    assert_eq!(times, (50..150).rev().map(at).collect::<Vec<_>>());
    assert_eq!((page.total, page.total_is_lower_bound, last.records.len()), (10_000, true, 50));
    assert_eq!((beyond.records.len(), beyond.total), (0, 10_000));
}

#[tokio::test]
async fn the_index_of_the_mirrored_service_is_searched_and_never_written_to() {
    let settings = settings(&[&shared()]);
    let index = &settings.index;
    let old = [("task", "put", 5), ("task", "success", 50), ("task-two", "success", 60)];
    for (identity, kind, second) in old {
        let document = json!({ "type": kind, "identity": identity, "key": "e", "time": at(second).secs() });
        Server::shared().ask(http::Method::POST, &format!("/{index}/_doc?refresh=true"), document).await;
    }
    let store = open(&settings).await.unwrap();
    store.append(vec![fire(20, "")]).await.unwrap();

    let found = store.search(all(10, 0)).await.unwrap();
    let puts = store.search(Search { kind: Some(RecordKind::Put), ..all(10, 0) }).await.unwrap();

    let times: Vec<Timestamp> = found.records.iter().map(|record| record.time).collect();
    assert_eq!(times, [at(50), at(20), at(5)]);
    assert_eq!(puts.total, 1);
    store.clear(&identity(), at(20)).await.unwrap();
    assert_eq!(store.search(all(10, 0)).await.unwrap().total, 1, "what was newer than the clear stays");
    let counted = Server::shared().ask(http::Method::GET, &format!("/{index}/_count"), Value::Null).await;
    assert_eq!(counted["count"], 3);
}

#[tokio::test]
async fn a_dead_host_costs_no_request_more_than_another_try() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (first, second) = (Proxy::start(&shared()).await, Proxy::start(&shared()).await);
    let asked = Arc::new(AtomicUsize::new(0));
    let of_first = Arc::new(AtomicUsize::new(0));
    for (proxy, of_proxy) in [(&first, of_first.clone()), (&second, Arc::default())] {
        let asked = asked.clone();
        proxy.set(move |line, _| {
            asked.fetch_add(usize::from(line.contains("/_search")), Ordering::Relaxed);
            of_proxy.fetch_add(usize::from(line.contains("/_search")), Ordering::Relaxed);
            Deed::Pass
        });
    }
    let store = open(&settings(&[&format!("http://{closed}"), &first.url(), &second.url()])).await.unwrap();

    let before = asked.load(Ordering::Relaxed);
    for _ in 0..20 {
        store.search(all(1, 0)).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed) - before, 20, "each once, at a host that lives");
    let share = of_first.load(Ordering::Relaxed);
    assert!((5..=15).contains(&share), "{share} of 20 went to one of two hosts");

    // Both lose their answers: none is left, and the error says so.
    first.set(|_, _| Deed::LoseAnswer);
    second.set(|_, _| Deed::LoseAnswer);
    let error = store.search(all(1, 0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    first.set(|_, _| Deed::Pass);
    while store.search(all(1, 0)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Answers every request with this.
async fn impostor(headers: &str, body: &str) -> String {
    let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_is_no_elasticsearch_of_a_known_version_is_refused_with_what_to_check() {
    let other = impostor("", "{}").await;
    let old = impostor("X-elastic-product: Elasticsearch\r\n", r#"{"version":{"number":"7.17.28"}}"#).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let tls = shared().replace("http://", "https://");
    let nameless = "http://no-such-host.invalid:9200";

    let cases = [
        (other, "there is no Elasticsearch at this address: check [elasticsearch] hosts"),
        (old, "Elasticsearch 7.17.28 is not supported, expected 8.x or 9.x"),
        (format!("http://{closed}"), "check [elasticsearch] hosts, and whether it runs"),
        (tls, "it does not speak TLS: check https:// in [elasticsearch] hosts"),
        (nameless.to_owned(), "its name is unknown: check [elasticsearch] hosts"),
    ];
    for (host, expected) in cases {
        let refusal = refusal(&settings(&[&host])).await;
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[tokio::test]
async fn requests_and_answers_may_be_compressed() {
    let store = open(&Settings { compression: true, ..settings(&[&shared()]) }).await.unwrap();

    store.append(vec![fire(1, &format!(r#","body":"{}""#, "text ".repeat(10_000)))]).await.unwrap();

    assert!(store.search(all(1, 0)).await.unwrap().records[0].source.contains("text text"));
}

#[tokio::test]
async fn an_api_key_is_sent_as_elasticsearch_wants_it() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let len = stream.read(&mut request).await.unwrap_or(0);
            let _ = heard.send(String::from_utf8_lossy(&request[..len]).to_lowercase());
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
        }
    });

    let refusal =
        refusal(&Settings { credentials: Credentials::ApiKey("bXktaWQ6c2VjcmV0".to_owned()), ..settings(&[&host]) })
            .await;

    assert!(refusal.contains("the credentials were refused") && !refusal.contains("bXkt"), "{refusal}");
    assert!(hears.recv().await.unwrap().contains("authorization: apikey bxktawq6c2vjcmv0"));
}

#[tokio::test]
async fn a_cloud_id_leads_to_its_host() {
    // "name:" and the text `cloud.invalid$deployment$kibana` in Base64.
    let cloud = Address::CloudId("name:Y2xvdWQuaW52YWxpZCRkZXBsb3ltZW50JGtpYmFuYQ==".to_owned());
    let wrong = Address::CloudId("name".to_owned());

    let unknown = refusal(&Settings { address: cloud, ..settings(&[&shared()]) }).await;
    let unreadable = refusal(&Settings { address: wrong, ..settings(&[&shared()]) }).await;

    assert!(unknown.contains("https://deployment.cloud.invalid"), "{unknown}");
    assert!(unreadable.contains("[elasticsearch] cloud_id cannot be read"), "{unreadable}");
}

#[tokio::test]
async fn a_missing_shard_is_told_and_never_taken_for_an_empty_history() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    store.append(vec![fire(1, "")]).await.unwrap();
    store.check().await.unwrap();

    let lost = json!({ "settings": { "index.routing.allocation.require._name": "nobody" } });
    let path = format!("/{}-logs-2020.01?wait_for_active_shards=0", settings.index);
    Server::shared().ask(http::Method::PUT, &path, lost).await;

    let text = |error: StoreError| format!("{error}: {}", std::error::Error::source(&error).unwrap());
    let problem = text(store.check().await.unwrap_err());
    assert!(problem.contains("the cluster is red") && problem.contains("_cluster/allocation/explain"), "{problem}");
    assert!(store.search(all(10, 0)).await.is_err());
    assert!(store.take(ShardSet::ALL, "test").await.is_err());
    Server::shared().ask(http::Method::DELETE, &format!("/{}-logs-2020.01", settings.index), Value::Null).await;
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_month_that_is_old_is_dropped_whole() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    store.append(vec![fire(1, ""), fire(40 * 86_400, "")]).await.unwrap();
    let retention = Retention { before: at(30 * 86_400), bytes_max: u64::MAX, step_max: 100 };

    let pruned = store.prune(retention, at(50 * 86_400)).await.unwrap();

    assert_eq!((pruned.records, pruned.more), (1, false));
    let left =
        Server::shared().ask(http::Method::GET, &format!("/{}-logs-*/_settings", settings.index), Value::Null).await;
    assert_eq!(left.as_object().unwrap().keys().collect::<Vec<_>>(), [&format!("{}-logs-2027.02", settings.index)]);
    store.append(vec![fire(2, "")]).await.unwrap();
    assert_eq!(store.search(all(10, 0)).await.unwrap().total, 2, "its index comes back with what still belongs to it");
}
