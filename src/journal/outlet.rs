//! Where records go: to the store, or to the disk until the store takes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::{error, info, warn};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::progress::Progress;
use super::settings::WhenSpillFull;
use super::spill::{Front, Spill};
use super::status::Status;
use super::{Settings, Unsettled};
use crate::model::{Record, Shard};
use crate::observe::with_causes;
use crate::store::{JournalStore, StoreError};

/// How many records are read from the disk at once, and how many of them go into one write.
const FRONT_MAX: usize = 8_000;
const WRITE_MAX: usize = 2_000;
/// How long a failed write from the disk waits before it is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// With less than this part of the disk's room left, nothing more is fired: what is in flight needs it.
const ROOM_FOR_IN_FLIGHT: u64 = 10;

/// Both ways out.
pub(super) struct Outlet {
    store: Arc<dyn JournalStore>,
    spill: Option<Mutex<Spill>>,
    /// While there is something on the disk, everything goes there: what is given later must not arrive earlier.
    spills: AtomicBool,
    filled: Notify,
    when_full: WhenSpillFull,
    progress: Arc<Mutex<Progress>>,
    unsettled: Arc<Unsettled>,
    status: Arc<Status>,
}

/// Whether a batch was taken.
pub(super) enum Taken {
    Yes,
    /// Neither way is open: here it is back.
    No(Vec<Record>),
}

impl Outlet {
    pub(super) fn new(
        store: Arc<dyn JournalStore>,
        spill: Option<Spill>,
        settings: &Settings,
        unsettled: Arc<Unsettled>,
        status: Arc<Status>,
    ) -> Self {
        let left_over = spill.as_ref().map_or(0, Spill::len);
        let mut progress = Progress::default();
        if left_over > 0 {
            info!(records = left_over; "records of an earlier run wait on the disk, they are written first");
            progress.note_left_over(Instant::now());
        }
        let outlet = Self {
            store,
            spill: spill.map(Mutex::new),
            spills: AtomicBool::new(left_over > 0),
            filled: Notify::new(),
            when_full: settings.when_spill_full,
            progress: Arc::new(Mutex::new(progress)),
            unsettled,
            status,
        };
        if let Some(spill) = &outlet.spill {
            outlet.show(&spill.lock().unwrap_or_else(PoisonError::into_inner));
        }
        outlet
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far batches are, for who looks from outside.
    pub(super) fn progress_shown(&self) -> Arc<Mutex<Progress>> {
        self.progress.clone()
    }

    /// Whether records go to the disk at present.
    pub(super) fn spills(&self) -> bool {
        self.spills.load(Ordering::Acquire)
    }

    /// Notes that the store takes too long: from now on records go to the disk, if there is one for them.
    pub(super) fn note_slow(&self) {
        if self.spill.is_some() && !self.spills.swap(true, Ordering::AcqRel) {
            warn!("the store is slow, records wait on the disk");
        }
    }

    /// Gives a batch to the store, or else to the disk.
    pub(super) async fn take(self: &Arc<Self>, number: u64, records: Vec<Record>) -> Taken {
        match self.store.append(records.clone()).await {
            Ok(()) => {
                self.status.note(None, 0);
                self.status.note_refusing(false);
                self.unsettled.settle(settled(&records));
                self.progress().note_stored(number);
                Taken::Yes
            }
            Err(error) => {
                self.status.note(Some(with_causes(&error)), records.len());
                match self.spill(number, records).await {
                    None => Taken::Yes,
                    Some(back) => Taken::No(back),
                }
            }
        }
    }

    /// Gives a batch to the disk. Gives it back if there is no room for it.
    pub(super) async fn spill(self: &Arc<Self>, number: u64, records: Vec<Record>) -> Option<Vec<Record>> {
        let outlet = self.clone();
        let spilling = tokio::task::spawn_blocking(move || outlet.spill_now(number, records));
        spilling.await.expect("writing to the disk does not panic")
    }

    fn spill_now(&self, number: u64, records: Vec<Record>) -> Option<Vec<Record>> {
        let Some(spill) = &self.spill else { return Some(records) };
        let mut spill = spill.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is written: who looks meanwhile must not go past it.
        self.spills.store(true, Ordering::Release);
        let mut written = spill.append(&records);
        while matches!(written, Ok(false))
            && self.when_full == WhenSpillFull::DropOldest
            && self.drop_oldest(&mut spill)
        {
            written = spill.append(&records);
        }
        self.show(&spill);
        self.status.note_refusing(!matches!(written, Ok(true)));
        match written {
            Ok(true) => {
                self.progress().note_safe(number);
                self.filled.notify_one();
                None
            }
            Ok(false) => {
                self.filled.notify_one();
                Some(records)
            }
            Err(error) => {
                error!("records cannot be written to the disk either: {error}");
                self.filled.notify_one();
                Some(records)
            }
        }
    }

    /// Makes room. `false`: there is none to be made.
    fn drop_oldest(&self, spill: &mut Spill) -> bool {
        let before = spill.bytes();
        match spill.drop_oldest() {
            Ok(dropped) => {
                self.unsettled.settle(settled(&dropped));
                let all = self.status.dropped.fetch_add(dropped.len() as u64, Ordering::Relaxed) + dropped.len() as u64;
                error!(records = dropped.len(), all; "the oldest records were dropped ([history] when_spill_full)");
                spill.bytes() < before
            }
            Err(error) => {
                error!("the oldest records cannot be dropped: {error}");
                false
            }
        }
    }

    fn show(&self, spill: &Spill) {
        self.status.spilled.store(spill.len(), Ordering::Relaxed);
        self.status.spilled_bytes.store(spill.bytes(), Ordering::Relaxed);
        self.status.spill_bytes_max.store(spill.bytes_max(), Ordering::Relaxed);
        let left = spill.bytes_max().saturating_sub(spill.bytes());
        let has_little = left < spill.bytes_max() / ROOM_FOR_IN_FLIGHT;
        self.status.note_room(has_little && self.when_full == WhenSpillFull::StopFiring);
    }

    /// Moves what is on the disk to the store, for as long as the journal runs.
    pub(super) async fn empty_spill(self: Arc<Self>) {
        if self.spill.is_none() {
            return;
        }
        loop {
            let front = match self.clone().read_front().await {
                Ok(Some(front)) => front,
                Ok(None) => {
                    self.filled.notified().await;
                    continue;
                }
                Err(error) => {
                    self.status.note(Some(format!("records that wait on the disk cannot be read: {error}")), 0);
                    tokio::time::sleep(BACKOFF.1).await;
                    continue;
                }
            };
            let mut backoff = BACKOFF.0;
            while let Err(error) = self.append_front(&front).await {
                self.status.note(Some(with_causes(&error)), front.records.len());
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            self.status.note(None, 0);
            self.unsettled.settle(settled(&front.records));
            self.clone().note_delivered(front).await;
        }
    }

    /// In several writes at once: one after the other would be slower than what comes meanwhile.
    async fn append_front(&self, front: &Front) -> Result<(), StoreError> {
        let writes = front.records.chunks(WRITE_MAX).map(|records| self.store.append(records.to_vec()));
        futures_util::future::try_join_all(writes).await.map(drop)
    }

    /// The oldest records on the disk. When there are none left, records go to the store again.
    async fn read_front(self: Arc<Self>) -> std::io::Result<Option<Front>> {
        let read = tokio::task::spawn_blocking(move || {
            let Some(spill) = &self.spill else { return Ok(None) };
            let mut spill = spill.lock().unwrap_or_else(PoisonError::into_inner);
            let front = spill.front(FRONT_MAX)?;
            if front.is_none() {
                self.spills.store(false, Ordering::Release);
                self.progress().note_all_safe_stored();
                self.show(&spill);
            }
            Ok(front)
        });
        read.await.expect("reading from the disk does not panic")
    }

    async fn note_delivered(self: Arc<Self>, front: Front) {
        let noted = tokio::task::spawn_blocking(move || {
            let Some(spill) = &self.spill else { return };
            let mut spill = spill.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = spill.note_delivered(&front) {
                error!("a delivered file cannot be deleted: {error}");
            }
            self.show(&spill);
        });
        noted.await.expect("deleting a file does not panic");
    }
}

/// The first instants of what records settle, as they are noted in [`Unsettled`].
fn settled(records: &[Record]) -> impl Iterator<Item = (Shard, crate::model::Timestamp)> {
    records.iter().filter_map(|record| {
        let settled = record.settles()?;
        Some((Shard::of(&record.identity), settled.stretch.first))
    })
}
