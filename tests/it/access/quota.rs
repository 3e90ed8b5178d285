//! How many tasks a key may have.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ADMIN_KEY, closed, closed_with, get_as, make, make_key, post_as};
use crate::support::{BoxedNode, client};

fn task(identity: &str) -> Value {
    json!({ "identity": identity, "time_zone": "UTC", "start": true,
        "entries": { "e": { "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:1/" } } })
}

async fn put(key: &str, node: &BoxedNode, identity: &str) -> String {
    let told = post_as(key, &node.base, "/put", task(identity)).await;
    assert_eq!(told.status, 200, "{}", told.text);
    told.json()["msg"].as_str().unwrap().to_owned()
}

fn full(name: &str, max: u64, of: &str) -> String {
    format!(
        "identity: the key `{name}` may have {max} tasks (its tasks_max, or [limits] tasks_per_key_max), and there are {max}{of}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_puts_as_many_tasks_as_it_may_and_a_delete_makes_place() {
    let node = closed().await;
    let wish = json!({ "name": "ci", "role": "write", "prefixes": ["a/", "b/"], "tasks_max": 3 });
    let (_, key) = make(&node.base, wish).await;
    let refused = full("ci", 3, " whose identity begins with `a/` or `b/`");
    assert_eq!(put(ADMIN_KEY, &node, "other").await, "ok", "it is not counted");
    assert_eq!(put(ADMIN_KEY, &node, "a/1").await, "ok", "counted, whoever puts it");

    assert_eq!([put(&key, &node, "a/2").await, put(&key, &node, "b/1").await], ["ok", "ok"]);
    assert_eq!(put(&key, &node, "a/3").await, refused);
    assert_eq!(put(&key, &node, "a/2").await, "ok", "what is there may be put again");

    post_as(&key, &node.base, "/delete", json!({ "identity": "a/2" })).await;
    let restored = post_as(&key, &node.base, "/history/a%2F2/restore", json!({ "revision": 1 })).await;
    assert_eq!(restored.json()["error"], 0, "a deleted one takes its place again: {}", restored.text);
    assert_eq!(put(&key, &node, "a/3").await, refused);
    post_as(&key, &node.base, "/delete", json!({ "identity": "a/1" })).await;
    assert_eq!(put(&key, &node, "a/3").await, "ok");
    let again = post_as(&key, &node.base, "/history/a%2F1/restore", json!({ "revision": 1 })).await;
    assert_eq!(again.json()["msg"], refused);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_counts_after_a_restart_and_the_configuration_says_it_for_keys_that_say_nothing() {
    let node = closed().await;
    let (_, key) = make_key(&node.base, "ci", "write", &["a/"]).await;
    let (_, free) = make(&node.base, json!({ "name": "free", "role": "write", "tasks_max": 0 })).await;
    for identity in ["a/1", "a/2", "a/3"] {
        assert_eq!(put(&key, &node, identity).await, "ok");
    }

    let node = BoxedNode::start_in(node.stop().await, |settings| settings.access.tasks_per_key_max = 3).await;

    assert_eq!(put(&key, &node, "a/4").await, full("ci", 3, " whose identity begins with `a/`"));
    assert_eq!(put(&free, &node, "a/4").await, "ok", "0 is no limit");
    post_as(&key, &node.base, "/delete", json!({ "identity": "a/1" })).await;
    let over = put(&key, &node, "a/5").await;
    assert_eq!(over, full("ci", 3, " whose identity begins with `a/`"), "others have put one more");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_puts_at_once_exactly_as_many_are_taken_as_there_are_places() {
    let node = closed_with(|settings| settings.access.tasks_per_key_max = 10).await;
    let (_, key) = make_key(&node.base, "ci", "write", &["a/"]).await;

    let names: Vec<String> = (0..40).map(|number| format!("a/{number}")).collect();
    let told = join_all(names.iter().map(|name| put(&key, &node, name))).await;

    assert_eq!(told.iter().filter(|msg| *msg == "ok").count(), 10, "{told:?}");
    assert_eq!(post_as(&key, &node.base, "/all", json!({})).await.json()["data"].as_array().unwrap().len(), 10);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_bulk_and_requests_at_one_instant_count_as_puts_do() {
    let node = closed().await;
    let (_, key) = make(&node.base, json!({ "name": "ci", "role": "write", "tasks_max": 3 })).await;
    let bulk = async |identities: &[&str]| {
        let body: String = identities.iter().map(|identity| format!("{{\"put\":{}}}\n", task(identity))).collect();
        let request = client().post(format!("{}/bulk", node.base)).header("x-api-key", &key).body(body);
        let answer = request.send().await.unwrap().text().await.unwrap();
        answer.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["msg"].clone()).collect::<Vec<Value>>()
    };
    let refused = full("ci", 3, "");

    let told = bulk(&["a", "b", "a"]).await;
    assert_eq!(told[..3], [json!("ok"), json!("ok"), json!("ok")]);
    let later = json!({ "date_time": "2190-01-01T00:00:00Z", "url": "http://127.0.0.1:1/" });
    let scheduled = post_as(&key, &node.base, "/schedule", later.clone()).await;
    assert_eq!(scheduled.status, 201, "{}", scheduled.text);
    assert_eq!(bulk(&["c", "b"]).await[..2], [json!(refused), json!("ok")]);
    let second = post_as(&key, &node.base, "/schedule", later).await;
    assert!(second.status == 403 && second.text.contains("may have 3 tasks"), "{} {}", second.status, second.text);

    let id = scheduled.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/schedule/{id}");
    super::ask(&node.base, http::Method::DELETE, &path, &[("x-api-key", &key)], &Value::Null).await;
    assert_eq!(bulk(&["c"]).await[0], "ok");
    assert_eq!(get_as(&key, &node.base, "/keys").await.status, 403);
    node.stop().await;
}
