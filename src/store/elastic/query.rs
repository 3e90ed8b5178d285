//! Reading the history.

use serde::Deserialize;
use serde_json::{Value, json};

use super::task_document::MARK;
use super::window::Window;
use super::{Inner, bulk};
use crate::model::{Prefixes, RecordKind, Timestamp};
use crate::store::{Found, Search, StoreError};

/// Until when the history of a task was cleared.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Mark {
    #[serde(default)]
    pub(super) through: i64,
    /// Records up to this number are hidden; zero: none are.
    #[serde(default)]
    pub(super) cleared_seq: u64,
}

impl Mark {
    /// Whether it hides a record with this number, or one of the mirrored service with none.
    pub(super) fn hides(self, seq: Option<u64>, time: Timestamp) -> bool {
        match seq {
            Some(seq) => seq <= self.cleared_seq,
            None => (self.cleared_seq > 0 || self.through > 0) && time.secs() <= self.through.div_euclid(1_000),
        }
    }
}

/// A mark as it is found: with the task it is of, which is empty for all tasks.
#[derive(Debug, Deserialize)]
pub(super) struct Marked {
    pub(super) identity: String,
    #[serde(flatten)]
    pub(super) mark: Mark,
}

pub(super) fn mark_id(identity: &str) -> String {
    format!("{MARK}:{identity}")
}

impl Inner {
    /// Finds records of a task, newest first.
    pub(super) async fn search(&self, search: &Search) -> Result<Found, StoreError> {
        let mark = self.mark(search.identity.as_str()).await?;
        let window = Window {
            indices: self.names.searched(),
            query: self.query_of(search, mark),
            sort: newest_first(),
            without: &[],
            skip: search.skip,
            limit: search.limit,
        };
        self.found_in(&window).await
    }

    fn query_of(&self, search: &Search, mark: Mark) -> Value {
        let mut filter = vec![self.is_of(search.identity.as_str())];
        let kinds: Vec<&str> = match search.kind {
            Some(kind) => vec![kind.as_str()],
            None => RecordKind::ALL.into_iter().map(RecordKind::as_str).collect(),
        };
        filter.push(self.has_kind(&kinds));
        if search.since_secs.is_some() || search.until_secs.is_some() {
            filter.push(json!({ "range": { "time": { "gte": search.since_secs, "lte": search.until_secs } } }));
        }
        json!({ "bool": { "filter": filter, "must_not": hidden(mark) } })
    }

    /// Exactly this identity. In an index of the mirrored service its words are indexed, and beside them the whole.
    pub(super) fn is_of(&self, identity: &str) -> Value {
        self.exactly("identity", &[identity])
    }

    pub(super) fn has_kind(&self, kinds: &[&str]) -> Value {
        self.exactly("type", kinds)
    }

    /// Of a task that one of these covers; `None`: of any.
    pub(super) fn covered(&self, prefixes: &Prefixes) -> Option<Value> {
        let begins = |field: &str| -> Vec<Value> {
            prefixes.iter().map(|prefix| json!({ "prefix": { field: { "value": prefix } } })).collect()
        };
        (!prefixes.are_all()).then(|| self.either("identity", |field| json!({ "bool": { "should": begins(field) } })))
    }

    pub(super) fn exactly(&self, field: &str, values: &[&str]) -> Value {
        self.either(field, |field| json!({ "terms": { field: values } }))
    }

    /// A condition on a whole value: in documents of the mirrored service it stands in a field beside.
    fn either(&self, field: &str, condition: impl Fn(&str) -> Value) -> Value {
        let ours = condition(field);
        if !self.has_legacy {
            return ours;
        }
        let legacy = json!({ "term": { "_index": &*self.names.alias } });
        let whole = condition(&format!("{field}.keyword"));
        json!({ "bool": { "should": [
            { "bool": { "filter": [ours], "must_not": [legacy.clone()] } },
            { "bool": { "filter": [whole, legacy] } },
        ] } })
    }

    /// Until when a task's history was cleared.
    pub(super) async fn mark(&self, identity: &str) -> Result<Mark, StoreError> {
        Ok(self.marks(&[identity]).await?.pop().unwrap_or_default())
    }

    /// The same of several tasks, in their order. One that was never cleared has a mark that hides nothing.
    pub(super) async fn marks(&self, identities: &[&str]) -> Result<Vec<Mark>, StoreError> {
        let ids = identities.iter().map(|identity| (&*self.names.tasks, mark_id(identity)));
        let marks: Vec<Option<(_, Mark)>> = bulk::get_many(&self.client, "reading deletions", ids).await?;
        Ok(marks.into_iter().map(|mark| mark.map(|(_, mark)| mark).unwrap_or_default()).collect())
    }
}

/// Newest first; of one second by our own order, and documents of the mirrored service last.
pub(super) fn newest_first() -> Value {
    json!([
        { "time": { "order": "desc", "unmapped_type": "long" } },
        { "record.at": { "order": "desc", "unmapped_type": "long" } },
        { "record.seq": { "order": "desc", "unmapped_type": "long" } },
    ])
}

/// What a clear has hidden.
pub(super) fn hidden(mark: Mark) -> Value {
    if mark.cleared_seq == 0 && mark.through == 0 {
        return json!([]);
    }
    let through_secs = mark.through.div_euclid(1_000);
    json!([
        { "range": { "record.seq": { "lte": mark.cleared_seq } } },
        { "bool": {
            "filter": [{ "range": { "time": { "lte": through_secs } } }],
            "must_not": [{ "exists": { "field": "record.seq" } }],
        } },
    ])
}
