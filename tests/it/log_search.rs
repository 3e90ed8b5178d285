//! `/logs/search` of a running service.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{BoxedNode, Target, client, post, post_ok, task};

async fn search(node: &BoxedNode, asked: Value) -> Value {
    post_ok(&node.base, "/logs/search", asked.to_string()).await["data"].take()
}

/// Asks until there is something, as records are written in batches.
async fn search_until_found(node: &BoxedNode, asked: Value) -> Value {
    let found = async {
        loop {
            let data = search(node, asked.clone()).await;
            if data["logs"][0].is_object() {
                return data;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("the record is written")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fire_is_found_by_its_words_its_status_and_its_run_id() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    post_ok(&node.base, "/put", task("fails", "* * * * * *", &target.url("/status/503/night-report"))).await;

    let by_words = search_until_found(&node, json!({ "query": "NIGHT 503", "type": ["error", "success"] })).await;

    let found = &by_words["logs"][0];
    assert_eq!((&found["log"]["status"], &found["log"]["identity"]), (&json!(503), &json!("fails")));
    assert_eq!(found["id"], found["log"]["run_id"]);
    for asked in [
        json!({ "run_id": found["id"] }),
        json!({ "run_id": found["id"], "status": "5xx", "entry": "e", "identity": ["fails", "other"] }),
        json!({ "run_id": found["id"], "fire_time": { "gte": found["log"]["fire_time"], "lte": found["log"]["fire_time"] } }),
        json!({ "run_id": found["id"], "time": { "gte": found["log"]["time"], "lte": found["log"]["time"] } }),
    ] {
        let data = search(&node, asked.clone()).await;
        assert_eq!(data["logs"], json!([found]), "{asked}");
        assert_eq!((&data["total"], &data["next_cursor"]), (&json!({ "value": 1, "relation": "eq" }), &Value::Null));
        assert!(data["took_ms"].is_u64());
    }
    assert_eq!(search(&node, json!({ "run_id": found["id"], "status": 500 })).await["logs"], json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_followed_to_the_end_and_a_cursor_is_bound_to_its_query() {
    let node = BoxedNode::start().await;
    for number in 0..5 {
        let name = format!("t{number}");
        post_ok(&node.base, "/put", task(&name, "0 0 0 1 1 *", "http://127.0.0.1:1/")).await;
    }
    let (mut names, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let asked = json!({ "type": "put", "sort": "time_asc", "limit": 2, "cursor": cursor });
        let data = search(&node, asked).await;
        names.extend(data["logs"].as_array().unwrap().iter().map(|log| log["log"]["identity"].clone()));
        assert_eq!(data["total"]["value"], 5);
        if data["next_cursor"].is_null() {
            break;
        }
        cursor = data["next_cursor"].clone();
        post_ok(&node.base, "/put", task("later", "0 0 0 1 1 *", "http://127.0.0.1:1/")).await;
    }

    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4"]);
    let refused = post(&node.base, "/logs/search", json!({ "type": "delete", "cursor": cursor }).to_string()).await;
    let text = "cursor: belongs to another query: expected the query and the sort that it was given for, or no cursor";
    assert_eq!(refused, (200, json!({ "error": 1, "msg": text })));
    let foreign = format!("{}x", cursor.as_str().unwrap());
    let asked = json!({ "type": "put", "sort": "time_asc", "cursor": foreign });
    let text = "cursor: is none that this service gave, begin again without it";
    let refused = post(&node.base, "/logs/search", asked.to_string()).await;
    assert_eq!(refused, (200, json!({ "error": 1, "msg": text })));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_at_once_and_another_method_is_refused() {
    let node = BoxedNode::start().await;

    let (status, answer) = post(&node.base, "/logs/search", r#"{"statsu":500,"limit":0}"#).await;
    let get = client().get(format!("{}/logs/search/", node.base)).send().await.unwrap();
    let half = client().post(format!("{}/logs", node.base)).send().await.unwrap();

    let text = "statsu: is not known, did you mean `status`?\nlimit: is `0`, expected a whole number from 1 to 1000";
    assert_eq!((status, answer), (200, json!({ "error": 1, "msg": text })));
    assert_eq!((get.status().as_u16(), &get.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(half.status().as_u16(), 404);
    node.stop().await;
}
