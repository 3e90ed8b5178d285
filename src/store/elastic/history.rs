//! Writing the history.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use elasticsearch::http::Method;
use log::error;

use super::bulk::{self, Op, Write, Written};
use super::client::{NOTHING, unavailable};
use super::indices::is_there;
use super::{Inner, log_document, problem};
use crate::model::{Record, RecordKind, RunId, Timestamp};
use crate::store::StoreError;

const DOING: &str = "writing records";
/// How long a write that the cluster has no room for waits before it is tried again. After the last the caller decides.
const TRY_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(400)];

/// The months whose index is known to be there.
#[derive(Debug, Default)]
pub(super) struct KnownMonths {
    names: Mutex<HashSet<Arc<str>>>,
}

impl KnownMonths {
    fn contains(&self, name: &Arc<str>) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn add(&self, name: Arc<str>) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    fn forget_all(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn forget(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Inner {
    /// Writes records; each replaces an earlier one of its id, unless that is of a later phase.
    pub(super) async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write_records(records, |record| Op::Version(record.phase().into())).await
    }

    /// Writes the log documents of changes, those that are not there.
    pub(super) async fn write_change_records(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write_records(records, |_| Op::Create).await
    }

    async fn write_records(&self, records: &[Record], op_of: fn(&Record) -> Op) -> Result<(), StoreError> {
        let writes: Vec<Write> = records.iter().map(|record| self.log_write(record, op_of(record))).collect();
        self.make_indices(DOING, &writes).await?;
        self.is_unrefreshed.store(true, Ordering::Relaxed);
        let refused = self.write_all(DOING, writes).await?;
        if refused.is_empty() {
            return Ok(());
        }
        let refused: Vec<&Record> = refused.into_iter().map(|(position, _)| &records[position]).collect();
        let as_text = |record: &&Record| self.log_write(&log_document::with_foreign_as_text(record), op_of(record));
        let still_refused = self.write_all(DOING, refused.iter().map(as_text).collect()).await?;
        for (position, why) in still_refused {
            self.park(refused[position], &why, op_of(refused[position])).await?;
        }
        Ok(())
    }

    /// A document that is refused whatever is done must not hold up the others, and must not be lost.
    async fn park(&self, record: &Record, why: &str, op: Op) -> Result<(), StoreError> {
        error!(identity:% = record.identity.as_str(), id:% = record.id; "Elasticsearch refuses a log document, it is parked: {why}");
        self.parked.fetch_add(1, Ordering::Relaxed);
        let parked = self.log_write(&log_document::parked(record, why), op);
        match self.write_all(DOING, vec![parked]).await?.pop() {
            // Then it is not the document but the index that is at fault.
            Some((_, why)) => Err(unavailable(DOING, format!("even a document of our own fields is refused: {why}"))),
            None => Ok(()),
        }
    }

    fn log_write(&self, record: &Record, op: Op) -> Write {
        let source = log_document::write(record, self.next_seq());
        let index = match record.kind == RecordKind::Audit {
            true => self.names.audit_of(record.time),
            false => self.names.logs_of(named_instant(record)),
        };
        Write { index, id: record.id.to_string(), op, source }
    }

    /// Writes documents; one that finds another in its place, which is as good or newer, is done. Gives those that are refused, with the reason.
    pub(super) async fn write_all(
        &self,
        doing: &'static str,
        mut writes: Vec<Write>,
    ) -> Result<Vec<(usize, String)>, StoreError> {
        let mut positions: Vec<usize> = (0..writes.len()).collect();
        let mut refused = Vec::new();
        let mut pauses = TRY_AGAIN_AFTER.iter();
        loop {
            let written = bulk::send(&self.client, doing, self.refreshes_at_once, &writes).await?;
            let mut later = None;
            let mut again = (Vec::new(), Vec::new());
            for ((position, write), written) in positions.into_iter().zip(writes).zip(written) {
                match written {
                    Written::Done(_) | Written::Conflict => {}
                    Written::Refused(why) => refused.push((position, why)),
                    Written::Later(why) => {
                        again.0.push(position);
                        again.1.push(write);
                        later = Some(why);
                    }
                }
            }
            let Some(why) = later else {
                // Again: another reader may have made visible what was there before this was.
                self.is_unrefreshed.store(true, Ordering::Relaxed);
                return Ok(refused);
            };
            if why.contains("index_not_found") {
                // Deleted by hand: it is made again by the next try.
                self.months.forget_all();
            }
            match pauses.next().filter(|_| !problem::is_read_only(&why)) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(unavailable(doing, why)),
            }
            (positions, writes) = again;
        }
    }

    /// Makes the indices that the writes go to: a cluster may forbid that they come by themselves.
    pub(super) async fn make_indices(&self, doing: &'static str, writes: &[Write]) -> Result<(), StoreError> {
        let unknown: HashSet<&Arc<str>> =
            writes.iter().map(|write| &write.index).filter(|index| !self.months.contains(index)).collect();
        for index in unknown {
            self.client.do_or_find(doing, Method::Put, format!("/{index}"), NOTHING, is_there).await?;
            self.months.add(index.clone());
        }
        Ok(())
    }

    /// A number later than any before, also after a restart and after a step back of the clock.
    pub(super) fn next_seq(&self) -> u64 {
        let now = u64::try_from(self.clock.now().millis()).unwrap_or_default().saturating_mul(1_000);
        let next = |last: u64| Some(now.max(last + 1));
        let last = self.seq.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        now.max(last + 1)
    }

    /// What this node writes is not hidden by clears of those that held its shards before, and what they wrote is seen.
    pub(super) async fn follow_earlier_holders(&self) -> Result<(), StoreError> {
        self.seq.fetch_max(self.highest_cleared_seq().await?, Ordering::Relaxed);
        self.is_unrefreshed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes what was written before visible to searches, if there may be something.
    pub(super) async fn refresh_logs(&self) -> Result<(), StoreError> {
        if !self.is_unrefreshed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let refreshed = self.refresh(&self.names.all_logs()).await;
        if refreshed.is_err() {
            self.is_unrefreshed.store(true, Ordering::Relaxed);
        }
        refreshed
    }
}

/// The instant that a record's place follows from: that of its name, if it tells one. The outcome of a callback belongs to the
/// moment at which it happened, but has to replace the record of its start.
fn named_instant(record: &Record) -> Timestamp {
    let name = RunId::from(record.id);
    if name.tells_instant() { name.instant() } else { record.instant() }
}
