//! What the service itself says about what it did: `schedule-service verify`, and the marks in the records.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::Command;

use super::elasticsearch::Elasticsearch;
use super::judge::{Outcome, Word};
use super::nodes::{INDEX, environment};
use super::verified;

/// What is on its way has its outcome within this time, else it is judged as it is.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Of one question to Elasticsearch.
const RUNS_AT_ONCE: usize = 5_000;
const UNMARKED_TOLD: usize = 3;

/// The outcome of every instant in the range, of the tasks that are known by their names. Waits for those that are open.
pub(crate) async fn outcomes(
    es: &Elasticsearch,
    folder: &Path,
    places: &HashMap<&str, usize>,
    (from, to): (i64, i64),
) -> Result<Vec<Outcome>> {
    let deadline = tokio::time::Instant::now() + SETTLE_MAX;
    loop {
        let found = verify(es, folder, places, (from, to)).await;
        let is_over = tokio::time::Instant::now() > deadline;
        match found {
            Ok(found) if is_over || found.iter().all(is_settled) => return Ok(found),
            Err(error) if is_over => return Err(error),
            // A store under load may have been too slow to answer.
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

fn is_settled(outcome: &Outcome) -> bool {
    outcome.word != Word::Open && outcome.word != Word::Missing
}

async fn verify(
    es: &Elasticsearch,
    folder: &Path,
    places: &HashMap<&str, usize>,
    range: (i64, i64),
) -> Result<Vec<Outcome>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schedule-service"));
    command.env_clear().envs(environment(&es.urls(), folder)).current_dir(folder);
    verified::verify(command, places, range).await
}

/// Those of these runs whose record says `redelivered`. Of some others their records are told: whose they are shows there.
pub(crate) async fn redelivered(es: &Elasticsearch, runs: &[&str]) -> Result<HashSet<String>> {
    let mut marked = HashSet::new();
    let mut told = 0;
    for runs in runs.chunks(RUNS_AT_ONCE) {
        let query = json!({ "size": RUNS_AT_ONCE, "query": { "terms": { "run_id": runs } } });
        let answer = es.json(&format!("/{INDEX}/_search"), Some(&query)).await?;
        let hits = answer["hits"]["hits"].as_array().context("no hits")?;
        for record in hits.iter().map(|hit| &hit["_source"]) {
            if record["redelivered"] == true {
                marked.extend(record["run_id"].as_str().map(str::to_owned));
            } else if told < UNMARKED_TOLD {
                told += 1;
                eprintln!("chaos: sent again, and its record does not say so: {record}");
            }
        }
    }
    Ok(marked)
}
