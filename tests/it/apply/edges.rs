//! Tasks as large as they may be, and links.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_as_large_as_a_body_may_be_is_applied_and_a_dry_run_tells_of_one_that_is_larger() {
    let body_max = 1024 * 1024;
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let padded = |letters: usize| {
        let entry = json!({ "cron_time": "@daily", "url": "http://a/", "body": "x".repeat(letters) });
        json!({ "identity": "a", "time_zone": "UTC", "start": true, "entries": { "e": entry } }).to_string()
    };
    let of_size = |size: usize| padded(size - padded(0).len());
    let write = |text: String| std::fs::write(folder.path().join("a.json"), text).unwrap();

    write(of_size(body_max + 1));
    let too_large = apply(folder.path(), &node, &["--dry-run"]).await;
    write(of_size(body_max));
    let dry = apply(folder.path(), &node, &["--dry-run"]).await;
    let applied = apply(folder.path(), &node, &[]).await;

    assert_eq!(too_large.code, Some(1), "{}", too_large.complaint);
    let end = "1 to create, 0 to change, 0 to delete, 0 unchanged, 1 would fail\n";
    let why = "the body is larger than 1048576 bytes ([server] max_body)\n";
    assert!(too_large.said.ends_with(end) && too_large.said.contains(why), "{}", &too_large.said[..200]);
    assert_eq!(dry.code, Some(3), "{}", dry.complaint);
    assert_eq!((applied.code, identities(&node).await), (Some(0), json!(["a"])), "{}", applied.complaint);
    node.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_link_to_a_folder_is_not_deleted() {
    let (node, folder) = (BoxedNode::start().await, tempfile::tempdir().unwrap());
    let (all, team) = (folder.path().join("all"), folder.path().join("team"));
    for (folder, identity) in [(&all, "a"), (&team, "b")] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("tasks.json"), task(identity, "@daily", "http://a/")).unwrap();
        post_ok(&node.base, "/put", task(identity, "@daily", "http://a/")).await;
    }
    std::os::unix::fs::symlink(&team, all.join("team")).unwrap();

    let refused = apply(&all, &node, &["--prune"]).await;
    let named = apply(&all, &node, &["-f", "team", "--prune"]).await;

    assert_eq!((refused.code, refused.said.as_str()), (Some(1), ""));
    assert!(refused.complaint.contains("./team: is a link to a folder: name it with -f"), "{}", refused.complaint);
    assert_eq!(named.said, "0 created, 0 changed, 0 deleted, 2 unchanged\n", "{}", named.complaint);
    node.stop().await;
}
