//! The processes under test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// The program, on a folder of its own.
pub(crate) struct Service {
    pub(crate) base: String,
    /// From the start of the process until it said that it is ready.
    pub(crate) ready_after: Duration,
    child: Child,
}

impl Service {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(folder: &Path, environment: &[(&'static str, String)]) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_schedule-service"))
            .current_dir(folder)
            .env("SCHEDULE__STORE__PATH", folder.join("data"))
            .env("SCHEDULE__SERVER__PORT", "0")
            .env("SCHEDULE__LOG__FORMAT", "json")
            .env("SCHEDULE__TARGETS__ALLOW_TARGETS", "loopback")
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let (mut line, mut base) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(lines.read_line(&mut line).expect("it logs") > 0, "the program ended before it was ready");
            let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = json["address"].as_str() {
                base = format!("http://{address}");
            }
            if json["message"] == "ready" {
                break;
            }
        }
        // Reads on, so that the program never waits for a full pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { base, ready_after: begun.elapsed(), child }
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.child.id())
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let after_name = stat.rsplit(") ").next().expect("the name stands in brackets");
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // A hundred ticks a second on every Linux that this runs on.
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }
}

pub(crate) fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

/// The recording target in a process of its own.
pub(crate) struct Target {
    pub(crate) base: String,
    child: Child,
}

impl Target {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("a program");
        let mut child = Command::new(program)
            .arg("target")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut address)
            .expect("it tells its address");
        Self { base: format!("http://{}", address.trim()), child }
    }

    /// What came since the last report.
    pub(crate) async fn report(&self) -> serde_json::Value {
        let answer = reqwest::get(format!("{}/report", self.base)).await.expect("it answers");
        serde_json::from_str(&answer.text().await.expect("a text")).expect("JSON")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It ends by itself when its input does; this only hurries.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
