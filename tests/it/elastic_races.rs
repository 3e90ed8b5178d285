//! Two nodes, or two requests, at the same documents: the later step must not undo what was done in between.

use schedule_service::model::{
    Claim, Epoch, Lease, Record, RecordId, RecordKind, Revision, Shard, ShardSet, Task, TimeZone, Timestamp,
};
use schedule_service::store::elastic::{Address, Elastic, Settings};
use schedule_service::store::{
    CatalogStore, Change, JournalStore, LeaseStore, RegisterName, RegisterStore, Registered, Retention, StoreError,
};

use crate::elastic_store::{all, at, fire, identity, open, settings};
use crate::support::elasticsearch::shared;
use crate::support::{Deed, Proxy};

/// A store whose next bulk that holds `text` waits until something else was done.
async fn interrupted<T>(
    settings: &Settings,
    text: &'static str,
    work: impl AsyncFnOnce(Elastic) -> T,
    meanwhile: impl AsyncFnOnce(Elastic),
) -> T {
    let proxy = Proxy::start(&shared()).await;
    let behind = Settings { address: Address::Hosts(vec![proxy.url().parse().unwrap()]), ..settings.clone() };
    let (slow, quick) = (open(&behind).await.unwrap(), open(settings).await.unwrap());
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let mut gate = Some((reached, may_go));
    proxy.set(move |line, body| {
        if line.contains("/_bulk")
            && String::from_utf8_lossy(body).contains(text)
            && let Some((reached, may_go)) = gate.take()
        {
            reached.send(()).unwrap();
            tokio::task::block_in_place(|| may_go.recv()).unwrap();
        }
        Deed::Pass
    });
    let interrupting = async {
        is_reached.await.unwrap();
        meanwhile(quick).await;
        go.send(()).unwrap();
    };
    tokio::join!(work(slow), interrupting).0
}

fn change(replaces: Option<u64>, epoch: Epoch, at: Timestamp, kind: RecordKind) -> Change {
    let next = Revision::new(Task::new(identity(), TimeZone::UTC, Vec::new()), at);
    let source = format!(r#"{{"type":"{}","identity":"task","time":{}}}"#, kind.as_str(), at.secs());
    let source = source.into();
    let record =
        Record { id: RecordId::random(), identity: identity(), kind, settled: None, run: None, time: at, source };
    Change {
        identity: identity(),
        replaces,
        epoch,
        at,
        next: (kind == RecordKind::Put).then_some(next),
        record,
        audit: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_put_again_while_its_old_states_are_forgotten_stays() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    let epoch = store.take(ShardSet::ALL, "test").await.unwrap()[Shard::of(&identity()).index()].epoch;
    store.change(change(None, epoch, at(0), RecordKind::Put)).await.unwrap();
    store.change(change(Some(1), epoch, at(1), RecordKind::Delete)).await.unwrap();

    let forget = async |slow: Elastic| slow.forget_revisions(at(9)).await.unwrap();
    let put = async |quick: Elastic| {
        assert_eq!(quick.change(change(None, epoch, at(5), RecordKind::Put)).await.unwrap(), 2);
    };
    interrupted(&settings, r#"{"delete":"#, forget, put).await;

    let mut pages = store.revisions(ShardSet::ALL, at(100));
    let page = pages.recv().await.unwrap().unwrap();
    assert_eq!((page.len(), page[0].number, page[0].in_force_until), (1, 2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cleared_again_while_it_is_pruned_stays_cleared() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    store.append(vec![fire(1, "")]).await.unwrap();
    store.clear(&identity(), at(2)).await.unwrap();
    store.append(vec![fire(3, "")]).await.unwrap();
    let retention = Retention { before: Timestamp::EPOCH, bytes_max: u64::MAX, step_max: 100 };

    let prune = async |slow: Elastic| slow.prune(retention, at(9)).await.unwrap();
    let clear = async |quick: Elastic| quick.clear(&identity(), at(4)).await.unwrap();
    let pruned = interrupted(&settings, r#""cleared_seq":0"#, prune, clear).await;

    assert_eq!(pruned.records, 1);
    assert_eq!(store.search(all(10, 0)).await.unwrap().total, 0);
    assert_eq!(store.deleted_through(&[identity()]).await.unwrap(), [at(4)]);
}

/// The lease of a shard as it stands.
async fn lease(store: &Elastic, shard: Shard) -> Lease {
    store.leases().await.unwrap().into_iter().find(|lease| lease.shard == shard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_take_different_shards_at_once_both_hold_theirs() {
    let settings = settings(&[&shared()]);
    let (one, two) = (open(&settings).await.unwrap(), open(&settings).await.unwrap());
    one.take(ShardSet::ALL, "one").await.unwrap();
    let (of_one, of_two): (Vec<Shard>, Vec<Shard>) = Shard::all().partition(|shard| shard.index() % 3 == 0);
    let (of_one, of_two) = (ShardSet::of(of_one), ShardSet::of(of_two));

    let (taken_by_one, taken_by_two) = tokio::join!(one.take(of_one, "one"), two.take(of_two, "two"));

    let claims = |leases: &[Lease]| -> Vec<Claim> {
        let claim =
            |lease: &Lease| Claim { shard: lease.shard, epoch: lease.epoch, through: at(9), settled_through: at(8) };
        leases.iter().map(claim).collect()
    };
    let (taken_by_one, taken_by_two) = (taken_by_one.unwrap(), taken_by_two.unwrap());
    assert!(taken_by_one.iter().chain(&taken_by_two).all(|lease| lease.epoch == Epoch(2)));
    one.claim(&claims(&taken_by_one)).await.unwrap();
    two.claim(&claims(&taken_by_two)).await.unwrap();
    let early = Claim { epoch: Epoch(1), ..claims(&taken_by_two)[5] };
    let lost = one.claim(&[claims(&taken_by_one)[0], early]).await.unwrap_err();
    assert!(matches!(lost, StoreError::Fenced { shard, .. } if shard == early.shard), "{lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_that_meets_a_claim_of_the_last_holder_takes_what_was_claimed_with_it() {
    let settings = settings(&[&shared()]);
    let shards = ShardSet::of([3, 4].map(Shard::at));

    let take = async |slow: Elastic| slow.take(shards, "slow").await.unwrap();
    let claim = async |quick: Elastic| {
        let held = quick.take(ShardSet::of([Shard::at(3)]), "quick").await.unwrap().remove(0);
        let claim = Claim { shard: held.shard, epoch: held.epoch, through: at(9), settled_through: at(8) };
        quick.claim(&[claim]).await.unwrap();
    };
    let taken = interrupted(&settings, r#""owner":"slow""#, take, claim).await;

    assert_eq!(taken.iter().map(|it| (it.shard.index(), it.epoch.0)).collect::<Vec<_>>(), [(3, 2), (4, 1)]);
    assert_eq!((taken[0].claimed_through, taken[0].settled_through), (at(9), at(8)));
    let store = open(&settings).await.unwrap();
    assert_eq!(lease(&store, Shard::at(3)).await, taken[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_meets_a_take_is_fenced_for_that_shard_only() {
    let settings = settings(&[&shared()]);

    let claim = async |slow: Elastic| {
        let held = slow.take(ShardSet::of([3, 4].map(Shard::at)), "slow").await.unwrap();
        let claim = |it: &Lease| Claim { shard: it.shard, epoch: it.epoch, through: at(9), settled_through: at(8) };
        let claims: Vec<Claim> = held.iter().map(claim).collect();
        let lost = slow.claim(&claims).await.unwrap_err();
        slow.claim(&claims[..1]).await.unwrap();
        lost
    };
    let take = async |quick: Elastic| drop(quick.take(ShardSet::of([Shard::at(4)]), "quick").await.unwrap());
    let lost = interrupted(&settings, "1800000009000", claim, take).await;

    assert!(matches!(lost, StoreError::Fenced { shard, ours: Epoch(1) } if shard == Shard::at(4)), "{lost}");
    let store = open(&settings).await.unwrap();
    assert_eq!(lease(&store, Shard::at(3)).await.claimed_through, at(9));
    assert_eq!(lease(&store, Shard::at(4)).await.claimed_through, Timestamp::EPOCH);
}

fn text(version: u64, text: &str) -> Registered {
    Registered { version, text: text.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_another_node_wrote_meanwhile_is_not_overwritten() {
    let settings = settings(&[&shared()]);
    let store = open(&settings).await.unwrap();
    assert!(store.set_register(RegisterName::Cluster, &text(1, "first")).await.unwrap());

    let write =
        async |slow: Elastic| slow.set_register(RegisterName::Cluster, &text(2, "by the slow one")).await.unwrap();
    let meanwhile = async |quick: Elastic| {
        assert!(quick.set_register(RegisterName::Cluster, &text(2, "by the quick one")).await.unwrap())
    };
    let written = interrupted(&settings, "by the slow one", write, meanwhile).await;

    assert!(!written);
    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(2, "by the quick one")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_of_the_register_is_one_reading_and_one_write() {
    let proxy = Proxy::start(&shared()).await;
    let store = open(&settings(&[&proxy.url()])).await.unwrap();
    assert!(store.set_register(RegisterName::Cluster, &text(1, "first")).await.unwrap());
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = lines.clone();
    proxy.set(move |line, _| {
        seen.lock().unwrap().push(line.split('?').next().unwrap_or_default().to_owned());
        Deed::Pass
    });

    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(1, "first")));
    assert!(store.set_register(RegisterName::Cluster, &text(2, "second")).await.unwrap());
    assert!(store.set_register(RegisterName::Cluster, &text(3, "third")).await.unwrap());

    let asked = lines.lock().unwrap();
    let paths: Vec<&str> = asked.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(paths, ["/_mget", "/_bulk", "/_bulk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_the_register_whose_first_answer_was_lost_counts_as_its_own() {
    let (losing, passing) = (Proxy::start(&shared()).await, Proxy::start(&shared()).await);
    let store = open(&settings(&[&losing.url(), &passing.url()])).await.unwrap();
    let lost = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = lost.clone();
    losing.set(move |line, _| {
        let is_write = line.contains("/_bulk");
        counted.fetch_add(usize::from(is_write), std::sync::atomic::Ordering::Relaxed);
        if is_write { Deed::LoseAnswer } else { Deed::Pass }
    });

    // The hosts take turns, and who loses an answer is left out for a while.
    for version in 1..=4 {
        assert!(store.set_register(RegisterName::Cluster, &text(version, "by this node")).await.unwrap());
    }

    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(text(4, "by this node")));
    assert!(lost.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_stored_after_its_shard_was_taken_counts_from_where_its_holders_had_gone_by_then() {
    let settings = settings(&[&shared()]);
    let shards = ShardSet::of([Shard::of(&identity())]);
    let store = open(&settings).await.unwrap();
    let first = store.take(shards, "first").await.unwrap();
    assert_eq!(store.settle_late(&first, at(90)).await.unwrap(), 0);
    for (replaces, from) in [(None, 0), (Some(1), 10)] {
        store.change(change(replaces, first[0].epoch, at(from), RecordKind::Put)).await.unwrap();
    }

    let delete = change(Some(2), first[0].epoch, at(20), RecordKind::Delete);
    let id: &'static str = delete.record.id.to_string().leak();
    let send = async |slow: Elastic| slow.change(delete).await.unwrap();
    let take = async |quick: Elastic| {
        let second = quick.take(shards, "second").await.unwrap();
        assert_eq!(quick.settle_late(&second, at(90)).await.unwrap(), 0);
        let claim = Claim { shard: second[0].shard, epoch: second[0].epoch, through: at(50), settled_through: at(40) };
        quick.claim(&[claim]).await.unwrap();
    };
    interrupted(&settings, id, send, take).await;

    let third = store.take(shards, "third").await.unwrap();
    assert_eq!(store.settle_late(&third, at(90)).await.unwrap(), 1);
    let states = store.history_of(&identity(), None, 9).await.unwrap();
    let moments: Vec<_> = states.iter().map(|it| (it.number, it.in_force_from, it.in_force_until)).collect();
    assert_eq!(moments, [(2, at(10), Some(at(50))), (1, at(0), Some(at(10)))]);
    // Now it is known.
    let fourth = store.take(shards, "fourth").await.unwrap();
    assert_eq!(store.settle_late(&fourth, at(90)).await.unwrap(), 0);
}
