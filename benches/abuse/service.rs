//! The service under test: the real program, watched from outside.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::options::Size;

/// Opens everything at a service that lives as long as this program.
pub(crate) const ADMIN_KEY: &str = "only-for-a-service-that-is-ill-treated";
const PROGRAM: &str = env!("CARGO_BIN_EXE_schedule-service");
const READY_WITHIN: Duration = Duration::from_secs(30);
/// After it was asked to end.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A running service.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    log: PathBuf,
    environment: Vec<(&'static str, String)>,
    child: Child,
}

impl Service {
    /// Starts it on an empty folder. Its entries may reach this target and nothing else.
    pub(crate) async fn start(folder: &Path, target: &str, size: Size) -> Result<Self> {
        let (patience, log) = (size.patience.as_secs().to_string(), folder.join("service.log"));
        let environment = vec![
            ("SCHEDULE__STORE__PATH", folder.join("data").display().to_string()),
            ("SCHEDULE__SERVER__PORT", "0".to_owned()),
            ("SCHEDULE__SERVER__HEADER_TIMEOUT_S", patience.clone()),
            ("SCHEDULE__SERVER__BODY_TIMEOUT_S", patience.clone()),
            ("SCHEDULE__SERVER__IDLE_TIMEOUT_S", patience.clone()),
            ("SCHEDULE__SERVER__WRITE_TIMEOUT_S", patience),
            ("SCHEDULE__SERVER__CONNECTIONS_MAX", size.connections_max.to_string()),
            ("SCHEDULE__SERVER__CONNECTIONS_PER_ADDRESS_MAX", size.per_address_max.to_string()),
            ("SCHEDULE__ACCESS__ADMIN_KEY", ADMIN_KEY.to_owned()),
            ("SCHEDULE__TARGETS__ALLOW_TARGETS", target.to_owned()),
            ("SCHEDULE__TARGETS__ALLOW_ONLY", "true".to_owned()),
            ("SCHEDULE__LOG__FORMAT", "json".to_owned()),
        ];
        let mut command = Command::new(PROGRAM);
        // How memory is kept can be tried without another build.
        let of_memory = std::env::vars().filter(|(name, _)| name.starts_with("MALLOC_"));
        command.env_clear().envs(of_memory).envs(environment.clone());
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log)?).spawn().context(PROGRAM)?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Self { address: nowhere, log, environment, child };
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = service.ended()? {
                bail!("the service ended before it was ready ({status}): {}", fs::read_to_string(&service.log)?);
            }
            if let Some(address) = address_of(&fs::read_to_string(&service.log)?) {
                service.address = address;
                return Ok(service);
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "the service is not ready");
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far, in bytes.
    pub(crate) fn logged(&self) -> Result<u64> {
        Ok(fs::metadata(&self.log)?.len())
    }

    /// The lines of its log from there on that tell of a panic.
    pub(crate) fn panics(&self, from: u64) -> Result<Vec<String>> {
        let (mut file, mut text) = (File::open(&self.log)?, Vec::new());
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).lines().filter(|line| line.contains("panic")).map(str::to_owned).collect())
    }

    /// Asks it to end, and gives how it did.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus> {
        let pid = self.process().to_string();
        Command::new("kill").args(["-s", "TERM", &pid]).status().context("kill")?;
        let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "the service does not end when it is asked to");
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Another command of the same program on the same store.
    pub(crate) fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.env_clear().envs(self.environment.clone());
        command
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where it listens, once it has logged that it is ready.
fn address_of(log: &str) -> Option<SocketAddr> {
    let lines = || log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines().find(|line| line["message"] == "ready")?;
    lines().find_map(|line| line["address"].as_str()?.parse().ok())
}

/// Memory of a process that is in use, in bytes; none if it has ended.
pub(crate) fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
