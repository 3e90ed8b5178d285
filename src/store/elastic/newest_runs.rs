//! How the newest run of each of many entries did.

use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Inner;
use super::client::unavailable;
use super::problem::{self, Cause};
use super::runs::{are_runs, newest_instant_first};
use crate::model::{EntryName, Identity, RecordKind, Timestamp};
use crate::store::{NewestRun, StoreError};

const READING: &str = "reading the newest runs";
/// How many entries one request asks for.
const ENTRIES_MAX: usize = 100;

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    responses: Vec<OfEntry<'a>>,
}

#[derive(Deserialize)]
struct OfEntry<'a> {
    hits: Option<Hits>,
    #[serde(borrow)]
    error: Option<Cause<'a>>,
    #[serde(default)]
    status: u16,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    r#type: Vec<String>,
    #[serde(rename = "record.instant")]
    instant: Vec<i64>,
}

impl Hit {
    fn newest(&self) -> Option<NewestRun> {
        let instant = Timestamp::from_millis(*self.fields.instant.first()?);
        Some(NewestRun { instant, kind: RecordKind::parse(self.fields.r#type.first()?)? })
    }
}

impl Inner {
    /// The newest run that has ended of each of these entries, if its instant is later than `after`. A search for each: it
    /// ends at the first it finds, where an aggregation would look at every run of all. Month by month, from the newest: in an
    /// older one only those are looked for that did not run since.
    pub(super) async fn newest_runs(
        &self,
        entries: &[(Identity, EntryName)],
        after: Timestamp,
    ) -> Result<Vec<Option<NewestRun>>, StoreError> {
        let mut newest = vec![None; entries.len()];
        for month in
            self.months(READING, &self.names.all_logs()).await?.iter().rev().take_while(|month| month.end > after)
        {
            let missing: Vec<usize> = (0..entries.len()).filter(|&entry| newest[entry].is_none()).collect();
            for entries_asked in missing.chunks(ENTRIES_MAX) {
                let asked: Vec<&(Identity, EntryName)> = entries_asked.iter().map(|&entry| &entries[entry]).collect();
                let found = self.newest_runs_of(&asked, after, &month.index).await?;
                entries_asked.iter().zip(found).for_each(|(&entry, found)| newest[entry] = found);
            }
        }
        Ok(newest)
    }

    async fn newest_runs_of(
        &self,
        entries: &[&(Identity, EntryName)],
        after: Timestamp,
        index: &str,
    ) -> Result<Vec<Option<NewestRun>>, StoreError> {
        // The month may be dropped meanwhile.
        let header = json!({ "index": index, "ignore_unavailable": true, "allow_partial_search_results": false });
        let mut lines = BytesMut::new();
        for entry in entries {
            for line in [&header, &newest_query(entry, after)] {
                serde_json::to_writer((&mut lines).writer(), line).expect("a search can be written as JSON");
                lines.put_u8(b'\n');
            }
        }
        const FIELDS: &str = "responses.status,responses.error,responses.hits.hits.fields";
        let answer = self.client.send_bulk(READING, &format!("/_msearch?filter_path={FIELDS}"), lines.freeze()).await?;
        if !answer.status.is_success() {
            return Err(unavailable(READING, problem::of_answer(&answer)));
        }
        let answered = serde_json::from_slice::<Answered<'_>>(&answer.body);
        let answered = answered.map_err(|error| unavailable(READING, format!("the answer cannot be read: {error}")))?;
        if answered.responses.len() != entries.len() {
            let what = format!("{} answers to {} searches", answered.responses.len(), entries.len());
            return Err(unavailable(READING, what));
        }
        answered.responses.into_iter().map(newest_of).collect()
    }
}

fn newest_query((identity, entry): &(Identity, EntryName), after: Timestamp) -> Value {
    let mut filter = are_runs(&[RecordKind::Success, RecordKind::Error]).to_vec();
    filter.push(json!({ "term": { "identity": identity.as_str() } }));
    filter.push(json!({ "term": { "key": entry.as_str() } }));
    filter.push(json!({ "range": { "record.instant": { "gt": after.millis() } } }));
    json!({
        "size": 1, "query": { "bool": { "filter": filter } }, "sort": newest_instant_first(),
        "_source": false, "docvalue_fields": ["type", "record.instant"], "track_total_hits": false,
    })
}

fn newest_of(answer: OfEntry<'_>) -> Result<Option<NewestRun>, StoreError> {
    match answer.error {
        Some(error) => Err(unavailable(READING, problem::of_status(answer.status, &error.text()))),
        None => Ok(answer.hits.and_then(|found| found.hits.first()?.newest())),
    }
}
