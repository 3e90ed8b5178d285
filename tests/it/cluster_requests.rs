//! Every node answers every request: real processes on one Elasticsearch.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Cluster, Process, Target, client, post, post_ok, task};

const KEY: &str = "the-key-of-this-test";

/// Services that share an index.
pub(super) struct Nodes {
    cluster: Cluster,
    nodes: Vec<(Process, TempDir)>,
}

impl Nodes {
    pub(super) async fn start(count: usize) -> Self {
        let mut nodes = Self { cluster: Cluster::new(), nodes: Vec::new() };
        for _ in 0..count {
            nodes.join(KEY).await;
        }
        nodes.shared_out().await;
        nodes
    }

    async fn join(&mut self, key: &str) {
        let folder = tempfile::tempdir().unwrap();
        let mut environment = self.cluster.environment().to_vec();
        environment.push(("SCHEDULE__CLUSTER__KEY", key));
        let process = Process::try_start_with(folder.path(), &environment).await;
        self.nodes.push((process.unwrap_or_else(|log| panic!("the service did not start: {log}")), folder));
    }

    pub(super) fn base(&self, place: usize) -> &str {
        &self.nodes[place % self.nodes.len()].0.base
    }

    /// Waits until each node has its share.
    async fn shared_out(&self) {
        // No other gets more than its share, rounded up.
        let least = 64 - (self.nodes.len() - 1) * 64_usize.div_ceil(self.nodes.len());
        let waiting = async {
            loop {
                let owned = self.owned().await;
                if owned.len() == self.nodes.len() && owned.iter().all(|shards| *shards >= least) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the shards are dealt within a minute");
    }

    /// How many shards each node owns.
    async fn owned(&self) -> Vec<usize> {
        let (_, cluster) = get(self.base(0), "/cluster").await;
        let cluster: Value = serde_json::from_str(&cluster).unwrap();
        let nodes = cluster["data"]["nodes"].as_array().unwrap().iter();
        nodes.map(|node| usize::try_from(node["shards"].as_u64().unwrap()).unwrap()).collect()
    }

    pub(super) async fn end(self) {
        for (process, _folder) in self.nodes {
            process.kill().await;
        }
        self.cluster.remove().await;
    }
}

async fn call(method: Method, base: &str, path: &str, headers: &[(&str, &str)], body: String) -> (u16, String) {
    let mut request = client().request(method, format!("{base}{path}")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn get(base: &str, path: &str) -> (u16, String) {
    call(Method::GET, base, path, &[], String::new()).await
}

fn names() -> Vec<String> {
    (0..30).map(|number| format!("task-{number:02}")).collect()
}

fn never(name: &str) -> String {
    task(name, "0 0 0 1 1 *", "http://127.0.0.1:9/")
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_put_changed_listed_and_exported_through_any_node() {
    let nodes = Nodes::start(3).await;
    let lines: String = names()[..10]
        .iter()
        .map(|name| format!("{}\n", json!({ "put": serde_json::from_str::<Value>(&never(name)).unwrap() })))
        .collect();
    let (_, told) = call(Method::POST, nodes.base(2), "/bulk", &[], lines).await;
    assert!(told.ends_with("{\"lines\":10,\"failed\":0}\n"), "{told}");
    for (place, name) in names().iter().enumerate().skip(10) {
        post_ok(nodes.base(place), "/put", never(name)).await;
    }

    for place in 0..3 {
        let base = nodes.base(place);
        assert_eq!(post_ok(base, "/all", "{}").await["data"], json!(names()));
        let listed = post_ok(base, "/lists", json!({ "identity": ["task-21", "task-03"] }).to_string()).await;
        assert_eq!(
            (&listed["data"][0]["identity"], &listed["data"][1]["identity"]),
            (&json!("task-21"), &json!("task-03"))
        );
        assert_eq!(get(base, "/export").await.1.lines().count(), 30);
        assert_eq!(get(base, "/scheduled-jobs/count").await.1, r#"{"count":30}"#);
        for name in names().iter().step_by(7) {
            let running = json!({ "identity": name, "running": place % 2 == 0 });
            post_ok(base, "/running", running.to_string()).await;
            let got = post_ok(nodes.base(place + 1), "/get", json!({ "identity": name }).to_string()).await;
            assert_eq!(got["data"]["start"], place % 2 == 0);
        }
    }
    for (place, name) in names().iter().enumerate().take(6) {
        post_ok(nodes.base(place), "/delete", json!({ "identity": name }).to_string()).await;
        let got = post_ok(nodes.base(place + 1), "/get", json!({ "identity": name }).to_string()).await;
        assert_eq!(got["data"], Value::Null);
    }
    nodes.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_one_shots_are_asked_for_and_told_of_through_any_node() {
    let (nodes, target) = (Nodes::start(3).await, Target::start().await);
    for (place, name) in names().iter().enumerate().take(6) {
        post_ok(nodes.base(place), "/put", task(name, "0 0 0 1 1 *", &target.url("/ok"))).await;
        let path = format!("/scheduled-jobs/{name}:e/runs");
        let (status, job) = call(Method::POST, nodes.base(place + 1), &path, &[], String::new()).await;
        assert_eq!(status, 200, "{job}");
        let run = serde_json::from_str::<Value>(&job).unwrap()["runId"].as_str().unwrap().to_owned();
        let ended = async {
            loop {
                let (status, shown) = get(nodes.base(place + 2), &format!("{path}/{run}")).await;
                assert_eq!(status, 200, "{shown}");
                if shown.contains("SUCCEEDED") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends");
        let (status, _) = get(nodes.base(place + 1), &format!("{path}/{run}/result-file")).await;
        assert_eq!(status, 200);
    }
    for place in 0..4 {
        let body = json!({ "date_time": "2100-01-01T00:00:00Z", "url": target.url("/late") }).to_string();
        let (status, made) = post(nodes.base(place), "/schedule", body).await;
        assert_eq!(status, 201, "{made}");
        let path = format!("/schedule/{}", made["id"].as_str().unwrap());
        assert_eq!(get(nodes.base(place + 1), &path).await.0, 200);
        assert_eq!(call(Method::DELETE, nodes.base(place + 2), &path, &[], String::new()).await.0, 204);
        assert_eq!(get(nodes.base(place), &path).await.0, 404);
    }
    nodes.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_that_wait_for_a_killed_node_are_answered_by_the_next_owner() {
    let mut nodes = Nodes::start(3).await;
    for (place, name) in names().iter().enumerate() {
        post_ok(nodes.base(place), "/put", never(name)).await;
    }

    let (killed, _folder) = nodes.nodes.pop().unwrap();
    killed.kill().await;
    let names = names();
    let puts = names.iter().enumerate().map(|(place, name)| post_ok(nodes.base(place), "/put", never(name)));
    let (puts, all) = tokio::join!(futures_util::future::join_all(puts), post_ok(nodes.base(0), "/all", "{}"));

    assert_eq!((puts.len(), &all["data"]), (30, &json!(names)));
    let details = |name: &str| json!({ "identity": name, "details": true }).to_string();
    for name in &names {
        assert_eq!(post_ok(nodes.base(1), "/get", details(name)).await["data"]["revision"], 2);
    }
    nodes.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_key_is_refused_and_so_is_everybody_without_one() {
    let mut nodes = Nodes::start(1).await;
    nodes.join("the-key-of-another-test").await;
    nodes.shared_out().await;

    let mut refused = 0;
    for name in names() {
        let (status, answer) = post(nodes.base(0), "/put", never(&name)).await;
        if status == 503 {
            assert!(answer["msg"].as_str().unwrap().contains("another [cluster] key"), "{answer}");
            refused += 1;
        } else {
            assert_eq!((status, &answer["error"]), (200, &json!(0)));
        }
    }
    assert!((1..30).contains(&refused), "{refused} belong to the other node");
    for path in ["/cluster/look", "/cluster/ask/names", "/cluster/lines", "/cluster/dead-letters"] {
        for headers in [&[][..], &[("schedule-cluster-key", "the-key-of-another-test")]] {
            assert_eq!(call(Method::POST, nodes.base(0), path, headers, "{}".to_owned()).await.0, 403, "{path}");
        }
    }
    let forged = [("schedule-cluster-hop", "1"), ("schedule-cluster-caller", "mallory")];
    let asked = json!({ "identity": "nothing" }).to_string();
    assert_ne!(call(Method::POST, nodes.base(0), "/get", &forged, asked).await.0, 421);
    nodes.end().await;
}
