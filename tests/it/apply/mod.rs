//! Tasks in files: the real program applies, exports and imports them on a real node.

mod edges;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{BoxedNode, Double, Process, Reply, post_ok, task};

struct Ended {
    code: Option<i32>,
    said: String,
    complaint: String,
}

async fn run(folder: &Path, words: &[&str]) -> Ended {
    let output = Process::command(folder).args(words).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), said: text(output.stdout), complaint: text(output.stderr) }
}

async fn apply(folder: &Path, node: &BoxedNode, more: &[&str]) -> Ended {
    run(folder, &[&["apply", "-f", ".", "--server", &node.base], more].concat()).await
}

async fn got(node: &BoxedNode, identity: &str) -> Value {
    post_ok(&node.base, "/get", json!({ "identity": identity }).to_string()).await["data"].clone()
}

async fn identities(node: &BoxedNode) -> Value {
    post_ok(&node.base, "/all", "").await["data"].clone()
}

const YAML: &str = "\
# Two tasks in two documents, then a list.
identity: backup
time_zone: Europe/Berlin
start: true
entries:
  nightly:
    cron_time: 0 30 2 * * *
    url: http://127.0.0.1:1/backup
    headers: {Authorization: s3cret, X-Keep: 'yes'}
    body: {country: no, amount: 1.50, big: 12345678901234567890123}
    timeout: 10s
---
identity: report
time_zone: UTC
start: false
entries: {e: {every: 90s, url: 'http://127.0.0.1:1/'}}
---
- {identity: list/1, time_zone: UTC, start: true, entries: {}}
- {identity: list/2, time_zone: UTC, start: true, entries: {}}
";

#[tokio::test(flavor = "multi_thread")]
async fn files_are_applied_once_and_then_there_is_nothing_to_do() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("a.yaml"), YAML).unwrap();
    std::fs::create_dir(folder.path().join("more")).unwrap();
    std::fs::write(folder.path().join("more/b.json"), format!("[{}]", task("json", "@daily", "http://a/"))).unwrap();
    std::fs::write(folder.path().join("more/.hidden.json"), "rubbish").unwrap();
    std::fs::write(folder.path().join("more/notes.txt"), "rubbish").unwrap();

    let dry = apply(folder.path(), &node, &["--dry-run"]).await;
    let nothing_yet = identities(&node).await;
    let first = apply(folder.path(), &node, &[]).await;
    let again = apply(folder.path(), &node, &[]).await;
    let dry_again = apply(folder.path(), &node, &["--dry-run"]).await;

    assert_eq!((dry.code, nothing_yet), (Some(3), json!([])), "{}", dry.complaint);
    let end = "dry run, nothing was changed: 5 to create, 0 to change, 0 to delete, 0 unchanged\n";
    assert!(dry.said.ends_with(end), "{}", dry.said);
    assert_eq!(first.code, Some(0), "{} {}", first.said, first.complaint);
    assert!(first.said.ends_with("5 created, 0 changed, 0 deleted, 0 unchanged\n"), "{}", first.said);
    assert_eq!((again.code, again.said.as_str()), (Some(0), "0 created, 0 changed, 0 deleted, 5 unchanged\n"));
    assert_eq!(dry_again.code, Some(0), "{}", dry_again.said);
    assert_eq!(identities(&node).await, json!(["backup", "json", "list/1", "list/2", "report"]));
    let entry = &got(&node, "backup").await["entries"]["nightly"];
    assert_eq!(entry["headers"], json!({ "Authorization": "s3cret", "X-Keep": "yes" }));
    assert_eq!(entry["body"]["country"], json!("no"), "in YAML 1.2 it is a text");
    let exported = run(folder.path(), &["export", "--format", "ndjson", "--server", &node.base]).await.said;
    assert!(exported.contains(r#"{"country":"no","amount":1.50,"big":12345678901234567890123}"#), "{exported}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_shown_without_its_credentials_and_only_what_differs_is_put() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, YAML).unwrap();
    apply(folder.path(), &node, &[]).await;
    let changed = YAML.replace("0 30 2 * * *", "0 45 2 * * *").replace("s3cret", "oth3r");
    std::fs::write(&file, changed).unwrap();

    let ended = apply(folder.path(), &node, &[]).await;

    assert_eq!(ended.code, Some(0), "{} {}", ended.said, ended.complaint);
    let lines = [
        "change  \"backup\"  ./a.yaml: document 1 (line 2)\n",
        "  -     cron_time: 0 30 2 * * *\n",
        "  +     cron_time: 0 45 2 * * *\n",
        "  -       Authorization: \"***\"\n",
        "  +       Authorization: \"*** (another)\"\n",
        "0 created, 1 changed, 0 deleted, 3 unchanged\n",
    ];
    for line in lines {
        assert!(ended.said.contains(line), "{line}\n{}", ended.said);
    }
    assert!(!ended.said.contains("s3cret") && !ended.said.contains("oth3r") && !ended.said.contains('\u{1b}'));
    let detailed = post_ok(&node.base, "/get", r#"{"identity":"report","details":true}"#).await;
    assert_eq!(detailed["data"]["revision"], json!(1), "what is the same is not put again");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_no_file_is_deleted_only_if_that_is_wanted_and_only_below_a_prefix() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    for identity in ["team/a", "team/b", "other"] {
        post_ok(&node.base, "/put", task(identity, "@daily", "http://a/")).await;
    }
    std::fs::write(folder.path().join("a.json"), task("team/a", "@daily", "http://a/")).unwrap();

    let kept = apply(folder.path(), &node, &[]).await;
    let dry = apply(folder.path(), &node, &["--prune", "--dry-run"]).await;
    let below = apply(folder.path(), &node, &["--prune", "--prefix", "team/"]).await;
    let left = identities(&node).await;
    let all = apply(folder.path(), &node, &["--prune"]).await;

    assert!(kept.said.ends_with("0 created, 0 changed, 0 deleted, 1 unchanged\n"), "{}", kept.said);
    assert_eq!((dry.code, dry.said.matches("delete  ").count()), (Some(3), 2), "{}", dry.said);
    assert_eq!(below.said, "delete  \"team/b\"\n0 created, 0 changed, 1 deleted, 1 unchanged\n");
    assert_eq!(left, json!(["other", "team/a"]));
    assert_eq!((all.code, identities(&node).await), (Some(0), json!(["team/a"])));
    std::fs::write(folder.path().join("a.json"), "[]").unwrap();
    let empty = apply(folder.path(), &node, &["--prune"]).await;
    assert_eq!((empty.code, identities(&node).await), (Some(2), json!(["team/a"])), "{}", empty.complaint);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_names_its_file_document_and_path_and_nothing_is_changed() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", YAML);
    write(
        "b.yaml",
        "identity: x\ntime_zone: Mars\nstart: yes\nentries:\n  e:\n    cron_time: '* * *'\n    url: nowhere\n",
    );
    write("c.yml", "identity: y\nidentity: z\nentries:\n  e: {body: 0x1F}\n");
    write("d.json", &format!("[{}, {{}}]", task("backup", "@daily", "http://a/")));
    write("e.ndjson", &format!("{}\n\n{{\"identity\":1}}\nrubbish", task("fine", "@daily", "http://a/")));
    std::fs::write(folder.path().join("f.yaml"), b"a: \xff").unwrap();

    let ended = apply(folder.path(), &node, &["-f", "none.txt", "missing.yaml"]).await;

    let starts = [
        "./b.yaml: document 1 (line 1): time_zone: unknown time zone `Mars`",
        "./b.yaml: document 1 (line 1): start: is a string, expected true or false",
        "./b.yaml: document 1 (line 1): entries.e.cron_time: has 3 fields",
        "./b.yaml: document 1 (line 1): entries.e.url: is not a URL",
        "./c.yml: line 2: identity: is given twice",
        "./c.yml: line 4: entries.e.body: is `0x1F`, a number that JSON writes otherwise",
        "./d.json: document 1, item 1 (line 1): identity: `backup` stands in ./a.yaml: document 1 (line 2) already",
        "./d.json: document 1, item 2 (line 1): identity: is missing",
        "./e.ndjson: line 4: is no JSON",
        "./f.yaml: line 1: is no UTF-8",
        "none.txt: its name ends with none of",
        "missing.yaml: cannot be read",
    ];
    assert_eq!((ended.code, ended.said.as_str()), (Some(1), ""), "{}", ended.complaint);
    for start in starts {
        let is_told = ended.complaint.lines().any(|line| line.trim_start().starts_with(start));
        assert!(is_told, "{start}\n{}", ended.complaint);
    }
    assert!(ended.complaint.contains("mistakes, nothing was changed\n"), "{}", ended.complaint);
    assert_eq!(identities(&node).await, json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_in_any_format_is_applied_and_imported_as_it_was() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("a.yaml"), YAML).unwrap();
    apply(folder.path(), &node, &[]).await;
    post_ok(&node.base, "/put", task("odd \"é\"\n/..", "* * * * * *", "http://a/{{entry}}")).await;

    for (to, format) in
        [("one.yaml", None), ("one.json", None), ("one.jsonl", None), ("plain", Some("json")), ("many/", None)]
    {
        let out = tempfile::tempdir().unwrap();
        let mut words = vec!["export", "-o", to, "--server", &node.base];
        words.extend(format.iter().flat_map(|format| ["--format", format]));
        let exported = run(out.path(), &words).await;
        assert_eq!((exported.code, exported.said.as_str()), (Some(0), ""), "{to}: {}", exported.complaint);
        assert!(exported.complaint.contains("5 tasks exported"), "{}", exported.complaint);
        if format.is_some() {
            std::fs::rename(out.path().join("plain"), out.path().join("plain.json")).unwrap();
        }
        let applied = apply(out.path(), &node, &["--prune"]).await;
        assert_eq!(applied.said, "0 created, 0 changed, 0 deleted, 5 unchanged\n", "{to}: {}", applied.complaint);

        let other = BoxedNode::start().await;
        let imported = run(out.path(), &["import", ".", "--to", &other.base, "--format", "json"]).await;
        let report: Value = serde_json::from_str(&imported.said).unwrap();
        assert_eq!((imported.code, &report["verified"]), (Some(0), &json!(5)), "{to}: {report}");
        assert_eq!(report["warnings"], json!([]));
        let applied = apply(out.path(), &other, &["--prune"]).await;
        assert_eq!(applied.said, "0 created, 0 changed, 0 deleted, 5 unchanged\n", "{to}: {}", applied.complaint);
        other.stop().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_can_be_read_by_its_owner_only_and_a_part_of_it_is_never_taken_for_the_whole() {
    use std::os::unix::fs::PermissionsExt;
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    for identity in ["a/1", "b", "a/2"] {
        post_ok(&node.base, "/put", task(identity, "@daily", "http://a/")).await;
    }

    let ended = run(folder.path(), &["export", "-o", "a.yaml", "--prefix", "a/", "--server", &node.base]).await;
    let part = format!("{}\n", task("a", "@daily", "http://a/"));
    let broken = Double::start(move |_| Reply::BreaksOff(part.clone())).await;
    std::fs::write(folder.path().join("b.yaml"), "old").unwrap();
    let broke_off = run(folder.path(), &["export", "-o", "b.yaml", "--server", &broken.base]).await;

    assert!(ended.complaint.contains("2 tasks exported"), "{}", ended.complaint);
    let metadata = std::fs::metadata(folder.path().join("a.yaml")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(broke_off.code, Some(1));
    let text = format!("{}/export: no whole answer", broken.base);
    assert!(broke_off.complaint.contains(&text), "{}", broke_off.complaint);
    assert_eq!(std::fs::read_to_string(folder.path().join("b.yaml")).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_imported_as_tasks_of_a_service_are() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("a.yaml"), YAML).unwrap();

    let dry = run(folder.path(), &["import", "a.yaml", "--dry-run"]).await;
    let nothing_yet = identities(&node).await;
    let only = ["--only", "backup", "nobody", "--start", "false"];
    let some =
        run(folder.path(), &[&["import", "a.yaml", "--to", &node.base, "--format", "json"], &only[..]].concat()).await;
    std::fs::write(folder.path().join("b.json"), "{\"identity\":\"x\"}").unwrap();
    let wrong = run(folder.path(), &["import", ".", "--to", &node.base]).await;

    assert_eq!((dry.code, nothing_yet), (Some(0), json!([])), "{} {}", dry.said, dry.complaint);
    assert!(dry.said.contains("1 file to "), "{}", dry.said);
    assert!(dry.said.contains("of 4: dry run, nothing was put: 4 would be taken"), "{}", dry.said);
    let report: Value = serde_json::from_str(&some.said).unwrap();
    assert_eq!((some.code, &report["verified"], &report["gone"]), (Some(1), &json!(1), &json!(["nobody"])), "{report}");
    assert_eq!(got(&node, "backup").await["start"], json!(false));
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.complaint.contains("./b.json: document 1 (line 1): time_zone: is missing"), "{}", wrong.complaint);
    assert_eq!(identities(&node).await, json!(["backup"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_changed_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.json"),
        format!("[{},{}]", task("a", "@daily", "http://a/"), task("b", "@daily", "http://a/")),
    )
    .unwrap();
    let service = Double::start(|arrival| match arrival.uri.path() {
        "/export" => Reply::Text(format!("{}\n", task("a", "@hourly", "http://a/").replacen('{', "{\"revision\":3,", 1))),
        "/bulk" => Reply::Text(
            "{\"line\":1,\"error\":1,\"msg\":\"revision: is 3, expected 5, the task has revision 5 now\",\"revision\":5}\n\
             {\"line\":2,\"error\":0,\"msg\":\"ok\"}\n{\"lines\":2,\"failed\":1}\n"
                .to_owned(),
        ),
        _ => Reply::Status(404, None),
    })
    .await;

    let ended = run(folder.path(), &["apply", "-f", "a.json", "--server", &service.base]).await;

    assert_eq!(ended.code, Some(1), "{}", ended.complaint);
    let lines = [
        "failed  \"a\"  a.json: document 1, item 1 (line 1)\n",
        "    revision: is 3, expected 5, the task has revision 5 now\n",
        "    it was changed meanwhile: run apply again\n",
        "1 created, 0 changed, 0 deleted, 0 unchanged, 1 failed\n",
    ];
    for line in lines {
        assert!(ended.said.contains(line), "{line}\n{}", ended.said);
    }
    let sent: Vec<Value> = String::from_utf8(service.arrivals()[1].body.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((&sent[0]["put"]["revision"], &sent[1]["put"]["revision"]), (&json!(3), &json!(0)));
}

#[tokio::test]
async fn a_service_that_stops_or_is_none_is_named_and_apply_says_that_it_can_be_run_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), task("a", "@daily", "http://a/")).unwrap();
    let play = |bulk: &'static str| {
        move |arrival: &crate::support::Arrival| match arrival.uri.path() {
            "/export" => Reply::Text(String::new()),
            _ => Reply::Text(bulk.to_owned()),
        }
    };
    let going_down =
        Double::start(play("{\"lines\":0,\"failed\":0,\"stopped\":\"the service is going down\"}\n")).await;
    let short = Double::start(play("")).await;
    let silent = Double::start(play("{\"lines\":0,\"failed\":0}\n")).await;

    for (base, text) in [
        (going_down.base.as_str(), "/bulk: the service is going down"),
        (short.base.as_str(), "/bulk: its answer ended before its last line"),
        (silent.base.as_str(), "/bulk: it answered 0 of 1 lines"),
        ("http://127.0.0.1:1", "/export: no whole answer"),
    ] {
        let ended = run(folder.path(), &["apply", "-f", "a.json", "--server", base]).await;
        assert_eq!(ended.code, Some(1), "{}", ended.complaint);
        let expected = format!("apply stopped, and can be run again: {base}{text}");
        assert!(ended.complaint.contains(&expected), "{expected}\n{}", ended.complaint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_enough_of_the_differences_does_not_stop_the_changes() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let lines: String = (0..2_000).map(|n| task(&format!("t{n}"), "@daily", "http://a/") + "\n").collect();
    std::fs::write(folder.path().join("all.ndjson"), lines).unwrap();
    let mut command = Process::command(folder.path());
    command.args(["apply", "-f", "all.ndjson", "--server", &node.base]).stdout(std::process::Stdio::piped());

    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().await.unwrap();

    assert_eq!((status.code(), identities(&node).await.as_array().unwrap().len()), (Some(0), 2_000));
    node.stop().await;
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &["apply"][..],
        &["apply", "-f", "a.yaml", "--prefix", "x"],
        &["apply", "-f", "a.yaml"],
        &["apply", "-f", "a.yaml", "--server", "nowhere"],
        &["export", "--format", "xml"],
        &["export"],
        &["import"],
        &["import", "a.yaml", "--url", "http://old:3000"],
    ] {
        let ended = run(folder.path(), words).await;
        assert_eq!((ended.code, ended.said.as_str()), (Some(2), ""), "{words:?}: {}", ended.complaint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_tasks_are_applied_in_one_go() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let lines: String = (0..20_000).map(|n| task(&format!("t{n}"), "@daily", "http://a/") + "\n").collect();
    std::fs::write(folder.path().join("all.ndjson"), lines).unwrap();

    let first = apply(folder.path(), &node, &[]).await;
    let again = apply(folder.path(), &node, &["--prune"]).await;

    assert_eq!(first.code, Some(0), "{}", first.complaint);
    assert!(first.said.ends_with("20000 created, 0 changed, 0 deleted, 0 unchanged\n"));
    assert_eq!(again.said, "0 created, 0 changed, 0 deleted, 20000 unchanged\n");
    node.stop().await;
}
