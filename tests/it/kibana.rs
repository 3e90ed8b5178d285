//! The saved objects for Kibana: each field they use is mapped, and each search and aggregation finds something in a real history.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use schedule_service::clock::SystemClock;
use schedule_service::model::{EntryName, Identity, Record, RecordKind, RunId, Stretch, Timestamp};
use schedule_service::store::JournalStore;
use schedule_service::store::elastic::{Elastic, Refresh, Settings};
use serde_json::{Value, json};

use crate::support::elasticsearch::{Server, settings};
use crate::support::{BoxedNode, Target, post_ok};

struct SavedObject {
    kind: String,
    title: String,
    attributes: Value,
}

fn saved_objects() -> Vec<SavedObject> {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("kibana/schedule-service.ndjson")).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let object = |object: Value| {
        let kind = object["type"].as_str()?.to_owned();
        let title = object["attributes"]["title"].as_str().unwrap_or_default().to_owned();
        Some(SavedObject { kind, title, attributes: object["attributes"].clone() })
    };
    objects.filter_map(object).collect()
}

/// JSON within a string, as saved objects hold it.
fn inner(text: &Value) -> Value {
    serde_json::from_str(text.as_str().expect("a text that holds JSON")).unwrap()
}

impl SavedObject {
    fn query(&self) -> String {
        let source = inner(&self.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]);
        lucene(source["query"]["query"].as_str().unwrap())
    }

    fn aggregations(&self) -> Vec<Value> {
        inner(&self.attributes["visState"])["aggs"].as_array().unwrap().clone()
    }
}

/// What these queries use of KQL says the same in Lucene's syntax, once it is spelt so.
fn lucene(kql: &str) -> String {
    let spellings = [
        (" : ", ":"),
        (" >= ", ":>="),
        (" or ", " OR "),
        (" and ", " AND "),
        ("not ", "NOT "),
        ("and not ", "AND NOT "),
    ];
    spellings.iter().fold(kql.to_owned(), |query, (kql, lucene)| query.replace(kql, lucene))
}

/// The fields that a query asks for.
fn fields_of(query: &str) -> BTreeSet<String> {
    let before_colon = query.split(':').map(|part| part.rsplit([' ', '(']).next().unwrap_or_default().to_owned());
    let count = query.matches(':').count();
    before_colon.take(count).collect()
}

/// The aggregation that Kibana asks for: buckets within buckets, the metrics in the innermost.
fn request(aggregations: &[Value]) -> Value {
    let body = |aggregation: &Value| {
        let (kind, params) = (aggregation["type"].as_str().unwrap(), &aggregation["params"]);
        match kind {
            "terms" => json!({ "terms": { "field": params["field"], "size": params["size"] } }),
            "date_histogram" => {
                json!({ "date_histogram": { "field": params["field"], "fixed_interval": "1m", "min_doc_count": 1 } })
            }
            "percentiles" => json!({ "percentiles": { "field": params["field"], "percents": params["percents"] } }),
            "avg" | "max" | "sum" => json!({ kind: { "field": params["field"] } }),
            other => panic!("{other} is not known to this test"),
        }
    };
    let is_metric = |aggregation: &&Value| aggregation["schema"] == "metric";
    let mut inner = serde_json::Map::new();
    // The number of documents comes with every bucket.
    for metric in aggregations.iter().filter(is_metric).filter(|metric| metric["type"] != "count") {
        inner.insert(format!("metric_{}", metric["id"].as_str().unwrap()), body(metric));
    }
    let mut request = json!(inner);
    for bucket in aggregations.iter().rev().filter(|aggregation| !is_metric(aggregation)) {
        let mut outer = body(bucket);
        outer["aggs"] = request;
        request = json!({ "bucket": outer });
    }
    request
}

/// A history with every kind of record, from a real node and real fires where they make one.
async fn history(settings: &Settings) {
    let target = Target::start().await;
    let node = BoxedNode::start_with(|node| node.elasticsearch = Some(settings.clone())).await;
    let entry = |path: &str| json!({ "cron_time": "* * * * * *", "url": target.url(path) });
    let body = json!({
        "identity": "task", "time_zone": "UTC", "start": true,
        "entries": { "good": entry("/ok"), "bad": entry("/status/500") },
    });
    post_ok(&node.base, "/put", body.to_string()).await;
    target.wait_until(|arrivals| arrivals.len() >= 4).await;
    post_ok(&node.base, "/running", r#"{"identity":"task","running":false}"#).await;
    post_ok(&node.base, "/delete", r#"{"identity":"task"}"#).await;
    node.stop().await;

    let store = Elastic::open(settings, Arc::new(SystemClock)).await.unwrap();
    let (identity, entry) = (Identity::parse("task").unwrap(), EntryName::parse("late").unwrap());
    let at = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
    let stretch = Stretch { first: Timestamp::from_millis(at.millis() - 60_000), last: at, count: 2 };
    let missed = schedule_service::journal::missed_record(&identity, &entry, stretch, "too old", at);
    let mut slow = schedule_service::journal::skipped_record(&identity, &entry, Stretch::one(at), "fire_once", at);
    slow.id = schedule_service::model::RecordId::random();
    slow.source = slow.source.replacen('{', r#"{"duration_ms":5000,"redelivered":true,"#, 1).into();
    let telling = |kind: RecordKind, more: &str| {
        let source = missed.source.replacen("missed", kind.as_str(), 1).replacen('{', &format!("{{{more},"), 1);
        let (id, settled) = (RunId::asked(at).into(), None);
        Record { id, kind, settled, source: source.into(), ..missed.clone() }
    };
    let dead = telling(RecordKind::Error, r#""dead_letter":true,"run_by":"someone","run_id":"r","status":503"#);
    let under_way = telling(RecordKind::Started, r#""state":"queued","run_by":"someone","run_id":"r""#);
    store.append(vec![dead, under_way, missed, slow]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_search_and_aggregation_of_the_saved_objects_finds_something() {
    let settings = Settings { refresh: Refresh::Immediately, ..settings() };
    history(&settings).await;
    let (server, index) = (Server::shared(), &settings.index);
    let mut fields = BTreeSet::from(["@timestamp".to_owned()]);
    let mut found = BTreeSet::new();

    for object in saved_objects() {
        match object.kind.as_str() {
            "search" => {
                let columns = object.attributes["columns"].as_array().unwrap();
                fields.extend(columns.iter().map(|column| column.as_str().unwrap().to_owned()));
                fields.extend(fields_of(&object.query()));
                let body = json!({ "query": { "query_string": { "query": object.query() } } });
                let hits = server.ask(http::Method::POST, &format!("/{index}/_search"), body).await;
                assert!(!hits["hits"]["hits"].as_array().unwrap().is_empty(), "{}: nothing", object.title);
                found.insert(object.title);
            }
            "visualization" => {
                let aggregations = object.aggregations();
                fields.extend(aggregations.iter().filter_map(|it| Some(it["params"]["field"].as_str()?.to_owned())));
                fields.extend(fields_of(&object.query()));
                let query = json!({ "query_string": { "query": object.query() } });
                let body = json!({ "size": 0, "query": query, "aggs": request(&aggregations) });
                let answer = server.ask(http::Method::POST, &format!("/{index}/_search"), body).await;
                assert_has_data(&answer["aggregations"]["bucket"], &object.title);
                found.insert(object.title);
            }
            "dashboard" => assert!(inner(&object.attributes["panelsJSON"]).as_array().unwrap().len() >= 5),
            "index-pattern" => assert_eq!(object.title, "schedule-service", "the default of default_index"),
            other => panic!("{other} is not known to this test"),
        }
    }

    assert_eq!(found.len(), 10, "{found:?}");
    let known = server.ask(http::Method::GET, &format!("/{index}/_field_caps?fields=*"), Value::Null).await;
    let unknown: Vec<_> = fields.iter().filter(|field| known["fields"].get(*field).is_none()).collect();
    assert!(unknown.is_empty(), "not mapped: {unknown:?}");
}

/// Some bucket has documents, and in some bucket each metric has a value.
fn assert_has_data(buckets: &Value, title: &str) {
    let buckets = buckets["buckets"].as_array().unwrap_or_else(|| panic!("{title}: no buckets in {buckets}"));
    assert!(buckets.iter().any(|bucket| bucket["doc_count"].as_u64() > Some(0)), "{title}: nothing");
    let metrics = |bucket: &Value| -> Vec<(String, bool)> {
        let innermost = bucket.get("bucket").map_or(bucket, |inner| &inner["buckets"][0]);
        let metrics = innermost.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("metric_"));
        let has_value = |value: &Value| match value.get("values") {
            Some(values) => values.as_object().unwrap().values().all(Value::is_number),
            None => value["value"].is_number(),
        };
        metrics.map(|(name, value)| (name.clone(), has_value(value))).collect()
    };
    for (name, _) in metrics(&buckets[0]) {
        let some = buckets.iter().flat_map(metrics).any(|(other, has_value)| other == name && has_value);
        assert!(some, "{title}: {name} has no value in {buckets:?}");
    }
}
