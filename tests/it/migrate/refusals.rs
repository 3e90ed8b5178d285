//! What is refused, and with which words.

use serde_json::json;

use super::filled::fill_with;
use super::{BACK, THERE, migrate, migrated, run};
use crate::support::{Cluster, Process, Target, post_ok, task};

#[tokio::test]
async fn without_elasticsearch_or_with_one_store_twice_the_command_line_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster { hosts: "http://127.0.0.1:1".to_owned(), index: "none".to_owned() };

    let unset = run(Process::command(folder.path()).arg("migrate").args(THERE)).await;
    let same = migrate(&cluster, folder.path(), ["--from", "embedded", "--to", "embedded"], &[]).await;
    let both = migrate(&cluster, folder.path(), THERE, &["--force", "--verify-only"]).await;

    assert!(unset.complaint.contains("so set [elasticsearch] hosts or cloud_id"), "{}", unset.complaint);
    assert!(same.complaint.contains("--from and --to are the same store"), "{}", same.complaint);
    assert_eq!([unset.code, same.code, both.code], [Some(2); 3]);
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn a_source_that_is_not_there_or_empty_is_refused_and_nothing_is_made() {
    let (cluster, folder) = (Cluster::new(), tempfile::tempdir().unwrap());

    let there = migrate(&cluster, folder.path(), THERE, &[]).await;
    let back = migrate(&cluster, folder.path(), BACK, &[]).await;
    let verify_only = migrate(&cluster, folder.path(), BACK, &["--verify-only"]).await;

    assert!(there.complaint.contains("cannot read the source: there is no store: no file"), "{}", there.complaint);
    let text = format!("there is nothing to migrate: elasticsearch index {} holds no task", cluster.index);
    assert!(back.complaint.contains(&text), "{}", back.complaint);
    assert!(verify_only.complaint.contains("cannot read the target: there is no store"), "{}", verify_only.complaint);
    assert_eq!([there.code, back.code, verify_only.code], [Some(1); 3]);
    assert!(!folder.path().join("data").exists());
    let indices = cluster.ask(http::Method::GET, &format!("{}*/_settings", cluster.index), &json!(null)).await;
    assert_eq!(indices, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_a_service_runs_on_is_refused() {
    let (cluster, folder, elsewhere) = (Cluster::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = Target::start().await;
    let embedded = Process::start(folder.path()).await;
    post_ok(&embedded.base, "/put", task("a", "* * * * * *", &target.url("/ok"))).await;
    let in_use = migrate(&cluster, folder.path(), THERE, &[]).await;
    let text = format!("is in use by process {}", embedded.pid());
    embedded.kill().await;

    let elastic = Process::try_start_with(folder.path(), &cluster.environment()).await.unwrap();
    post_ok(&elastic.base, "/put", task("a", "* * * * * *", &target.url("/ok"))).await;
    let same_folder = migrate(&cluster, folder.path(), BACK, &["--force"]).await;
    let other_folder = migrate(&cluster, elsewhere.path(), BACK, &[]).await;
    elastic.kill().await;

    assert!(in_use.complaint.contains(&text), "{}", in_use.complaint);
    let text = "stop the service that runs on it";
    assert!(same_folder.complaint.contains(text), "{}", same_folder.complaint);
    let text = format!("a service uses elasticsearch index {}: its leases move, stop it first", cluster.index);
    assert!(other_folder.complaint.contains(&text), "{}", other_folder.complaint);
    assert_eq!([in_use.code, same_folder.code, other_folder.code], [Some(1); 3]);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_used_is_refused_and_written_over_by_force() {
    let (cluster, one, other) = (Cluster::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill_with(one.path(), &["1", "2"]).await;
    fill_with(other.path(), &["3"]).await;
    migrated(&cluster, other.path(), THERE, &[]).await;

    let refused = migrate(&cluster, one.path(), THERE, &[]).await;
    let refused_back = migrate(&cluster, one.path(), BACK, &[]).await;
    let forced = migrate(&cluster, one.path(), THERE, &["--force"]).await;

    let text = "already holds 1 revisions, 2 records: name an empty one ([elasticsearch] default_index)";
    assert!(refused.complaint.contains(text), "{}", refused.complaint);
    let text = "the embedded store already holds 1 revisions, 3 records: name an empty one ([store] path)";
    assert!(refused_back.complaint.contains(text), "{}", refused_back.complaint);
    // The record of the other put has a name of its own: it stays, and that is told.
    assert!(forced.complaint.contains("the stores differ: records 3 in the embedded store"), "{}", forced.complaint);
    assert_eq!(forced.report()["kinds"][0]["ok"], true);
    assert_eq!([refused.code, refused_back.code, forced.code], [Some(1); 3]);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_whole_is_not_served_and_a_source_that_went_on_is_not_mixed_in() {
    let (cluster, folder) = (Cluster::new(), tempfile::tempdir().unwrap());
    fill_with(folder.path(), &["1"]).await;
    migrated(&cluster, folder.path(), THERE, &[]).await;
    let file = folder.path().join("data/migration.json");
    let note = json!({
        "from": "embedded", "to": { "elasticsearch": cluster.index }, "leases": 7, "kind": "records", "after": null,
    });
    std::fs::write(&file, note.to_string()).unwrap();

    let served = run(&mut cluster.command(folder.path())).await;
    let source = Process::start(folder.path()).await;
    source.kill().await;
    let went_on = migrate(&cluster, folder.path(), THERE, &[]).await;
    let forced = migrated(&cluster, folder.path(), THERE, &["--force"]).await;
    std::fs::write(&file, "half a no").unwrap();
    let unreadable = migrate(&cluster, folder.path(), THERE, &[]).await;

    let text = "is the target of a migration that has not ended: run `migrate` again, or delete";
    assert!(served.code == Some(1) && served.complaint.contains(text), "{}", served.complaint);
    assert!(went_on.complaint.contains("a service has used the source since"), "{}", went_on.complaint);
    assert_eq!((&forced["ok"], &forced["resumed"]), (&json!(true), &json!(false)));
    let text = format!("cannot read {}", file.display());
    assert!(unreadable.complaint.contains(&text), "{}", unreadable.complaint);
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_wait_for_elasticsearch_have_to_be_written_first() {
    let (cluster, folder) = (Cluster::new(), tempfile::tempdir().unwrap());
    fill_with(folder.path(), &["1"]).await;
    let spill = folder.path().join("data/spill");
    std::fs::create_dir(&spill).unwrap();
    let id = uuid::Uuid::new_v4().to_string();
    let record = json!({ "id": id, "identity": "fired", "kind": "put", "time": 0, "source": "{}" }).to_string();
    let line = format!("{:016x} {record}\n", xxhash_rust::xxh64::xxh64(record.as_bytes(), 0));
    std::fs::write(spill.join(format!("{:016x}.spill", 0)), line).unwrap();

    let refused = migrate(&cluster, folder.path(), THERE, &[]).await;

    let text = format!("records wait in {} for Elasticsearch: start the service on it once", spill.display());
    assert!(refused.code == Some(1) && refused.complaint.contains(&text), "{}", refused.complaint);
}
