use tempfile::TempDir;

use super::{scrape, scrape_until};
use crate::support::{Cluster, Exposition, Process};

async fn join(cluster: &Cluster) -> (Process, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = cluster.environment().to_vec();
    environment.push(("SCHEDULE__CLUSTER__KEY", "the-key-of-this-test"));
    let process = Process::try_start_with(folder.path(), &environment).await;
    (process.unwrap_or_else(|log| panic!("the service did not start: {log}")), folder)
}

fn owned(read: &Exposition) -> f64 {
    read.sum("schedule_shards_owned", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_tell_who_owns_what_and_what_was_handed_over() {
    let cluster = Cluster::new();
    let (first, _first_folder) = join(&cluster).await;
    let alone = scrape_until(&first.base, |read| read.sum("schedule_shards_acting", &[]) == 64.0).await;
    assert_eq!((owned(&alone), alone.sum("schedule_cluster_members", &[])), (64.0, 1.0));
    assert_eq!(alone.sum("schedule_shard_owner_changes_total", &[("reason", "free")]), 64.0);
    assert_eq!(alone.sum("schedule_shards_handed_over_total", &[]), 0.0);
    assert_eq!(alone.family("schedule_shard_epoch").samples.len(), 64);

    let (second, _second_folder) = join(&cluster).await;
    let of_second = scrape_until(&second.base, |read| read.sum("schedule_shards_acting", &[]) == 32.0).await;
    let given = |read: &Exposition| read.sum("schedule_shards_handed_over_total", &[]) == 32.0;
    let knows = |read: &Exposition| {
        read.0.iter().any(|family| family.name == "schedule_cluster_clock_ahead_seconds" && family.samples.len() == 2)
    };
    let of_first = scrape_until(&first.base, |read| given(read) && knows(read)).await;

    assert_eq!((owned(&of_first), owned(&of_second)), (32.0, 32.0));
    assert_eq!(of_first.sum("schedule_shard_owner_changes_total", &[("reason", "handed_over")]), 32.0);
    let epochs = |read: &Exposition, least: f64| {
        let samples = &read.family("schedule_shard_epoch").samples;
        samples.len() == 32 && samples.iter().all(|sample| sample.value >= least)
    };
    // Each was taken once by the first node, and those that it gave away once more.
    assert!(epochs(&of_first, 1.0) && epochs(&of_second, 2.0), "{of_second:#?}");
    for (name, most) in [("sign_of_life_age", 3.0), ("clock_ahead", 2.0)] {
        let family = of_first.family(&format!("schedule_cluster_{name}_seconds"));
        assert_eq!(family.samples.len(), 2, "{name}");
        assert!(family.samples.iter().all(|sample| sample.value.abs() <= most), "{family:?}");
    }
    assert_eq!(of_first.sum("schedule_cluster_shards", &[]), 64.0);
    assert_eq!(of_first.sum("schedule_shards_without_owner", &[]), 0.0);
    assert!((0.0..=3.0).contains(&of_first.sum("schedule_lease_left_seconds", &[])));

    second.kill().await;
    let after = scrape_until(&first.base, |read| read.sum("schedule_shards_acting", &[]) == 64.0).await;
    let without_a_sign = after.sum("schedule_shard_owner_changes_total", &[("reason", "no_sign_of_life")]);
    assert_eq!((without_a_sign, owned(&after)), (32.0, 64.0));
    assert_eq!(scrape(&first.base).await.sum("schedule_cluster_members", &[]), 1.0);
    first.kill().await;
    cluster.remove().await;
}
