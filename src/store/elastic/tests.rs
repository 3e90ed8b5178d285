//! The store on a real server.

use elasticsearch::http::Method;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::*;
use crate::clock::SystemClock;
use crate::model::RecordKind;
use crate::store::conformance::{self, at, identity, store_conformance};
use crate::store::{CursorError, LogSort, Within, Words};

/// Where the server for tests is; `scripts/test` starts one and says so.
const VARIABLE: &str = "SCHEDULE_TEST_ELASTICSEARCH";

fn server() -> Url {
    let hosts = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{VARIABLE} is not set: run scripts/test, or `scripts/elasticsearch start` and set it to what that prints"
        )
    });
    Url::parse(&hosts).unwrap()
}

fn settings() -> Settings {
    Settings {
        address: Address::Hosts(vec![server()]),
        credentials: Credentials::None,
        ca_file: None,
        timeout: std::time::Duration::from_secs(30),
        compression: false,
        index: format!("t-{}", Uuid::new_v4()),
        shards: 1,
        replicas: 0,
        refresh: Refresh::Immediately,
        durability: Durability::Request,
        wait_for_active_shards: "1".to_owned(),
    }
}

async fn open() -> Elastic {
    Elastic::open(&settings(), Arc::new(SystemClock)).await.unwrap()
}

store_conformance!((open().await, ()));

/// Two records of our own, a second apart.
async fn append_two(store: &Elastic) {
    let records = [1, 2].map(|second| conformance::outcome(RecordKind::Success, "ours", at(second)));
    store.append(records.to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_cursor_whose_state_is_no_longer_kept_has_expired() {
    let store = open().await;
    append_two(&store).await;
    let query = LogQuery { limit: 1, ..LogQuery::default() };

    let first = store.search_logs(query.clone(), None).await.unwrap().next;
    let last = store.search_logs(query.clone(), first.clone()).await.unwrap();
    let again = store.search_logs(query, first).await;

    // The last page gives the state back at once, not after some minutes.
    assert_eq!((last.records.len(), last.next), (1, None));
    assert!(matches!(again, Err(StoreError::Cursor(CursorError::Expired))), "{again:?}");
}

#[tokio::test]
async fn more_clears_than_a_query_can_name_are_still_hidden() {
    let store = open().await;
    append_two(&store).await;
    let names: Vec<String> = (0..=log_query::MARKS_MAX).map(|number| format!("cleared {number}")).collect();
    let records = names.iter().map(|name| conformance::outcome(RecordKind::Success, name, at(3)));
    store.append(records.collect()).await.unwrap();
    for name in &names {
        store.clear(&identity(name), at(9)).await.unwrap();
    }
    let query = LogQuery { limit: 1, ..LogQuery::default() };

    let first = store.search_logs(query.clone(), None).await.unwrap();
    let last = store.search_logs(query, first.next.clone()).await.unwrap();

    let names = |page: &LogPage| page.records.iter().map(|it| it.identity.to_string()).collect::<Vec<_>>();
    assert_eq!((names(&first), names(&last), last.next), (vec!["ours".to_owned()], vec!["ours".to_owned()], None));
    assert_eq!((first.total.value, first.total.is_lower_bound), (1, true));
}

/// A store beside an index of the mirrored service with these documents.
async fn open_beside(documents: &[Value]) -> Elastic {
    let settings = settings();
    let client = Client::new(&settings).unwrap();
    for document in documents {
        let path = format!("/{}/_doc?refresh=true", settings.index);
        let _: Value = client.ask("playing the mirrored service", Method::Post, path, Some(document)).await.unwrap();
    }
    Elastic::open(&settings, Arc::new(SystemClock)).await.unwrap()
}

fn legacy(secs_before: i64, response: &Value) -> Value {
    json!({
        "type": "success", "identity": "old task", "key": "an entry", "url": "http://old.example/run", "body": { "a": 1 },
        "response": response, "time": at(-secs_before).secs(),
    })
}

#[tokio::test]
async fn documents_of_the_mirrored_service_are_found_as_far_as_their_fields_allow() {
    let documents = [legacy(20, &json!({ "error": 0, "msg": "all good" })), legacy(10, &json!({ "msg": ["poor", 5] }))];
    let store = open_beside(&documents).await;
    append_two(&store).await;
    let found = async |change: &dyn Fn(&mut LogQuery)| {
        let mut query = LogQuery { limit: 1, ..LogQuery::default() };
        change(&mut query);
        let (mut seconds, mut next) = (Vec::new(), None);
        loop {
            let page = store.search_logs(query.clone(), next).await.unwrap();
            seconds.extend(page.records.iter().map(|record| record.time.secs() - at(0).secs()));
            next = page.next;
            if next.is_none() {
                return seconds;
            }
        }
    };
    let words = |text| move |query: &mut LogQuery| query.filter.words = Words::parse(text).unwrap();

    for (sort, order) in LogSort::ALL.into_iter().zip([[2, 1, -10, -20], [-20, -10, 1, 2]].into_iter().cycle()) {
        assert_eq!(found(&|query| query.sort = sort).await, order, "{sort:?}");
    }
    assert_eq!(found(&words("good run")).await, [-20]);
    assert_eq!(found(&words("POOR")).await, [-10]);
    assert_eq!(found(&|query| query.filter.identities = [identity("old task")].into()).await, [-10, -20]);
    assert!(found(&|query| query.filter.identities = [identity("old")].into()).await.is_empty());
    let entry = EntryName::parse("an entry").unwrap();
    assert_eq!(found(&|query| query.filter.entries = [entry.clone()].into()).await, [-10, -20]);
    let from = Some(Timestamp::from_millis(at(-20).millis() + 1));
    assert_eq!(found(&|query| query.filter.time = Within { gte: from, lte: Some(at(1)) }).await, [1, -10]);
    store.clear(&identity("old task"), at(-15)).await.unwrap();
    assert_eq!(found(&|_| ()).await, [2, 1, -10]);
}

#[tokio::test]
async fn words_are_found_beside_an_index_with_very_many_fields() {
    let members = |from: usize| (from..from + 200).map(|number| (format!("member {number}"), json!("x"))).collect();
    let documents = [legacy(20, &Value::Object(members(0))), legacy(10, &Value::Object(members(200)))];
    let store = open_beside(&documents).await;
    let mut query = LogQuery { limit: 9, ..LogQuery::default() };
    query.filter.words = Words::parse(&"http old run ".repeat(8)).unwrap();
    let many: String = (0..32).map(|number| format!("w{number} ")).collect();

    assert_eq!(store.search_logs(query.clone(), None).await.unwrap().records.len(), 0);
    query.filter.words = Words::parse("run").unwrap();
    assert_eq!(store.search_logs(query.clone(), None).await.unwrap().records.len(), 2);
    query.filter.words = Words::parse(&many).unwrap();
    assert_eq!(store.search_logs(query, None).await.unwrap().records.len(), 0);
}

#[tokio::test]
async fn what_a_crash_kept_a_change_from_writing_is_there_once_the_store_is_complete() {
    use crate::model::{RecordKind, Timestamp};
    use crate::store::conformance::{all_of, at, kinds, put, revisions, take};
    use crate::store::transfer::Transfer;
    use elasticsearch::http::Method;
    let store = open().await;
    let epoch = take(&store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();
    let second = put(epoch, "a", Some(1), at(1));
    // As if it had never been there: with the version that it was written with.
    let past = format!("past:1:a?version={}&version_type=external_gte&", at(1).millis());
    let written = [("tasks", past), ("logs-2027.01", format!("{}?", second.record.id))];
    store.change(second).await.unwrap();
    for (index, id) in written {
        let path = format!("/{}-{index}/_doc/{id}refresh=true", store.inner.names.alias);
        let answer = store.inner.client.call("deleting", Method::Delete, path, client::NOTHING).await.unwrap();
        assert!(answer.status.is_success());
    }
    assert_eq!(kinds(&store, all_of("a")).await, [RecordKind::Put]);

    store.complete().await.unwrap();

    let known = revisions(&store, Timestamp::EPOCH).await;
    assert_eq!(
        known.iter().map(|it| (it.number, it.in_force_until)).collect::<Vec<_>>(),
        [(1, Some(at(1))), (2, None)]
    );
    assert_eq!(kinds(&store, all_of("a")).await, [RecordKind::Put, RecordKind::Put]);
}

/// Writes fields over those of a document, as a newer version of this program may.
async fn overwrite(store: &Elastic, index: &str, id: &str, fields: Value) {
    let path = format!("/{index}/_update/{id}?refresh=true");
    let _: Value =
        store.inner.client.ask("overwriting", Method::Post, path, Some(&json!({ "doc": fields }))).await.unwrap();
}

#[tokio::test]
async fn a_lease_of_a_newer_format_is_refused_and_cannot_be_claimed() {
    use crate::model::{Claim, Epoch, Shard};
    let store = open().await;
    store.take(ShardSet::ALL, "one").await.unwrap();
    let other = Elastic { inner: store.inner.clone() };
    overwrite(&store, &store.inner.names.leases, "shard:3", json!({ "format": 2, "epoch": 5 })).await;
    let expected =
        "shard:3 was written by a newer version of this program (format 2, this program knows 1): update this node";

    let refusals = [store.leases().await.unwrap_err(), other.take(ShardSet::ALL, "two").await.unwrap_err()];

    for refusal in refusals {
        assert!(matches!(&refusal, StoreError::Refused(text) if text == expected), "{refusal}");
    }
    let claim = |shard| Claim { shard: Shard::at(shard), epoch: Epoch(1), through: at(9), settled_through: at(8) };
    let fenced = store.claim(&[claim(2), claim(3)]).await.unwrap_err();
    assert!(matches!(fenced, StoreError::Fenced { shard, .. } if shard == Shard::at(3)), "{fenced}");
    store.claim(&[claim(2)]).await.unwrap();
    let rest = Shard::all().filter(|&shard| shard != Shard::at(3));
    assert_eq!(store.take(rest.collect(), "two").await.unwrap().len(), 63);
}

#[tokio::test]
async fn a_task_of_a_newer_format_is_refused_wherever_it_is_read() {
    let store = open().await;
    let epoch = conformance::take(&store, "a").await;
    store.change(conformance::put(epoch, "a", None, at(0))).await.unwrap();
    overwrite(&store, &store.inner.names.tasks, "task:a", json!({ "format": 2 })).await;

    let refusals = [
        store.revisions(ShardSet::ALL, Timestamp::EPOCH).recv().await.unwrap().unwrap_err(),
        store.change(conformance::put(epoch, "a", Some(1), at(1))).await.unwrap_err(),
        store.history_of(&identity("a"), None, 9).await.unwrap_err(),
    ];

    for refusal in refusals {
        let text = refusal.to_string();
        assert!(text.contains(r#"document "task:a" was written by a newer version"#), "{text}");
        assert!(text.contains("(format 2, this program knows 1): update this node"), "{text}");
    }
}

#[tokio::test]
async fn who_takes_a_shard_sees_what_its_last_holder_wrote_and_is_not_hidden_by_its_clears() {
    use crate::clock::SimClock;
    use crate::model::Shard;
    let settings = Settings { refresh: Refresh::EverySeconds(3_600), ..settings() };
    let ahead = at(10 * 365 * 24 * 60 * 60);
    let first = Elastic::open(&settings, Arc::new(SimClock::starting_at(ahead))).await.unwrap();
    let second = Elastic::open(&settings, Arc::new(SimClock::starting_at(at(0)))).await.unwrap();
    let entry = [(identity("a"), conformance::entry_name())];
    first.take(ShardSet::ALL, "first").await.unwrap();
    first.append(vec![conformance::outcome(RecordKind::Success, "a", at(1))]).await.unwrap();
    assert_eq!(second.outcomes(&entry, Timestamp::EPOCH).await.unwrap()[0].len(), 1);
    first.append(vec![conformance::outcome(RecordKind::Success, "a", at(2))]).await.unwrap();
    first.clear(&identity("a"), at(2)).await.unwrap();

    second.take(ShardSet::of([Shard::of(&identity("a"))]), "second").await.unwrap();

    assert_eq!(second.outcomes(&entry, Timestamp::EPOCH).await.unwrap()[0].len(), 2);
    second.append(vec![conformance::outcome(RecordKind::Success, "a", at(3))]).await.unwrap();
    second.inner.refresh(&second.inner.names.all_logs()).await.unwrap();
    assert_eq!(second.search(conformance::all_of("a")).await.unwrap().total, 1);
}
