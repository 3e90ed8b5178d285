//! Taking over from the mirrored service: the real program between a played old service and a real new one.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{BoxedNode, Double, Process, Reply, play_mirrored, post_ok};

/// A task as the mirrored service gives it.
fn old_task(identity: &str, entry: Value) -> Value {
    let mut entry = entry;
    for (key, value) in [("cron_time", json!("0 0 0 1 1 *")), ("url", json!("http://127.0.0.1:1/x"))] {
        entry.as_object_mut().unwrap().entry(key).or_insert(value);
    }
    for key in ["headers", "body"] {
        entry.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
    }
    entry["next_date"] = json!("2027-01-01T00:00:00Z");
    entry["last_date"] = json!("0001-01-01T00:00:00Z");
    json!({ "identity": identity, "time_zone": "UTC", "start": true, "entries": { "e": entry } })
}

struct Ended {
    code: Option<i32>,
    said: String,
    complaint: String,
}

impl Ended {
    fn report(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("no JSON: {} {}", self.said, self.complaint))
    }
}

async fn run(words: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let output = Process::command(folder.path()).arg("import").args(words).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), said: text(output.stdout), complaint: text(output.stderr) }
}

async fn import(old: &str, new: &str, more: &[&str]) -> Ended {
    run(&[&["--url", old, "--to", new, "--format", "json"], more].concat()).await
}

async fn identities(node: &BoxedNode) -> Value {
    post_ok(&node.base, "/all", "").await["data"].clone()
}

/// The new service, played: it keeps nothing and gives `got` back.
async fn played_new(got: Value, put: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Double {
    let puts = AtomicUsize::new(0);
    let play = move |path: &str| match path {
        "/healthz" => Reply::Says(json!({ "status": "ok", "version": "0.1.0" })),
        "/put" => put(puts.fetch_add(1, Ordering::Relaxed)),
        _ => Reply::Says(json!({ "error": 0, "data": got })),
    };
    Double::start(move |arrival| play(arrival.uri.path())).await
}

fn ok() -> Reply {
    Reply::Says(json!({ "error": 0, "msg": "ok" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_taken_and_verified_page_by_page_and_the_old_service_is_only_read() {
    let body = json!({ "z": [1.5, null, { "deep": "<&>" }], "a": 12_345_678_901_234_567_890_u64 });
    let entry = |n: usize| json!({ "headers": { "X-N": n.to_string() }, "body": body });
    let tasks = (0..120).map(|n| old_task(&format!("task {n} \"é\n"), entry(n))).collect();
    let (old, node) = (Double::mirrored(tasks, &[]).await, BoxedNode::start().await);

    let first = import(&old.base, &node.base, &[]).await;
    let again = import(&old.base, &node.base, &[]).await;

    for ended in [first, again] {
        assert_eq!(ended.code, Some(0), "{} {}", ended.said, ended.complaint);
        let report = ended.report();
        assert_eq!((&report["ok"], &report["found"]), (&json!(true), &json!(120)), "{report}");
        assert_eq!((&report["taken"], &report["verified"]), (&json!(120), &json!(120)), "{report}");
    }
    assert_eq!(identities(&node).await.as_array().unwrap().len(), 120);
    assert_eq!(old.paths(), ["/all", "/lists", "/lists", "/all", "/lists", "/lists"]);
    let asked = |arrival: &Value| arrival["identity"].as_array().unwrap().len();
    assert_eq!(asked(&old.arrivals()[1].json()), 100);
    let got = post_ok(&node.base, "/get", json!({ "identity": "task 7 \"é\n" }).to_string()).await["data"].clone();
    assert_eq!((&got["start"], &got["entries"]["e"]["body"]), (&json!(true), &body));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_service_without_tasks_is_taken_over_at_once() {
    let (old, node) = (Double::mirrored(Vec::new(), &[]).await, BoxedNode::start().await);

    let ended = run(&["--url", &old.base, "--to", &node.base]).await;

    let expected = format!("{} to {}, of 0: 0 taken, 0 verified, 0 refused, 0 failed, 0 gone\n", old.base, node.base);
    assert_eq!((ended.code, ended.said), (Some(0), expected));
    node.stop().await;
}

fn tasks_that_are_refused() -> Vec<Value> {
    let mut unzoned = old_task("unzoned", json!({ "cron_time": "0 3 * * *", "headers": { "bad name": "x" } }));
    unzoned["time_zone"] = json!("Local");
    vec![old_task("good", json!({})), old_task("odd", json!({ "retires": 3 })), unzoned]
}

fn is_refusal_with_every_mistake(report: &Value) -> bool {
    let reason = report["refused"][0]["reason"].as_str().unwrap();
    let mistakes =
        ["time_zone: unknown time zone `Local`", "entries.e.cron_time: has five fields", "entries.e.headers."];
    let warned =
        json!([{ "identity": "odd", "warnings": ["entries.e: unknown key `retires`, did you mean `retry`?"] }]);
    report["refused"][0]["identity"] == "unzoned"
        && mistakes.iter().all(|mistake| reason.contains(mistake))
        && report["warnings"] == warned
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_task_is_named_with_every_mistake_and_those_gone_meanwhile_are_told() {
    let (old, node) = (Double::mirrored(tasks_that_are_refused(), &["left"]).await, BoxedNode::start().await);

    let ended = import(&old.base, &node.base, &[]).await;

    let report = ended.report();
    assert_eq!(ended.code, Some(1), "{report}");
    assert!(is_refusal_with_every_mistake(&report), "{report}");
    assert_eq!((&report["found"], &report["verified"], &report["gone"]), (&json!(4), &json!(2), &json!(["left"])));
    assert_eq!(identities(&node).await, json!(["good", "odd"]));
    let text = run(&["--url", &old.base, "--to", &node.base]).await.said;
    assert!(text.contains("refused  \"unzoned\"\n           time_zone: unknown time zone `Local`"), "{text}");
    assert!(text.ends_with("of 4: 2 taken, 2 verified, 1 refused, 0 failed, 1 gone\n"), "{text}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_refuses_the_same_and_puts_nothing() {
    let mut tasks = tasks_that_are_refused();
    tasks.push(old_task("long", json!({ "body": "x".repeat(1024 * 1024) })));
    let (old, node) = (Double::mirrored(tasks, &[]).await, BoxedNode::start().await);

    let dry = import(&old.base, &node.base, &["--dry-run"]).await;

    let report = dry.report();
    let long = report["refused"].as_array().unwrap().iter().position(|reason| reason["identity"] == "long").unwrap();
    assert!(report["refused"][long]["reason"].as_str().unwrap().contains("larger than 1048576 bytes"), "{report}");
    assert_eq!(identities(&node).await, json!([]));
    let mut wet = import(&old.base, &node.base, &[]).await.report();
    assert_eq!(report["refused"], wet["refused"]);
    assert_eq!((dry.code, &report["acceptable"], &report["taken"]), (Some(1), &json!(2), &json!(0)));
    wet["refused"].as_array_mut().unwrap().remove(long);
    assert!(is_refusal_with_every_mistake(&wet), "{wet}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tasks_that_are_named_are_taken_with_the_switch_that_is_given() {
    let tasks = ["a", "b", "c"].map(|identity| old_task(identity, json!({}))).to_vec();
    let (old, node) = (Double::mirrored(tasks, &[]).await, BoxedNode::start().await);

    let ended = import(&old.base, &node.base, &["--only", "c", "a", "x", "a", "--start", "false"]).await;

    let report = ended.report();
    assert_eq!((ended.code, &report["verified"], &report["gone"]), (Some(1), &json!(2), &json!(["x"])), "{report}");
    assert_eq!(identities(&node).await, json!(["a", "c"]));
    assert_eq!(post_ok(&node.base, "/get", r#"{"identity":"a"}"#).await["data"]["start"], json!(false));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_url_is_sent_and_never_shown() {
    let play = |allowed: &'static str| {
        move |arrival: &_| match crate::support::Arrival::header(arrival, "authorization") == allowed {
            true => play_mirrored(arrival, &[old_task("a", json!({}))], &["a".to_owned()]),
            false => Reply::Status(401, None),
        }
    };
    let (open, shut) = (Double::start(play("Basic bWU6aHVzaCE=")).await, Double::start(play("")).await);
    let node = BoxedNode::start().await;
    let with_password = |base: &str| base.replace("http://", "http://me:hush%21@");

    let taken = import(&with_password(&open.base), &node.base, &[]).await;
    let refused = import(&with_password(&shut.base), &node.base, &[]).await;
    let wrong = run(&["--url", "ftp://me:hush%21@old"]).await;

    assert_eq!((taken.code, refused.code, wrong.code), (Some(0), Some(1), Some(2)), "{}", taken.complaint);
    let advice = format!(
        "{}/all: it answered 401: check the key (SCHEDULE_KEY or --key-file), and user and password",
        shut.base
    );
    assert!(refused.complaint.contains(&advice), "{}", refused.complaint);
    for ended in [taken, refused, wrong] {
        assert!(!format!("{}{}", ended.said, ended.complaint).contains("hush"), "{} {}", ended.said, ended.complaint);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_page_that_is_too_large_is_halved_and_a_task_that_is_too_large_is_reported() {
    let tasks: Vec<Value> = (0..10).map(|n| old_task(&format!("t{n}"), json!({}))).collect();
    let named: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    let old = Double::start(move |arrival| {
        let asked = || arrival.json()["identity"].as_array().unwrap().clone();
        match arrival.uri.path() {
            "/lists" if asked().contains(&json!("t6")) || asked().len() > 4 => Reply::Announces(300 * 1024 * 1024),
            _ => play_mirrored(arrival, &tasks, &named),
        }
    })
    .await;

    let ended = import(&old.base, "http://127.0.0.1:1", &["--dry-run"]).await;

    let report = ended.report();
    assert_eq!((ended.code, &report["acceptable"], &report["left"]), (Some(1), &json!(9), &json!(0)), "{report}");
    let reason = format!("{}/lists: its answer is larger than 268435456 bytes", old.base);
    assert_eq!(report["failed"], json!([{ "identity": "t6", "reason": reason }]));
}

#[tokio::test]
async fn a_task_that_reads_back_otherwise_is_an_error_that_names_the_places() {
    let tasks = vec![old_task("a", json!({ "body": { "k": 1 } }))];
    let old = Double::mirrored(tasks, &[]).await;
    let other = played_new(old_task("a", json!({ "body": { "k": 2 } })), |_| ok()).await;
    let none = played_new(Value::Null, |_| ok()).await;

    let (other, none) = (import(&old.base, &other.base, &[]).await, import(&old.base, &none.base, &[]).await);

    for (ended, reason) in
        [(other, "it reads back otherwise than it was put: entries.e.body"), (none, "it was put, but is not there")]
    {
        let report = ended.report();
        assert_eq!((ended.code, &report["taken"], &report["verified"]), (Some(1), &json!(1), &json!(0)), "{report}");
        assert_eq!(report["failed"], json!([{ "identity": "a", "reason": reason }]));
    }
}

#[tokio::test]
async fn a_service_that_asks_for_patience_is_waited_for_but_not_forever() {
    let task = old_task("a", json!({}));
    let old = Double::mirrored(vec![task.clone()], &[]).await;
    let busy = |n| if n < 2 { Reply::Status(503, Some(0)) } else { ok() };
    let patient = played_new(task.clone(), busy).await;
    let overloaded = played_new(task, |_| Reply::Status(503, Some(61))).await;

    let waited = import(&old.base, &patient.base, &[]).await;
    let stopped = import(&old.base, &overloaded.base, &[]).await;

    assert_eq!(waited.code, Some(0), "{} {}", waited.said, waited.complaint);
    assert_eq!(patient.paths(), ["/healthz", "/put", "/put", "/put", "/get"]);
    let report = stopped.report();
    assert_eq!((stopped.code, &report["left"], &report["ok"]), (Some(1), &json!(1), &json!(false)), "{report}");
    let text = format!("{}/put: it answered 503: it stays overloaded", overloaded.base);
    assert!(report["stopped"].as_str().unwrap().starts_with(&text), "{report}");
    assert!(stopped.complaint.contains(&text), "{}", stopped.complaint);
}

#[tokio::test]
async fn what_is_no_service_of_ours_is_never_put_to() {
    let old = Double::mirrored(vec![old_task("a", json!({}))], &[]).await;
    let other_old = Double::mirrored(Vec::new(), &[]).await;

    let ended = import(&old.base, &other_old.base, &[]).await;

    assert_eq!(ended.code, Some(1));
    assert!(ended.complaint.contains("it is not this program that answers there: check --to"), "{}", ended.complaint);
    assert_eq!((old.paths(), other_old.paths()), (vec![], vec!["/healthz".to_owned()]));
}

#[tokio::test]
async fn a_service_that_cannot_be_understood_or_reached_is_named_with_what_to_check() {
    let babbling = Double::start(|_| Reply::Says(json!("hello"))).await;

    let babbled = import(&babbling.base, "http://127.0.0.1:1", &["--dry-run"]).await;
    let silent = import("http://127.0.0.1:1", "http://127.0.0.1:2", &["--dry-run"]).await;
    let unreached = import(&babbling.base, "http://127.0.0.1:1", &[]).await;

    let text = format!("{}/all: its answer is not understood", babbling.base);
    assert!(babbled.complaint.contains(&text), "{}", babbled.complaint);
    assert!(silent.complaint.contains("http://127.0.0.1:1/all: no whole answer"), "{}", silent.complaint);
    assert!(silent.complaint.contains("check that the service runs, and its host and port"), "{}", silent.complaint);
    assert!(unreached.complaint.contains("http://127.0.0.1:1/healthz: no whole answer"), "{}", unreached.complaint);
    assert_eq!([babbled.code, silent.code, unreached.code], [Some(1); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_destination_the_address_of_the_configuration_is_put_to() {
    let old = Double::mirrored(vec![old_task("a", json!({}))], &[]).await;
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let (_, port) = node.base.rsplit_once(':').unwrap();
    let mut command = Process::command(folder.path());
    command.env("SCHEDULE__SERVER__PORT", port).env("SCHEDULE__SERVER__HOST", "0.0.0.0");

    let ended = command.args(["import", "--url", &old.base]).output().await.unwrap();

    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(identities(&node).await, json!(["a"]));
    node.stop().await;
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_2_and_asks_nobody() {
    for words in [
        &[][..],
        &["--url", "old:3000"],
        &["--url", "http://old:3000/?x"],
        &["--url", "http://old:3000"],
        &["--url", "http://old:3000", "--to", "127.0.0.1"],
        &["--url", "http://localhost:3000", "--to", "http://127.0.0.1:3000"],
        &["--url", "http://old:3000", "--start", "maybe"],
        &["--url", "http://old:3000", "--format", "xml"],
        &["--url", "http://old:3000", "--only"],
    ] {
        let ended = run(words).await;
        assert_eq!((ended.code, ended.said.as_str()), (Some(2), ""), "{words:?}: {}", ended.complaint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_no_file_has_is_told_as_missing_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.ndjson");
    std::fs::write(&file, format!("{}\n", old_task("a", json!({})))).unwrap();

    let ended = run(&[file.to_str().unwrap(), "--only", "a", "x", "--dry-run"]).await;

    assert_eq!(ended.code, Some(1), "{}", ended.complaint);
    assert!(ended.said.contains("gone     \"x\"\n           none of the files has it\n"), "{}", ended.said);
}
