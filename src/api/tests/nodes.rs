//! Every node answers every request.

use serde_json::{Value, json};

use super::node::{KEY, Node, names, shared_out, task};
use crate::store::memory::MemoryStore;

/// Each task is put through one of the nodes in turn, so that most are put through one that does not own them.
async fn put_all(nodes: &[Node]) {
    for (place, name) in names().iter().enumerate() {
        nodes[place % nodes.len()].post_ok("/put", task(name)).await;
    }
    assert!(nodes.iter().all(|node| names().iter().any(|name| node.owns(name))), "every node owns some");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_put_got_switched_and_deleted_through_any_node() {
    let nodes = Node::several(3).await;
    put_all(&nodes).await;

    for node in &nodes {
        let got = node.post_ok("/get", json!({ "identity": "task-07", "details": true })).await;
        assert_eq!(got["data"]["revision"], 1, "{got}");
        assert_eq!(node.post_ok("/get", json!({ "identity": "nothing" })).await["data"], Value::Null);
        let (status, answer) = node.post("/running", json!({ "identity": "nothing", "running": false })).await;
        assert_eq!((status, &answer["msg"]), (200, &json!("this identity does not exists")));
        let (_, refused) = node.post("/put", json!({ "identity": "task-07" })).await;
        assert!(refused["msg"].as_str().unwrap().contains("time_zone"), "{refused}");
    }
    for (node, running) in nodes.iter().zip([false, true, false]) {
        node.post_ok("/running", json!({ "identity": "task-07", "running": running })).await;
    }
    let outdated = json!({ "identity": "task-07", "revision": 1 });
    for node in &nodes {
        assert_eq!(node.post("/delete", outdated.clone()).await.1["revision"], 4);
    }
    nodes[0].post_ok("/delete", json!({ "identity": "task-07" })).await;
    for node in &nodes {
        assert_eq!(node.post_ok("/get", json!({ "identity": "task-07" })).await["data"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_known_to_the_owner_and_a_client_cannot_say_it_in_the_words_of_nodes() {
    let nodes = Node::several(2).await;
    let forged = [("schedule-cluster-caller", "mallory"), ("schedule-cluster-hop", "1")];

    for (place, name) in names().iter().take(6).enumerate() {
        let (status, answer) = nodes[place % 2].ask("POST", "/put", &forged, task(name).to_string()).await;
        assert_eq!(status, 200, "{answer}");
        for node in &nodes {
            let (_, versions) = node.get(&format!("/history/{name}")).await;
            assert!(versions.contains(r#""by":"ada""#) && !versions.contains("mallory"), "{versions}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_all_tasks_is_complete_and_in_order_from_any_node() {
    let nodes = Node::several(3).await;
    put_all(&nodes).await;
    let wanted = ["task-30", "task-02", "gone", "task-11", "task-02"];
    let window = json!({ "from": "2030-01-01T00:00:00Z", "to": "2030-01-02T12:00:00Z", "limit": 50 });

    for node in &nodes {
        assert_eq!(node.post_ok("/all", json!({})).await["data"], json!(names()));
        let listed = node.post_ok("/lists", json!({ "identity": wanted })).await;
        let listed: Vec<&str> =
            listed["data"].as_array().unwrap().iter().map(|task| task["identity"].as_str().unwrap()).collect();
        assert_eq!(listed, ["task-30", "task-02", "task-11", "task-02"]);
        let (_, exported) = node.get("/export?identity=task-1").await;
        let exported: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let exported: Vec<&str> = exported.iter().map(|task| task["identity"].as_str().unwrap()).collect();
        assert_eq!(exported, names()[10..20].iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(node.get("/scheduled-jobs/count").await.1, r#"{"count":80}"#);
        assert_eq!(node.get("/scheduled-jobs/count?query=TASK-1").await.1, r#"{"count":20}"#);
        let (_, jobs) = node.get("/scheduled-jobs?startAt=33&maxResults=4").await;
        let jobs: Value = serde_json::from_str(&jobs).unwrap();
        let jobs: Vec<&str> = jobs.as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
        assert_eq!(jobs, ["task-16:b", "task-17:a", "task-17:b", "task-18:a"]);
        let coming = node.post_ok("/preview", window.clone()).await;
        assert_eq!((&coming["data"]["total"], &coming["data"]["tasks_firing"]), (&json!(40), &json!(40)));
        let fires = coming["data"]["fires"].as_array().unwrap();
        assert_eq!((fires.len(), &fires[39]["identity"]), (40, &json!("task-39")), "{coming}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_run_and_their_dead_letters_dealt_with_through_any_node() {
    let nodes = Node::several(2).await;
    put_all(&nodes).await;
    for (place, name) in names().iter().take(8).enumerate() {
        let (status, job) =
            nodes[place % 2].ask("POST", &format!("/scheduled-jobs/{name}:a/runs"), &[], String::new()).await;
        assert_eq!(status, 200, "{job}");
        let run = serde_json::from_str::<Value>(&job).unwrap()["runId"].as_str().unwrap().to_owned();
        for node in &nodes {
            let run = format!("/scheduled-jobs/{name}:a/runs/{run}");
            let ended = async {
                loop {
                    let (status, shown) = node.get(&run).await;
                    assert_eq!(status, 200, "{shown}");
                    if shown.contains(r#""status":"FAILED""#) {
                        return shown;
                    }
                    node.journal.flush().await.unwrap();
                }
            };
            let shown = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.unwrap();
            assert!(shown.contains("+0") && shown.contains(r#""runBy":"ada""#), "{shown}");
        }
    }

    let letters = nodes[1].post_ok("/dead-letters", json!({})).await;
    assert_eq!(letters["data"]["total"]["value"], 8, "{letters}");
    assert!(!letters.to_string().contains("Z\""), "dates are in the zones of the tasks: {letters}");
    let reruns = nodes[0].post_ok("/dead-letters/rerun", json!({ "all": true, "limit": 5 })).await;
    assert_eq!(reruns["data"]["reruns"].as_array().unwrap().len(), 5, "{reruns}");
    assert_eq!(reruns["data"]["left"], json!([]));
    let discarded = nodes[1].post_ok("/dead-letters/discard", json!({ "identity": "task-00" })).await;
    assert!(discarded["data"]["left"] == json!([]), "{discarded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shots_go_to_the_owner_of_their_names() {
    let nodes = Node::several(3).await;

    for place in 0..6 {
        let body = json!({ "date_time": "2100-01-01T00:00:00Z", "url": "http://127.0.0.1:9/" });
        let (status, made) = nodes[place % 3].post("/schedule", body).await;
        assert_eq!(status, 201, "{made}");
        let path = format!("/schedule/{}", made["id"].as_str().unwrap());
        for node in &nodes {
            let (status, shown) = node.get(&path).await;
            assert!(status == 200 && shown.contains(r#""status":"scheduled""#), "{shown}");
        }
        assert_eq!(nodes[(place + 1) % 3].ask("DELETE", &path, &[], String::new()).await.0, 204);
        assert_eq!(nodes[(place + 2) % 3].get(&path).await.0, 404);
    }
    let (status, refused) =
        nodes[0].post("/schedule", json!({ "date_time": "2100-01-01T00:00:00Z", "url": "x" })).await;
    assert_eq!((status, refused), (400, json!({ "url": ["Enter a valid URL."] })));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_bulk_go_to_their_owners_and_are_answered_in_order() {
    let nodes = Node::several(3).await;
    let mut lines = Vec::new();
    for name in names() {
        lines.push(json!({ "put": task(&name) }));
        lines.push(json!({ "running": { "identity": name, "running": false } }));
        lines.push(json!({ "running": { "identity": name, "running": true } }));
    }
    lines.push(json!({ "running": { "identity": "nothing", "running": true } }));
    lines.push(json!({ "sing": {} }));
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();

    let (status, answer) = nodes[1].ask("POST", "/bulk", &[], body).await;

    assert_eq!(status, 200);
    let told: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.last().unwrap(), &json!({ "lines": 122, "failed": 2 }), "{answer}");
    for (place, line) in told[..120].iter().enumerate() {
        assert_eq!(line, &json!({ "line": place + 1, "error": 0, "msg": "ok", "revision": place % 3 + 1 }));
    }
    assert_eq!(told[120]["msg"], "this identity does not exists");
    assert!(told[121]["msg"].as_str().unwrap().contains("is not known"));
    let (_, versions) = nodes[0].get("/history/task-00?limit=1").await;
    assert!(versions.contains(r#""by":"ada""#), "{versions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_a_node_that_died_are_answered_by_the_next_owner() {
    let mut nodes = Node::several(3).await;
    put_all(&nodes).await;
    let dying = nodes.pop().unwrap();
    let its: Vec<String> = names().into_iter().filter(|name| dying.owns(name)).take(4).collect();

    dying.crash().await;
    let puts = its.iter().map(|name| nodes[0].post_ok("/put", task(name)));
    let (puts, all) = tokio::join!(futures_util::future::join_all(puts), nodes[1].post_ok("/all", json!({})));

    assert_eq!((puts.len(), &all["data"]), (4, &json!(names())));
    for name in &its {
        let got = nodes[1].post_ok("/get", json!({ "identity": name, "details": true })).await;
        assert_eq!(got["data"]["revision"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_refused_while_a_node_comes_and_another_goes() {
    let mut nodes = Node::several(2).await;
    put_all(&nodes).await;
    let third = Node::start(&nodes[0].store, Some(KEY)).await;
    let goes = nodes.remove(0);

    let asks = async {
        for round in 0..30 {
            let name = format!("task-{:02}", round % 40);
            nodes[0].post_ok("/running", json!({ "identity": name, "running": round % 2 == 0 })).await;
            assert_eq!(third.post_ok("/all", json!({})).await["data"], json!(names()));
            assert_eq!(nodes[0].post_ok("/get", json!({ "identity": name })).await["data"]["start"], round % 2 == 0);
        }
    };
    let ((), ()) = tokio::join!(asks, goes.keeper.leave());
    nodes.push(third);
    shared_out(&nodes).await;

    assert_eq!(nodes[1].post_ok("/all", json!({})).await["data"], json!(names()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_with_the_key_are_answered_as_nodes() {
    let nodes = Node::several(2).await;
    let (ours, theirs): (Vec<String>, Vec<String>) = names().into_iter().partition(|name| nodes[0].owns(name));
    let key = [("schedule-cluster-key", KEY)];
    let get = |name: &str| json!({ "identity": name }).to_string();

    for path in ["/cluster/look", "/cluster/ask/names", "/cluster/lines", "/cluster/dead-letters"] {
        for headers in [&[][..], &[("schedule-cluster-key", "0123456789abcdeX")]] {
            let (status, said) = nodes[0].ask("POST", path, headers, "{}".to_owned()).await;
            assert!(status == 403 && said.contains("[cluster] key"), "{path}: {status} {said}");
        }
    }
    assert_eq!(nodes[0].ask("POST", "/get", &[("schedule-cluster-key", "wrong")], get("a")).await.0, 403);
    assert_eq!(nodes[0].ask("POST", "/cluster/look", &key, String::new()).await.0, 204);
    // Another node has looked for the owner: it is told at once that this is not the one.
    assert_eq!(nodes[0].ask("POST", "/get", &key, get(&theirs[0])).await.0, 421);
    assert_eq!(nodes[0].ask("POST", "/get", &key, get(&ours[0])).await.0, 200);
    assert_eq!(nodes[0].ask("POST", "/cluster/ask/dance", &key, "{}".to_owned()).await.0, 404);
    assert_eq!(nodes[0].ask("POST", "/cluster/ask/names", &key, "{".to_owned()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_common_key_a_node_answers_for_its_own_tasks_and_says_what_to_set() {
    let store = MemoryStore::new();
    let nodes = [Node::start(&store, None).await, Node::start(&store, Some("another-key-of-16")).await];
    shared_out(&nodes).await;

    for name in names().iter().take(12) {
        for node in &nodes {
            let (status, answer) = node.post("/put", task(name)).await;
            if node.owns(name) {
                assert_eq!(status, 200, "{answer}");
            } else {
                assert!(status == 503 && answer["msg"].as_str().unwrap().contains("[cluster] key"), "{answer}");
            }
        }
    }
    assert_eq!(nodes[0].post("/all", json!({})).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_and_takes_part_again_through_another_one() {
    let nodes = Node::several(2).await;
    let other = nodes[1].base.clone();
    let owns = |count: fn(usize) -> bool| {
        let mut view = nodes[1].keeper.view();
        async move { view.wait_for(|view| count(view.acting.len())).await.map(drop).unwrap() }
    };

    let answer = nodes[0].post_ok("/cluster/drain", json!({ "node": other })).await;
    assert_eq!(answer["msg"], "ok");
    owns(|count| count == 0).await;
    nodes[0].post_ok("/cluster/drain", json!({ "node": other, "drained": false })).await;
    owns(|count| count > 0).await;

    let (_, refused) = nodes[0].post("/cluster/drain", json!({ "node": "nobody" })).await;
    assert!(refused["msg"].as_str().unwrap().starts_with("node: is `nobody`, expected one of http://"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_noted_once_by_the_node_that_is_meant_with_who_asked_and_what_came_of_it() {
    let nodes = Node::several(2).await;
    let passed_on = [
        ("schedule-cluster-key", KEY),
        ("schedule-cluster-caller", "bob"),
        ("schedule-cluster-role", "admin"),
        ("schedule-cluster-source", "admin_key"),
        ("schedule-cluster-from", "192.0.2.7"),
    ];

    nodes[0].post_ok("/cluster/drain", json!({ "node": nodes[1].base })).await;
    let gone = json!({ "node": "00000000-0000-0000-0000-000000000000" }).to_string();
    let (_, refused) = nodes[1].ask("POST", "/cluster/drain", &passed_on, gone.clone()).await;
    assert!(refused.contains("expected one of"), "{refused}");

    for node in &nodes {
        node.journal.flush().await.unwrap();
    }
    let found = nodes[0].post_ok("/logs/search", json!({ "type": "audit", "sort": "time_asc" })).await;
    let told = |key: &str| -> Vec<&Value> {
        found["data"]["logs"].as_array().unwrap().iter().map(|log| &log["log"][key]).collect()
    };
    assert_eq!(told("operation"), ["drainNode", "drainNode"], "{found}");
    assert_eq!(told("outcome"), ["done", "refused"]);
    assert_eq!(told("by"), ["ada", "bob"]);
    assert_eq!(told("from"), ["127.0.0.1", "192.0.2.7"]);
    assert_eq!(told("source"), ["nothing, user_header", "admin_key"]);
    assert_eq!(told("name"), [&json!(nodes[1].base), &json!("00000000-0000-0000-0000-000000000000")]);
    assert_eq!(told("after"), [&json!({ "drained": true }), &Value::Null]);
}

/// Half of what a thread of the service has. What answers requests is made of all routes, one in another.
#[test]
fn a_request_needs_less_than_half_of_the_stack_of_a_thread() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_stack_size(1024 * 1024).enable_all().build().unwrap();
    runtime.block_on(async {
        let nodes = Node::several(2).await;
        put_all(&nodes).await;
        nodes[0].post_ok("/all", json!({})).await;
        nodes[0].post_ok("/cluster/drain", json!({ "node": nodes[1].base })).await;
        let (status, jobs) = nodes[1].get("/scheduled-jobs").await;
        assert_eq!(status, 200, "{jobs}");
    });
}
