//! A real Elasticsearch of one or three hosts, each with an address of its own. Its download is that of `scripts/elasticsearch`.
//! They share a namespace and talk to each other on its loopback: a host that others can reach asks for limits which not everybody
//! may set. So what is cut is always between a node of the service and a host, never between two hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::net::{Net, address};
use super::shell::{is_gone, run, run_line, signal, tail, until};

/// Three of them start on two processors in about a minute.
const START_MAX: Duration = Duration::from_secs(300);
const HEAP: &str = "512m";

/// What is installed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Installed {
    /// The folder of Elasticsearch
    #[arg(long, value_name = "FOLDER", env = "CHAOS_ELASTICSEARCH", hide = true)]
    distribution: PathBuf,
    /// The Java that runs it
    #[arg(long, value_name = "FOLDER", env = "CHAOS_JAVA", hide = true)]
    java: PathBuf,
}

/// The port on which the hosts talk to each other.
fn transport(host: u8) -> u16 {
    9300 + u16::from(host)
}

/// The cluster. Its hosts are counted from 0.
pub(crate) struct Elasticsearch {
    installed: Installed,
    folder: PathBuf,
    count: u8,
    client: reqwest::Client,
}

impl Elasticsearch {
    /// Makes so many hosts, starts them, and waits until they are one cluster.
    pub(crate) async fn start(net: &mut Net, installed: &Installed, folder: &Path, count: u8) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        let this = Self { installed: installed.clone(), folder: folder.join("elasticsearch"), count, client };
        net.add(&(0..count).map(Self::host).collect::<Vec<_>>()).await?;
        for host in 0..count {
            this.make(host).await?;
        }
        let launches = (0..count).map(|host| this.launch(net, host));
        for launched in futures_util::future::join_all(launches).await {
            launched?;
        }
        this.wait_green().await?;
        Ok(this)
    }

    /// The last part of its address.
    pub(crate) fn host(number: u8) -> u8 {
        21 + number
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        (0..self.count).map(|host| format!("http://{}:9200", address(Self::host(host)))).collect()
    }

    fn home(&self, host: u8) -> PathBuf {
        self.folder.join((host + 1).to_string())
    }

    async fn make(&self, host: u8) -> Result<()> {
        let home = self.home(host);
        for name in ["data", "logs", "tmp"] {
            fs::create_dir_all(home.join(name))?;
        }
        run_line(&format!("cp -r {} {}", self.installed.distribution.join("config").display(), home.display())).await?;
        // It would be written where the host may not write.
        let options = home.join("config/jvm.options");
        let kept: Vec<String> =
            fs::read_to_string(&options)?.lines().filter(|line| !line.contains("gc.log")).map(str::to_owned).collect();
        fs::write(options, kept.join("\n"))?;
        fs::write(home.join("config/elasticsearch.yml"), self.settings(host))?;
        Ok(())
    }

    fn settings(&self, host: u8) -> String {
        let seeds: Vec<String> = (0..self.count).map(|host| format!("127.0.0.1:{}", transport(host))).collect();
        let names: Vec<String> = (1..=self.count).map(|number| format!("node-{number}")).collect();
        format!(
            "cluster.name: chaos\nnode.name: node-{}\npath: {{data: '{home}/data', logs: '{home}/logs'}}\n\
             http.host: {}\nhttp.port: 9200\ntransport.host: 127.0.0.1\ntransport.port: {}\n\
             discovery.seed_hosts: [{}]\ncluster.initial_master_nodes: [{}]\n\
             cluster.routing.allocation.disk.threshold_enabled: false\naction.destructive_requires_name: false\n\
             xpack.security.enabled: false\n",
            host + 1,
            address(Self::host(host)),
            transport(host),
            seeds.join(", "),
            names.join(", "),
            home = self.home(host).display(),
        )
    }

    /// Starts a host and returns once it serves. It does not run as root: so it is somebody else in a namespace of users.
    async fn launch(&self, net: &Net, host: u8) -> Result<()> {
        let home = self.home(host);
        let out = fs::File::create(home.join("out"))?;
        let mut command = net.command(Self::host(host), "unshare")?;
        command
            .args(["--user", "--map-user=1000", "--map-group=1000", "sh", "-c"])
            .arg("ulimit -n $(ulimit -Hn) && exec \"$0\" -d -p \"$1\"")
            .arg(self.installed.distribution.join("bin/elasticsearch"))
            .arg(home.join("pid"))
            .current_dir(&home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("ES_JAVA_HOME", &self.installed.java)
            .env("ES_PATH_CONF", home.join("config"))
            .env("ES_TMPDIR", home.join("tmp"))
            .env("CLI_JAVA_OPTS", format!("-Djava.io.tmpdir={} -XX:-UsePerfData", home.join("tmp").display()))
            .env(
                "ES_JAVA_OPTS",
                format!("-Xms{HEAP} -Xmx{HEAP} -XX:-UsePerfData -XX:ErrorFile={}", home.join("jvm.log").display()),
            )
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let mut child = command.spawn().context("`nsenter` could not be started")?;
        let ended = tokio::time::timeout(START_MAX, child.wait()).await;
        match ended {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            _ => {
                let _ = child.kill().await;
                let said = tail(&home.join("out"), 15);
                bail!("Elasticsearch host {} did not start ({}): {said}", host + 1, home.join("logs").display())
            }
        }
    }

    fn pid(&self, host: u8) -> Result<u32> {
        let path = self.home(host).join("pid");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        text.trim().parse().with_context(|| format!("{}: {text}", path.display()))
    }

    pub(crate) async fn pause(&self, host: u8) -> Result<()> {
        signal(self.pid(host)?, "STOP").await
    }

    pub(crate) async fn resume(&self, host: u8) -> Result<()> {
        signal(self.pid(host)?, "CONT").await
    }

    /// kill -9.
    pub(crate) async fn kill(&self, host: u8) -> Result<()> {
        let pid = self.pid(host)?;
        signal(pid, "KILL").await?;
        until("Elasticsearch ends", Duration::from_secs(60), async || is_gone(pid)).await
    }

    /// Brings a host back that was killed.
    pub(crate) async fn restart(&self, net: &Net, host: u8) -> Result<()> {
        let _ = fs::remove_file(self.home(host).join("pid"));
        self.launch(net, host).await
    }

    /// Asks the first host that answers.
    pub(crate) async fn ask(&self, path: &str, body: Option<&Value>) -> Result<String> {
        let mut last = anyhow::anyhow!("there is no host");
        for url in self.urls() {
            let request = match body {
                Some(body) => self
                    .client
                    .post(format!("{url}{path}"))
                    .header("content-type", "application/json")
                    .body(body.to_string()),
                None => self.client.get(format!("{url}{path}")),
            };
            match request.send().await.and_then(reqwest::Response::error_for_status) {
                Ok(answer) => return Ok(answer.text().await?),
                Err(error) => last = anyhow::Error::new(error).context(format!("{url}{path}")),
            }
        }
        Err(last)
    }

    pub(crate) async fn json(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        serde_json::from_str(&self.ask(path, body).await?).with_context(|| path.to_owned())
    }

    /// Every host is there, and every shard has its copies.
    pub(crate) async fn wait_green(&self) -> Result<()> {
        let path = format!("/_cluster/health?wait_for_status=green&wait_for_nodes={}&timeout=10s", self.count);
        until("Elasticsearch is green", START_MAX, async || self.ask(&path, None).await.is_ok()).await
    }

    pub(crate) async fn master(&self) -> Result<u8> {
        self.named(self.ask("/_cat/master?h=node", None).await?.trim())
    }

    /// Who holds the primary shard of an index.
    pub(crate) async fn holder_of(&self, index: &str) -> Result<u8> {
        let shards = self.ask(&format!("/_cat/shards/{index}?h=prirep,node"), None).await?;
        let primary = shards.lines().find_map(|line| line.trim().strip_prefix("p "));
        self.named(primary.with_context(|| format!("{index} has no primary shard: {shards}"))?.trim())
    }

    fn named(&self, name: &str) -> Result<u8> {
        let number = name.strip_prefix("node-").and_then(|number| number.parse::<u8>().ok());
        let number = number.with_context(|| format!("`{name}` is no host of ours"))?;
        ensure!((1..=self.count).contains(&number), "`{name}` is no host of ours");
        Ok(number - 1)
    }

    /// How many requests all hosts have been asked so far, but those for this very figure.
    pub(crate) async fn requests(&self) -> Result<u64> {
        let stats = self.json("/_nodes/stats/http", None).await?;
        let nodes = stats["nodes"].as_object().context("no nodes in their statistics")?;
        let routes = nodes.values().filter_map(|node| node["http"]["routes"].as_object()).flatten();
        let others = routes.filter(|(route, _)| !route.starts_with("/_nodes"));
        let counts = others.map(|(route, counts)| counts["requests"]["count"].as_u64().with_context(|| route.clone()));
        let all = counts.sum::<Result<u64>>()?;
        ensure!(all > 0, "Elasticsearch does not count its requests: {stats}");
        Ok(all)
    }

    /// Ends every host.
    pub(crate) async fn stop(&self) {
        for host in 0..self.count {
            let Ok(pid) = self.pid(host) else { continue };
            let mut command = tokio::process::Command::new("kill");
            command.args(["-s", "KILL", &pid.to_string()]);
            let _ = run(command).await;
        }
    }
}
