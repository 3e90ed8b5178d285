//! The commands, as a person types them.

use std::path::Path;
use std::process::Output;

use crate::support::Process;

async fn run(folder: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Process::command(folder).args(words).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn next_tells_what_an_expression_says_and_when_it_fires() {
    let folder = tempfile::tempdir().unwrap();
    let words =
        ["next", "0 30 2 * * MON-FRI", "--zone", "Europe/Berlin", "--after", "2026-01-01T00:00:00Z", "--count", "1"];

    let (code, said, _) = run(folder.path(), &words).await;

    let expected = "at 02:30:00 on Monday to Friday, in Europe/Berlin\n  2026-01-01T02:30:00+01:00  Thu\n";
    assert_eq!((code, said.as_str()), (Some(0), expected));
}

#[tokio::test]
async fn a_wrong_expression_exits_with_1_and_a_wrong_command_line_with_2() {
    let folder = tempfile::tempdir().unwrap();

    let (wrong_expression, _, complaint) = run(folder.path(), &["next", "* * * * *"]).await;
    assert_eq!(wrong_expression, Some(1));
    assert!(complaint.contains("did you mean `0 * * * * *`?"), "{complaint}");
    for words in [
        &["nxt"][..],
        &["next"],
        &["next", "@daily", "--zone", "Mars"],
        &["verify"],
        &["verify", "--from", "soon"],
        &["verify", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"],
    ] {
        assert_eq!(run(folder.path(), words).await.0, Some(2), "{words:?}");
    }
}

#[tokio::test]
async fn check_config_tells_what_is_in_force_or_every_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said, _) = run(folder.path(), &["check-config"]).await;
    assert_eq!(code, Some(0));
    assert!(said.contains("server.port = 0  (environment variable SCHEDULE__SERVER__PORT)\n"), "{said}");
    assert!(said.contains("engine.misfire_grace_s = 30  (default)\n") && said.ends_with("ok\n"), "{said}");

    std::fs::write(folder.path().join("config.ini"), "[server]\nprt = 1\n[log]\nformat = xml\n").unwrap();
    for words in [&["check-config"][..], &["serve"], &[]] {
        let (code, _, complaint) = run(folder.path(), words).await;
        assert_eq!(code, Some(2), "{words:?}");
        assert!(
            complaint.contains("the configuration has 1 mistake") || complaint.contains("has 2 mistakes"),
            "{complaint}"
        );
        assert!(complaint.contains("[server] unknown key `prt`, did you mean `port`?"), "{complaint}");
    }
}

#[tokio::test]
async fn verify_without_a_store_says_so() {
    let folder = tempfile::tempdir().unwrap();

    let (code, _, complaint) = run(folder.path(), &["verify", "--from", "2026-01-01T00:00:00Z"]).await;

    assert_eq!(code, Some(1));
    assert!(complaint.contains("there is no store"), "{complaint}");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = tokio::process::Command::new("bash");
    let script = r#""$0" next '* * * * * *' --count 10000 | head -n 1; exit "${PIPESTATUS[0]}""#;
    let ended = shell.args(["-c", script, env!("CARGO_BIN_EXE_schedule-service")]).current_dir(folder.path()).output();

    let Output { status, stdout, stderr } = ended.await.unwrap();

    assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""));
    assert_eq!(String::from_utf8(stdout).unwrap(), "every second, in UTC\n");
}

#[tokio::test]
async fn an_idle_service_ends_at_once_on_sigterm_and_sigint() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let process = Process::start(folder.path()).await;
        process.signal(signal).await;
        assert!(process.wait().await.success());
    }
}
