//! Runs that are under way when their shard is handed over, between whole nodes on one store.

use super::tenancy::{START, Sharing, TASKS, each_seed, pass, prove, put_all, task, whims};
use super::*;
use crate::cluster::played::Dice;
use crate::dispatch::Activity;
use crate::journal::read_started;
use crate::model::{Callback, Delivery, Overlap, RetryPolicy, RunId, Shard};

/// Nodes that come and go, and nothing that fails.
struct Cluster {
    clock: Arc<SimClock>,
    store: MemoryStore,
    sink: Sink,
}

fn cluster() -> Cluster {
    let clock = Arc::new(SimClock::starting_at(at(START)));
    Cluster { clock, store: MemoryStore::new(), sink: Sink::new() }
}

impl Cluster {
    async fn join(&self, number: u8) -> Sharing {
        Sharing::join(number, &self.clock, &self.store, &self.sink).await
    }

    /// The newest record of the run of the instant that has just come when a test begins.
    fn record(&self) -> Record {
        let run = first_run();
        self.store.records().into_iter().find(|record| record.id == run.into()).expect("a record of the first run")
    }

    fn sent(&self) -> usize {
        self.sink.sent_of(NAME).len()
    }
}

/// Its shard is dealt to the second node as soon as there is one.
const NAME: &str = "moves";
const FIRST: &str = "2026-03-29T00:00:05Z";

fn first_run() -> RunId {
    RunId::planned(&identity(NAME), &entry_name(), at(FIRST))
}

fn owner<'a>(nodes: &[&'a Sharing]) -> &'a Sharing {
    let shard = Shard::of(&identity(NAME));
    nodes.iter().find(|sharing| sharing.tenure.holds(shard)).expect("its shard has an owner")
}

async fn leave(sharing: &Sharing) -> tokio::task::JoinHandle<()> {
    let keeper = sharing.keeper.clone();
    let leaving = tokio::spawn(async move { keeper.leave().await });
    pass(4).await;
    leaving
}

/// One node has the request of a task's first run under way, for so long, when its shard goes to a second one. The next instant comes
/// an hour later.
async fn handed_over(options: EntryOptions, takes: Duration, status: u16) -> (Cluster, Sharing, Sharing) {
    let cluster = cluster();
    let one = cluster.join(1).await;
    pass(1).await;
    one.node.put_entry(NAME, Schedule::cron("5 0 * * * *").unwrap(), options).await;
    cluster.sink.follow(move |sent| match sent.attempt.as_str() {
        "1" if !sent.is_message => (takes, status),
        _ => (Duration::ZERO, 200),
    });
    one.node.until("2026-03-29T00:00:05.100Z").await;
    assert_eq!(cluster.sent(), 1);
    // It leaves, as its shard is to go, and has to stay for as long as it lingers.
    let two = cluster.join(2).await;
    drop(leave(&one).await);
    assert!(two.tenure.holds(Shard::of(&identity(NAME))) && two.owns() == 64);
    (cluster, one, two)
}

fn delivered(delivery: Delivery) -> EntryOptions {
    EntryOptions { delivery, ..EntryOptions::default() }
}

async fn activity(sharing: &Sharing) -> Activity {
    sharing.node.means.dispatch.activity(&identity(NAME), &entry_name()).await
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_under_way_ends_where_it_was_begun_and_counts_as_in_progress_at_the_next_owner() {
    for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
        let (cluster, one, two) = handed_over(delivered(delivery), Duration::from_secs(25), 200).await;

        assert_eq!(activity(&two).await.in_progress, [first_run()]);
        assert!(two.node.means.journal.unsettled().is_open(Shard::of(&identity(NAME)), at(FIRST)));
        assert_eq!(two.node.catalog.cancel_run(first_run(), "bob").await.unwrap(), Broken::Elsewhere);
        assert_eq!(cluster.record().kind, RecordKind::Started);
        one.node.until("2026-03-29T00:00:34Z").await;

        assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Success));
        assert!(!cluster.record().source.contains("redelivered"), "{}", cluster.record().source);
        assert_eq!(activity(&two).await, Activity::default());
        assert_eq!(two.node.means.journal.unsettled().count(), 0);
        assert_eq!(two.keeper.view().borrow().membership.members().len(), 1, "the first has left");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_that_dies_had_under_way_goes_by_its_delivery() {
    for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
        let (cluster, one, two) = handed_over(delivered(delivery), Duration::from_secs(3_000), 200).await;
        pass(10).await;
        assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Started));

        one.node.store.close().await.unwrap();
        one.tenure.end();
        pass(8).await;
        two.node.means.journal.flush().await.unwrap();

        match delivery {
            Delivery::AtLeastOnce => {
                assert_eq!((cluster.sent(), cluster.record().kind), (2, RecordKind::Started));
                assert!(cluster.record().source.contains(r#""redelivered":true"#));
            }
            Delivery::AtMostOnce => {
                assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Error));
                assert!(cluster.record().source.contains("delivery is at_most_once"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_of_a_run_that_fails_where_it_was_begun_is_made_by_the_next_owner_although_others_are_under_way()
 {
    let retry = Some(RetryPolicy { attempts_max: 3, ..RetryPolicy::default() });
    let options = EntryOptions { retry, ..EntryOptions::default() };
    let shard = Shard::of(&identity(NAME));
    let of_shard = |name: &String| Shard::of(&identity(name)) == shard;
    let other = (0..).map(|number| format!("other-{number}")).find(of_shard).unwrap();
    let cluster = cluster();
    let one = cluster.join(1).await;
    pass(1).await;
    for name in [NAME, &other] {
        one.node.put_entry(name, Schedule::cron("5 0 * * * *").unwrap(), options.clone()).await;
    }
    cluster.sink.follow(|sent| match (sent.identity.as_str(), sent.attempt.as_str()) {
        (NAME, "1") => (Duration::from_secs(8), 503),
        (NAME, _) => (Duration::ZERO, 200),
        _ => (Duration::from_secs(28), 200),
    });
    one.node.until("2026-03-29T00:00:05.300Z").await;
    let two = cluster.join(2).await;
    drop(leave(&one).await);
    one.node.until("2026-03-29T00:00:20Z").await;

    let attempts: Vec<String> = cluster.sink.sent_of(NAME).into_iter().map(|sent| sent.attempt).collect();
    assert_eq!((attempts, cluster.record().kind), (vec!["1".to_owned(), "2".to_owned()], RecordKind::Success));
    assert!(!cluster.record().source.contains("redelivered"));
    assert!(
        two.keeper.view().borrow().membership.lingering().contains(shard)
            && activity(&two).await == Activity::default()
    );
    one.node.until("2026-03-29T00:00:40Z").await;

    assert_eq!((cluster.sink.sent_of(&other).len(), two.node.means.journal.unsettled().count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_to_be_told_of_an_end_is_told_once_by_the_next_owner() {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/told").unwrap());
    let options = EntryOptions {
        on_success: Some(Callback { request, each: true, credentials: Default::default() }),
        ..EntryOptions::default()
    };
    let (cluster, one, _two) = handed_over(options, Duration::from_secs(12), 200).await;
    one.node.until("2026-03-29T00:01:00Z").await;

    let told: Vec<bool> = cluster.sink.sent_of(NAME).into_iter().map(|sent| sent.is_message).collect();
    assert_eq!((told, cluster.record().kind), (vec![false, true], RecordKind::Success));
    assert!(cluster.store.unfinished(ShardSet::ALL).recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_third_owner_of_a_shard_finds_the_request_still_under_way_at_the_first() {
    let (cluster, one, two) = handed_over(EntryOptions::default(), Duration::from_secs(25), 200).await;

    let three = cluster.join(3).await;
    leave(&two).await;
    assert_eq!(
        three.keeper.view().borrow().membership.members().len(),
        2,
        "the second has nothing under way, and has gone"
    );
    assert_eq!(activity(&three).await.in_progress, [first_run()]);
    assert_eq!(activity(&two).await, Activity::default());
    one.node.until("2026-03-29T00:01:00Z").await;

    assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Success));
    assert_eq!((three.node.means.journal.unsettled().count(), activity(&three).await), (0, Activity::default()));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_comes_back_to_who_lingers_for_it_goes_on_with_the_request_that_is_still_under_way_there() {
    let cluster = cluster();
    let one = cluster.join(1).await;
    pass(1).await;
    put_all(&[&one]).await;
    cluster.sink.follow(|_| (Duration::from_secs(25), 200));
    pass(4).await;
    let two = cluster.join(2).await;
    pass(5).await;
    assert_eq!((one.owns(), two.owns()), (32, 32));
    // The second has sent some by now, which it ends, and the first has the shards again while it lingers for them itself.
    let leaving = leave(&two).await;
    assert!(one.owns() == 64 && !leaving.is_finished());
    pass(60).await;

    assert!(leaving.is_finished());
    prove_but(&[&one, &two], &cluster.sink, 30).await;
}

/// What began in the last seconds of a test is still under way.
async fn prove_but(nodes: &[&Sharing], sink: &Sink, seconds: u64) {
    sink.follow(|_| (Duration::ZERO, 200));
    pass(seconds).await;
    prove(nodes, sink, 0).await;
    let of_skip = |name: &String| (0..TASKS).any(|number| number % 3 == 0 && *name == format!("task-{number}"));
    let overlapped: Vec<String> =
        sink.overlapped.lock().unwrap().iter().filter(|name| of_skip(name)).cloned().collect();
    assert!(overlapped.is_empty(), "two at once of {overlapped:?}, overlap is skip");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_deleted_while_its_request_is_under_way_elsewhere_is_not_sent_again() {
    let retry = Some(RetryPolicy { attempts_max: 3, ..RetryPolicy::default() });
    let options = EntryOptions { retry, ..EntryOptions::default() };
    let (cluster, one, two) = handed_over(options, Duration::from_secs(12), 503).await;
    let removal = Removal { identity: identity(NAME), request: empty(), revision: None, asked_by: None };
    two.node.catalog.remove(removal).await.unwrap();
    one.node.until("2026-03-29T00:00:40Z").await;
    two.node.means.journal.flush().await.unwrap();

    assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Error));
    assert!(cluster.record().source.contains("deleted before it could be sent again"), "{}", cluster.record().source);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_task_that_was_changed_or_deleted_before_the_hand_over_keeps_its_end() {
    for is_deleted in [false, true] {
        let cluster = cluster();
        let one = cluster.join(1).await;
        pass(1).await;
        let schedule = || Schedule::cron("5 0 * * * *").unwrap();
        one.node.put_entry(NAME, schedule(), EntryOptions::default()).await;
        cluster.sink.follow(|_| (Duration::from_secs(20), 200));
        one.node.until("2026-03-29T00:00:05.300Z").await;
        if is_deleted {
            let removal = Removal { identity: identity(NAME), request: empty(), revision: None, asked_by: None };
            one.node.catalog.remove(removal).await.unwrap();
        } else {
            one.node.put_entry(NAME, schedule(), delivered(Delivery::AtMostOnce)).await;
        }
        let two = cluster.join(2).await;
        drop(leave(&one).await);
        let in_progress = if is_deleted { vec![] } else { vec![first_run()] };
        assert_eq!((two.owns(), activity(&two).await.in_progress), (64, in_progress));
        one.node.until("2026-03-29T00:00:40Z").await;

        assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Success));
        assert_eq!(two.node.means.journal.unsettled().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_task_that_is_gone_is_closed_when_the_node_that_had_its_request_under_way_is_dead() {
    let cluster = cluster();
    let one = cluster.join(1).await;
    pass(1).await;
    one.node.put_entry(NAME, Schedule::cron("5 0 * * * *").unwrap(), EntryOptions::default()).await;
    cluster.sink.follow(|_| (Duration::from_secs(3_000), 200));
    one.node.until("2026-03-29T00:00:05.300Z").await;
    let removal = Removal { identity: identity(NAME), request: empty(), revision: None, asked_by: None };
    one.node.catalog.remove(removal).await.unwrap();
    let two = cluster.join(2).await;
    drop(leave(&one).await);
    let started = cluster.record();
    assert!(read_started(&started).unwrap().progress.is_under_way);

    one.node.store.close().await.unwrap();
    one.tenure.end();
    pass(8).await;
    two.node.means.journal.flush().await.unwrap();

    assert_eq!((cluster.sent(), cluster.record().kind), (1, RecordKind::Error));
    assert!(cluster.store.unfinished(ShardSet::ALL).recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_else_of_a_shard_is_late_as_one_target_is_slow() {
    let cluster = cluster();
    let one = cluster.join(1).await;
    pass(1).await;
    put_all(&[&one]).await;
    // One instant in ten is answered much later.
    cluster.sink.follow(|sent| (Duration::from_secs(if sent.fire_time.ends_with("0Z") { 25 } else { 0 }), 200));
    pass(15).await;
    let two = cluster.join(2).await;
    pass(30).await;
    assert_eq!((one.owns(), two.owns()), (32, 32));
    pass(60).await;

    let lateness = |sent: &Sent| (at(START).plus(sent.after)).since(at(&sent.fire_time));
    let firsts = cluster.sink.sent.lock().unwrap().clone().into_iter().filter(|sent| sent.attempt == "1");
    let latest = firsts.map(|sent| lateness(&sent)).max().unwrap();
    assert!(latest < Duration::from_secs(2), "{latest:?}");
    prove_but(&[&one, &two], &cluster.sink, 70).await;
}

/// Three nodes come and go in turn, while targets are slow or fail: nothing is sent twice, and no two at once where that is not wanted.
async fn come_and_go(seed: u64) {
    let (cluster, mut dice) = (cluster(), Dice::of(seed));
    let mut nodes = vec![cluster.join(1).await];
    let mut gone = Vec::new();
    pass(2).await;
    put_all(&nodes.iter().collect::<Vec<_>>()).await;
    cluster.sink.follow(whims(seed));
    let until = cluster.clock.now().plus(Duration::from_secs(40));
    let mut number = 1;
    while cluster.clock.now() < until {
        tokio::time::sleep(Duration::from_millis(dice.below(6_000))).await;
        if nodes.len() == 1 || nodes.len() < 3 && dice.one_in(2) {
            number += 1;
            nodes.push(cluster.join(number).await);
        } else {
            let place = usize::try_from(dice.below(nodes.len() as u64)).unwrap();
            let leaving: Sharing = nodes.remove(place);
            let keeper = leaving.keeper.clone();
            tokio::spawn(async move { keeper.leave().await });
            gone.push(leaving);
        }
    }
    pass(15).await;

    let all: Vec<&Sharing> = nodes.iter().chain(&gone).collect();
    prove_but(&all, &cluster.sink, 20).await;
    assert_eq!((nodes.iter().map(Sharing::owns).sum::<usize>(), owner(&all).owns() > 0), (Shard::COUNT, true));
    let unsettled: Vec<usize> = nodes.iter().map(|sharing| sharing.node.means.journal.unsettled().count()).collect();
    assert!(unsettled.iter().all(|count| *count < usize::from(TASKS)), "{unsettled:?}");
    assert!(task(0).entries[0].options().overlap == Overlap::Skip && task(0).entries[0].options().retry.is_some());
}

#[test]
fn whoever_comes_and_goes_while_targets_are_slow_or_fail_nothing_is_sent_twice() {
    each_seed(40, come_and_go);
}
