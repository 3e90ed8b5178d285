use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A service in a process of its own, and all that it writes into its log.
pub(super) struct Logged {
    pub(super) base: String,
    child: Child,
    rest: JoinHandle<String>,
}

impl Logged {
    /// Starts it, and waits until it is ready.
    pub(super) async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut log, mut base) = (String::new(), String::new());
        while let Some(line) = lines.next_line().await.unwrap() {
            let told: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = told["address"].as_str().filter(|_| told["message"] == "listening") {
                base = format!("http://{address}");
            }
            log.push_str(&line);
            if told["message"] == "ready" {
                break;
            }
        }
        let rest = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.push_str(&line);
            }
            log
        });
        Self { base, child, rest }
    }

    /// Asks it to end, and gives the whole log.
    pub(super) async fn end(mut self) -> String {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.unwrap().success());
        self.child.wait().await.unwrap();
        self.rest.await.unwrap()
    }
}
