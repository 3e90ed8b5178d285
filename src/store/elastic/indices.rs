//! Our indices: their names, settings and mappings, and what a cluster must be to hold them.

use std::collections::BTreeMap;
use std::sync::Arc;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, NOTHING, is_missing, read};
use super::exchange::Answer;
use super::mappings::{lease_mapping, log_mapping, result_mapping, task_mapping};
use super::problem;
use super::settings::{Durability, Refresh, Settings};
use crate::model::Timestamp;
use crate::store::StoreError;

/// The format of our mappings. It grows with each change of them.
const FORMAT: u32 = 6;
/// Above the templates that Elasticsearch brings, which use up to 200.
const TEMPLATE_PRIORITY: u32 = 350;

/// The names of our indices.
#[derive(Debug)]
pub(super) struct Names {
    /// The alias of the history, and the name of an index that the mirrored service may have left.
    pub(super) alias: Arc<str>,
    pub(super) tasks: Arc<str>,
    pub(super) leases: Arc<str>,
    /// What the name of each month's history begins with.
    logs: String,
    /// What the name of each month's results begins with.
    results: String,
    /// What the name of each month's audit begins with.
    audit: String,
}

impl Names {
    pub(super) fn new(index: &str) -> Self {
        Self {
            alias: index.into(),
            tasks: format!("{index}-tasks").into(),
            leases: format!("{index}-leases").into(),
            logs: format!("{index}-logs-"),
            results: format!("{index}-results-"),
            audit: format!("{index}-audit-"),
        }
    }

    /// Every index of ours that holds history.
    pub(super) fn all_logs(&self) -> String {
        format!("{}*", self.logs)
    }

    /// What a search looks into: our history, and what the mirrored service may have left.
    pub(super) fn searched(&self) -> String {
        format!("{},{}*", self.alias, self.logs)
    }

    /// Every index of ours that holds results.
    pub(super) fn all_results(&self) -> String {
        format!("{}*", self.results)
    }

    /// Every index of ours that holds the audit.
    pub(super) fn all_audit(&self) -> String {
        format!("{}*", self.audit)
    }

    /// All our indices.
    pub(super) fn all(&self) -> String {
        let (logs, results, audit) = (self.all_logs(), self.all_results(), self.all_audit());
        format!("{},{},{logs},{results},{audit}", self.tasks, self.leases)
    }

    /// The index for an instant: the same instant always has the same index, so that a record finds the one it replaces.
    pub(super) fn logs_of(&self, instant: Timestamp) -> Arc<str> {
        of_month(&self.logs, instant)
    }

    /// The index for the results of runs of an instant.
    pub(super) fn results_of(&self, instant: Timestamp) -> Arc<str> {
        of_month(&self.results, instant)
    }

    /// The index for audit records of an instant.
    pub(super) fn audit_of(&self, instant: Timestamp) -> Arc<str> {
        of_month(&self.audit, instant)
    }

    /// The last moment of the month of an index of the history or of the audit; `None` for a name that is not of ours.
    pub(super) fn logs_end(&self, index: &str) -> Option<Timestamp> {
        month_end(index.strip_prefix(&self.logs).or(index.strip_prefix(&self.audit))?)
    }

    /// The same for an index of results.
    pub(super) fn results_end(&self, index: &str) -> Option<Timestamp> {
        month_end(index.strip_prefix(&self.results)?)
    }
}

fn of_month(prefix: &str, instant: Timestamp) -> Arc<str> {
    let (year, month) = instant.year_month();
    format!("{prefix}{year:04}.{month:02}").into()
}

fn month_end(month: &str) -> Option<Timestamp> {
    let (year, month) = month.split_once('.')?;
    let (year, month): (i32, u32) = (year.parse().ok()?, month.parse().ok()?);
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    Timestamp::of_month(year, month).map(|end| Timestamp::from_millis(end.millis() - 1))
}

/// The version of a cluster, if it is one that we know how to use.
pub(super) async fn check_version(client: &Client) -> Result<String, StoreError> {
    #[derive(Deserialize)]
    struct Root {
        version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        number: String,
    }
    #[derive(Deserialize)]
    struct Nodes {
        nodes: BTreeMap<String, Node>,
    }
    #[derive(Deserialize)]
    struct Node {
        version: String,
    }
    const DOING: &str = "asking for the version";
    let root = client.call(DOING, Method::Get, "/", NOTHING).await?;
    check_product(&root)?;
    let version = if root.status.is_success() {
        read::<Root>(DOING, &root.body)?.version.number
    } else {
        // A minimal build has no page at its root.
        let nodes: Nodes =
            client.ask(DOING, Method::Get, "/_nodes/_local?filter_path=nodes.*.version", NOTHING).await?;
        nodes.nodes.into_values().next().map(|node| node.version).unwrap_or_default()
    };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(8 | 9) => Ok(version),
        Some(_) | None => Err(StoreError::Refused(format!(
            "Elasticsearch {version} is not supported, expected 8.x or 9.x ([elasticsearch] hosts)"
        ))),
    }
}

/// What no waiting will mend is refused.
fn check_product(answer: &Answer) -> Result<(), StoreError> {
    if matches!(answer.status.as_u16(), 429 | 502..=504) {
        // A proxy says it, perhaps: Elasticsearch may come.
        return Err(super::client::unavailable("asking for the version", problem::of_answer(answer)));
    }
    let is_refusal = matches!(answer.status.as_u16(), 401 | 403);
    if !answer.is_elastic || is_refusal {
        return Err(StoreError::Refused(problem::of_answer(answer)));
    }
    Ok(())
}

/// Makes what is missing. What is there stays, with the fields it lacks.
pub(super) async fn prepare(
    client: &Client,
    names: &Names,
    settings: &Settings,
    has_legacy: bool,
) -> Result<(), StoreError> {
    const DOING: &str = "preparing the indices";
    let logs = (names.alias.to_string(), names.all_logs(), log_template(names, settings, !has_legacy));
    let results = (format!("{}-results", names.alias), names.all_results(), result_template(names, settings));
    let audit = (format!("{}-audit", names.alias), names.all_audit(), audit_template(names, settings));
    for (name, indices, template) in [logs, results, audit] {
        let _: Value = client.ask(DOING, Method::Put, format!("/_index_template/{name}"), Some(&template)).await?;
        let path = format!("/{indices}/_mapping?ignore_unavailable=true&allow_no_indices=true");
        let mapping = &template["template"]["mappings"];
        client.do_or_find(DOING, Method::Put, path, Some(mapping), is_missing).await?;
    }
    for (index, mapping) in [(&names.tasks, task_mapping()), (&names.leases, lease_mapping())] {
        let mut body = json!({ "settings": safe_settings(settings), "mappings": mapping });
        if *index == names.tasks {
            // Pages of a shard's tasks are read in this order.
            body["settings"]["index.sort.field"] = json!(["shard", "identity", "number"]);
        }
        client.do_or_find(DOING, Method::Put, format!("/{index}"), Some(&body), is_there).await?;
        let path = format!("/{index}/_mapping");
        let _: Value = client.ask(DOING, Method::Put, path, Some(&mapping)).await?;
    }
    Ok(())
}

/// Whether an index could not be made because it is there.
pub(super) fn is_there(answer: &Answer) -> bool {
    String::from_utf8_lossy(&answer.body).contains("resource_already_exists_exception")
}

/// Whether there is an index, not an alias, with the name of our alias: the mirrored service left it.
pub(super) async fn has_legacy(client: &Client, names: &Names) -> Result<bool, StoreError> {
    const DOING: &str = "looking for an older index";
    let answer =
        client.call(DOING, Method::Get, format!("/{}/_settings?flat_settings=true", names.alias), NOTHING).await?;
    if is_missing(&answer) {
        return Ok(false);
    }
    if !answer.status.is_success() {
        return Err(super::client::unavailable(DOING, problem::of_answer(&answer)));
    }
    let indices: BTreeMap<String, Value> = read(DOING, &answer.body)?;
    Ok(indices.contains_key(&*names.alias))
}

fn log_template(names: &Names, settings: &Settings, with_alias: bool) -> Value {
    let mut template = monthly_template(names.all_logs(), settings, &log_mapping());
    if with_alias {
        template["template"]["aliases"] = json!({ &*names.alias: {} });
    }
    template
}

/// Results are in no alias: nobody searches them.
fn result_template(names: &Names, settings: &Settings) -> Value {
    monthly_template(names.all_results(), settings, &result_mapping())
}

/// The audit is in no alias: who reads the history reads it not by chance.
fn audit_template(names: &Names, settings: &Settings) -> Value {
    monthly_template(names.all_audit(), settings, &log_mapping())
}

fn monthly_template(indices: String, settings: &Settings, mapping: &Value) -> Value {
    let mut monthly_settings = safe_settings(settings);
    monthly_settings["index.number_of_shards"] = json!(settings.shards);
    if settings.durability == Durability::Async {
        monthly_settings["index.translog.durability"] = json!("async");
    }
    json!({
        "index_patterns": [indices],
        "priority": TEMPLATE_PRIORITY,
        "template": { "settings": monthly_settings, "mappings": mapping },
        "_meta": { "format": FORMAT, "by": "schedule-service" },
    })
}

fn safe_settings(settings: &Settings) -> Value {
    let refresh = match settings.refresh {
        Refresh::EverySeconds(seconds) => format!("{seconds}s"),
        Refresh::Immediately => "1s".to_owned(),
    };
    json!({
        "index.number_of_shards": 1,
        "index.number_of_replicas": settings.replicas,
        "index.refresh_interval": refresh,
        "index.translog.durability": "request",
        "index.write.wait_for_active_shards": settings.wait_for_active_shards,
    })
}

/// Why the cluster cannot work for us, if it cannot.
pub(super) async fn check_health(client: &Client, names: &Names) -> Result<(), StoreError> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
    }
    const DOING: &str = "asking how the cluster is";
    let ours = names.all();
    let path = format!("/_cluster/health/{ours}?expand_wildcards=open&timeout=2s");
    let health: Health = client.ask(DOING, Method::Get, path, NOTHING).await?;
    if health.status == "red" {
        return Err(super::client::unavailable(
            DOING,
            "the cluster is red, shards of our indices are missing: look at _cluster/allocation/explain",
        ));
    }
    let path = format!("/{ours}/_settings/index.blocks.*?flat_settings=true&ignore_unavailable=true");
    let blocks: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>> =
        client.ask(DOING, Method::Get, path, NOTHING).await?;
    for (index, settings) in &blocks {
        let is_blocked = |(_, value): &(&String, &String)| *value == "true";
        if let Some((block, _)) = settings.values().flatten().find(is_blocked) {
            let text = problem::of_status(403, &format!("cluster_block_exception: {index} is read-only by {block}"));
            return Err(super::client::unavailable(DOING, text));
        }
    }
    Ok(())
}
