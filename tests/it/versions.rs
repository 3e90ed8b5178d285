//! Compare-and-set of a put, and the versions of a task: who made them, when, what they changed, and putting one again.

use http::HeaderName;
use serde_json::{Value, json};

use crate::support::{BoxedNode, client, post, post_ok, task};

async fn get(base: &str, path: &str) -> (u16, Value) {
    let answer = client().get(format!("{base}{path}")).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn versions(base: &str, path: &str) -> Value {
    let (status, answer) = get(base, path).await;
    assert_eq!((status, &answer["error"]), (200, &json!(0)), "{answer}");
    answer["data"].clone()
}

async fn post_as(base: &str, path: &str, user: &str, body: Value) -> Value {
    let call = client().post(format!("{base}{path}")).header("X-Remote-User", user).body(body.to_string());
    serde_json::from_str(&call.send().await.unwrap().text().await.unwrap()).unwrap()
}

fn with_users(settings: &mut schedule_service::config::NodeSettings) {
    settings.api.remote_user_header = Some(HeaderName::from_static("x-remote-user"));
}

fn put(identity: &str, entries: Value) -> Value {
    json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": entries })
}

fn entry(cron_time: &str) -> Value {
    json!({ "cron_time": cron_time, "url": "http://127.0.0.1:1/", "headers": { "Authorization": "s3cret" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_knows_another_revision_changes_nothing_and_tells_the_one_in_force() {
    let node = BoxedNode::start().await;
    let put = |revision: Value| {
        let mut put: Value = serde_json::from_str(&task("a", "0 0 0 1 1 *", "http://127.0.0.1:1/")).unwrap();
        put["revision"] = revision;
        put.to_string()
    };

    let (_, too_early) = post(&node.base, "/put", put(json!(1))).await;
    let first = post_ok(&node.base, "/put", put(json!(0))).await;
    let (_, exists) = post(&node.base, "/put", put(json!(0))).await;
    let second = post_ok(&node.base, "/put", put(json!(1))).await;
    let (status, outdated) = post(&node.base, "/put", put(json!(1))).await;
    let (_, wrong) = post(&node.base, "/put", put(json!("1"))).await;
    let plain = post_ok(&node.base, "/put", put(Value::Null)).await;

    let refused = |known, current: u64, now: &str| json!({ "error": 1, "msg": format!("revision: is {known}, expected {current}, {now}"), "revision": current });
    assert_eq!(too_early, refused(1, 0, "there is no such task now"));
    assert_eq!(first, json!({ "error": 0, "msg": "ok", "revision": 1 }));
    assert_eq!(exists, refused(0, 1, "the task has revision 1 now"));
    assert_eq!(second["revision"], json!(2));
    assert_eq!((status, outdated), (200, refused(1, 2, "the task has revision 2 now")));
    assert_eq!(wrong["msg"], "revision: is a string, expected a whole number of at least 0");
    assert_eq!(plain, json!({ "error": 0, "msg": "ok" }), "who does not know of revisions is not told of any");
    let changes = versions(&node.base, "/history/a").await;
    assert_eq!(changes["versions"].as_array().unwrap().len(), 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_know_the_same_revision_exactly_one_puts() {
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("a", "0 0 0 1 1 *", "http://127.0.0.1:1/")).await;

    let rival = |n: u64| {
        let mut put: Value = serde_json::from_str(&task("a", "0 0 0 1 1 *", "http://127.0.0.1:1/")).unwrap();
        put["revision"] = json!(1);
        put["entries"]["e"]["body"] = json!(n);
        let base = node.base.clone();
        async move { (n, post(&base, "/put", put.to_string()).await.1) }
    };
    let answers = futures_util::future::join_all((0..64).map(rival)).await;

    let won: Vec<u64> = answers.iter().filter(|(_, answer)| answer["error"] == 0).map(|&(n, _)| n).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(answers.iter().filter(|(_, answer)| answer["error"] == 1).all(|(_, answer)| answer["revision"] == 2));
    let got = post_ok(&node.base, "/get", r#"{"identity":"a"}"#).await;
    assert_eq!(got["data"]["entries"]["e"]["body"], json!(won[0]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_of_a_task_tell_who_when_and_what_without_credentials_and_survive_a_restart() {
    let node = BoxedNode::start_with(with_users).await;
    post_as(&node.base, "/put", "ada", put("t/é", json!({ "a": entry("@daily"), "b": entry("@daily") }))).await;
    post_as(&node.base, "/running", "bob", json!({ "identity": "t/é", "running": false })).await;
    post_as(&node.base, "/put", "", put("t/é", json!({ "b": entry("@hourly"), "c": entry("@daily") }))).await;
    post_as(&node.base, "/delete", "eve", json!({ "identity": "t/é" })).await;
    post_as(&node.base, "/put", "ada", put("t/é", json!({}))).await;

    let deleted = post_ok(&node.base, "/search", r#"{"identity":"t/é","limit":1,"skip":0,"type":"delete"}"#).await;
    assert_eq!(deleted["data"]["hits"]["hits"][0]["_source"]["body"], json!({ "identity": "t/é", "by": "eve" }));
    let folder = node.stop().await;
    let node = BoxedNode::start_in(folder, with_users).await;
    let data = versions(&node.base, "/history/t%2F%C3%A9").await;

    assert_eq!((&data["identity"], &data["next_before"]), (&json!("t/é"), &Value::Null));
    let all = data["versions"].as_array().unwrap();
    let told: Vec<Value> = all
        .iter()
        .map(|version| {
            json!([version["revision"], version["type"], version["by"], version["start"], version["changes"]])
        })
        .collect();
    let changes = |more: Value, added: &[&str], removed: &[&str], changed: &[&str]| {
        let mut changes = more;
        changes["entries"] = json!({ "added": added, "removed": removed, "changed": changed });
        changes
    };
    let expected = [
        json!([4, "put", "ada", true, changes(json!({ "put_after_delete": true }), &[], &["b", "c"], &[])]),
        json!([
            3,
            "put",
            "anonymous",
            true,
            changes(json!({ "start": { "from": false, "to": true } }), &["c"], &["a"], &["b"])
        ]),
        json!([2, "running", "bob", false, changes(json!({ "start": { "from": true, "to": false } }), &[], &[], &[])]),
        json!([1, "put", "ada", true, null]),
    ];
    assert_eq!(told, expected);
    assert_eq!((&all[0]["until"], &all[3]["until"]), (&Value::Null, &all[2]["at"]));
    assert_eq!(all[3]["task"]["entries"]["a"]["headers"]["Authorization"], json!("***"));
    assert!(!data.to_string().contains("s3cret"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_come_in_pages_and_each_tells_its_changes() {
    let node = BoxedNode::start().await;
    for n in 0..30 {
        let entries: Value = (0..=n % 3).map(|entry_n| (format!("e{entry_n}"), entry("@daily"))).collect();
        post_ok(&node.base, "/put", put("a", entries).to_string()).await;
    }

    let (mut path, mut seen) = ("/history/a?limit=7".to_owned(), Vec::new());
    loop {
        let data = versions(&node.base, &path).await;
        let page = data["versions"].as_array().unwrap();
        assert!(page.len() <= 7);
        seen.extend(page.iter().map(|version| version["revision"].as_u64().unwrap()));
        assert!(page.iter().all(|version| version["changes"].is_object() != (version["revision"] == 1)), "{data}");
        let Some(before) = data["next_before"].as_u64() else { break };
        path = format!("/history/a?limit=7&before={before}");
    }

    assert_eq!(seen, (1..=30).rev().collect::<Vec<u64>>());
    assert_eq!(versions(&node.base, "/history/nobody").await["versions"], json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_put_again_as_a_new_one_by_who_asked() {
    let node = BoxedNode::start_with(with_users).await;
    let first =
        put("a", json!({ "e": { "every": "90s", "url": "http://127.0.0.1:1/", "tags": ["x"], "fires_max": 3 } }));
    post_as(&node.base, "/put", "ada", first.clone()).await;
    post_as(&node.base, "/put", "ada", put("a", json!({}))).await;

    let restored = post_as(&node.base, "/history/a/restore", "bob", json!({ "revision": 1 })).await;

    assert_eq!(restored, json!({ "error": 0, "msg": "ok", "revision": 3 }));
    let exported = client().get(format!("{}/export", node.base)).send().await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&exported).unwrap(), first);
    let data = versions(&node.base, "/history/a?limit=1").await;
    assert_eq!((&data["versions"][0]["by"], &data["next_before"]), (&json!("bob"), &json!(3)));
    let logged = post_ok(&node.base, "/search", r#"{"identity":"a","limit":1,"skip":0,"type":"put"}"#).await;
    assert_eq!(logged["data"]["hits"]["hits"][0]["_source"]["body"]["entries"]["e"]["every"], json!("90s"));
    post_ok(&node.base, "/delete", r#"{"identity":"a"}"#).await;
    let revived = post_as(&node.base, "/history/a/restore", "bob", json!({ "revision": 2 })).await;
    assert_eq!(revived["revision"], json!(4), "a deleted task can be restored, too");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_queries_and_numbers_are_refused_with_the_place() {
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("a", "@daily", "http://127.0.0.1:1/")).await;

    for (path, status, text) in [
        ("/history/%zz", 400, "identity: `%zz` is no percent-encoding, expected % and two hexadecimal digits"),
        ("/history/a%2", 400, "identity: `%2` is no percent-encoding, expected % and two hexadecimal digits"),
        ("/history/%FF%FE", 400, "identity: `%FF%FE` is no percent-encoded UTF-8"),
        ("/history/a?limit=0", 400, "limit: is `0`, expected a whole number from 1 to 100"),
        ("/history/a?limit=101", 400, "limit: is `101`, expected a whole number from 1 to 100"),
        ("/history/a?before=x", 400, "before: is `x`, expected a whole number from 1 to 9223372036854775807"),
        ("/history/a?befor=1", 400, "query: `befor` is not known, expected one of before, limit"),
        ("/history/", 404, "there is no such path"),
        ("/history", 404, "there is no such path"),
        ("/history/a/b", 404, "there is no such path"),
        ("/history/a/restore", 405, "this path takes POST only"),
    ] {
        let (got_status, answer) = get(&node.base, path).await;
        assert_eq!((got_status, answer), (status, json!({ "error": 1, "msg": text })), "{path}");
    }
    let long = format!("/history/{}", "x".repeat(257));
    assert_eq!(get(&node.base, &long).await.1["msg"], "identity: is 257 bytes long, expected at most 256");
    assert_eq!(post(&node.base, "/history/a", "{}").await.0, 405);
    for (body, text) in [
        (r#"{"revision":2}"#, "revision: is 2, but the history of this task holds no such version"),
        (r#"{"revision":0}"#, "revision: is `0`, expected a whole number of at least 1"),
        (r#"{"revisoin":1}"#, "revisoin: is not known, did you mean `revision`?"),
        ("", "body: is empty, expected a JSON object such as {\"revision\":3}"),
    ] {
        let (status, answer) = post(&node.base, "/history/a/restore", body).await;
        assert!(status == 200 && answer["msg"].as_str().unwrap().starts_with(text), "{answer}");
    }
    assert_eq!(versions(&node.base, "/history/a/").await["versions"].as_array().unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_identity_has_its_history_however_it_is_encoded() {
    let node = BoxedNode::start().await;
    for identity in ["a/b/../c", " ", "\u{0}\n\t", "😀é中", "\"\\%2F+?#&", &"é".repeat(128)] {
        post_ok(&node.base, "/put", task(identity, "@daily", "http://127.0.0.1:1/")).await;
        let encoded: String = identity.bytes().map(|byte| format!("%{byte:02X}")).collect();

        let data = versions(&node.base, &format!("/history/{encoded}")).await;

        assert_eq!((&data["identity"], &data["versions"][0]["revision"]), (&json!(identity), &json!(1)));
    }
    node.stop().await;
}
