//! `/validate` and `/preview`: what a put would say, and what will fire.

use serde_json::{Value, json};

use crate::support::{BoxedNode, client, post, post_ok, task};

async fn ask(node: &BoxedNode, path: &str, body: Value) -> Value {
    post_ok(&node.base, path, body.to_string()).await["data"].clone()
}

async fn refusal(node: &BoxedNode, path: &str, body: Value) -> String {
    let (status, answer) = post(&node.base, path, body.to_string()).await;
    assert_eq!((status, &answer["error"]), (200, &json!(1)), "{answer}");
    answer["msg"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_tells_every_mistake_with_its_path_and_changes_nothing() {
    let node = BoxedNode::start().await;
    let body = json!({ "identity": "", "time_zone": "Mars", "start": "yes", "odd": 1, "entries": {
        "a": { "cron_time": "* * * * *", "url": "ftp://x/" }, "b": { "every": "1", "url": "http://x/", "retires": 1 } } });

    let verdict = ask(&node, "/validate", body).await;

    assert_eq!((&verdict["valid"], &verdict["entries"]), (&json!(false), &json!({})));
    let mistakes = verdict["mistakes"].as_array().unwrap();
    let paths: Vec<&str> = mistakes.iter().map(|mistake| mistake["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["identity", "time_zone", "start", "entries.a.cron_time", "entries.a.url", "entries.b.every"]);
    assert_eq!(mistakes[0]["text"], "is empty, expected 1 to 256 bytes");
    assert_eq!(verdict["warnings"].as_array().unwrap().len(), 2, "{verdict}");
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], json!([]));
    let rubbish = post_ok(&node.base, "/validate", "rubbish").await["data"].clone();
    assert_eq!((&rubbish["valid"], &rubbish["mistakes"][0]["path"]), (&json!(false), &json!("body")));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_body_is_told_with_what_its_entries_say_and_name() {
    let node = BoxedNode::start().await;
    let body = json!({ "identity": "a", "time_zone": "Asia/Tokyo", "start": false, "entries": {
        "cron": { "cron_time": "0 0 12 1 1 *", "url": "http://x/" },
        "at": { "at": "2199-01-01T00:00:00.250Z", "url": "http://x/" },
        "off": { "every": "90s", "url": "http://x/", "enabled": false } } });

    let verdict = ask(&node, "/validate", body.clone()).await;

    assert_eq!((&verdict["valid"], &verdict["mistakes"], &verdict["warnings"]), (&json!(true), &json!([]), &json!([])));
    let cron = &verdict["entries"]["cron"];
    assert_eq!(cron["next"].as_array().unwrap().len(), 5);
    assert!(cron["next"][0].as_str().unwrap().ends_with("-01-01T12:00:00+09:00"), "{cron}");
    assert!(cron["description"].as_str().unwrap().starts_with("at 12:00:00"), "{cron}");
    assert_eq!(verdict["entries"]["at"]["next"], json!(["2199-01-01T09:00:00.250+09:00"]));
    assert_eq!(verdict["entries"]["at"]["description"], "once, at 2199-01-01T00:00:00.250Z");
    assert_eq!(verdict["entries"]["off"]["next"], json!([]));
    assert_eq!(verdict["entries"]["off"]["description"], "every 90s");
    let mut known = body;
    known["revision"] = json!(3);
    let verdict = ask(&node, "/validate", known).await;
    let mistake = json!([{ "path": "revision", "text": "is 3, expected 0, there is no such task now" }]);
    assert_eq!((&verdict["valid"], &verdict["mistakes"]), (&json!(false), &mistake));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_an_entry_is_previewed_with_the_days_when_the_clocks_change() {
    let node = BoxedNode::start().await;
    let draft = json!({ "cron_time": "0 30 2 * * *", "time_zone": "Europe/Berlin", "after": "2030-03-29T12:00:00Z", "count": 3 });

    let data = ask(&node, "/preview", draft).await;

    assert_eq!((&data["after"], &data["time_zone"]), (&json!("2030-03-29T13:00:00+01:00"), &json!("Europe/Berlin")));
    let entry = &data["entries"]["draft"];
    let next = ["2030-03-30T02:30:00+01:00", "2030-03-31T03:00:00+02:00", "2030-04-01T02:30:00+02:00"];
    assert_eq!(entry["next"], json!(next));
    assert_eq!((&entry["description"], &entry["zone"]), (&json!("at 02:30:00"), &json!("Europe/Berlin")));
    assert_eq!(entry["remarks"][0], "2030-03-31: 02:30:00 does not exist in Europe/Berlin, fires at 03:00:00 instead");
    let excluded = json!({ "cron_time": "0 0 0 * * *", "exclude": { "weekdays": ["sat", "sun"] }, "after": "2030-03-01T00:00:00Z", "count": 1 });
    assert_eq!(ask(&node, "/preview", excluded).await["entries"]["draft"]["next"], json!(["2030-03-04T00:00:00Z"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_a_task_and_a_stored_one_are_previewed_entry_by_entry() {
    let node = BoxedNode::start().await;
    let entries =
        json!({ "a": { "every": "90s", "url": "http://x/" }, "b": { "cron_time": "@daily", "url": "http://x/" } });
    let draft = json!({ "time_zone": "UTC", "entries": entries, "count": 2, "after": "2030-01-01T00:00:00Z" });
    post_ok(
        &node.base,
        "/put",
        json!({ "identity": "t", "time_zone": "UTC", "start": false, "entries": entries }).to_string(),
    )
    .await;

    let drafted = ask(&node, "/preview", draft).await;
    let stored = ask(&node, "/preview", json!({ "identity": "t", "count": 2, "after": "2030-01-01T00:00:00Z" })).await;
    let one = ask(
        &node,
        "/preview",
        json!({ "identity": "t", "entry": "b", "count": 1_000, "after": "2030-01-01T00:00:00Z" }),
    )
    .await;

    assert_eq!(drafted["entries"]["a"]["next"], json!(["2030-01-01T00:01:30Z", "2030-01-01T00:03:00Z"]));
    assert_eq!(stored["entries"]["b"]["next"], json!(["2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z"]));
    assert_eq!(
        (&drafted["entries"]["a"]["state"], &stored["entries"]["a"]["state"]),
        (&json!("active"), &json!("stopped"))
    );
    assert_eq!(one["entries"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(one["entries"]["b"]["next"].as_array().unwrap().len(), 1_000);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_can_be_looked_at_from_a_day_in_the_past_and_a_task_from_when_it_was_put() {
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("t", "@daily", "http://127.0.0.1:1/")).await;
    let after = "2020-01-01T12:00:00Z";

    let draft = ask(&node, "/preview", json!({ "cron_time": "@daily", "after": after, "count": 2 })).await;
    let entries = json!({ "e": { "cron_time": "@daily", "url": "http://x/" } });
    let whole =
        ask(&node, "/preview", json!({ "time_zone": "UTC", "entries": entries, "after": after, "count": 1 })).await;
    let stored = ask(&node, "/preview", json!({ "identity": "t", "after": after, "count": 1 })).await;

    assert_eq!(draft["after"], json!(after));
    assert_eq!(draft["entries"]["draft"]["next"], json!(["2020-01-02T00:00:00Z", "2020-01-03T00:00:00Z"]));
    assert_eq!(whole["entries"]["e"]["next"], json!(["2020-01-02T00:00:00Z"]));
    let instant = |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    let passed = instant(&stored["entries"]["e"]["next"][0]) - instant(&stored["after"]);
    assert!(passed <= chrono::TimeDelta::days(1), "{stored}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_about_a_draft_is_told_as_a_put_tells_it() {
    let node = BoxedNode::start().await;
    let entries = json!({ "e": { "cron_time": "@daily", "url": "http://x/", "retires": 1 } });

    let entry = ask(&node, "/preview", json!({ "cron_time": "@daily", "timezone": "Asia/Tokyo", "cuont": 3 })).await;
    let whole = ask(&node, "/preview", json!({ "time_zone": "UTC", "entries": entries, "cuont": 3 })).await;
    let fine = ask(&node, "/preview", json!({ "cron_time": "@daily", "count": 3 })).await;

    let told = |data: &Value| data["warnings"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
    for (data, keys) in [(&entry, ["timezone", "cuont"]), (&whole, ["retires", "cuont"])] {
        let told = told(data);
        assert!(told.len() == 2 && keys.iter().all(|key| told.iter().any(|text| text.contains(key))), "{told:?}");
    }
    assert_eq!(fine.get("warnings"), None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_over_all_tasks_tells_how_often_and_what_comes_first() {
    let node = BoxedNode::start().await;
    for (identity, cron_time) in
        [("hourly", "0 0 * * * *"), ("daily/a", "0 30 0 * * *"), ("daily/b", "0 30 0 * * *"), ("never", "0 0 0 1 6 *")]
    {
        post_ok(&node.base, "/put", task(identity, cron_time, "http://127.0.0.1:1/")).await;
    }
    post_ok(&node.base, "/put", task("off", "* * * * * *", "http://127.0.0.1:1/")).await;
    post_ok(&node.base, "/running", r#"{"identity":"off","running":false}"#).await;
    let window = json!({ "from": "2030-01-01T00:00:00Z", "to": "2030-01-31T23:59:59Z", "limit": 3 });

    let data = ask(&node, "/preview", window.clone()).await;

    assert_eq!((&data["total"], &data["tasks_firing"]), (&json!(31 * 24 + 31 + 31), &json!(3)));
    let counts = json!([{ "identity": "hourly", "count": 744 }, { "identity": "daily/a", "count": 31 }, { "identity": "daily/b", "count": 31 }]);
    assert_eq!(data["tasks"], counts);
    let fire = |time: &str, identity: &str| json!({ "fire_time": time, "identity": identity, "entry": "e" });
    let first = [
        fire("2030-01-01T00:00:00Z", "hourly"),
        fire("2030-01-01T00:30:00Z", "daily/a"),
        fire("2030-01-01T00:30:00Z", "daily/b"),
    ];
    assert_eq!(data["fires"], json!(first));
    let mut below = window;
    below["identity"] = json!("daily/");
    below["time_zone"] = json!("Asia/Tokyo");
    let data = ask(&node, "/preview", below).await;
    assert_eq!((&data["total"], &data["fires"][0]["fire_time"]), (&json!(62), &json!("2030-01-01T09:30:00+09:00")));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_over_many_tasks_is_bounded_work() {
    let node = BoxedNode::start().await;
    let line = |n: u32| {
        let entry = json!({ "every": "1s", "url": "http://127.0.0.1:1/", "start_at": "2030-01-01T00:00:00Z" });
        let put =
            json!({ "identity": format!("t{n:04}"), "time_zone": "UTC", "start": true, "entries": { "e": entry } });
        format!("{}\n", json!({ "put": put }))
    };
    let lines: String = (0..5_000).map(line).collect();
    client().post(format!("{}/bulk", node.base)).body(lines).send().await.unwrap().text().await.unwrap();
    let window = json!({ "from": "2030-01-01T00:00:00Z", "to": "2030-01-31T23:59:59Z", "limit": 10_000 });

    let data = ask(&node, "/preview", window).await;

    assert_eq!((&data["total"], &data["tasks_firing"]), (&json!(5_000_u64 * 31 * 86_400), &json!(5_000)));
    assert_eq!(data["tasks"].as_array().unwrap().len(), 1_000);
    let fires = data["fires"].as_array().unwrap();
    assert_eq!(fires.len(), 10_000);
    let last = json!({ "fire_time": "2030-01-01T00:00:01Z", "identity": "t4999", "entry": "e" });
    assert_eq!(fires[9_999], last, "two seconds of all of them");
    let drafts: serde_json::Map<String, Value> = (0..50)
        .map(|n| (format!("e{n}"), json!({ "cron_time": "* * * * * *", "url": "http://127.0.0.1:1/" })))
        .collect();
    let draft = json!({ "time_zone": "UTC", "entries": drafts, "count": 1_000 });
    assert_eq!(ask(&node, "/preview", draft).await["entries"]["e49"]["next"].as_array().unwrap().len(), 1_000);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_not_understood_names_the_place() {
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("a", "@daily", "http://127.0.0.1:1/")).await;
    let entries: serde_json::Map<String, Value> =
        (0..51).map(|n| (format!("e{n}"), json!({ "every": "1s", "url": "http://x/" }))).collect();

    for (body, text) in [
        (json!({ "identity": "nobody" }), "identity: this identity does not exists"),
        (json!({ "identity": "a", "entry": "x" }), "entry: is `x`, but the task has no such entry"),
        (json!({ "identity": "a", "cout": 5 }), "cout: is not known, did you mean `count`?"),
        (json!({ "identity": "a", "count": 1_001 }), "count: is `1001`, expected a whole number from 1 to 1000"),
        (json!({ "identity": "a", "after": "today" }), "after: is `today`, expected a date and time with an offset"),
        (json!({ "time_zone": "UTC" }), "cron_time: is missing, expected a cron expression here"),
        (json!({ "cron_time": "* * *", "time_zone": "Mars" }), "time_zone: unknown time zone `Mars`"),
        (json!({ "from": "2030-01-01T00:00:00Z" }), "to: is missing, expected a date and time with an offset"),
        (json!({ "from": "2030-01-02T00:00:00Z", "to": "2030-01-01T00:00:00Z" }), "to: is before `from`"),
        (
            json!({ "from": "2030-01-01T00:00:00Z", "to": "2030-02-02T00:00:00Z" }),
            "to: is more than 31 days after `from`",
        ),
        (json!({ "from": "2030-01-01T00:00:00Z", "to": "2030-01-02T00:00:00Z", "limit": 10_001 }), "limit: is `10001`"),
        (
            json!({ "time_zone": "UTC", "entries": entries, "count": 1_000 }),
            "count: of all entries that is 51000 instants",
        ),
    ] {
        let told = refusal(&node, "/preview", body).await;
        assert!(told.starts_with(text), "{text}\n{told}");
    }
    node.stop().await;
}
