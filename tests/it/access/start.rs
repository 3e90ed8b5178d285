use http::Method;
use serde_json::json;

use super::{ADMIN_KEY, ask};
use crate::support::Process;

const WIDE: (&str, &str) = ("SCHEDULE__SERVER__HOST", "0.0.0.0");

#[tokio::test]
async fn a_service_that_others_would_reach_without_a_key_does_not_start() {
    let folder = tempfile::tempdir().unwrap();

    let log = Process::try_start_with(folder.path(), &[WIDE]).await.err().expect("it is refused");

    for way_out in ["[access] admin_key", "key create", "allow_anonymous = true", "0.0.0.0"] {
        assert!(log.contains(way_out), "{log}");
    }
    assert!(!log.contains("listening"), "no port was bound: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_with_an_admin_key_a_stored_key_or_the_word_that_none_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let all = async |process: &Process, headers: &[(&str, &str)]| {
        let base = process.base.replace("0.0.0.0", "127.0.0.1");
        ask(&base, Method::POST, "/all", headers, &json!({})).await.status
    };
    let stopped = async |process: Process| {
        process.signal("TERM").await;
        assert!(process.wait().await.success());
    };

    let open =
        Process::try_start_with(folder.path(), &[WIDE, ("SCHEDULE__ACCESS__ALLOW_ANONYMOUS", "true")]).await.unwrap();
    assert_eq!(all(&open, &[]).await, 200);
    stopped(open).await;

    let with_admin =
        Process::try_start_with(folder.path(), &[WIDE, ("SCHEDULE__ACCESS__ADMIN_KEY", ADMIN_KEY)]).await.unwrap();
    assert_eq!((all(&with_admin, &[]).await, all(&with_admin, &[("x-api-key", ADMIN_KEY)]).await), (401, 200));
    stopped(with_admin).await;

    let near = Process::start(folder.path()).await;
    let made = ask(&near.base, Method::POST, "/keys", &[], &json!({ "name": "first", "role": "admin" })).await;
    let key = made.json()["data"]["key"].as_str().unwrap().to_owned();
    stopped(near).await;
    let with_key = Process::try_start_with(folder.path(), &[WIDE]).await.unwrap();
    assert_eq!((all(&with_key, &[]).await, all(&with_key, &[("x-api-key", &key)]).await), (401, 200));
    stopped(with_key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_right_or_wrong_is_ever_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Process::command(folder.path());
    command.env("SCHEDULE__ACCESS__ADMIN_KEY", ADMIN_KEY).env("SCHEDULE__LOG__LEVEL", "trace");
    let logged = super::Logged::start(command).await;
    let base = logged.base.clone();

    let made = super::post_as(ADMIN_KEY, &base, "/keys", json!({ "name": "ci", "role": "read" })).await.json();
    let key = made["data"]["key"].as_str().unwrap().to_owned();
    let wrong = format!("{}{}", &key[..key.len() - 4], "0123");
    for shown in [key.as_str(), &wrong, "sk_something-else-entirely"] {
        super::get_as(shown, &base, "/pauses").await;
    }
    let log = logged.end().await;
    assert!(log.contains("a wrong key was shown: its secret is another one"), "{log}");
    let (_, secret) = key.rsplit_once('_').unwrap();
    for hidden in [ADMIN_KEY, secret, &wrong, "something-else-entirely"] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}
