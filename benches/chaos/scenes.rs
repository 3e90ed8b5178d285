//! What is broken, one after the other.

use std::time::Duration;

use anyhow::{Context, Result};

use super::elasticsearch::Elasticsearch;
use super::judge::{Goals, Hit};
use super::nodes::{INDEX, Node};
use super::options::Options;
use super::stage::Stage;
use super::target::now;

/// One fault and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    Kill,
    Pause,
    CutStore,
    CutNodes,
    OneWay,
    KillMaster,
    PausePrimary,
    Rolling,
    Clock,
}

/// When the fault began and was over, and whom it hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub(crate) fault: i64,
    pub(crate) relief: i64,
    pub(crate) hit: Hit,
}

/// By how much a clock is stepped.
const STEP_S: i32 = 5;
const CATCH_UP_GOAL_MS: i64 = 10_000;
const ROLLING_P99_GOAL_MS: i64 = 100;

impl Scene {
    pub(crate) const ALL: &[Self] = &[
        Self::Kill,
        Self::Pause,
        Self::CutStore,
        Self::CutNodes,
        Self::OneWay,
        Self::KillMaster,
        Self::PausePrimary,
        Self::Rolling,
        Self::Clock,
    ];
    pub(crate) const SHORT: &[Self] = &[Self::Kill, Self::Pause, Self::CutStore, Self::Rolling];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::CutStore => "cut-store",
            Self::CutNodes => "cut-nodes",
            Self::OneWay => "one-way",
            Self::KillMaster => "kill-master",
            Self::PausePrimary => "pause-primary",
            Self::Rolling => "rolling",
            Self::Clock => "clock",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of a node, and its start",
            Self::Pause => "a node is stopped (SIGSTOP) for 30 s and goes on (SIGCONT)",
            Self::CutStore => "a node and Elasticsearch do not hear each other for 20 s",
            Self::CutNodes => "a node and the other nodes do not hear each other for 20 s",
            Self::OneWay => "what a node sends to Elasticsearch is lost for 20 s, what it is sent arrives",
            Self::KillMaster => "kill -9 of Elasticsearch's master, and its start",
            Self::PausePrimary => "the host with the primary shard of the leases is stopped for 20 s",
            Self::Rolling => "every node is ended and started, one after the other",
            Self::Clock => "the clock of a node is 5 s ahead for 15 s",
        }
    }

    pub(crate) fn listing() -> String {
        Self::ALL.iter().map(|scene| format!("  {:<14} {}\n", scene.name(), scene.what())).collect()
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let scene = Self::ALL.iter().copied().find(|scene| scene.name() == name);
        scene.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|scene| scene.name()).collect();
            format!("expected some of {}", names.join(", "))
        })
    }

    pub(crate) fn can_be_played(self, options: &Options) -> bool {
        match self {
            Self::CutNodes => options.nodes > 1,
            Self::KillMaster | Self::PausePrimary => options.elasticsearch_nodes > 1,
            Self::Clock => options.faketime.is_some(),
            Self::Kill | Self::Pause | Self::CutStore | Self::OneWay | Self::Rolling => true,
        }
    }

    /// What it should reach. What only one node can do has no goal of silence while that node is away.
    pub(crate) fn goals(self, options: &Options) -> Goals {
        let is_cluster = options.nodes > 1;
        let silence = options.ttl_ms().ok().filter(|_| is_cluster).map(|ttl| ttl * 5 / 4 + 250);
        let caught_up = Some(CATCH_UP_GOAL_MS);
        match self {
            Self::Kill | Self::Pause | Self::CutStore | Self::OneWay => {
                Goals { silence, caught_up: caught_up.filter(|_| is_cluster), ..Goals::default() }
            }
            Self::Rolling if is_cluster => Goals { lateness_p99: Some(ROLLING_P99_GOAL_MS), ..Goals::default() },
            Self::PausePrimary => Goals { caught_up, ..Goals::default() },
            Self::CutNodes | Self::KillMaster | Self::Rolling | Self::Clock => Goals::default(),
        }
    }

    /// Nobody can fire while it lasts: catching up is counted from its end.
    pub(crate) fn stops_everybody(self, options: &Options) -> bool {
        self == Self::PausePrimary || options.nodes == 1
    }

    /// A task that is put at a node whose clock is ahead is in force later than its client thinks.
    pub(crate) fn allows_changes(self) -> bool {
        self != Self::Clock
    }

    /// What has to be done before the calm stretch: a clock that can be stepped has to be there from the start of the node.
    pub(crate) async fn prepare(self, stage: &mut Stage, node: usize) -> Result<()> {
        if self != Self::Clock {
            return Ok(());
        }
        let library = stage.options.faketime.clone().context("libfaketime")?;
        stage.nodes[node].stop().await?;
        stage.nodes[node].start_with(&stage.net, Some(&library))?;
        stage.nodes[node].wait_ready().await
    }

    /// What is undone when all is judged.
    pub(crate) async fn clear(self, stage: &mut Stage, node: usize) -> Result<()> {
        if self != Self::Clock {
            return Ok(());
        }
        stage.nodes[node].stop().await?;
        start(stage, node).await
    }

    /// Lets it happen to this node, to its end.
    pub(crate) async fn play(self, stage: &mut Stage, node: usize) -> Result<Deed> {
        let (hit, is_short) = (Hit::Node(node), stage.options.short);
        let long = |seconds: u64, short: u64| Duration::from_secs(if is_short { short } else { seconds });
        let fault = now();
        let hit = match self {
            Self::Kill => {
                // The new process may fire at once what is due by then: it has sent nothing before.
                let relief = kill(stage, node, long(10, 4)).await?;
                return Ok(Deed { fault, relief, hit });
            }
            Self::Pause => pause(stage, node, long(30, 8)).await.map(|()| hit),
            Self::CutStore | Self::OneWay | Self::CutNodes => {
                self.cut(stage, node).await?;
                tokio::time::sleep(long(20, 6)).await;
                stage.net.heal().await.map(|()| hit)
            }
            Self::KillMaster => kill_master(stage).await.map(|()| Hit::All),
            Self::PausePrimary => pause_primary(stage).await.map(|()| Hit::All),
            Self::Rolling => rolling(stage).await.map(|()| Hit::All),
            Self::Clock => step_clock(stage, node).await.map(|()| hit),
        }?;
        Ok(Deed { fault, relief: now(), hit })
    }

    async fn cut(self, stage: &Stage, node: usize) -> Result<()> {
        let from = Node::host(node);
        for host in (0..stage.options.elasticsearch_nodes).map(Elasticsearch::host) {
            match self {
                Self::CutStore => stage.net.part(from, host).await?,
                Self::OneWay => stage.net.lose(from, host).await?,
                _ => {}
            }
        }
        for other in (0..stage.nodes.len()).filter(|other| self == Self::CutNodes && *other != node) {
            stage.net.part(from, Node::host(other)).await?;
        }
        Ok(())
    }
}

/// Gives when it is started again.
async fn kill(stage: &mut Stage, node: usize, away: Duration) -> Result<i64> {
    stage.asked.set_down(node, true);
    stage.nodes[node].kill().await?;
    tokio::time::sleep(away).await;
    let started = now();
    start(stage, node).await?;
    Ok(started)
}

async fn start(stage: &mut Stage, node: usize) -> Result<()> {
    stage.nodes[node].start(&stage.net)?;
    stage.nodes[node].wait_ready().await?;
    stage.asked.set_down(node, false);
    Ok(())
}

async fn pause(stage: &mut Stage, node: usize, length: Duration) -> Result<()> {
    stage.asked.set_down(node, true);
    stage.nodes[node].pause().await?;
    tokio::time::sleep(length).await;
    stage.nodes[node].resume().await?;
    stage.asked.set_down(node, false);
    Ok(())
}

async fn kill_master(stage: &Stage) -> Result<()> {
    let master = stage.es.master().await?;
    stage.es.kill(master).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.es.restart(&stage.net, master).await?;
    stage.es.wait_green().await
}

async fn pause_primary(stage: &Stage) -> Result<()> {
    let holder = stage.es.holder_of(&format!("{INDEX}-leases")).await?;
    stage.es.pause(holder).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    stage.es.resume(holder).await
}

/// Restarts each node in turn.
pub(crate) async fn rolling(stage: &mut Stage) -> Result<()> {
    for node in 0..stage.nodes.len() {
        stage.asked.set_down(node, true);
        stage.nodes[node].stop().await?;
        start(stage, node).await?;
    }
    Ok(())
}

async fn step_clock(stage: &Stage, node: usize) -> Result<()> {
    stage.nodes[node].step_clock(STEP_S)?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    stage.nodes[node].step_clock(0)
}
