//! Nodes without their fronts that share the shards of one store: the rules, the rooms and the faults together.

use super::*;
use crate::cluster::{Keeper, KeeperSettings, Member, Tenure};
use crate::model::{Delivery, Shard};

const START: &str = "2026-03-29T00:00:00.500Z";
const TASKS: u8 = 24;

/// A node that takes part.
struct Sharing {
    node: Node,
    keeper: Keeper,
    tenure: Tenure,
}

impl Sharing {
    async fn join(number: u8, clock: &Arc<SimClock>, store: &MemoryStore, sink: &Sink) -> Self {
        let tenure = Tenure::shared(clock.clone());
        let beside = store.beside();
        let node = Node::start_of(ShardSet::EMPTY, tenure.clone(), clock.clone(), beside, sink.clone()).await;
        let shards = Arc::new(Shards::new(node.catalog.clone(), "test", engine::Settings::default()));
        let me = Member {
            id: crate::cluster::MemberId::from_bytes([number; 16]),
            home: uuid::Uuid::from_bytes([number; 16]),
            url: format!("http://node-{number}:3000").into(),
            beat: 0,
            clock: 0,
            joined: 0,
            is_leaving: false,
        };
        let settings = KeeperSettings { ttl: Duration::from_secs(3) };
        let register = Arc::new(node.store.clone());
        let keeper = Keeper::start(me, register, shards, tenure.clone(), clock.clone(), settings);
        let engine = node.means.engine.clone();
        tokio::spawn(async move {
            // As the planning job does each second.
            loop {
                engine.plan();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { node, keeper, tenure }
    }

    fn owns(&self) -> usize {
        Shard::all().filter(|shard| self.tenure.holds(*shard)).count()
    }
}

fn task(number: u8) -> Task {
    let delivery = if number.is_multiple_of(2) { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
    let options = EntryOptions { delivery, ..EntryOptions::default() };
    let schedule = Schedule::cron("* * * * * *").unwrap();
    Task::new(identity(&format!("task-{number}")), TimeZone::UTC, vec![entry(schedule, options)])
}

/// By whoever owns it.
async fn put_all(nodes: &[&Sharing]) {
    for number in 0..TASKS {
        let owner = nodes.iter().find(|sharing| sharing.tenure.holds(Shard::of(&task(number).identity)));
        owner.expect("every shard has its owner").node.put(task(number)).await.unwrap();
    }
}

/// Each instant has one outcome, and was sent once, unless its run may be sent again.
async fn prove(nodes: &[&Sharing], sink: &Sink, resent_max: usize) {
    for sharing in nodes {
        // One that is cut off writes what it has when it can.
        sharing.node.means.journal.flush().await.unwrap();
    }
    let node = &nodes[0].node;
    let to = node.clock.now().minus(Duration::from_secs(3));
    let findings = node.verify(at(START), to).await;
    let wrong: Vec<&Finding> =
        findings.iter().filter(|finding| !matches!(finding.verdict, super::verify::Verdict::Settled(_))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut resent = 0;
    for number in 0..TASKS {
        let sent = sink.sent_of(&format!("task-{number}"));
        let runs: std::collections::BTreeSet<&String> = sent.iter().map(|sent| &sent.run_id).collect();
        assert!(number % 2 == 1 || runs.len() == sent.len(), "task-{number} is at_most_once: {sent:?}");
        resent += sent.len() - runs.len();
    }
    assert!(resent <= resent_max, "{resent} were sent again");
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_come_and_go_in_turn_lose_and_double_nothing() {
    let (clock, store, sink) = (Arc::new(SimClock::starting_at(at(START))), MemoryStore::new(), Sink::new());
    let one = Sharing::join(1, &clock, &store, &sink).await;
    pass(1).await;
    put_all(&[&one]).await;
    pass(5).await;

    let two = Sharing::join(2, &clock, &store, &sink).await;
    let three = Sharing::join(3, &clock, &store, &sink).await;
    pass(10).await;
    assert!([&one, &two, &three].iter().all(|sharing| sharing.owns() >= 20), "{} {}", one.owns(), two.owns());
    one.keeper.leave().await;
    pass(5).await;
    two.keeper.leave().await;
    pass(10).await;

    assert_eq!((one.owns(), two.owns(), three.owns()), (0, 0, 64));
    prove(&[&three, &one, &two], &sink, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_sends_nothing_for_shards_that_others_have_taken() {
    let (clock, store, sink) = (Arc::new(SimClock::starting_at(at(START))), MemoryStore::new(), Sink::new());
    let one = Sharing::join(1, &clock, &store, &sink).await;
    let two = Sharing::join(2, &clock, &store, &sink).await;
    pass(5).await;
    put_all(&[&one, &two]).await;
    pass(5).await;

    one.node.store.cut_off(true);
    one.node.store.fail_writes(true);
    pass(15).await;
    assert_eq!((one.owns(), two.owns()), (0, 64));
    one.node.store.fail_writes(false);
    one.node.store.cut_off(false);
    pass(15).await;

    assert_eq!((one.owns(), two.owns()), (32, 32));
    // What was sent and could not be recorded: two or three seconds of twelve tasks.
    prove(&[&one, &two], &sink, 40).await;
}
