use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::elasticsearch::{Server, unique_index};
use super::{Process, Target, client, post_ok, task};

/// How many entries fire each second.
const FIRES_EACH_SECOND: usize = 500;
/// What the process may take at its peak, in MiB: a debug build, all records of a long outage on the disk and not here.
const MEMORY_MAX_MIB: u64 = 400;

/// A service under load, on an index of its own.
pub(crate) struct Loaded {
    process: Process,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    target: Target,
    index: String,
    putting: JoinHandle<Puts>,
    is_over: Arc<AtomicBool>,
}

/// What a client was told of its puts.
#[derive(Default)]
struct Puts {
    acknowledged: Vec<String>,
    refused: Vec<String>,
}

impl Loaded {
    pub(crate) async fn start(more: &[(&'static str, String)]) -> Self {
        let (folder, target, index) = (tempfile::tempdir().unwrap(), Target::start().await, unique_index());
        let mut environment = BTreeMap::from([
            ("SCHEDULE__ELASTICSEARCH__DEFAULT_INDEX", index.clone()),
            ("SCHEDULE__ELASTICSEARCH__REPLICAS", "0".to_owned()),
        ]);
        environment.extend(more.iter().cloned());
        let environment: Vec<(&'static str, String)> = environment.into_iter().collect();
        let process = start(folder.path(), &environment).await;
        for number in 0..10 {
            let entry = |entry: usize| {
                let url = target.url("/ok");
                (format!("e{entry}"), json!({ "cron_time": "* * * * * *", "url": url }))
            };
            let entries: serde_json::Map<String, Value> = (0..FIRES_EACH_SECOND / 10).map(entry).collect();
            let body = json!({ "identity": format!("firing-{number}"), "time_zone": "UTC", "start": true, "entries": entries });
            post_ok(&process.base, "/put", body.to_string()).await;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let putting = tokio::spawn(put(process.base.clone(), is_over.clone()));
        let loaded = Self { process, folder, environment, target, index, putting, is_over };
        loaded.fires_for(3).await;
        loaded
    }

    /// Waits for so many seconds of fires.
    pub(crate) async fn fires_for(&self, seconds: usize) {
        let before = self.target.count();
        self.target.wait_until(|arrivals| arrivals.len() >= before + seconds * FIRES_EACH_SECOND).await;
    }

    async fn readiness(&self) -> (u16, Value) {
        let answer = client().get(format!("{}/readyz", self.process.base)).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// Waits until `/readyz` says yes, or no.
    pub(crate) async fn wait_until_ready(&self, wanted: bool) -> Value {
        let waiting = async {
            loop {
                let (status, said) = self.readiness().await;
                if (status == 200) == wanted {
                    return said;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waiting)
            .await
            .unwrap_or_else(|_| panic!("ready = {wanted} within 2 min"))
    }

    /// kill -9, then a new process on what the first left. The client that puts ends with the first.
    pub(crate) async fn kill_and_start(self, between: impl FnOnce()) -> Self {
        let Self { process, folder, environment, .. } = self;
        process.kill().await;
        between();
        let process = start(folder.path(), &environment).await;
        Self { process, folder, environment, ..self }
    }

    /// Ends the load and the service, and proves that nothing was lost, nothing doubled, and memory stayed bounded.
    pub(crate) async fn prove(self, es: &Server, is_killed: bool) {
        self.wait_until_ready(true).await;
        self.fires_for(2).await;
        self.is_over.store(true, Ordering::Relaxed);
        let puts = self.putting.await.unwrap();
        for identity in &puts.acknowledged {
            let asked = json!({ "identity": identity }).to_string();
            assert!(
                post_ok(&self.process.base, "/get", asked).await["data"].is_object(),
                "`{identity}` was acknowledged"
            );
        }
        for identity in &puts.refused {
            let asked = json!({ "identity": identity }).to_string();
            assert!(post_ok(&self.process.base, "/get", asked).await["data"].is_null(), "`{identity}` was refused");
        }
        assert!(!puts.acknowledged.is_empty(), "nothing was put, so nothing is proven");
        let peak_mib = peak_memory_mib(self.process.pid());
        assert!(peak_mib < MEMORY_MAX_MIB, "{peak_mib} MiB");
        self.process.signal("TERM").await;
        assert!(self.process.wait().await.success());

        let fired = json!({ "terms": { "type": ["success", "error"] } });
        let (runs, requests) = (self.target.arrivals_by_run().len(), self.target.count());
        assert_eq!(es.count(&self.index, fired).await, runs as u64, "a record for each run that the target saw");
        let puts_logged = es.count(&self.index, json!({ "term": { "type": "put" } })).await;
        let acknowledged = puts.acknowledged.len() as u64 + 10;
        if is_killed {
            // One put was under way and may be done or not.
            assert!((acknowledged..=acknowledged + 1).contains(&puts_logged), "{puts_logged} for {acknowledged} puts");
        } else {
            assert_eq!(puts_logged, acknowledged, "a log document for each put");
            assert_eq!(requests, runs, "no run was sent twice");
        }
        verify(self.folder.path(), &self.environment).await;
        es.ask(http::Method::DELETE, &format!("/{}-*", self.index), Value::Null).await;
    }
}

async fn start(folder: &Path, environment: &[(&'static str, String)]) -> Process {
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    Process::try_start_with(folder, &environment).await.unwrap_or_else(|log| panic!("the service did not start: {log}"))
}

/// Puts tasks that never fire here, one after the other, each waiting for its answer.
async fn put(base: String, is_over: Arc<AtomicBool>) -> Puts {
    let (client, mut puts) = (client(), Puts::default());
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let identity = format!("put-{number}");
        let body = task(&identity, "0 0 0 1 1 *", "http://127.0.0.1:9/");
        let Ok(answer) = client.post(format!("{base}/put")).body(body).send().await else { break };
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if answer["error"] == 0 {
            puts.acknowledged.push(identity)
        } else {
            puts.refused.push(identity)
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    puts
}

async fn verify(folder: &Path, environment: &[(&'static str, String)]) {
    let mut command = Process::command(folder);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let verified = command.args(["verify", "--problems", "--from", "2020-01-01T00:00:00Z"]).output().await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
    assert!(verified.status.success(), "{said} {complained}");
}

fn peak_memory_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
