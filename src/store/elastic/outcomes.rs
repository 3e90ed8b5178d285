//! The outcomes of entries, and what they fired last.

use std::collections::HashMap;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Inner;
use super::client::WHOLE;
use super::tasks::SNAPSHOT_KEPT;
use super::window::WINDOW_MAX;
use crate::model::{EntryName, Identity, RecordKind, Stretch, Timestamp};
use crate::store::{Outcome, StoreError};

const OUTCOMES: &str = "reading outcomes";

impl Inner {
    /// The outcomes of entries of some tasks, each whose last instant is later than `after`.
    pub(super) async fn outcomes_of(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        self.refresh_logs().await?;
        let mut of_entry: HashMap<(String, String), Vec<Outcome>> =
            entries.iter().map(|entry| (key_of(entry), Vec::new())).collect();
        let mut identities: Vec<&str> = entries.iter().map(|(identity, _)| identity.as_str()).collect();
        identities.sort_unstable();
        identities.dedup();
        let mut keys: Vec<&str> = entries.iter().map(|(_, entry)| entry.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let kinds: Vec<&str> =
            RecordKind::ALL.into_iter().filter(|kind| kind.is_outcome()).map(RecordKind::as_str).collect();
        let query = json!({ "bool": { "filter": [
            { "terms": { "identity": identities } }, { "terms": { "key": keys } }, { "terms": { "type": kinds } },
            { "range": { "record.last": { "gt": after.millis() } } },
        ] } });
        let found = self.outcome_hits(&query).await?;
        for hit in found {
            let outcome = hit.outcome();
            if let Some(outcomes) = hit.into_entry().and_then(|key| of_entry.get_mut(&key)) {
                outcomes.extend(outcome);
            }
        }
        let mut take = |entry| {
            let mut outcomes = of_entry.remove(&key_of(entry)).unwrap_or_default();
            outcomes.sort_by_key(|outcome| outcome.stretch.last);
            outcomes
        };
        Ok(entries.iter().map(&mut take).collect())
    }

    async fn outcome_hits(&self, query: &Value) -> Result<Vec<OutcomeHit>, StoreError> {
        let logs = self.names.all_logs();
        let body = outcome_search(query);
        let found = self.ask_logs::<OutcomeAnswer>(OUTCOMES, &logs, &body).await?.hits.hits;
        // Mostly there are few, and one search sees all of them at one moment.
        if found.len() < WINDOW_MAX {
            return Ok(found);
        }
        let snapshot = self.open_snapshot_of_logs(OUTCOMES, &logs).await?;
        let found = self.outcome_hits_of(&snapshot, body).await;
        self.close_snapshot(&snapshot).await;
        found
    }

    async fn outcome_hits_of(&self, snapshot: &str, mut body: Value) -> Result<Vec<OutcomeHit>, StoreError> {
        body["sort"] = json!(["_shard_doc"]);
        body["pit"] = json!({ "id": snapshot, "keep_alive": SNAPSHOT_KEPT });
        let mut all = Vec::new();
        loop {
            let path = format!("/_search?{WHOLE}");
            let answer: OutcomeAnswer = self.client.ask(OUTCOMES, Method::Post, path, Some(&body)).await?;
            let found = answer.hits.hits;
            let is_last = found.len() < WINDOW_MAX;
            if let Some(last) = found.last() {
                body["search_after"] = last.sort.as_slice().into();
            }
            all.extend(found);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The newest instants that entries of a task fired, of those later than `after`.
    pub(super) async fn last_fires(
        &self,
        identity: &Identity,
        entries: &[&EntryName],
        after: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        let keys: Vec<&str> = entries.iter().map(|entry| entry.as_str()).collect();
        let body = json!({
            "size": 0,
            "query": { "bool": { "filter": [
                { "term": { "identity": identity.as_str() } }, { "terms": { "key": keys } },
                { "terms": { "type": [RecordKind::Success.as_str(), RecordKind::Error.as_str()] } },
                { "range": { "record.last": { "gt": after.millis() } } },
            ] } },
            "aggs": { "entries": {
                "terms": { "field": "key", "size": entries.len().max(1) },
                "aggs": { "last": { "max": { "field": "record.last" } } },
            } },
        });
        let path = format!("/{}/_search?{WHOLE}&ignore_unavailable=true&allow_no_indices=true", self.names.all_logs());
        let answer: Value = self.client.ask("reading the last fires", Method::Post, path, Some(&body)).await?;
        let mut last: HashMap<&str, Timestamp> = HashMap::new();
        for bucket in answer["aggregations"]["entries"]["buckets"].as_array().into_iter().flatten() {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds come as a float")]
            if let (Some(key), Some(millis)) = (bucket["key"].as_str(), bucket["last"]["value"].as_f64()) {
                last.insert(key, Timestamp::from_millis(millis as i64));
            }
        }
        Ok(keys.iter().map(|key| last.get(key).copied()).collect())
    }
}

fn key_of((identity, entry): &(Identity, EntryName)) -> (String, String) {
    (identity.as_str().to_owned(), entry.as_str().to_owned())
}

fn outcome_search(query: &Value) -> Value {
    json!({
        "query": query, "size": WINDOW_MAX, "track_total_hits": false, "_source": false,
        "docvalue_fields": ["identity", "key", "type", "record.first", "record.last", "record.count"],
    })
}

#[derive(Deserialize)]
struct OutcomeAnswer {
    hits: OutcomeHits,
}

#[derive(Deserialize)]
struct OutcomeHits {
    hits: Vec<OutcomeHit>,
}

/// A hit with the fields of an outcome in place of the document.
#[derive(Deserialize)]
struct OutcomeHit {
    fields: OutcomeFields,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct OutcomeFields {
    #[serde(default)]
    identity: Vec<String>,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    r#type: Vec<String>,
    #[serde(default, rename = "record.first")]
    first: Vec<i64>,
    #[serde(default, rename = "record.last")]
    last: Vec<i64>,
    #[serde(default, rename = "record.count")]
    count: Vec<u64>,
}

impl OutcomeHit {
    fn into_entry(mut self) -> Option<(String, String)> {
        Some((self.fields.identity.pop()?, self.fields.key.pop()?))
    }

    fn outcome(&self) -> Option<Outcome> {
        let fields = &self.fields;
        let millis = |values: &[i64]| values.first().copied().map(Timestamp::from_millis);
        let (first, last) = (millis(&fields.first)?, millis(&fields.last)?);
        let stretch = Stretch { first, last, count: *fields.count.first()? };
        Some(Outcome { kind: RecordKind::parse(fields.r#type.first()?)?, stretch })
    }
}
