//! What can be asked for.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Parser;

use super::elasticsearch::Installed;
use super::scenes::Scene;

/// Breaks a real cluster in network namespaces and judges what came of it.
///
/// Three nodes of the service on an Elasticsearch of three hosts fire at a recording target while one thing after the other
/// breaks. A table tells for each what was missing, doubled, late or silent. Exit code 1: a promise was broken, and the logs are
/// kept. A goal of speed that is not reached is only shown.
#[derive(Clone, Debug, Parser)]
#[command(name = "scripts/chaos", after_help = format!("Scenes:\n{}", Scene::listing()))]
pub(crate) struct Options {
    /// Only these scenes, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "SCENE,…", value_parser = Scene::parse)]
    scenes: Vec<Scene>,
    /// A short form of some scenes, on one Elasticsearch host: within two minutes
    #[arg(long)]
    pub(crate) short: bool,
    /// Measures what it costs instead: requests to Elasticsearch and processor time, at rest and under load
    #[arg(long)]
    pub(crate) cost: bool,
    /// With --cost: so many entries that are at rest
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub(crate) entries: usize,
    /// The time to live of a node [default: 3s, with --short 1s]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "DURATION")]
    pub(crate) ttl: String,
    /// Fires a second
    #[arg(long, default_value_t = 300.0)]
    pub(crate) rate: f64,
    /// Plays all scenes so many times
    #[arg(long, default_value_t = 1)]
    pub(crate) rounds: usize,
    /// Before the first scene each node is restarted so many times: hosts of Elasticsearch that have just started take long for what
    /// they do for the first time [default: 2, with --short 0]
    #[arg(long, hide_default_value = true, value_name = "COUNT")]
    warm_up: Option<usize>,
    /// Decides which node is hit, and what is put where
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many nodes of the service
    #[arg(long, default_value_t = 3, value_name = "1-9")]
    pub(crate) nodes: usize,
    /// How many hosts of Elasticsearch: 1 or 3 [default: 3, with --short 1]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "1|3")]
    pub(crate) elasticsearch_nodes: u8,
    /// What the nodes log
    #[arg(long, default_value = "info")]
    pub(crate) log_level: String,
    /// Where everything is written
    #[arg(long, hide = true, env = "CHAOS_FOLDER")]
    pub(crate) folder: PathBuf,
    /// The library that fakes a clock; without it the scene `clock` is left out
    #[arg(long, hide = true, env = "CHAOS_FAKETIME")]
    pub(crate) faketime: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) installed: Installed,
    /// Builds and runs with optimisation, as it is delivered (--debug: without, which is the default)
    #[arg(long, overrides_with = "debug")]
    release: bool,
    #[arg(long, hide = true)]
    debug: bool,
}

impl Options {
    /// Those of the command line, with what follows from them.
    pub(crate) fn read() -> Result<Self> {
        let mut options = Self::parse();
        if options.ttl.is_empty() {
            options.ttl = if options.short { "1s" } else { "3s" }.to_owned();
        }
        if options.elasticsearch_nodes == 0 {
            options.elasticsearch_nodes = if options.short { 1 } else { 3 };
        }
        ensure!([1, 3].contains(&options.elasticsearch_nodes), "--elasticsearch-nodes is 1 or 3");
        ensure!((1..=9).contains(&options.nodes), "--nodes is 1 to 9");
        ensure!(options.rate >= 1.0, "--rate is 1 or more");
        options.ttl_ms()?;
        if let Some(scene) = options.scenes.iter().find(|scene| !scene.can_be_played(&options)) {
            bail!("the scene `{}` needs more nodes or hosts, or libfaketime", scene.name());
        }
        Ok(options)
    }

    /// The scenes of one round.
    pub(crate) fn scenes(&self) -> Vec<Scene> {
        let known = if self.short { Scene::SHORT } else { Scene::ALL };
        let chosen = if self.scenes.is_empty() { known } else { &self.scenes };
        chosen.iter().copied().filter(|scene| scene.can_be_played(self)).collect()
    }

    /// What is left out because it cannot be played here.
    pub(crate) fn left_out(&self) -> Vec<Scene> {
        let known = if self.short { Scene::SHORT } else { Scene::ALL };
        let all = if self.scenes.is_empty() { known } else { &[] };
        all.iter().copied().filter(|scene| !scene.can_be_played(self)).collect()
    }

    /// How often each node is restarted before the first scene.
    pub(crate) fn warm_up(&self) -> usize {
        self.warm_up.unwrap_or(if self.short { 0 } else { 2 })
    }

    /// The time to live in milliseconds.
    pub(crate) fn ttl_ms(&self) -> Result<i64> {
        let (number, unit) = match self.ttl.strip_suffix("ms") {
            Some(number) => (number, 1.0),
            None => (self.ttl.strip_suffix('s').unwrap_or(&self.ttl), 1_000.0),
        };
        match number.parse::<f64>() {
            Ok(number) if number > 0.0 => Ok((number * unit) as i64),
            _ => bail!("--ttl is a duration such as 1s or 500ms, not `{}`", self.ttl),
        }
    }
}
