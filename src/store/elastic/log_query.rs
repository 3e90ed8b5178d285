//! From a question about log documents to a query of Elasticsearch.

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Inner;
use super::client::WHOLE;
use super::query::{Mark, Marked, hidden};
use super::task_document::MARK;
use super::window::Total;
use crate::model::{Identity, RecordKind, Timestamp};
use crate::store::{LogFilter, LogSort, StoreError};

/// How many clears a query leaves out by itself: each takes up to seven of the thousand clauses that every cluster allows.
/// With more of them, what is found is compared with the marks of its tasks.
pub(super) const MARKS_MAX: usize = 100;
const DOING: &str = "reading deletions";

/// What clears have hidden.
pub(super) struct Cleared {
    marks: Vec<(String, Mark)>,
    /// Whether these are all that concern the query.
    pub(super) are_all: bool,
}

impl Cleared {
    /// No clear concerns the query.
    pub(super) fn none() -> Self {
        Self { marks: Vec::new(), are_all: true }
    }
}

/// Where our own documents hold words, and where those written before they were taken apart.
const WORD_FIELDS: [&str; 3] = ["record.text", "url", "message"];
/// Where documents of the mirrored service hold the words of a response, a text or any JSON.
const LEGACY_WORD_FIELDS: [&str; 2] = ["response", "response.*"];

impl Inner {
    /// The clears that concern a search in the histories of these tasks; none stands for all.
    pub(super) async fn cleared<'a>(
        &self,
        identities: impl ExactSizeIterator<Item = &'a Identity>,
    ) -> Result<Cleared, StoreError> {
        if identities.len() == 0 {
            return self.newest_cleared().await;
        }
        Ok(Cleared { marks: self.marks_of(identities.map(Identity::as_str)).await?, are_all: true })
    }

    /// The marks of these tasks, by their names.
    pub(super) async fn marks_of(
        &self,
        identities: impl Iterator<Item = &str>,
    ) -> Result<Vec<(String, Mark)>, StoreError> {
        let names: Vec<&str> = identities.collect();
        let marks = self.marks(&names).await?;
        Ok(names.into_iter().map(str::to_owned).zip(marks).collect())
    }

    async fn newest_cleared(&self) -> Result<Cleared, StoreError> {
        #[derive(Deserialize)]
        struct Answer {
            hits: Hits,
        }
        #[derive(Deserialize)]
        struct Hits {
            total: Total,
            hits: Vec<Hit>,
        }
        #[derive(Deserialize)]
        struct Hit {
            _source: Marked,
        }
        // A clear that was answered must be seen, also one of another node.
        self.refresh(&self.names.tasks).await?;
        let body = json!({
            "size": MARKS_MAX, "track_total_hits": MARKS_MAX + 1, "sort": [{ "cleared_seq": "desc" }],
            "query": { "bool": { "filter": [{ "term": { "kind": MARK } }, { "range": { "cleared_seq": { "gt": 0 } } }] } },
        });
        let path = format!("/{}/_search?{WHOLE}", self.names.tasks);
        let answer: Answer = self.client.ask(DOING, Method::Post, path, Some(&body)).await?;
        let are_all = answer.hits.total.value <= answer.hits.hits.len();
        let marks = answer.hits.hits.into_iter().map(|hit| (hit._source.identity, hit._source.mark)).collect();
        Ok(Cleared { marks, are_all })
    }

    /// The query. `in_responses`: whether words are looked for in every member of the mirrored service's responses.
    pub(super) fn log_query(&self, filter: &LogFilter, cleared: &Cleared, in_responses: bool) -> Value {
        let kinds: Vec<&str> = RecordKind::ALL
            .iter()
            .filter(|kind| filter.kinds.is_empty() || filter.kinds.contains(kind))
            .map(|kind| kind.as_str())
            .collect();
        let mut all = vec![self.has_kind(&kinds)];
        if !filter.identities.is_empty() {
            let names: Vec<&str> = filter.identities.iter().map(|identity| identity.as_str()).collect();
            all.push(self.exactly("identity", &names));
        }
        all.extend(self.covered(&filter.prefixes));
        if !filter.entries.is_empty() {
            let names: Vec<&str> = filter.entries.iter().map(|entry| entry.as_str()).collect();
            all.push(self.exactly("key", &names));
        }
        if !filter.statuses.is_empty() {
            let ranges = filter.statuses.iter().map(|range| within("status", Some(range.first()), Some(range.last())));
            all.push(json!({ "bool": { "should": ranges.collect::<Vec<Value>>() } }));
        }
        if let Some(run_id) = filter.run_id {
            all.push(json!({ "ids": { "values": [run_id.to_string()] } }));
        }
        all.extend(self.times(filter));
        for (field, range) in [("lateness_ms", filter.lateness_ms), ("duration_ms", filter.duration_ms)] {
            if !range.is_open() {
                all.push(within(field, range.gte, range.lte));
            }
        }
        all.extend(filter.words.iter().map(|word| self.has_word(word, in_responses)));
        json!({ "bool": { "filter": all, "must_not": self.hidden_by(cleared) } })
    }

    /// What clears have hidden, as far as a query can name it.
    pub(super) fn hidden_by(&self, cleared: &Cleared) -> Vec<Value> {
        cleared.marks.iter().filter_map(|(name, mark)| self.hides(name, *mark)).collect()
    }

    fn times(&self, filter: &LogFilter) -> Vec<Value> {
        let millis = |time: Option<Timestamp>| time.map(Timestamp::millis);
        let mut all = Vec::new();
        if !filter.fire_time.is_open() {
            let (gte, lte) = (millis(filter.fire_time.gte), millis(filter.fire_time.lte));
            // Each in a filter of its own: any instant of a stretch may lie within.
            let of_instants = [within("record.last", gte, None), within("record.first", None, lte)];
            let of_run = [json!({ "term": { "record.run": true } }), within("record.instant", gte, lte)];
            all.push(json!({ "bool": { "should": [
                { "bool": { "filter": of_instants } }, { "bool": { "filter": of_run } },
            ] } }));
        }
        if !filter.time.is_open() {
            let ours = within("record.at", millis(filter.time.gte), millis(filter.time.lte));
            // The mirrored service knows whole seconds only.
            let from = millis(filter.time.gte).map(|gte| gte.div_euclid(1_000) + i64::from(gte.rem_euclid(1_000) > 0));
            let legacy = json!({ "bool": {
                "filter": [within("time", from, filter.time.lte.map(Timestamp::secs))],
                "must_not": [{ "exists": { "field": "record.at" } }],
            } });
            all.push(if self.has_legacy { json!({ "bool": { "should": [ours, legacy] } }) } else { ours });
        }
        all
    }

    /// A phrase, as some scripts are taken apart into more than words.
    fn has_word(&self, word: &str, in_responses: bool) -> Value {
        let legacy = match (self.has_legacy, in_responses) {
            (true, true) => &LEGACY_WORD_FIELDS[..],
            (true, false) => &LEGACY_WORD_FIELDS[..1],
            (false, _) => &[],
        };
        let fields: Vec<&&str> = WORD_FIELDS.iter().chain(legacy).collect();
        // Lenient: a member of a response may be a number, which no word is like.
        json!({ "multi_match": { "query": word, "type": "phrase", "fields": fields, "lenient": true } })
    }

    fn hides(&self, identity: &str, mark: Mark) -> Option<Value> {
        let mut hidden = hidden(mark).as_array().cloned().filter(|hidden| !hidden.is_empty())?;
        if !self.has_legacy {
            // The other is about documents without our number.
            hidden.truncate(1);
        }
        Some(json!({ "bool": { "filter": [self.is_of(identity)], "should": hidden, "minimum_should_match": 1 } }))
    }
}

fn within(field: &str, gte: Option<i64>, lte: Option<i64>) -> Value {
    json!({ "range": { field: { "gte": gte, "lte": lte } } })
}

/// The number of ours in what [`order`] sorts by.
pub(super) const SEQ: usize = 2;

/// What pages are ordered by: four numbers, so that a cursor needs no more. Documents of the mirrored service have no instant:
/// they count as older than all that have.
pub(super) fn order(sort: LogSort) -> Value {
    let (direction, missing) = if sort.is_descending() { ("desc", "_last") } else { ("asc", "_first") };
    let by = |field: &str| json!({ field: { "order": direction, "missing": missing, "unmapped_type": "long" } });
    let fields = if sort.is_by_instant() { ["record.instant", "time"] } else { ["time", "record.at"] };
    json!([by(fields[0]), by(fields[1]), by("record.seq"), { "_shard_doc": direction }])
}
