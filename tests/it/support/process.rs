use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// The real program in a process of its own, which can be killed.
pub(crate) struct Process {
    pub(crate) base: String,
    child: Child,
}

impl Process {
    /// The program, with nothing in its environment that could change its configuration.
    pub(crate) fn command(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schedule-service"));
        command
            .current_dir(folder)
            .env_clear()
            .env("SCHEDULE__STORE__PATH", folder.join("data"))
            .env("SCHEDULE__SERVER__PORT", "0")
            .env("SCHEDULE__LOG__FORMAT", "json")
            .env("SCHEDULE__TARGETS__ALLOW_TARGETS", "loopback")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::try_start(folder).await.unwrap_or_else(|log| panic!("the service did not start: {log}"))
    }

    /// Starts it; what it logged, if it ends before it is ready.
    pub(crate) async fn try_start(folder: &Path) -> Result<Self, String> {
        Self::try_start_with(folder, &[]).await
    }

    /// The same, with more in its environment.
    pub(crate) async fn try_start_with(folder: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_until("ready", folder, environment).await
    }

    /// Starts it and waits until it says that it listens, though it may not be ready.
    pub(crate) async fn start_listening(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_until("listening", folder, environment)
            .await
            .unwrap_or_else(|log| panic!("it does not listen: {log}"))
    }

    async fn start_until(message: &'static str, folder: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = Self::command(folder);
        let mut child =
            command.envs(environment.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (ready, is_ready) = oneshot::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let logged = log.clone();
        tokio::spawn(async move {
            let (mut ready, mut address) = (Some(ready), String::new());
            // Reads to the end, so that the service never waits for a full pipe.
            while let Ok(Some(line)) = lines.next_line().await {
                let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(found) = json["address"].as_str() {
                    address = found.to_owned();
                }
                if json["message"] == message
                    && let Some(ready) = ready.take()
                {
                    let _ = ready.send(Ok(address.clone()));
                }
                if ready.is_some() {
                    let mut log = logged.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
            if let Some(ready) = ready {
                let _ = ready.send(Err(logged.lock().unwrap().clone()));
            }
        });
        let address = tokio::time::timeout(Duration::from_secs(60), is_ready).await;
        let address = address.unwrap_or_else(|_| panic!("not ready within a minute: {}", log.lock().unwrap()));
        Ok(Self { base: format!("http://{}", address.unwrap()?), child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it has not ended")
    }

    /// kill -9.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal by its name.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, which has to come: a service that does not end is killed and fails the test.
    pub(crate) async fn wait(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(Duration::from_secs(120), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the service still runs 2 min after it was asked to end")).unwrap()
    }
}
