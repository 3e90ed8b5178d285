//! Network namespaces on one bridge. The whole program runs in a namespace of its own, so nothing else is ever touched, and what
//! is left goes with its last process.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::shell::{run, run_line};

const BRIDGE: &str = "chaos";

/// Where somebody is found.
pub(crate) fn address(host: u8) -> String {
    format!("10.77.0.{host}")
}

/// The bridge, and a namespace for each address on it. This program itself has the address 1.
pub(crate) struct Net {
    /// By their first addresses; each lives as long as the process that holds it.
    namespaces: BTreeMap<u8, Child>,
    /// The first address of the namespace in which an address is.
    homes: BTreeMap<u8, u8>,
}

impl Net {
    /// Lays the bridge into the namespace in which this program runs. Refuses to do so among links of somebody else.
    pub(crate) async fn new() -> Result<Self> {
        let links = run_line("ip -o link show").await?;
        let is_alone = links.lines().all(|line| line.split(": ").nth(1) == Some("lo"));
        ensure!(is_alone, "this is no namespace of its own, start it by scripts/chaos:\n{links}");
        for line in [
            "ip link set lo up".to_owned(),
            format!("ip link add {BRIDGE} type bridge"),
            format!("ip addr add {}/24 dev {BRIDGE}", address(1)),
            format!("ip link set {BRIDGE} up"),
        ] {
            run_line(&line).await?;
        }
        Ok(Self { namespaces: BTreeMap::new(), homes: BTreeMap::new() })
    }

    /// Makes a namespace with these addresses.
    pub(crate) async fn add(&mut self, hosts: &[u8]) -> Result<()> {
        let host = *hosts.first().context("a namespace has an address")?;
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo && exec sleep infinity"]);
        let mut holder = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("`unshare --net` could not be started")?;
        let mut said = String::new();
        let output = holder.stdout.take().context("it is piped")?;
        BufReader::new(output).read_line(&mut said).await?;
        ensure!(!said.is_empty(), "`unshare --net` made no namespace");
        let pid = holder.id().context("it runs")?;
        self.namespaces.insert(host, holder);
        self.homes.extend(hosts.iter().map(|address| (*address, host)));
        run_line(&format!("ip link add to{host} type veth peer name eth0 netns {pid}")).await?;
        run_line(&format!("ip link set to{host} master {BRIDGE} up")).await?;
        let addresses = hosts.iter().map(|host| format!("ip addr add {}/24 dev eth0", address(*host)));
        let links = ["ip link set lo up".to_owned(), "ip link set eth0 up".to_owned()];
        for line in addresses.chain(links) {
            let mut command = self.command(host, "ip")?;
            command.args(line.split_whitespace().skip(1));
            run(command).await?;
        }
        Ok(())
    }

    /// A program within the namespace of an address.
    pub(crate) fn command(&self, host: u8, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let home = self.homes.get(&host).and_then(|home| self.namespaces.get(home));
        let pid = home.and_then(Child::id).with_context(|| format!("no namespace {host}"))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").arg(program);
        Ok(command)
    }

    /// What one sends to the other is lost from now on, also on connections that are open.
    pub(crate) async fn lose(&self, from: u8, to: u8) -> Result<()> {
        let mut command = self.command(to, "iptables")?;
        command.args(["-w", "-A", "INPUT", "-s", &address(from), "-d", &address(to), "-j", "DROP"]);
        run(command).await.map(drop)
    }

    /// Neither hears of the other any more.
    pub(crate) async fn part(&self, one: u8, other: u8) -> Result<()> {
        self.lose(one, other).await?;
        self.lose(other, one).await
    }

    /// Everybody hears everybody.
    pub(crate) async fn heal(&self) -> Result<()> {
        for host in self.namespaces.keys() {
            let mut command = self.command(*host, "iptables")?;
            command.args(["-w", "-F", "INPUT"]);
            run(command).await?;
        }
        Ok(())
    }
}
