//! Everything that plays: the network, Elasticsearch, the nodes, the target, and what came so far.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result};

use super::dice::Dice;
use super::elasticsearch::Elasticsearch;
use super::history;
use super::judge::{Arrival, Evidence, Finding, Hit, Task, Times, judge};
use super::load::{Asked, delete, put_steady};
use super::net::Net;
use super::nodes::{Common, Node, wait_all_ready};
use super::options::Options;
use super::target::{Note, Target, now};

/// Everything fires on time: within this time, for so long, and not counting what may just be on its way.
const ON_TIME_MS: i64 = 1_000;
const STEADY_MS: i64 = 3_000;
/// How far back what came is looked at: a node whose clock is ahead is early.
const LOOK_BACK_MS: i64 = 30_000;

pub(crate) struct Stage {
    pub(crate) net: Net,
    pub(crate) es: Elasticsearch,
    pub(crate) nodes: Vec<Node>,
    pub(crate) asked: Asked,
    pub(crate) options: Options,
    pub(crate) dice: Dice,
    target: Target,
    /// Those that fire all the time come first.
    tasks: Vec<Task>,
    steady: usize,
    notes: Vec<Note>,
}

impl Stage {
    /// Builds everything and waits until it all fires on time.
    pub(crate) async fn build(options: Options) -> Result<Self> {
        let mut net = Net::new().await?;
        eprintln!("chaos: starting {} of Elasticsearch", options.elasticsearch_nodes);
        let (installed, folder) = (&options.installed, &options.folder);
        let es = Elasticsearch::start(&mut net, installed, folder, options.elasticsearch_nodes).await?;
        let target = Target::start(&mut net).await?;
        let common = Common {
            folder: folder.clone(),
            elasticsearch: es.urls(),
            ttl: options.ttl.clone(),
            log_level: options.log_level.clone(),
            is_cluster: options.nodes > 1,
        };
        eprintln!("chaos: starting {} of the service", options.nodes);
        let mut nodes = Vec::new();
        for number in 0..options.nodes {
            net.add(&[Node::host(number)]).await?;
            let mut node = Node::new(number, &common)?;
            node.start(&net)?;
            nodes.push(node);
        }
        wait_all_ready(&mut nodes).await?;
        let asked = Asked::new(nodes.iter().map(Node::base).collect());
        let tasks = put_steady(&asked.bases, options.rate).await?;
        eprintln!("chaos: {} tasks are put", tasks.len());
        let (dice, steady) = (Dice::new(options.seed), tasks.len());
        let mut stage = Self { net, es, nodes, asked, options, dice, target, tasks, steady, notes: Vec::new() };
        let is_steady = stage.wait_steady(Duration::from_secs(120)).await?;
        anyhow::ensure!(is_steady, "not everything fires on time though nothing was broken yet: {}", stage.unsteady());
        Ok(stage)
    }

    /// Which service node is hit next: one that fires.
    pub(crate) fn choose(&mut self) -> usize {
        self.dice.below(self.nodes.len())
    }

    /// Waits until for some seconds everything was fired on time, by every node, no shard moves, and all say that they are ready.
    pub(crate) async fn wait_steady(&mut self, within: Duration) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let mut is_ready = true;
            for node in &self.nodes {
                is_ready &= node.is_ready().await;
            }
            self.notes.extend(self.target.read_notes().await?);
            if is_ready && self.late_now().is_empty() {
                return Ok(true);
            }
            if tokio::time::Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Why not everything counts as fired on time, in words; nothing if it does.
    fn late_now(&self) -> Vec<String> {
        let now = now();
        let recent = self.notes.iter().rev().take_while(|note| note.at > now - LOOK_BACK_MS);
        let came: HashMap<(&str, i64), &Note> =
            recent.clone().map(|note| ((note.identity.as_str(), note.instant), note)).collect();
        let mut late = Vec::new();
        for task in &self.tasks[..self.steady] {
            for instant in task.instants(now - ON_TIME_MS - STEADY_MS, now - ON_TIME_MS) {
                match came.get(&(task.identity.as_str(), instant)) {
                    Some(note) if note.at - instant <= ON_TIME_MS => {}
                    _ => late.push(format!("{} {instant} (shard {})", task.identity, task.shard)),
                }
            }
        }
        late.extend(self.unsettled(recent.take_while(|note| note.at > now - STEADY_MS)));
        late
    }

    /// Nodes that fire nothing, and shards that more than one fires for: they are still moving.
    fn unsettled<'a>(&self, recent: impl Iterator<Item = &'a Note>) -> Vec<String> {
        let shards: HashMap<&str, usize> =
            self.tasks[..self.steady].iter().map(|task| (task.identity.as_str(), task.shard)).collect();
        let mut owners: HashMap<usize, usize> = HashMap::new();
        let mut unsettled = Vec::new();
        for note in recent {
            let (Some(shard), Some(node)) = (shards.get(note.identity.as_str()), Node::at(&note.from)) else {
                continue;
            };
            if *owners.entry(*shard).or_insert(node) != node {
                unsettled.push(format!("shard {shard} moves"));
            }
        }
        let busy: HashSet<usize> = owners.into_values().collect();
        let idle = (0..self.nodes.len()).filter(|node| !busy.contains(node));
        unsettled.extend(idle.map(|node| format!("node {} fires nothing", node + 1)));
        unsettled
    }

    /// What is not as it should be, in a few words.
    pub(crate) fn unsteady(&self) -> String {
        let late = self.late_now();
        format!("{} of what was due did not come in time: {}", late.len(), late[..late.len().min(5)].join(", "))
    }

    /// Ends what fires all the time.
    pub(crate) async fn delete_steady(&mut self) -> Result<()> {
        for task in &mut self.tasks[..self.steady] {
            task.owed_until = now();
            task.deleted_at = Some(delete(&self.asked.bases, &task.identity).await?);
        }
        Ok(())
    }

    /// Judges what came since `times.begin`.
    pub(crate) async fn judge(&mut self, times: Times, hit: Hit, more: Judged) -> Result<Finding> {
        self.tasks.extend(more.tasks);
        let places: HashMap<&str, usize> =
            self.tasks.iter().enumerate().map(|(place, task)| (task.identity.as_str(), place)).collect();
        let range = (times.begin, times.end - 1);
        let outcomes = history::outcomes(&self.es, &self.options.folder, &places, range).await?;
        self.notes.extend(self.target.read_notes().await?);
        let mut arrivals = Vec::with_capacity(self.notes.len());
        for note in &self.notes {
            let task = places.get(note.identity.as_str()).copied();
            let task = task.with_context(|| format!("`{}` fired, and nobody put it", note.identity))?;
            let node = Node::at(&note.from).with_context(|| format!("{} is none of our nodes", note.from))?;
            arrivals.push(Arrival { at: note.at, task, instant: note.instant, run: note.run.clone(), node });
        }
        let (mut seen, mut again) = (HashSet::new(), HashSet::new());
        for arrival in arrivals.iter().filter(|arrival| !seen.insert(arrival.run.as_str())) {
            if arrival.at >= times.begin {
                again.insert(arrival.run.as_str());
            }
        }
        let again: Vec<&str> = again.into_iter().collect();
        let redelivered = history::redelivered(&self.es, &again).await?;
        Ok(judge(&Evidence {
            times,
            hit,
            counts_from_relief: more.counts_from_relief,
            is_recovered: more.is_recovered,
            tasks: &self.tasks,
            arrivals: &arrivals,
            outcomes: &outcomes,
            redelivered: &redelivered,
        }))
    }
}

/// What the judge has to know beside the times.
pub(crate) struct Judged {
    pub(crate) tasks: Vec<Task>,
    pub(crate) counts_from_relief: bool,
    pub(crate) is_recovered: bool,
}
