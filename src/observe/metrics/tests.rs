//! Names, units and labels are as Prometheus wants them, and the documents and files for operators name what there is.

use std::collections::BTreeSet;
use std::time::Duration;

use self::exposition::{Exposition, Family};
use super::*;
use crate::model::{Epoch, Shard, Timestamp};

#[path = "../../../tests/it/support/exposition.rs"]
mod exposition;

/// Every label there is. None of them can hold what a client makes up.
const LABELS: [&str; 12] = [
    "commit",
    "error",
    "le",
    "method",
    "node",
    "operation",
    "outcome",
    "reason",
    "result",
    "shard",
    "status",
    "version",
];

fn member(url: &str, owned: usize) -> MemberState {
    MemberState { url: url.to_owned(), is_leaving: false, owned, silent_s: Some(0.5), ahead_s: Some((-0.25, 0.5)) }
}

/// With something in every metric.
fn full(form: Form) -> String {
    let requests = RequestMetrics::default();
    requests.note(Some("putTask"), "POST", 200, Duration::from_millis(3));
    let at = Timestamp::from_millis(1_500);
    let shard = ShardState { shard: Shard::at(7), epoch: Epoch(3), claimed_through: at, settled_through: at };
    let cluster = ClusterState {
        members: vec![member("http://b\"\\:1/", 20), member("http://a:1/", 30), member("http://a:1/", 14)],
        changes: vec![("free", 64)],
        lease_left_s: Some(2.0),
        ..ClusterState::default()
    };
    let state = State { shards: vec![shard], cluster, ..State::default() };
    let page = Page::new(&requests, &StoreMetrics::default());
    page.with(&OutcomeMetrics::default(), &AttemptMetrics::default(), &state).text(form)
}

fn families() -> Vec<Family> {
    Exposition::read(&full(Form::OpenMetrics)).0
}

/// The name by which Prometheus keeps a metric, without what a histogram adds.
fn kept_as(family: &Family) -> String {
    let suffix = match family.kind.as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    format!("{}{suffix}", family.name)
}

fn labels(family: &Family) -> BTreeSet<&str> {
    family.samples.iter().flat_map(|sample| &sample.labels).map(|(name, _)| &**name).collect()
}

#[test]
fn every_metric_has_a_name_a_unit_and_a_help_as_prometheus_wants_them() {
    let families = families();
    assert!(families.len() > 50, "{}", families.len());

    for Family { name, kind, unit, help, .. } in &families {
        let words: Vec<&str> = name.split('_').collect();
        let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        assert!(words.iter().all(is_word), "{name}");
        assert!(["schedule", "process"].contains(&words[0]), "{name}");
        assert!(!["total", "count", "sum", "bucket", "info"].contains(words.last().unwrap()), "{name}");
        assert!(!words.iter().any(|word| ["ms", "millis", "milliseconds", "kib", "counter", "gauge"].contains(word)));
        // What ends in a unit is in it.
        let has_unit = ["seconds", "bytes"].contains(words.last().unwrap());
        assert_eq!(has_unit, !unit.is_empty(), "{name}");
        assert!(unit.is_empty() || name.ends_with(&format!("_{unit}")), "{name} {unit}");
        assert!(
            help.len() > 5 && help.ends_with('.') && !help.ends_with("..") && !help.contains('\\'),
            "{name}: {help}"
        );
        assert!(help.starts_with(|letter: char| letter.is_ascii_uppercase()), "{name}: {help}");
        assert!(["counter", "gauge", "histogram", "info"].contains(&kind.as_str()), "{name}: {kind}");
    }
}

#[test]
fn there_are_no_labels_but_those_with_few_values() {
    let known = BTreeSet::from(LABELS);
    let families = families();

    let used: BTreeSet<&str> = families.iter().flat_map(labels).collect();
    assert_eq!(used, known);
}

#[test]
fn whatever_a_client_asks_for_there_are_only_so_many_series() {
    let requests = RequestMetrics::default();
    let series = |requests: &RequestMetrics| {
        Exposition::read(&Page::new(requests, &StoreMetrics::default()).text(Form::OpenMetrics)).series()
    };
    requests.note(None, "BREW", 404, Duration::ZERO);
    let before = series(&requests);
    for number in 0..1_000 {
        requests.note(None, &format!("BREW{number}"), 404, Duration::from_millis(number));
    }

    assert_eq!(series(&requests), before);
}

#[test]
fn a_node_that_stands_twice_in_the_cluster_is_told_once_and_its_name_cannot_break_the_text() {
    let read = Exposition::read(&full(Form::OpenMetrics));

    let nodes: Vec<(&str, f64)> =
        read.family("schedule_cluster_shards").samples.iter().map(|it| (it.label("node").unwrap(), it.value)).collect();
    assert_eq!(nodes, [("http://a:1/", 44.0), ("http://b\"\\:1/", 20.0)]);
}

#[test]
fn a_node_that_is_alone_tells_of_no_others() {
    let page = Page::new(&RequestMetrics::default(), &StoreMetrics::default());
    let state = State { cluster: ClusterState { owned: 64, ..ClusterState::default() }, ..State::default() };
    let page = page.with(&OutcomeMetrics::default(), &AttemptMetrics::default(), &state);

    let read = Exposition::read(&page.text(Form::OpenMetrics));

    assert_eq!(read.sum("schedule_shards_owned", &[]), 64.0);
    assert!(!read.0.iter().any(|family| family.name.starts_with("schedule_cluster_")));
}

#[test]
fn both_formats_tell_the_same_samples() {
    let samples = |form| -> Vec<String> {
        let text = full(form);
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("process_"));
        lines.map(str::to_owned).collect()
    };

    assert_eq!(samples(Form::OpenMetrics), samples(Form::Prometheus));
    let older = full(Form::Prometheus);
    for family in families() {
        assert!(older.contains(&format!("# HELP {} ", kept_as(&family))), "{}", family.name);
    }
}

#[test]
fn the_document_names_every_metric_with_its_kind_labels_and_meaning() {
    let document = include_str!("../../../docs/metrics.md");
    let row = |family: &Family| {
        let labels: Vec<String> =
            labels(family).into_iter().filter(|name| *name != "le").map(|name| format!("`{name}`")).collect();
        let help = family.help.trim_end_matches('.');
        format!("| `{}` | {} | {} | {help} |", kept_as(family), family.kind, labels.join(", "))
    };
    let rows: Vec<String> = families().iter().map(row).collect();

    let missing: Vec<&String> = rows.iter().filter(|row| !document.lines().any(|line| line == **row)).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks:\n{}", rows.join("\n"));
    let told =
        document.lines().filter(|line| line.starts_with("| `schedule_") || line.starts_with("| `process_")).count();
    assert_eq!(told, rows.len(), "docs/metrics.md tells of metrics that there are not");
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    let families = families();
    let mut there: BTreeSet<String> = families.iter().map(kept_as).collect();
    for family in families.iter().filter(|family| family.kind == "histogram") {
        there.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", family.name)));
    }
    let files = [
        include_str!("../../../deploy/grafana/dashboard.json"),
        include_str!("../../../deploy/prometheus/alerts.yml"),
        include_str!("../../../deploy/prometheus/alerts_test.yml"),
    ];
    for file in files {
        let words = file.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("schedule_") || word.starts_with("process_")).collect();
        let unknown: Vec<&&str> = named.iter().filter(|name| !there.contains(**name)).collect();
        assert!(named.len() > 10 && unknown.is_empty(), "{unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(files[0]).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
}
