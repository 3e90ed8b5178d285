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
use crate::model::{Record, Timestamp};
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
    /// Writes records; those with the id of an earlier one replace it.
    pub(super) async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write_records(records, Op::Index).await
    }

    /// Writes the log documents of changes, those that are not there.
    pub(super) async fn write_change_records(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write_records(records, Op::Create).await
    }

    async fn write_records(&self, records: &[Record], op: Op) -> Result<(), StoreError> {
        let writes: Vec<Write> = records.iter().map(|record| self.log_write(record, op)).collect();
        self.make_indices(&writes).await?;
        self.is_unrefreshed.store(true, Ordering::Relaxed);
        let refused = self.write_logs(writes).await?;
        if refused.is_empty() {
            return Ok(());
        }
        let texts =
            refused.iter().map(|(index, _)| self.log_write(&log_document::with_foreign_as_text(&records[*index]), op));
        let still_refused = self.write_logs(texts.collect()).await?;
        for (position, why) in still_refused {
            self.park(&records[refused[position].0], &why, op).await?;
        }
        Ok(())
    }

    /// A document that is refused whatever is done must not hold up the others, and must not be lost.
    async fn park(&self, record: &Record, why: &str, op: Op) -> Result<(), StoreError> {
        error!(identity:% = record.identity.as_str(), id:% = record.id; "Elasticsearch refuses a log document, it is parked: {why}");
        self.parked.fetch_add(1, Ordering::Relaxed);
        let parked = self.log_write(&log_document::parked(record, why), op);
        match self.write_logs(vec![parked]).await?.pop() {
            // Then it is not the document but the index that is at fault.
            Some((_, why)) => Err(unavailable(DOING, format!("even a document of our own fields is refused: {why}"))),
            None => Ok(()),
        }
    }

    fn log_write(&self, record: &Record, op: Op) -> Write {
        let instant = record.settled.as_ref().map_or(record.time, |settled| settled.stretch.last);
        let source = log_document::write(record, self.next_seq());
        Write { index: self.names.logs_of(instant), id: record.id.to_string(), op, source }
    }

    /// Writes documents; one that finds another in its place is done. Gives those that are refused, with the reason.
    async fn write_logs(&self, mut writes: Vec<Write>) -> Result<Vec<(usize, String)>, StoreError> {
        let mut positions: Vec<usize> = (0..writes.len()).collect();
        let mut refused = Vec::new();
        let mut pauses = TRY_AGAIN_AFTER.iter();
        loop {
            let written = bulk::send(&self.client, DOING, self.refreshes_at_once, &writes).await?;
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
                None => return Err(unavailable(DOING, why)),
            }
            (positions, writes) = again;
        }
    }

    /// Makes the indices that the writes go to: a cluster may forbid that they come by themselves.
    async fn make_indices(&self, writes: &[Write]) -> Result<(), StoreError> {
        let unknown: HashSet<&Arc<str>> =
            writes.iter().map(|write| &write.index).filter(|index| !self.months.contains(index)).collect();
        for index in unknown {
            self.client.do_or_find(DOING, Method::Put, format!("/{index}"), NOTHING, is_there).await?;
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

    /// The last moment of the index that an instant belongs to.
    pub(super) fn month_end(&self, index: &str) -> Option<Timestamp> {
        self.names.logs_end(index).map(|end| Timestamp::from_millis(end.millis() - 1))
    }
}
