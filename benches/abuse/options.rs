//! What can be asked for, and how much is done then.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use rustix::process::{Resource, getrlimit};

use super::scenes::Scene;

/// Files that this process and the service have open besides connections, with room to spare.
const OTHER_FILES: usize = 600;

/// Ill-treats the service on loopback while it fires 200 times a second, and judges what came of it.
///
/// A table tells for each scene what was lost, doubled or late, how long an honest client waited, and how much memory was used.
/// Exit code 1: a promise was broken, and the log is kept.
#[derive(Clone, Debug, Parser)]
#[command(name = "scripts/abuse", after_help = format!("Scenes:\n{}", Scene::listing()))]
pub(crate) struct Options {
    /// Only these scenes, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "SCENE,…", value_parser = Scene::parse)]
    scenes: Vec<Scene>,
    /// A short form within a minute and a half, on the build without optimisation; lateness is only shown
    #[arg(long)]
    pub(crate) short: bool,
    /// Decides what the fuzzed requests are: the same seed sends the same
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Sends only the fuzzed request of this number, and prints it with what came back
    #[arg(long, value_name = "NUMBER")]
    pub(crate) only: Option<usize>,
    /// Writes all figures to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where everything is written
    #[arg(long, hide = true, env = "ABUSE_FOLDER")]
    pub(crate) folder: PathBuf,
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Those of the command line, where this machine can do it.
    pub(crate) fn read() -> Result<Self> {
        let (options, files) = (Self::parse(), files_max());
        let needed = options.size().idle + OTHER_FILES;
        ensure!(files >= needed, "{needed} open files are needed, and `ulimit -n` allows {files}");
        Ok(options)
    }

    /// Which scenes are played.
    pub(crate) fn scenes(&self) -> &[Scene] {
        match (self.only, self.scenes.is_empty()) {
            (Some(_), _) => &[Scene::Fuzz],
            (None, true) => Scene::ALL,
            (None, false) => &self.scenes,
        }
    }

    pub(crate) fn size(&self) -> Size {
        if self.short { Size::SHORT } else { Size::FULL }
    }
}

/// How many files a process may have open.
fn files_max() -> usize {
    getrlimit(Resource::Nofile).current.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX)
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Fires a second.
    pub(crate) rate: usize,
    pub(crate) fuzzed: usize,
    /// Connections of slow clients.
    pub(crate) slow: usize,
    /// Bodies of each kind at once.
    pub(crate) bodies: usize,
    /// Connections that are opened and left idle.
    pub(crate) idle: usize,
    /// Connections of each flood.
    pub(crate) floods: usize,
    pub(crate) wrong_keys: usize,
    /// `[server] connections_max` and `connections_per_address_max`.
    pub(crate) connections_max: usize,
    pub(crate) per_address_max: usize,
    /// All times that a client may take: heads, bodies, idle connections, answers.
    pub(crate) patience: Duration,
    /// How long the service is watched before anything is done to it.
    pub(crate) calm: Duration,
}

impl Size {
    /// With the limits of the service as they are by default, but for answers, which may be untaken for 300 s then.
    const FULL: Self = Self {
        rate: 200,
        fuzzed: 10_000,
        slow: 500,
        bodies: 4,
        idle: 10_000,
        floods: 20,
        wrong_keys: 10_000,
        connections_max: 4_096,
        per_address_max: 1_024,
        patience: Duration::from_secs(30),
        calm: Duration::from_secs(20),
    };

    const SHORT: Self = Self {
        rate: 200,
        fuzzed: 1_000,
        slow: 90,
        bodies: 1,
        idle: 800,
        floods: 3,
        wrong_keys: 500,
        connections_max: 300,
        per_address_max: 150,
        patience: Duration::from_secs(4),
        calm: Duration::from_secs(5),
    };

    /// What is done beside everything else.
    pub(crate) fn beside(self) -> Self {
        let (fuzzed, slow, bodies) = (self.fuzzed / 5, self.slow / 5, self.bodies.div_ceil(4));
        let (idle, floods, wrong_keys) = (self.idle / 5, self.floods.div_ceil(5), self.wrong_keys / 5);
        Self { fuzzed, slow, bodies, idle, floods, wrong_keys, ..self }
    }
}
