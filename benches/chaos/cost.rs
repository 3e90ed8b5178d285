//! What it costs: requests to Elasticsearch and processor time, at rest with many entries, and while it fires.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::judge::{Hit, Times};
use super::nodes::Node;
use super::options::Options;
use super::stage::{Judged, Stage};
use super::target::now;

/// How long each is measured, after it has come to rest for a while.
const MEASURED: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_secs(10);
/// Entries of one task that is at rest, and tasks of one request.
const ENTRIES: usize = 10;
const LINES: usize = 2_000;
/// How often each node is asked for what the others do not take.
const ROUNDS: usize = 20;

/// What was used between two looks, each second.
struct Used {
    requests: f64,
    cpu: f64,
}

async fn used(stage: &Stage) -> Result<Used> {
    let cpu = || -> Result<Duration> { stage.nodes.iter().map(Node::cpu).sum() };
    let (begun, requests, cpu_before) = (tokio::time::Instant::now(), stage.es.requests().await?, cpu()?);
    tokio::time::sleep(MEASURED).await;
    let (requests, cpu) = (stage.es.requests().await? - requests, cpu()?.saturating_sub(cpu_before));
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Used { requests: requests as f64 / seconds, cpu: cpu.as_secs_f64() / seconds })
}

/// First while the steady tasks fire with nothing else, then with the entries beside them, then with the entries alone.
pub(crate) async fn measure(options: Options) -> Result<()> {
    let (nodes, entries, rate) = (options.nodes, options.entries, options.rate);
    let mut stage = Stage::build(options).await?;
    let begin = now();
    let firing = used(&stage).await?;
    let end = now();
    let times = Times { begin, fault: begin, relief: end, end };
    let judged = Judged { tasks: Vec::new(), counts_from_relief: false, is_recovered: true };
    let finding = stage.judge(times, Hit::All, judged).await?;
    put_resting(&stage, entries).await?;
    tokio::time::sleep(REST).await;
    let beside = used(&stage).await?;
    stage.delete_steady().await?;
    tokio::time::sleep(REST).await;
    let resting = used(&stage).await?;
    println!(
        "| nodes | entries at rest | fires/s | requests to Elasticsearch/s | processor of all nodes | lateness p99 |"
    );
    println!("|---|---|---|---|---|---|");
    let lateness = format!("{} ms", finding.figures.lateness.p99);
    for (entries, rate, used, lateness) in
        [(0, rate, &firing, &*lateness), (entries, rate, &beside, ""), (entries, 0.0, &resting, "")]
    {
        println!("| {nodes} | {entries} | {rate} | {:.1} | {:.1} % | {lateness} |", used.requests, used.cpu * 100.0);
    }
    ensure!(finding.breaches.is_empty(), "broken promises while nothing was broken: {:?}", finding.breaches.first());
    stage.es.stop().await;
    Ok(())
}

/// Entries that fire once a year, by `/bulk`.
async fn put_resting(stage: &Stage, entries: usize) -> Result<()> {
    let tasks: Vec<usize> = (0..entries.div_ceil(ENTRIES)).collect();
    for (turn, chunk) in tasks.chunks(LINES).enumerate() {
        let lines = chunk.iter().map(|number| line(*number, ENTRIES.min(entries - number * ENTRIES)));
        put_lines(&stage.asked.bases, turn, lines.collect()).await?;
    }
    Ok(())
}

/// Puts the lines at one node, and what that one cannot take at the next.
async fn put_lines(bases: &[String], turn: usize, mut lines: Vec<String>) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut last = String::new();
    for asked in 0..bases.len() * ROUNDS {
        let url = format!("{}/bulk", bases[(turn + asked) % bases.len()]);
        let answer = client.post(url).body(lines.concat()).send().await?.text().await?;
        let answers: Vec<&str> = answer.lines().filter(|line| line.starts_with("{\"line\"")).collect();
        ensure!(answers.len() == lines.len(), "/bulk broke off: {answer}");
        last = answers.iter().find(|line| !is_done(line)).map(|line| (*line).to_owned()).unwrap_or_default();
        lines = lines.into_iter().zip(&answers).filter(|(_, answer)| !is_done(answer)).map(|(line, _)| line).collect();
        if lines.is_empty() {
            return Ok(());
        }
    }
    bail!("no node takes {} tasks: {last}", lines.len())
}

fn is_done(answer: &str) -> bool {
    answer.contains("\"error\":0")
}

fn line(number: usize, entries: usize) -> String {
    let entry = |entry| format!(r#""e{entry}":{{"cron_time":"0 0 0 1 1 *","url":"http://10.77.0.31:8080/resting"}}"#);
    let entries: Vec<String> = (0..entries).map(entry).collect();
    format!(
        "{{\"put\":{{\"identity\":\"resting-{number:07}\",\"time_zone\":\"UTC\",\"start\":true,\"entries\":{{{}}}}}}}\n",
        entries.join(",")
    )
}
