use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::{ADMIN_KEY, closed, post_as};
use crate::support::Process;

async fn run(folder: &Path, key: Option<&str>, words: &[&str]) -> Output {
    let mut command = Process::command(folder);
    if let Some(key) = key {
        command.env("SCHEDULE_KEY", key);
    }
    command.args(words).output().await.unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_shown_rotated_and_revoked_on_the_command_line() {
    let (node, folder) = (closed().await, tempfile::tempdir().unwrap());
    let server = ["--server", node.base.as_str()];
    let key = async |words: &[&str]| run(folder.path(), Some(ADMIN_KEY), &[&["key"], words, &server].concat()).await;
    let status = async |key: &str| post_as(key, &node.base, "/all", json!({})).await.status;

    let limits = ["--requests-per-second", "75", "--tasks-max", "0"];
    let wish = ["create", "--name", "ci", "--role", "read", "--prefix", "a/", "--expires-in", "90d"];
    let made = key(&[&wish[..], &limits].concat()).await;
    let first = said(&made).trim().to_owned();
    assert_eq!(status(&first).await, 200);
    assert!(!String::from_utf8_lossy(&made.stderr).contains(&first), "only the standard output has it");
    let listed: Value = serde_json::from_str(&said(&key(&["list", "--format", "json"]).await)).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let shown = said(&key(&["list"]).await);
    assert_eq!((&listed[0]["requests_per_second"], &listed[0]["tasks_max"]), (&json!(75), &json!(0)));
    for part in [id, "ci", "read", "valid", "a/", " 75 ", " none "] {
        assert!(shown.contains(part), "{shown}");
    }
    let second = said(&key(&["rotate", id, "--overlap", "1h"]).await).trim().to_owned();
    assert_eq!((status(&first).await, status(&second).await), (200, 200));
    assert_eq!(said(&key(&["revoke", id]).await), format!("{id} is revoked\n"));
    assert_eq!((status(&first).await, status(&second).await), (401, 401));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_asks_a_service_takes_the_key_from_the_environment_or_a_file() {
    let (node, folder) = (closed().await, tempfile::tempdir().unwrap());
    let (file, tasks) = (folder.path().join("key"), folder.path().join("tasks.json"));
    std::fs::write(&file, format!("{ADMIN_KEY}\n")).unwrap();
    let task = json!({ "identity": "x", "time_zone": "UTC", "start": true,
        "entries": { "e": { "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:1/" } } });
    std::fs::write(&tasks, task.to_string()).unwrap();
    let (file, tasks, base) = (file.to_str().unwrap(), tasks.to_str().unwrap(), node.base.as_str());

    for words in [
        &["import", tasks, "--to", base][..],
        &["apply", "-f", tasks, "--server", base],
        &["export", "--server", base],
        &["cluster", "status", "--server", base],
        &["key", "list", "--server", base],
    ] {
        let without = run(folder.path(), None, words).await;
        assert_eq!(without.status.code(), Some(1), "{words:?}");
        let complaint = String::from_utf8_lossy(&without.stderr).into_owned();
        assert!(complaint.contains("401") && complaint.contains("SCHEDULE_KEY"), "{words:?}: {complaint}");
        said(&run(folder.path(), Some(ADMIN_KEY), words).await);
        said(&run(folder.path(), Some("wrong"), &[words, &["--key-file", file]].concat()).await);
    }
    let nowhere = run(folder.path(), None, &["key", "list", "--key-file", "/nowhere"]).await;
    assert_eq!(nowhere.status.code(), Some(2));
    node.stop().await;
}
