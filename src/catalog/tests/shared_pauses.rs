//! Pauses asked of one of several nodes without their fronts, which share the shards of one store.

use std::collections::BTreeSet;

use super::tenancy::{START, Sharing, TASKS, each_seed, pass, prove};
use super::*;
use crate::cluster::played::Dice;
use crate::model::{Delivery, Shard};
use crate::store::CatalogStore;
use tokio::time::timeout;

fn tag(name: &str) -> PauseScope {
    PauseScope::Tag(name.into())
}

/// Each second; half of them are tagged even, half odd.
fn task(number: u8) -> Task {
    let (delivery, tag) =
        if number.is_multiple_of(2) { (Delivery::AtMostOnce, "even") } else { (Delivery::AtLeastOnce, "odd") };
    let options = EntryOptions { delivery, tags: [tag.into()].into(), ..EntryOptions::default() };
    let schedule = Schedule::cron("* * * * * *").unwrap();
    Task::new(identity(&format!("task-{number}")), TimeZone::UTC, vec![entry(schedule, options)])
}

/// The runs of the tasks with a tag that have been sent.
fn sent(sink: &Sink, tag: &str) -> BTreeSet<String> {
    let is_wanted = |number: &u8| number.is_multiple_of(2) == (tag == "even");
    let sent = (0..TASKS).filter(is_wanted).flat_map(|number| sink.sent_of(&format!("task-{number}")));
    sent.map(|sent| sent.run_id).collect()
}

async fn nodes(count: u8) -> (Vec<Sharing>, MemoryStore, Sink) {
    let (clock, store, sink) = (Arc::new(SimClock::starting_at(at(START))), MemoryStore::new(), Sink::new());
    let mut nodes = Vec::new();
    for number in 1..=count {
        nodes.push(Sharing::join(number, &clock, &store, &sink).await);
    }
    pass(6).await;
    for number in 0..TASKS {
        let owner = nodes.iter().find(|sharing| sharing.tenure.holds(Shard::of(&task(number).identity)));
        owner.expect("every shard has its owner").node.put(task(number)).await.unwrap();
    }
    pass(3).await;
    (nodes, store, sink)
}

fn now(nodes: &[Sharing]) -> Timestamp {
    nodes[0].node.clock.now()
}

/// The newest instant that was skipped.
fn skipped_last(store: &MemoryStore) -> Timestamp {
    let skipped = store.records().into_iter().filter(|record| record.kind == RecordKind::Skipped);
    skipped.filter_map(|record| record.settles().map(|settled| settled.stretch.last)).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pause_asked_of_one_node_holds_on_all_when_it_is_acknowledged_and_so_does_its_end() {
    let (nodes, store, sink) = nodes(3).await;
    let asked_at = now(&nodes);

    nodes[0].node.catalog.pause(tag("odd"), "ada", None).await.unwrap();
    let (acknowledged, took) = (sent(&sink, "odd"), now(&nodes).since(asked_at));
    assert!(took <= Duration::from_millis(2_500), "{took:?}");
    pass(10).await;
    assert_eq!(sent(&sink, "odd"), acknowledged);
    assert!(sent(&sink, "even").len() > 12 * 12);
    assert!(nodes.iter().all(|sharing| sharing.node.catalog.pauses().tags.len() == 1));

    nodes[1].node.catalog.resume(tag("odd"), "bob").await.unwrap();
    let until = store.reopen().pauses().await.unwrap().lifted[0].until;
    pass(5).await;
    assert!(nodes.iter().all(|sharing| sharing.node.catalog.pauses().is_empty()));
    for sharing in &nodes {
        sharing.node.means.journal.flush().await.unwrap();
    }
    assert!(skipped_last(&store) <= until, "what came after the end was skipped");
    prove(&nodes.iter().collect::<Vec<_>>(), &sink, 0).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_pauses_at_once_none_is_lost() {
    let (nodes, store, sink) = nodes(3).await;
    let [one, two, three] = [0, 1, 2].map(|place: usize| nodes[place].node.catalog.clone());

    let (even, odd) = tokio::join!(one.pause(tag("even"), "ada", None), two.pause(tag("odd"), "bob", None));
    even.unwrap();
    odd.unwrap();
    let acknowledged = (sent(&sink, "even"), sent(&sink, "odd"));
    pass(5).await;
    assert_eq!((sent(&sink, "even"), sent(&sink, "odd")), acknowledged);
    assert_eq!(store.reopen().pauses().await.unwrap().tags.len(), 2);

    let ended =
        tokio::join!(two.resume(tag("even"), "ada"), three.resume(tag("odd"), "bob"), one.resume(tag("odd"), "cyd"));
    assert!(ended.0.is_ok() && ended.1.is_ok() && ended.2.is_ok(), "{ended:?}");
    pass(5).await;
    assert!(store.reopen().pauses().await.unwrap().is_empty());
    prove(&nodes.iter().collect::<Vec<_>>(), &sink, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_delays_the_answer_until_it_is_taken_out_and_sends_nothing_afterwards() {
    let (nodes, _, sink) = nodes(3).await;
    nodes[2].node.store.cut_off(true);
    nodes[2].node.store.fail_writes(true);
    let asked_at = now(&nodes);

    nodes[0].node.catalog.pause(PauseScope::All, "ada", None).await.unwrap();
    let took = now(&nodes).since(asked_at);
    assert!(took > Duration::from_millis(1_500) && took < Duration::from_secs(6), "{took:?}");
    let acknowledged = (sent(&sink, "even"), sent(&sink, "odd"));
    pass(10).await;
    nodes[2].node.store.cut_off(false);
    nodes[2].node.store.fail_writes(false);
    pass(10).await;
    assert_eq!((sent(&sink, "even"), sent(&sink, "odd")), acknowledged);

    nodes[2].node.catalog.resume(PauseScope::All, "bob").await.unwrap();
    pass(10).await;
    assert!(sent(&sink, "even").len() > acknowledged.0.len());
    prove(&nodes.iter().collect::<Vec<_>>(), &sink, 40).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_pause_kept_from_firing_is_not_sent_when_its_node_goes_down_before_it_is_lifted() {
    let (nodes, _, sink) = nodes(2).await;
    nodes[0].node.catalog.pause(tag("odd"), "ada", None).await.unwrap();
    pass(8).await;
    let paused = sent(&sink, "odd");
    let at_lift = now(&nodes);

    nodes[1].node.store.close().await.unwrap();
    nodes[1].tenure.end();
    nodes[0].node.catalog.resume(tag("odd"), "ada").await.unwrap();
    pass(10).await;

    let later = sent(&sink, "odd").len() - paused.len();
    let seconds = usize::try_from(now(&nodes).since(at_lift).as_secs()).unwrap() + 1;
    assert!(later <= seconds * usize::from(TASKS / 2), "{later} were sent in {seconds} s");
    prove(&[&nodes[0]], &sink, 0).await;
}

#[tokio::test(start_paused = true)]
async fn who_joins_after_a_pause_was_acknowledged_keeps_to_it() {
    let (mut all, store, sink) = nodes(1).await;
    let clock = all[0].node.clock.clone();
    all[0].node.catalog.pause(PauseScope::All, "ada", None).await.unwrap();
    let acknowledged = (sent(&sink, "even"), sent(&sink, "odd"));

    all.push(Sharing::join(2, &clock, &store, &sink).await);
    pass(10).await;

    assert!(all[1].owns() >= 30);
    assert_eq!((sent(&sink, "even"), sent(&sink, "odd")), acknowledged);
    all[1].node.catalog.resume(PauseScope::All, "bob").await.unwrap();
    pass(5).await;
    prove(&all.iter().collect::<Vec<_>>(), &sink, 0).await;
}

fn done(answer: Result<Result<(), CatalogError>, tokio::time::error::Elapsed>) -> bool {
    matches!(answer, Ok(Ok(())))
}

/// Pauses a tag again and again, asking any node, until it is told to end. What is acknowledged holds until the end is asked.
async fn operate(
    tag_name: &'static str,
    catalogs: Arc<Mutex<Vec<Catalog>>>,
    sink: Sink,
    mut dice: Dice,
    until: Timestamp,
) {
    let clock = catalogs.lock().unwrap()[0].rooms.clock.clone();
    let pick = |dice: &mut Dice| {
        let catalogs = catalogs.lock().unwrap();
        catalogs[usize::try_from(dice.below(catalogs.len() as u64)).unwrap()].clone()
    };
    // One that has crashed never answers.
    let patience = Duration::from_secs(15);
    let wait = |span: u64| tokio::time::sleep(Duration::from_millis(span));
    while clock.now() < until {
        wait(dice.below(5_000)).await;
        while !done(timeout(patience, pick(&mut dice).pause(tag(tag_name), tag_name, None)).await) {
            wait(dice.below(500)).await;
        }
        let acknowledged = sent(&sink, tag_name);
        wait(dice.below(8_000)).await;
        let meanwhile = sent(&sink, tag_name);
        let since: Vec<&String> = meanwhile.difference(&acknowledged).collect();
        assert!(since.is_empty(), "sent while {tag_name} was paused: {since:?}");
        while !done(timeout(patience, pick(&mut dice).resume(tag(tag_name), tag_name)).await) {
            wait(dice.below(500)).await;
        }
    }
}

async fn live(seed: u64) {
    let mut dice = Dice::of(seed);
    let (mut all, store, sink) = nodes(3).await;
    let clock = all[0].node.clock.clone();
    let catalogs = Arc::new(Mutex::new(all.iter().map(|sharing| sharing.node.catalog.clone()).collect::<Vec<_>>()));
    let until = clock.now().plus(Duration::from_secs(40));
    let operators = ["even", "odd"].map(|tag| {
        let dice = Dice::of(seed.wrapping_mul(31) + tag.len() as u64);
        tokio::spawn(operate(tag, catalogs.clone(), sink.clone(), dice, until))
    });
    while clock.now() < until {
        tokio::time::sleep(Duration::from_millis(dice.below(3_000))).await;
        let place = usize::try_from(dice.below(3)).unwrap();
        let node = &all[place].node;
        match dice.below(5) {
            0 | 1 => {
                node.store.cut_off(true);
                node.store.fail_writes(true);
                tokio::time::sleep(Duration::from_millis(dice.below(9_000))).await;
                node.store.cut_off(false);
                node.store.fail_writes(false);
                continue;
            }
            // A crash: nothing more is written, and nothing more is sent.
            2 => {
                node.store.close().await.unwrap();
                all[place].tenure.end();
                tokio::time::sleep(Duration::from_millis(dice.below(6_000))).await;
            }
            3 => all[place].keeper.leave().await,
            _ => continue,
        }
        all[place] = Sharing::join(all[place].number, &clock, &store, &sink).await;
        catalogs.lock().unwrap()[place] = all[place].node.catalog.clone();
    }
    for operator in operators {
        operator.await.unwrap();
    }
    pass(30).await;
    assert!(store.reopen().pauses().await.unwrap().is_empty());
    prove(&all.iter().collect::<Vec<_>>(), &sink, usize::MAX).await;
}

#[test]
fn whatever_happens_nothing_is_sent_between_a_pause_that_is_acknowledged_and_its_end() {
    each_seed(40, live);
}
