//! Nodes without their fronts that share the shards of one store: the rules, the rooms and the faults together.

use super::*;
use crate::cluster::played::{Dice, member};
use crate::cluster::{Keeper, KeeperSettings, Tenure};
use crate::model::{Delivery, Overlap, RetryPolicy, Shard};

pub(super) const START: &str = "2026-03-29T00:00:00.500Z";
/// Longer than any change takes here.
pub(super) const SECOND_LOOK: Duration = Duration::from_secs(20);
pub(super) const TASKS: u8 = 24;

/// A node that takes part.
pub(super) struct Sharing {
    pub(super) number: u8,
    pub(super) node: Node,
    pub(super) keeper: Keeper,
    pub(super) tenure: Tenure,
}

impl Sharing {
    pub(super) async fn join(number: u8, clock: &Arc<SimClock>, store: &MemoryStore, sink: &Sink) -> Self {
        let tenure = Tenure::shared(clock.clone());
        let (beside, ttl) = (store.beside(), Duration::from_secs(3));
        let agreement = Agreement::shared(ttl);
        let shared = (tenure.clone(), agreement.clone());
        let node = Node::start_of(ShardSet::EMPTY, shared, clock.clone(), beside, sink.clone()).await;
        let settings = engine::Settings { pause_reach: agreement.reach(), ..engine::Settings::default() };
        let shards = Arc::new(Shards::new(node.catalog.clone(), "test", settings).looking_again_after(SECOND_LOOK));
        let settings = KeeperSettings { ttl };
        let register = Arc::new(node.store.clone());
        let keeper = Keeper::start(member(number), register, shards, tenure.clone(), clock.clone(), settings);
        agreement.join(keeper.clone(), Arc::new(|| {}));
        let engine = node.means.engine.clone();
        tokio::spawn(async move {
            // As the planning job does each second.
            loop {
                engine.plan();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { number, node, keeper, tenure }
    }

    pub(super) fn owns(&self) -> usize {
        Shard::all().filter(|shard| self.tenure.holds(*shard)).count()
    }
}

/// Of each kind of delivery, with and without further attempts, and some that never run twice at once.
pub(super) fn task(number: u8) -> Task {
    let delivery = if number.is_multiple_of(2) { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
    let overlap = if number.is_multiple_of(3) { Overlap::Skip } else { Overlap::Allow };
    let retry = number.is_multiple_of(5).then(|| RetryPolicy { attempts_max: 3, ..RetryPolicy::default() });
    let options = EntryOptions { delivery, overlap, retry, ..EntryOptions::default() };
    let schedule = Schedule::cron("* * * * * *").unwrap();
    Task::new(identity(&format!("task-{number}")), TimeZone::UTC, vec![entry(schedule, options)])
}

/// By whoever owns it.
pub(super) async fn put_all(nodes: &[&Sharing]) {
    for number in 0..TASKS {
        let owner = nodes.iter().find(|sharing| sharing.tenure.holds(Shard::of(&task(number).identity)));
        owner.expect("every shard has its owner").node.put(task(number)).await.unwrap();
    }
}

/// Each instant has one outcome, and was sent once, unless its run may be sent again.
pub(super) async fn prove(nodes: &[&Sharing], sink: &Sink, resent_max: usize) {
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
        let attempt = |sent: &Sent| (sent.run_id.clone(), sent.attempt.clone());
        let attempts: BTreeSet<(String, String)> = sent.iter().map(attempt).collect();
        let is_again = |one: &&Sent| sent.iter().filter(|other| attempt(other) == attempt(one)).count() > 1;
        let again: Vec<&Sent> = sent.iter().filter(is_again).collect();
        assert!(number % 2 == 1 || again.is_empty(), "task-{number} is at_most_once: {again:?}");
        resent += sent.len() - attempts.len();
    }
    assert!(resent <= resent_max, "{resent} were sent again");
}

pub(super) async fn pass(seconds: u64) {
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

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_for_longer_than_the_misfire_grace_decides_nothing_about_instants_that_others_have_fired()
 {
    let (clock, store, sink) = (Arc::new(SimClock::starting_at(at(START))), MemoryStore::new(), Sink::new());
    let one = Sharing::join(1, &clock, &store, &sink).await;
    let two = Sharing::join(2, &clock, &store, &sink).await;
    pass(5).await;
    put_all(&[&one, &two]).await;
    pass(5).await;

    one.node.store.cut_off(true);
    pass(90).await;
    one.node.store.cut_off(false);
    pass(15).await;

    assert_eq!((one.owns(), two.owns()), (32, 32));
    prove(&[&one, &two], &sink, 40).await;
}

/// Targets that are slow now and then, or fail, each time that a seed is played in the same way.
pub(super) fn whims(seed: u64) -> impl Fn(&Sent) -> (Duration, u16) {
    move |sent| {
        let name = format!("{seed} {} {}", sent.run_id, sent.attempt);
        let mut dice = Dice::of(xxhash_rust::xxh64::xxh64(name.as_bytes(), seed));
        let takes = if dice.one_in(8) { dice.below(9_000) } else { dice.below(50) };
        (Duration::from_millis(takes), if dice.one_in(6) { 503 } else { 200 })
    }
}

/// Three nodes to which everything happens for forty seconds.
struct World {
    dice: Dice,
    clock: Arc<SimClock>,
    store: MemoryStore,
    sink: Sink,
    nodes: Vec<Sharing>,
    /// Those that have ended.
    gone: Vec<Sharing>,
    /// How much had been sent of a task when its delete was acknowledged.
    deleted: std::collections::BTreeMap<u8, usize>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let (clock, store, sink) = (Arc::new(SimClock::starting_at(at(START))), MemoryStore::new(), Sink::new());
        sink.follow(whims(seed));
        let dice = Dice::of(seed);
        let mut nodes = Vec::new();
        for number in 1..=3 {
            nodes.push(Sharing::join(number, &clock, &store, &sink).await);
        }
        Self { dice, clock, store, sink, nodes, gone: Vec::new(), deleted: std::collections::BTreeMap::new() }
    }

    async fn join_again(&mut self, place: usize) {
        let number = self.nodes[place].number;
        let anew = Sharing::join(number, &self.clock, &self.store, &self.sink).await;
        self.gone.push(std::mem::replace(&mut self.nodes[place], anew));
    }

    async fn wait(&mut self, below_ms: u64) {
        let after = Duration::from_millis(self.dice.below(below_ms));
        tokio::time::sleep(after).await;
    }

    async fn happen(&mut self) {
        let place = usize::try_from(self.dice.below(3)).unwrap();
        match self.dice.below(6) {
            0 => {
                self.nodes[place].node.store.cut_off(true);
                self.nodes[place].node.store.fail_writes(true);
                self.wait(9_000).await;
                self.nodes[place].node.store.cut_off(false);
                self.nodes[place].node.store.fail_writes(false);
            }
            1 => {
                // A crash: nothing more is written, and nothing more is sent.
                self.nodes[place].node.store.close().await.unwrap();
                self.nodes[place].tenure.end();
                self.wait(6_000).await;
                self.join_again(place).await;
            }
            2 => {
                self.nodes[place].keeper.leave().await;
                self.wait(3_000).await;
                self.join_again(place).await;
            }
            3 => self.change(true).await,
            4 => self.change(false).await,
            _ => self.wait(3_000).await,
        }
        self.assert_deleted();
    }

    async fn change(&mut self, is_put: bool) {
        let number = u8::try_from(self.dice.below(u64::from(TASKS))).unwrap();
        let identity = task(number).identity;
        let Some(owner) = self.nodes.iter().find(|it| it.tenure.holds(Shard::of(&identity))) else { return };
        if is_put {
            self.deleted.remove(&number);
            // The store may be away, or the shard goes.
            let _ = owner.node.put(task(number)).await;
            return;
        }
        let removal = Removal { identity, request: empty(), revision: None, asked_by: None };
        if owner.node.catalog.remove(removal).await.is_ok() {
            self.deleted.insert(number, self.sent(number));
        }
    }

    fn sent(&self, number: u8) -> usize {
        self.sink.sent_of(&format!("task-{number}")).len()
    }

    fn assert_deleted(&self) {
        for (&number, &sent) in &self.deleted {
            assert_eq!(self.sent(number), sent, "task-{number} was sent after its delete was acknowledged");
        }
    }
}

async fn live(seed: u64) {
    let mut world = World::new(seed).await;
    pass(6).await;
    let nodes: Vec<&Sharing> = world.nodes.iter().collect();
    put_all(&nodes).await;
    let until = world.clock.now().plus(Duration::from_secs(40));
    while world.clock.now() < until {
        world.wait(3_000).await;
        world.happen().await;
    }
    // What has just begun is still under way otherwise.
    world.sink.follow(|_| (Duration::ZERO, 200));
    pass(30).await;

    world.assert_deleted();
    let owned: Vec<usize> = world.nodes.iter().map(Sharing::owns).collect();
    assert_eq!(owned.iter().sum::<usize>(), Shard::COUNT, "{owned:?}");
    let nodes: Vec<&Sharing> = world.nodes.iter().collect();
    prove(&nodes, &world.sink, usize::MAX).await;
}

#[test]
fn whatever_happens_to_nodes_each_instant_has_one_outcome_and_none_is_sent_after_a_delete() {
    each_seed(60, live);
}

/// Lives through each seed, or through as many as are asked for. A seed that fails names itself.
pub(super) fn each_seed<F: Future<Output = ()>>(count: u64, live: impl Fn(u64) -> F) {
    // More of them: scripts/simulate --nodes COUNT
    let asked = std::env::var("SCHEDULE_SIMULATE_NODES").unwrap_or_default();
    for seed in 0..asked.parse().unwrap_or(count) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(live(seed))));
        if let Err(panic) = lived {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("seed {seed}: {why}");
        }
    }
}
