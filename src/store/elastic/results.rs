//! Results: the bodies of answers, a document for each piece, in an index for the month of their run.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use elasticsearch::http::Method;
use log::info;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Inner;
use super::bulk::{self, Op, Write};
use super::client::{NOTHING, is_missing, unavailable};
use crate::model::{RunId, Timestamp};
use crate::store::{Pruned, StoreError};

const WRITING: &str = "writing a result";
const READING: &str = "reading a result";
const PRUNING: &str = "pruning results";
/// How many pieces one request deletes at most: Elasticsearch gives no more in one page.
const DELETED_MAX: usize = 10_000;

/// A piece of a result.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PieceDocument {
    run_id: String,
    number: u32,
    /// That of the run.
    instant: i64,
    /// How many bytes it holds.
    size: u64,
    /// The same in Base64.
    bytes: String,
}

impl PieceDocument {
    fn of(run: RunId, number: u32, bytes: &[u8]) -> Self {
        let (run_id, instant) = (run.to_string(), run.instant().millis());
        Self { run_id, number, instant, size: bytes.len() as u64, bytes: BASE64_STANDARD.encode(bytes) }
    }

    /// What it holds.
    pub(super) fn to_bytes(&self) -> Result<Bytes, StoreError> {
        let corrupt = |error: base64::DecodeError| StoreError::Corrupt {
            what: format!("piece {} of the result of {}", self.number, self.run_id),
            source: error.into(),
        };
        BASE64_STANDARD.decode(&self.bytes).map(Bytes::from).map_err(corrupt)
    }

    /// Which piece of which result it is.
    pub(super) fn name(&self) -> Option<(RunId, u32)> {
        Some((RunId::parse(&self.run_id)?, self.number))
    }
}

fn piece_id(run: RunId, number: u32) -> String {
    format!("{run}:{number}")
}

/// The results of a month.
#[derive(Debug)]
struct Month {
    index: String,
    end: Timestamp,
    pieces: u64,
    bytes: u64,
}

/// A piece that may be deleted.
#[derive(Deserialize)]
struct Oldest {
    _index: String,
    _id: String,
    _version: u64,
    fields: OldestFields,
}

#[derive(Deserialize)]
struct OldestFields {
    size: Vec<u64>,
}

impl Inner {
    /// Writes a piece, in place of an earlier one.
    pub(super) async fn put_piece(&self, run: RunId, number: u32, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_pieces(vec![self.piece_write(run, number, bytes)]).await
    }

    pub(super) fn piece_write(&self, run: RunId, number: u32, bytes: &[u8]) -> Write {
        let document = PieceDocument::of(run, number, bytes);
        let source = serde_json::to_vec(&document).expect("a piece can be written as JSON").into();
        let (index, id) = (self.names.results_of(run.instant()), piece_id(run, number));
        Write { index, id, op: Op::Index, source }
    }

    /// Not together with what others write: a claim must not wait behind a body.
    pub(super) async fn write_pieces(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.make_indices(WRITING, &writes).await?;
        match self.write_all(WRITING, writes).await?.pop() {
            Some((_, why)) => Err(unavailable(WRITING, why)),
            None => Ok(()),
        }
    }

    /// Reads a piece as it is now, not as a search sees it.
    pub(super) async fn piece(&self, run: RunId, number: u32) -> Result<Option<Bytes>, StoreError> {
        let index = self.names.results_of(run.instant());
        let ids = [(&*index, piece_id(run, number))];
        let mut got = bulk::get_many::<PieceDocument>(&self.client, READING, ids.into_iter()).await?;
        got.pop().flatten().map(|(_, piece)| piece.to_bytes()).transpose()
    }

    /// One step of pruning. A month goes whole if all of it has to; of another one its oldest pieces go.
    pub(super) async fn prune_results(
        &self,
        before: Timestamp,
        bytes_max: u64,
        step_max: usize,
    ) -> Result<Pruned, StoreError> {
        self.refresh(&self.names.all_results()).await?;
        let step_max = step_max.min(DELETED_MAX);
        let (months, month_of_before) = (self.months_of_results().await?, self.names.results_of(before));
        let mut bytes: u64 = months.iter().map(|month| month.bytes).sum();
        let (mut dropped, mut is_older_there) = (0, false);
        for month in &months {
            let rest = bytes - month.bytes;
            if month.end < before || (bytes > bytes_max && rest >= bytes_max) {
                self.drop_results(month).await?;
                (bytes, dropped) = (rest, dropped + month.pieces);
            } else {
                is_older_there |= *month.index == *month_of_before;
            }
        }
        let mut old = Deleted::default();
        if is_older_there {
            let query = json!({ "range": { "instant": { "lt": before.millis() } } });
            old = self.delete_oldest_pieces(&query, u64::MAX, step_max).await?;
            bytes -= old.bytes.min(bytes);
        }
        let (room, mut too_much) = (step_max - old.pieces.min(step_max), Deleted::default());
        if bytes > bytes_max && room > 0 {
            too_much = self.delete_oldest_pieces(&json!({ "match_all": {} }), bytes - bytes_max, room).await?;
        }
        let deleted = old.pieces + too_much.pieces;
        Ok(Pruned { records: dropped + deleted as u64, more: deleted > 0 && deleted == step_max })
    }

    async fn drop_results(&self, month: &Month) -> Result<(), StoreError> {
        self.client.do_or_find(PRUNING, Method::Delete, format!("/{}", month.index), NOTHING, is_missing).await?;
        self.months.forget(&month.index);
        info!(index:% = month.index, pieces = month.pieces; "retention dropped the results of a month");
        Ok(())
    }

    /// The months of results, oldest first: also those that hold nothing any more.
    async fn months_of_results(&self) -> Result<Vec<Month>, StoreError> {
        let all = self.names.all_results();
        let stats = self.stats(PRUNING, &all).await?;
        // What the pieces hold, not what they take on the disk: that changes with merges, whenever they come.
        let body = json!({ "size": 0, "aggs": { "months": {
            "terms": { "field": "_index", "size": stats.indices.len().max(1) },
            "aggs": { "bytes": { "sum": { "field": "size" } } },
        } } });
        let summed: Value = self.ask_logs(PRUNING, &all, &body).await?;
        let buckets = summed["aggregations"]["months"]["buckets"].as_array().into_iter().flatten();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of sizes comes as a float")]
        let bytes_of =
            |bucket: &Value| Some((bucket["key"].as_str()?.to_owned(), bucket["bytes"]["value"].as_f64()? as u64));
        let mut bytes: HashMap<String, u64> = buckets.filter_map(bytes_of).collect();
        let month = |(index, stats): (String, super::prune::IndexStats)| {
            let (end, bytes) = (self.names.results_end(&index)?, bytes.remove(&index).unwrap_or_default());
            Some(Month { end, pieces: stats.documents(), bytes, index })
        };
        let mut months: Vec<Month> = stats.indices.into_iter().filter_map(month).collect();
        months.sort_by_key(|month| month.end);
        Ok(months)
    }

    /// Deletes the oldest pieces that match, as many as hold this many bytes, at most so many.
    async fn delete_oldest_pieces(&self, query: &Value, bytes: u64, max: usize) -> Result<Deleted, StoreError> {
        #[derive(Deserialize)]
        struct Found {
            hits: Hits,
        }
        #[derive(Deserialize)]
        struct Hits {
            hits: Vec<Oldest>,
        }
        let body = json!({
            "size": max, "query": query, "sort": ["instant", "run_id", "number"], "version": true,
            "_source": false, "docvalue_fields": ["size"], "track_total_hits": false,
        });
        let found: Found = self.ask_logs(PRUNING, &self.names.all_results(), &body).await?;
        let mut deleted = Deleted::default();
        let mut writes = Vec::new();
        for Oldest { _index, _id, _version, fields } in found.hits.hits {
            if deleted.bytes >= bytes {
                break;
            }
            deleted.bytes += fields.size.first().copied().unwrap_or_default();
            deleted.pieces += 1;
            writes.push(Write { index: _index.into(), id: _id, op: Op::DeleteVersion(_version), source: Bytes::new() });
        }
        let written = bulk::send(&self.client, PRUNING, self.refreshes_at_once, &writes).await?;
        bulk::first_failure(&written).map_or(Ok(deleted), |why| Err(unavailable(PRUNING, why)))
    }
}

/// What a step has deleted.
#[derive(Clone, Copy, Debug, Default)]
struct Deleted {
    pieces: usize,
    bytes: u64,
}
