//! The service nodes: the real program, each in its namespace with its own folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Child;

use super::net::{Net, address};
use super::shell::{cpu, signal, tail};

/// The name of the indices.
pub(crate) const INDEX: &str = "chaos";
const READY_MAX: Duration = Duration::from_secs(120);
/// It may wait for requests in flight.
const STOP_MAX: Duration = Duration::from_secs(60);
/// A fake clock is looked up in its file this often.
const CLOCK_LOOK_S: &str = "1";

/// What all nodes have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) folder: PathBuf,
    pub(crate) elasticsearch: Vec<String>,
    pub(crate) ttl: String,
    pub(crate) log_level: String,
    /// One node is no cluster.
    pub(crate) is_cluster: bool,
}

/// One node. It is counted from 0.
pub(crate) struct Node {
    number: usize,
    common: Common,
    child: Option<Child>,
    client: reqwest::Client,
}

impl Node {
    pub(crate) fn new(number: usize, common: &Common) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let node = Self { number, common: common.clone(), child: None, client };
        fs::create_dir_all(node.folder())?;
        Ok(node)
    }

    /// The last part of its address.
    pub(crate) fn host(number: usize) -> u8 {
        11 + u8::try_from(number).unwrap_or(0)
    }

    /// Whose address this is.
    pub(crate) fn at(address: &str) -> Option<usize> {
        let host: usize = address.strip_prefix("10.77.0.")?.parse().ok()?;
        host.checked_sub(11).filter(|number| *number < 10)
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}:3000", address(Self::host(self.number)))
    }

    fn folder(&self) -> PathBuf {
        self.common.folder.join(format!("node-{}", self.number + 1))
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("log.ndjson")
    }

    /// Where its fake clock looks by how much it is ahead.
    fn clock_file(&self) -> PathBuf {
        self.folder().join("clock")
    }

    /// Steps its clock: it is ahead of the machine's by so many seconds. Only of a node that was started with a fake clock.
    pub(crate) fn step_clock(&self, seconds: i32) -> Result<()> {
        let (file, new) = (self.clock_file(), self.folder().join("clock.new"));
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(new, file).context("the clock cannot be set")
    }

    pub(crate) fn start(&mut self, net: &Net) -> Result<()> {
        self.start_with(net, None)
    }

    /// Starts it, with a library that fakes its clock if one is given.
    pub(crate) fn start_with(&mut self, net: &Net, fake_clock: Option<&Path>) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = net.command(Self::host(self.number), env!("CARGO_BIN_EXE_schedule-service"))?;
        command.env_clear().envs(environment(&self.common.elasticsearch, &self.folder()));
        command.env("SCHEDULE__TARGETS__ALLOW_TARGETS", "private, loopback");
        command.env("SCHEDULE__SERVER__HOST", "0.0.0.0").env("SCHEDULE__ACCESS__ALLOW_ANONYMOUS", "true");
        command.env("SCHEDULE__LOG__LEVEL", &self.common.log_level);
        if self.common.is_cluster {
            command
                .env("SCHEDULE__CLUSTER__ADVERTISE_URL", self.base())
                .env("SCHEDULE__CLUSTER__KEY", "chaos-chaos-chaos-chaos")
                .env("SCHEDULE__CLUSTER__TTL", &self.common.ttl);
        }
        if let Some(library) = fake_clock {
            self.step_clock(0)?;
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock_file())
                .env("FAKETIME_CACHE_DURATION", CLOCK_LOOK_S)
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_DONT_RESET", "1");
        }
        command.current_dir(self.folder()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().context("`nsenter` could not be started")?);
        Ok(())
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/readyz", self.base())).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until it says that it is ready. One that ends instead says why.
    pub(crate) async fn wait_ready(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + READY_MAX;
        while !self.is_ready().await {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || tokio::time::Instant::now() > deadline {
                bail!("node {} is not ready ({}):\n{}", self.number + 1, self.log().display(), tail(&self.log(), 15));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        self.child.as_ref().and_then(Child::id).with_context(|| format!("node {} does not run", self.number + 1))
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu(self.pid()?)
    }

    pub(crate) async fn pause(&self) -> Result<()> {
        signal(self.pid()?, "STOP").await
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        signal(self.pid()?, "CONT").await
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().with_context(|| format!("node {} does not run", self.number + 1))?;
        child.kill().await.context("kill -9")
    }

    /// A planned stop, to its end.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        signal(self.pid()?, "TERM").await?;
        let mut child = self.child.take().context("it runs")?;
        let ended = tokio::time::timeout(STOP_MAX, child.wait()).await;
        let status = ended.with_context(|| format!("node {} did not end after SIGTERM", self.number + 1))??;
        if !status.success() {
            bail!("node {} ended with {status} after SIGTERM:\n{}", self.number + 1, tail(&self.log(), 15));
        }
        Ok(())
    }
}

/// What every use of the program needs: the store, and a log that can be read.
pub(crate) fn environment(elasticsearch: &[String], folder: &Path) -> Vec<(String, String)> {
    let replicas = usize::from(elasticsearch.len() > 1);
    [
        ("STORE__PATH", folder.join("data").display().to_string()),
        ("LOG__FORMAT", "json".to_owned()),
        ("ELASTICSEARCH__HOSTS", elasticsearch.join(",")),
        ("ELASTICSEARCH__DEFAULT_INDEX", INDEX.to_owned()),
        ("ELASTICSEARCH__REPLICAS", replicas.to_string()),
    ]
    .map(|(key, value)| (format!("SCHEDULE__{key}"), value))
    .into()
}

/// Every node that should run runs and is ready.
pub(crate) async fn wait_all_ready(nodes: &mut [Node]) -> Result<()> {
    for node in nodes {
        node.wait_ready().await?;
    }
    Ok(())
}
