//! Pages of log documents, from a state that Elasticsearch keeps for some minutes.

use std::collections::{BTreeSet, HashMap};

use elasticsearch::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{read, unavailable};
use super::exchange::Answer;
use super::log_query::{Cleared, SEQ, order};
use super::query::Mark;
use super::tasks::SNAPSHOT_KEPT;
use super::window::Total;
use super::{Inner, log_document, problem};
use crate::model::Record;
use crate::store::{CursorError, Found, LogCursor, LogPage, LogQuery, LogTotal, StoreError};

const SEARCHING: &str = "searching logs";
/// Names our places in cursors.
const STORE: &str = "snapshot.";

/// Where a page begins: behind these values, in this state.
struct Place {
    after: Option<[i64; 4]>,
    snapshot: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self, CursorError> {
        let read = || {
            let mut parts = text.strip_prefix(STORE)?.splitn(5, '.');
            let mut after = [0; 4];
            for value in &mut after {
                *value = parts.next()?.parse().ok()?;
            }
            let snapshot = parts.next().filter(|id| !id.is_empty() && id.bytes().all(is_of_id))?;
            Some(Self { after: Some(after), snapshot: snapshot.to_owned() })
        };
        read().ok_or(CursorError::Foreign)
    }

    fn write(&self) -> Option<String> {
        let [a, b, c, d] = self.after?;
        Some(format!("{STORE}{a}.{b}.{c}.{d}.{}", self.snapshot))
    }
}

/// Ids are Base64 of either alphabet.
fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+/=".contains(&byte)
}

#[derive(Deserialize)]
struct Searched {
    pit_id: Option<String>,
    _shards: Shards,
    hits: SearchedHits,
}

#[derive(Deserialize)]
struct Shards {
    total: usize,
}

#[derive(Deserialize)]
struct SearchedHits {
    total: Option<Total>,
    hits: Vec<LogHit>,
}

#[derive(Deserialize)]
struct LogHit {
    _id: String,
    _source: Box<RawValue>,
    sort: [i64; 4],
}

impl Inner {
    /// A page of the records that match, after a cursor.
    pub(super) async fn search_logs(&self, query: &LogQuery, after: Option<&LogCursor>) -> Result<LogPage, StoreError> {
        let place = after.map(|cursor| Place::parse(cursor.place())).transpose()?;
        let of_audit = query.filter.is_of_audit();
        let cleared = match of_audit {
            true => Cleared::none(),
            false => self.cleared(query.filter.identities.iter()).await?,
        };
        let mut place = match place {
            Some(place) => place,
            None => {
                let indices = if of_audit { self.names.all_audit() } else { self.names.searched() };
                Place { after: None, snapshot: self.open_snapshot_of_logs(SEARCHING, &indices).await? }
            }
        };
        let read = self.read_page(query, &cleared, after.map(LogCursor::total), &mut place).await;
        // A later page that failed may be asked for again.
        let goes_on = read.as_ref().map_or(after.is_some(), |page| page.next.is_some());
        if !goes_on {
            self.close_snapshot(&place.snapshot).await;
        }
        read
    }

    async fn read_page(
        &self,
        query: &LogQuery,
        cleared: &Cleared,
        known_total: Option<LogTotal>,
        place: &mut Place,
    ) -> Result<LogPage, StoreError> {
        let (mut records, mut total) = (Vec::new(), known_total);
        let is_more = 'page: loop {
            let found = self.ask_page(query, cleared, known_total.is_none(), place).await?;
            place.snapshot = found.pit_id.unwrap_or(std::mem::take(&mut place.snapshot));
            total = total.or(found.hits.total.map(|total| LogTotal::counted(total.value, total.relation == "gte")));
            let is_last = found.hits.hits.len() <= query.limit;
            let read = self.without_cleared(found.hits.hits, cleared).await?;
            for (sort, record) in read {
                if records.len() == query.limit {
                    break 'page true;
                }
                place.after = Some(sort);
                records.extend(record);
            }
            if is_last {
                break false;
            }
        };
        if known_total.is_none() && !cleared.are_all {
            // Hidden ones were counted, too; those that are shown match for sure.
            total = Some(LogTotal::counted(records.len(), is_more));
        }
        let total = total.unwrap_or_default();
        let next = place.write().filter(|_| is_more).map(|place| LogCursor::new(query, total, place));
        Ok(LogPage { records, total, next })
    }

    /// Asks for one more than a page holds: it tells whether there is a next one.
    async fn ask_page(
        &self,
        query: &LogQuery,
        cleared: &Cleared,
        is_first: bool,
        place: &Place,
    ) -> Result<Searched, StoreError> {
        // A page without one of the shards would leave records out: then it is better to have none.
        const PATH: &str = "/_search?allow_partial_search_results=false";
        let mut body = json!({
            "query": self.log_query(&query.filter, cleared, true),
            "size": query.limit + 1, "sort": order(query.sort),
            "track_total_hits": if is_first { json!(Found::TOTAL_MAX) } else { json!(false) },
            "pit": { "id": place.snapshot, "keep_alive": SNAPSHOT_KEPT },
        });
        if let Some(after) = place.after {
            body["search_after"] = json!(after);
        }
        let mut answer = self.client.call(SEARCHING, Method::Post, PATH, Some(&body)).await?;
        if self.has_legacy && is_of_too_many(&answer) {
            body["query"] = self.log_query(&query.filter, cleared, false);
            answer = self.client.call(SEARCHING, Method::Post, PATH, Some(&body)).await?;
        }
        if answer.status.is_success() {
            let found: Searched = read(SEARCHING, &answer.body)?;
            // Some made-up ids name a state without any shard: a cursor of ours does not lead there.
            let is_made_up = !is_first && found._shards.total == 0;
            return if is_made_up { Err(CursorError::Foreign.into()) } else { Ok(found) };
        }
        match refusal(&answer).filter(|_| !is_first) {
            Some(refusal) => Err(refusal.into()),
            None => Err(unavailable(SEARCHING, problem::of_answer(&answer))),
        }
    }

    /// The records with their places. Where the query could not name all clears, those that one has hidden are taken out.
    async fn without_cleared(
        &self,
        hits: Vec<LogHit>,
        cleared: &Cleared,
    ) -> Result<Vec<([i64; 4], Option<Record>)>, StoreError> {
        let read = |hit: LogHit| (hit.sort, log_document::read(&hit._id, hit._source.get()));
        let mut records: Vec<([i64; 4], Option<Record>)> = hits.into_iter().map(read).collect();
        if cleared.are_all {
            return Ok(records);
        }
        let names: BTreeSet<String> =
            records.iter().flat_map(|(_, record)| record).map(|record| record.identity.as_str().to_owned()).collect();
        let marks: HashMap<String, Mark> = self.marks_of(names.iter().map(String::as_str)).await?.into_iter().collect();
        for (sort, record) in &mut records {
            let is_hidden = |record: &mut Record| {
                let mark = marks.get(record.identity.as_str()).copied().unwrap_or_default();
                mark.hides(u64::try_from(sort[SEQ]).ok(), record.time)
            };
            record.take_if(is_hidden);
        }
        Ok(records)
    }
}

/// An index of the mirrored service may have a thousand members of responses, each of them a clause for each word.
fn is_of_too_many(answer: &Answer) -> bool {
    let said = String::from_utf8_lossy(&answer.body);
    answer.status == StatusCode::BAD_REQUEST && (said.contains("too_many") || said.contains("too many"))
}

/// Whether the cursor is at fault, as the query itself was answered before.
fn refusal(answer: &Answer) -> Option<CursorError> {
    let said = String::from_utf8_lossy(&answer.body);
    if answer.status == StatusCode::NOT_FOUND || said.contains("search_context_missing_exception") {
        Some(CursorError::Expired)
    } else if answer.status == StatusCode::BAD_REQUEST {
        Some(CursorError::Foreign)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_written() {
        let place = Place { after: Some([i64::MIN, -1, i64::MAX, 0]), snapshot: "aZ09_-+/==".to_owned() };

        let read = Place::parse(&place.write().unwrap()).unwrap();

        assert_eq!((read.after, read.snapshot), (place.after, place.snapshot));
    }

    proptest! {
        #[test]
        fn a_place_of_any_form_is_read_or_foreign(text in "(snapshot\\.)?[-0-9]{0,20}(\\.[-0-9]{0,20}){0,4}.{0,20}") {
            if let Ok(place) = Place::parse(&text) {
                prop_assert!(place.snapshot.bytes().all(is_of_id));
            }
        }
    }
}
