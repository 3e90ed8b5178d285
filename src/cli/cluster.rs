//! `schedule-service cluster`: who lives and who owns what, and a node that gives its shards away.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::Format;
use super::client::{Ours, Service, ServiceArgs, block_on};

/// The largest answer that is read, in bytes. One of a hundred nodes is far smaller.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// How often is looked whether a node has given its shards away, and for how long.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(300);
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// How many changes of owners are shown.
const CHANGES_SHOWN: usize = 10;

/// What to do.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the nodes, what each owns, how their clocks differ, and what changed hands
    Status {
        /// How to report
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Have a node give its shards to the others, and wait until it has none; it stays, and answers
    Drain {
        /// Its id or URL, as `cluster status` shows it
        node: String,
    },
    /// Have a node that was drained take shards again
    Undrain {
        /// Its id or URL, as `cluster status` shows it
        node: String,
    },
}

#[derive(Debug, Deserialize)]
struct Cluster {
    ttl_ms: Option<u64>,
    nodes: Vec<Node>,
    shards: Vec<Shard>,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    url: String,
    is_me: bool,
    is_leaving: bool,
    joined: String,
    silent_ms: Option<u64>,
    clock_ahead_ms: Option<i64>,
    clock_ahead_within_ms: Option<u64>,
    shards: usize,
}

#[derive(Debug, Deserialize)]
struct Shard {
    owner: Option<String>,
    epoch: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Change {
    at: String,
    from: Option<String>,
    to: Option<String>,
    reason: String,
    shards: Vec<usize>,
}

#[derive(Serialize)]
struct Drain<'a> {
    node: &'a str,
    drained: bool,
}

/// Exit code 1 when the service cannot be asked, or refuses.
pub(super) fn run(args: &ClusterArgs, ours: &Ours, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let service = args.service.service(ours)?;
    block_on(async {
        match &args.verb {
            Verb::Status { format: Format::Text } => write_status(&ask(&service).await?, output)?,
            Verb::Status { format: Format::Json } => {
                output.write_all(&service.get("/cluster", ANSWER_MAX).await?.data)?;
                writeln!(output)?;
            }
            Verb::Drain { node } => drain(&service, node, output).await?,
            Verb::Undrain { node } => {
                set_drained(&service, node, false).await?;
                writeln!(output, "{node} takes shards again")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })?
}

async fn ask(service: &Service) -> anyhow::Result<Cluster> {
    let answer = service.get("/cluster", ANSWER_MAX).await?;
    serde_json::from_slice(&answer.data).map_err(|error| service.failed("/cluster", error).into())
}

async fn set_drained(service: &Service, node: &str, drained: bool) -> anyhow::Result<()> {
    let body = serde_json::to_vec(&Drain { node, drained }).expect("a text can be written as JSON");
    service.post("/cluster/drain", body.into(), ANSWER_MAX).await?;
    Ok(())
}

async fn drain(service: &Service, node: &str, output: &mut impl Write) -> anyhow::Result<()> {
    set_drained(service, node, true).await?;
    let begun = Instant::now();
    loop {
        let cluster = ask(service).await?;
        let wanted = node.trim_end_matches('/');
        let left = cluster.nodes.iter().find(|it| it.url == wanted || it.id == wanted).map_or(0, |it| it.shards);
        if left == 0 {
            writeln!(output, "{node} has no shards any more, after {:.1} s", begun.elapsed().as_secs_f64())?;
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < DRAIN_MAX, "{node} still owns {left} shards, see its log");
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

fn write_status(cluster: &Cluster, output: &mut impl Write) -> std::io::Result<()> {
    let Some(ttl_ms) = cluster.ttl_ms else {
        return writeln!(output, "alone on the embedded store: this service owns all {} shards", cluster.shards.len());
    };
    let width = cluster.nodes.iter().map(|node| node.url.len()).max().unwrap_or(0).max("NODE".len());
    writeln!(output, "{:width$}  SHARDS  STATE    LAST SIGN  {:23}  JOINED", "NODE", "CLOCK")?;
    for node in &cluster.nodes {
        let Node { url, shards, joined, .. } = node;
        let state = if node.is_leaving { "leaving" } else { "live" };
        let sign = node.silent_ms.map_or("-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0));
        let clock = match (node.clock_ahead_ms, node.clock_ahead_within_ms) {
            (Some(_), _) if node.is_me => "answers".to_owned(),
            (Some(ms), Some(within)) => format!("{ms:+} ms, within {within}"),
            (Some(_) | None, _) => "-".to_owned(),
        };
        writeln!(output, "{url:width$}  {shards:>6}  {state:7}  {sign:>9}  {clock:23}  {joined}")?;
    }
    let owned = cluster.shards.iter().filter(|shard| shard.owner.is_some()).count();
    let epoch = cluster.shards.iter().filter_map(|shard| shard.epoch).max().unwrap_or(0);
    let (all, ttl) = (cluster.shards.len(), ttl_ms as f64 / 1_000.0);
    writeln!(output, "\n{owned} of {all} shards have an owner; highest epoch {epoch}; time to live {ttl} s")?;
    let newest = &cluster.changes[cluster.changes.len().saturating_sub(CHANGES_SHOWN)..];
    if !newest.is_empty() {
        writeln!(output, "\nnewest changes of owners, as the node that answers saw them:")?;
    }
    for Change { at, from, to, reason, shards } in newest {
        let name = |url: &Option<String>| url.clone().unwrap_or_else(|| "nobody".to_owned());
        writeln!(output, "{at}  {:>2} shards  {} -> {}  {reason}", shards.len(), name(from), name(to))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cluster: &str) -> String {
        let mut output = Vec::new();
        write_status(&serde_json::from_str(cluster).unwrap(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_status_is_a_table_of_nodes_and_a_list_of_changes() {
        let text = shown(
            r#"{"ttl_ms":3000,"nodes":[
                {"id":"a","url":"http://10.0.0.7:3000","is_me":true,"is_leaving":false,"joined":"2026-11-21T06:15:30.123Z",
                 "silent_ms":310,"clock_ahead_ms":0,"clock_ahead_within_ms":0,"shards":1},
                {"id":"b","url":"http://10.0.0.8:3000","is_me":false,"is_leaving":true,"joined":"2026-11-21T06:16:00.000Z",
                 "silent_ms":null,"clock_ahead_ms":-12,"clock_ahead_within_ms":40,"shards":0}],
              "shards":[{"shard":0,"owner":"http://10.0.0.7:3000","epoch":3},{"shard":1,"owner":null,"epoch":null}],
              "changes":[{"at":"2026-11-21T06:16:01.000Z","from":null,"to":"http://10.0.0.7:3000","reason":"free","shards":[0]}]}"#,
        );

        let expected = "\
NODE                  SHARDS  STATE    LAST SIGN  CLOCK                    JOINED
http://10.0.0.7:3000       1  live         0.3 s  answers                  2026-11-21T06:15:30.123Z
http://10.0.0.8:3000       0  leaving          -  -12 ms, within 40        2026-11-21T06:16:00.000Z

1 of 2 shards have an owner; highest epoch 3; time to live 3 s

newest changes of owners, as the node that answers saw them:
2026-11-21T06:16:01.000Z   1 shards  nobody -> http://10.0.0.7:3000  free
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_service_on_the_embedded_store_says_that_it_is_alone() {
        let text = shown(r#"{"ttl_ms":null,"nodes":[],"shards":[{"owner":"this node","epoch":1}],"changes":[]}"#);

        assert_eq!(text, "alone on the embedded store: this service owns all 1 shards\n");
    }
}
