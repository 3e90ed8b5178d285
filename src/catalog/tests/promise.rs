//! The promise, whatever happens: each instant that was named has exactly one outcome.

use proptest::prelude::*;

use super::*;
use crate::model::{Delivery, Misfire, Overlap, RetryPolicy, ShardSet};

/// What happens to a node.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pause(u8),
    Resume(u8),
    /// It ends at once, and starts again after so many seconds.
    Crash(u16),
    /// It drains first.
    Stop(u16),
    Put(u8),
    Delete(u8),
    Switch(u8, bool),
    /// The store takes nothing for so many seconds.
    StoreAway(u8),
    /// Claims fail, records are written.
    ClaimsFail(u8),
    /// The wall clock is set ahead.
    Step(u16),
    /// The target answers with this status, or not at all.
    Answer(Option<u16>),
    RunNow(u8),
    Backfill(u8),
    /// A pause or its end, and changes of tasks, all at once.
    Together(u8, bool),
}

const TASKS: u8 = 6;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3_u8).prop_map(Event::Pause),
        3 => (0..3_u8).prop_map(Event::Resume),
        3 => (0..400_u16).prop_map(Event::Crash),
        2 => (0..400_u16).prop_map(Event::Stop),
        2 => (0..TASKS).prop_map(Event::Put),
        1 => (0..TASKS).prop_map(Event::Delete),
        2 => (0..TASKS, any::<bool>()).prop_map(|(task, on)| Event::Switch(task, on)),
        1 => (1..60_u8).prop_map(Event::StoreAway),
        1 => (1..60_u8).prop_map(Event::ClaimsFail),
        1 => (1..400_u16).prop_map(Event::Step),
        2 => prop::sample::select(vec![None, Some(200), Some(503)]).prop_map(Event::Answer),
        1 => (0..TASKS).prop_map(Event::RunNow),
        1 => (0..TASKS).prop_map(Event::Backfill),
        2 => (0..3_u8, any::<bool>()).prop_map(|(scope, pauses)| Event::Together(scope, pauses)),
    ]
}

fn scope(number: u8) -> PauseScope {
    match number {
        0 => PauseScope::All,
        1 => PauseScope::Tag("red".into()),
        _ => PauseScope::Tag("blue".into()),
    }
}

fn options(tags: &[&str], misfire: Misfire, delivery: Delivery) -> EntryOptions {
    let catch_up_window = (misfire == Misfire::FireAll).then_some(Duration::from_secs(200));
    let tags = tags.iter().map(|&tag| tag.into()).collect();
    EntryOptions { tags, misfire, delivery, catch_up_window, ..EntryOptions::default() }
}

fn name(number: u8) -> Identity {
    identity(&format!("task-{number}"))
}

/// One task for each misfire policy, and one that names few instants.
async fn put(node: &Node, number: u8) {
    let cron = |text: &str| Schedule::cron(text).unwrap();
    let (schedule, options) = match number {
        0 => (cron("* * * * * *"), options(&[], Misfire::FireOnce, Delivery::AtLeastOnce)),
        1 => (cron("*/2 * * * * *"), options(&["red"], Misfire::FireAll, Delivery::AtMostOnce)),
        2 => (Schedule::every("3s").unwrap(), options(&["red", "blue"], Misfire::FireAll, Delivery::AtLeastOnce)),
        3 => (cron("@every 47s"), options(&["blue"], Misfire::Skip, Delivery::AtMostOnce)),
        4 => {
            let (retry, overlap) = (Some(RetryPolicy::default()), Overlap::QueueOne);
            (cron("* * * * * *"), EntryOptions { retry, overlap, ..options(&[], Misfire::Skip, Delivery::AtLeastOnce) })
        }
        _ => {
            let (jitter, overlap) = (Some(Duration::from_secs(3)), Overlap::CancelRunning);
            let options = options(&["red"], Misfire::FireOnce, Delivery::AtMostOnce);
            (cron("*/5 * * * * *"), EntryOptions { jitter, overlap, ..options })
        }
    };
    // The store may be away.
    let task = Task::new(name(number), TimeZone::UTC, vec![entry(schedule, options)]);
    let _ = node.put(task).await;
}

async fn switch(node: &Node, number: u8, enabled: bool) {
    let identity = name(number);
    let switch = Switch { identity, enabled, request: empty(), revision: None, by: None, note: None, asked_by: None };
    // The task may be gone.
    let _ = node.catalog.switch(switch).await;
}

async fn pass(node: &Node, seconds: u64) {
    let until = node.clock.now().plus(Duration::from_secs(seconds));
    while node.clock.now() < until {
        // As the planning job does each second.
        node.means.engine.plan();
        node.clock.sleep_until(until.min(node.clock.now().plus(Duration::from_secs(1)))).await;
    }
}

/// A pause that is over, or lasts: instants later than its beginning and up to its end were not to be fired.
#[derive(Debug)]
struct Paused {
    scope: u8,
    since: Timestamp,
    until: Timestamp,
}

async fn resume(node: &Node, number: u8, paused: &mut Vec<Paused>) {
    let Some(pause) = node.catalog.pauses().get(&scope(number)).cloned() else { return };
    let until = node.clock.now();
    if node.catalog.resume(scope(number), "ada").await.is_ok() {
        paused.push(Paused { scope: number, since: pause.since, until });
    }
}

async fn together(node: &Node, number: u8, pauses: bool, paused: &mut Vec<Paused>) {
    let changes = async { tokio::join!(put(node, 1), put(node, 2), switch(node, 3, true), put(node, 5)) };
    if pauses {
        drop(tokio::join!(node.catalog.pause(scope(number), "ada", None), changes));
    } else {
        tokio::join!(resume(node, number, paused), changes);
    }
}

async fn happen(node: Node, event: Event, paused: &mut Vec<Paused>) -> Node {
    match event {
        // The store may be away.
        Event::Pause(number) => drop(node.catalog.pause(scope(number), "ada", None).await),
        Event::Resume(number) => resume(&node, number, paused).await,
        Event::Crash(seconds) => return restart(node.crash().await, seconds).await,
        Event::Stop(seconds) => return restart(node.stop().await, seconds).await,
        Event::Put(number) => put(&node, number).await,
        Event::Delete(number) => {
            let identity = name(number);
            // The store may be away.
            let _ = node.catalog.remove(Removal { identity, request: empty(), revision: None, asked_by: None }).await;
        }
        Event::Switch(number, enabled) => switch(&node, number, enabled).await,
        Event::StoreAway(seconds) => {
            node.store.fail_writes(true);
            pass(&node, u64::from(seconds)).await;
            node.store.fail_writes(false);
        }
        Event::ClaimsFail(seconds) => {
            node.store.fail_claims(true);
            pass(&node, u64::from(seconds)).await;
            node.store.fail_claims(false);
        }
        Event::Step(seconds) => node.clock.step(i64::from(seconds) * 1_000),
        Event::Answer(status) => node.sink.answer(status),
        // Whether it is refused does not matter here.
        Event::RunNow(number) => drop(node.catalog.run_now(&name(number), &entry_name(), "", "ada").await),
        Event::Backfill(number) => {
            let (from, to) = (at("2026-03-29T00:00:00Z"), at("2026-03-29T00:00:20Z"));
            drop(node.catalog.backfill(&name(number), &entry_name(), from, to, 2, "ada").await);
        }
        Event::Together(scope, pauses) => together(&node, scope, pauses, paused).await,
    }
    node
}

async fn restart((clock, store, sink): (Arc<SimClock>, MemoryStore, Sink), seconds: u16) -> Node {
    clock.sleep_until(clock.now().plus(Duration::from_secs(u64::from(seconds)))).await;
    Node::start(clock, store, sink).await
}

/// Lets everything happen, then everything come to rest, and looks at what was recorded.
async fn live(events: Vec<(u16, Event)>) {
    let mut node = Node::new("2026-03-29T00:00:00.500Z").await;
    let from = node.clock.now();
    let mut paused = Vec::new();
    for number in 0..TASKS {
        put(&node, number).await;
    }
    for &(after_ms, event) in &events {
        node.clock.sleep_until(node.clock.now().plus(Duration::from_millis(u64::from(after_ms)))).await;
        node = happen(node, event, &mut paused).await;
    }
    node.sink.answer(Some(200));
    pass(&node, 5).await;
    for number in 0..3 {
        resume(&node, number, &mut paused).await;
    }
    assert!(node.catalog.pauses().is_empty());
    pass(&node, 60).await;
    node = restart(node.stop().await, 0).await;
    pass(&node, 6).await;

    // What is put off by a jitter is still on its way.
    let to = node.clock.now().minus(Duration::from_secs(5));
    for finding in node.verify(from, to).await {
        assert!(matches!(finding.verdict, verify::Verdict::Settled(_)), "{finding:?}");
    }
    let unfinished = node.store.unfinished(ShardSet::ALL).recv().await.transpose().unwrap().unwrap_or_default();
    assert!(unfinished.iter().all(|record| record.instant() > to), "a run has not ended: {unfinished:?}");
    let in_lease = node.store.leases().await.unwrap();
    assert!(in_lease.iter().all(|lease| lease.settled_through <= lease.claimed_through));
    assert_at_most_once(&node);
    assert_paused(&node, &paused);
}

fn assert_paused(node: &Node, paused: &[Paused]) {
    const COVERED: [&[u8]; 3] = [&[0, 1, 2, 3, 4, 5], &[1, 2, 5], &[2, 3]];
    for pause in paused {
        for &number in COVERED[usize::from(pause.scope)] {
            let name = name(number);
            for sent in planned(node, number) {
                let fire_time = at(&sent.fire_time);
                assert!(
                    fire_time <= pause.since || fire_time > pause.until,
                    "{name} was sent for {fire_time}: {pause:?}"
                );
            }
        }
    }
}

/// What was sent of what the schedule names.
fn planned(node: &Node, number: u8) -> impl Iterator<Item = Sent> {
    let is_planned = move |sent: &Sent| {
        let planned = crate::model::RunId::planned(&name(number), &entry_name(), at(&sent.fire_time));
        sent.run_id == planned.to_string()
    };
    node.sink.sent_of(name(number).as_str()).into_iter().filter(is_planned)
}

fn assert_at_most_once(node: &Node) {
    for number in [1, 3, 5] {
        let mut runs: Vec<String> = planned(node, number).map(|sent| sent.run_id).collect();
        let all = runs.len();
        runs.sort_unstable();
        runs.dedup();
        assert_eq!(runs.len(), all, "task-{number} was sent twice");
    }
}

fn run(events: Vec<(u16, Event)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(live(events));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_instant_has_exactly_one_outcome(
        events in prop::collection::vec((0..12_000_u16, event()), 1..14)
    ) {
        run(events);
    }
}
