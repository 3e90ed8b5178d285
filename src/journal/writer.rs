//! The loop that writes records in bulk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{error, info};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::documents::{FireOutcome, fire_record};
use super::{Settings, Unsettled};
use crate::model::{Fire, Record, Shard, Timestamp};
use crate::observe::with_causes;
use crate::store::{JournalStore, StoreError};

/// How many records go into one write. More wait for the next one.
const BATCH_MAX: usize = 2_000;
/// How long a failed write waits before it is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The journal's loop has ended: the node is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped")]
pub struct JournalStopped;

/// Whether a record is the outcome of a fire that was handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settles {
    Fire,
    Nothing,
}

enum Order {
    /// Write this record soon.
    Record(Box<Record>, Settles),
    /// Write the record of this fire soon.
    Fire(Box<(Fire, FireOutcome)>),
    /// Write all records given so far, now, and tell when they are durable.
    Flush(oneshot::Sender<()>),
}

/// Takes records. Cheap to clone; the last clone dropped ends the loop once all records are written.
#[derive(Clone)]
pub struct Journal {
    orders: mpsc::Sender<Order>,
    unsettled: Arc<Unsettled>,
    is_writing: Arc<AtomicBool>,
}

impl Journal {
    /// Gives a record to be written. Waits while the journal is full.
    pub async fn record(&self, record: Record) -> Result<(), JournalStopped> {
        self.give(record, Settles::Nothing).await
    }

    /// Gives the outcome of a fire that was noted in [`Unsettled::open`]. Waits while the journal is full.
    pub async fn settle(&self, outcome: Record) -> Result<(), JournalStopped> {
        self.give(outcome, Settles::Fire).await
    }

    /// Gives how a fire ended that was noted in [`Unsettled::open`]. Its record is composed later, beside the requests that
    /// still have to go out. Waits while the journal is full.
    pub async fn settle_fire(&self, fire: Fire, outcome: FireOutcome) -> Result<(), JournalStopped> {
        self.orders.send(Order::Fire(Box::new((fire, outcome)))).await.map_err(|_| JournalStopped)
    }

    async fn give(&self, record: Record, settles: Settles) -> Result<(), JournalStopped> {
        self.orders.send(Order::Record(Box::new(record), settles)).await.map_err(|_| JournalStopped)
    }

    /// Returns when every record given before is durable.
    pub async fn flush(&self) -> Result<(), JournalStopped> {
        let (done, written) = oneshot::channel();
        self.orders.send(Order::Flush(done)).await.map_err(|_| JournalStopped)?;
        written.await.map_err(|_| JournalStopped)
    }

    /// The fires without a durable outcome.
    pub fn unsettled(&self) -> &Unsettled {
        &self.unsettled
    }

    /// Whether the last write succeeded.
    pub fn is_writing(&self) -> bool {
        self.is_writing.load(Ordering::Relaxed)
    }

    /// How many records wait to be written.
    pub fn waiting(&self) -> usize {
        self.orders.max_capacity() - self.orders.capacity()
    }
}

/// Starts the loop.
pub fn start(store: Arc<dyn JournalStore>, settings: &Settings) -> Journal {
    let (orders, inbox) = mpsc::channel(settings.records_waiting_max);
    let unsettled = Arc::new(Unsettled::new());
    let is_writing = Arc::new(AtomicBool::new(true));
    let writer = Writer {
        store,
        inbox,
        flush_interval: settings.flush_interval,
        unsettled: unsettled.clone(),
        is_writing: is_writing.clone(),
    };
    tokio::spawn(writer.run());
    Journal { orders, unsettled, is_writing }
}

#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    outcomes: Vec<(Fire, FireOutcome)>,
    fires: Vec<(Shard, Timestamp)>,
    waiters: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, order: Order) {
        match order {
            Order::Record(record, settles) => {
                if let (Settles::Fire, Some(settled)) = (settles, &record.settled) {
                    self.fires.push((Shard::of(&record.identity), settled.stretch.last));
                }
                self.records.push(*record);
            }
            Order::Fire(ended) => {
                self.fires.push((ended.0.revision.shard(), ended.0.fire_time));
                self.outcomes.push(*ended);
            }
            Order::Flush(waiter) => self.waiters.push(waiter),
        }
    }

    fn len(&self) -> usize {
        self.records.len() + self.outcomes.len()
    }

    /// All records, those of fires composed now.
    async fn compose(&mut self) -> Vec<Record> {
        let mut records = std::mem::take(&mut self.records);
        let outcomes = std::mem::take(&mut self.outcomes);
        if !outcomes.is_empty() {
            // Thousands at once: not on a thread that requests go out from.
            let compose = move || outcomes.iter().map(|(fire, outcome)| fire_record(fire, outcome)).collect::<Vec<_>>();
            records.extend(tokio::task::spawn_blocking(compose).await.expect("composing a record does not panic"));
        }
        records
    }
}

struct Writer {
    store: Arc<dyn JournalStore>,
    inbox: mpsc::Receiver<Order>,
    flush_interval: Duration,
    unsettled: Arc<Unsettled>,
    is_writing: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(mut batch) = self.next_batch().await {
            if batch.len() > 0 {
                self.write(batch.compose().await).await;
                self.unsettled.settle(batch.fires);
            }
            for waiter in batch.waiters {
                // Nobody waits any more: nothing to tell.
                let _ = waiter.send(());
            }
        }
    }

    /// Collects records until the batch is full, someone wants a flush, or the first has waited long enough.
    async fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let first = self.inbox.recv().await?;
        let deadline = Instant::now() + self.flush_interval;
        let mut next = Some(first);
        while let Some(order) = next.take() {
            batch.add(order);
            if batch.len() < BATCH_MAX {
                next = match self.inbox.try_recv() {
                    Ok(order) => Some(order),
                    Err(_) if !batch.waiters.is_empty() => None,
                    Err(_) => tokio::time::timeout_at(deadline, self.inbox.recv()).await.unwrap_or(None),
                };
            }
        }
        Some(batch)
    }

    /// Writes a batch, however long the store is away. Records wait, then the fires that bring them: nothing is dropped.
    async fn write(&self, records: Vec<Record>) {
        let mut backoff = BACKOFF.0;
        while let Err(error) = self.store.append(records.clone()).await {
            self.note_failure(&error, records.len());
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        if !self.is_writing.swap(true, Ordering::Relaxed) {
            info!(records = records.len(); "the journal writes again");
        }
    }

    fn note_failure(&self, error: &StoreError, records: usize) {
        if self.is_writing.swap(false, Ordering::Relaxed) {
            error!(records; "the journal cannot write, records wait: {}", with_causes(error));
        }
    }
}
