//! The loop that writes records in bulk, several bulks at once.
//!
//! A bulk that the store does not take goes to the disk, if there is a place for it, and so does everything after it until
//! the disk is empty again: records arrive in the order in which they were given, and memory stays bounded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::debug;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::outcome::fire_record;
use super::outlet::{Outlet, Taken};
use super::progress::{Progress, Until};
use super::status::Status;
use super::{FireOutcome, Settings, Spill, Started, Unsettled};
use crate::cluster::Tenure;
use crate::model::{Fire, Masking, Record, RecordId, Shard};
use crate::observe::metrics::OutcomeMetrics;
use crate::store::JournalStore;

/// How many records go into one write. More wait for the next one.
const BATCH_MAX: usize = 2_000;
/// How long a batch waits for one of the writes under way to end. Then the store counts as slow, and the batch goes to the
/// disk.
const PLACE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a batch that nobody takes waits before it is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The journal's loop has ended: the node is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped")]
pub struct JournalStopped;

enum Order {
    /// Write this record soon.
    Record(Box<Record>),
    /// Write the record of this run that goes on soon.
    Started(Box<Started>),
    /// Write the record of this fire soon, and with it those of runs that follow from it.
    Fire(Box<(Fire, FireOutcome)>, Vec<Started>),
    /// Write all records given so far, now, and tell when they are that far.
    Flush(Until, oneshot::Sender<()>),
}

/// Takes records. Cheap to clone; the last clone dropped ends the loop once all records are written.
#[derive(Clone)]
pub struct Journal {
    orders: mpsc::Sender<Order>,
    unsettled: Arc<Unsettled>,
    status: Arc<Status>,
    progress: Arc<Mutex<Progress>>,
    metrics: OutcomeMetrics,
    masking: Masking,
    tenure: Tenure,
}

impl Journal {
    /// Gives the record of what was decided about instants. Until it is in the store they count as unsettled. Waits while the
    /// journal is full, and while it is not known whether this node still acts for the task: if another one does by now, it decides
    /// about these instants itself, and the record is dropped.
    pub async fn record(&self, record: Record) -> Result<(), JournalStopped> {
        let shard = Shard::of(&record.identity);
        if !self.tenure.may_act(shard, self.tenure.term(shard)).await {
            debug!(identity:% = record.identity.as_str(); "another node decides about the instants of `{}`", record.identity);
            return Ok(());
        }
        if let Some(settled) = record.settles() {
            self.unsettled.open([(shard, settled.stretch.first)]);
        }
        self.settle(record).await
    }

    /// Gives the outcome of a fire that was noted in [`Unsettled::open`], or a record that settles nothing. Waits while the journal is
    /// full.
    pub async fn settle(&self, outcome: Record) -> Result<(), JournalStopped> {
        self.orders.send(Order::Record(Box::new(outcome))).await.map_err(|_| JournalStopped)
    }

    /// Gives how a fire ended that was noted in [`Unsettled::open`], and the records of runs that follow from it, such as callbacks.
    /// They are composed later, beside the requests that still have to go out, and written in one batch, so that no crash comes
    /// between them. Waits while the journal is full.
    pub async fn settle_with(
        &self,
        fire: Fire,
        outcome: FireOutcome,
        following: Vec<Started>,
    ) -> Result<(), JournalStopped> {
        self.orders.send(Order::Fire(Box::new((fire, outcome)), following)).await.map_err(|_| JournalStopped)
    }

    /// Gives the record of a run that goes on; it settles nothing. Waits while the journal is full.
    pub async fn note_started(&self, started: Started) -> Result<(), JournalStopped> {
        self.orders.send(Order::Started(Box::new(started))).await.map_err(|_| JournalStopped)
    }

    /// The same, but when the journal is full there is no record. Tells whether it was given.
    pub fn try_note_started(&self, started: Started) -> bool {
        self.orders.try_send(Order::Started(Box::new(started))).is_ok()
    }

    /// Gives a record that settles nothing, unless the journal is full. Tells whether it was given.
    pub fn try_record(&self, record: Record) -> bool {
        self.orders.try_send(Order::Record(Box::new(record))).is_ok()
    }

    /// Returns when every record given before is in the store.
    pub async fn flush(&self) -> Result<(), JournalStopped> {
        self.wait(Until::Stored).await
    }

    /// Returns when every record given before survives a crash of the process: in the store, or on this machine's disk.
    pub async fn secure(&self) -> Result<(), JournalStopped> {
        self.wait(Until::Safe).await
    }

    async fn wait(&self, until: Until) -> Result<(), JournalStopped> {
        let (done, reached) = oneshot::channel();
        self.orders.send(Order::Flush(until, done)).await.map_err(|_| JournalStopped)?;
        reached.await.map_err(|_| JournalStopped)
    }

    /// The fires without a durable outcome.
    pub fn unsettled(&self) -> &Unsettled {
        &self.unsettled
    }

    /// Which headers carry credentials: no record shows them.
    pub fn masking(&self) -> &Masking {
        &self.masking
    }

    /// How writing goes.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// How many records wait in memory.
    pub fn waiting(&self) -> usize {
        self.orders.max_capacity() - self.orders.capacity()
    }

    /// How many may. Then who gives one waits.
    pub fn waiting_max(&self) -> usize {
        self.orders.max_capacity()
    }

    /// For how long the oldest batch of records that is not in the store has been on its way.
    pub fn lag(&self) -> Duration {
        let oldest = self.progress.lock().unwrap_or_else(PoisonError::into_inner).oldest_unstored();
        oldest.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// What was counted of outcomes.
    pub fn metrics(&self) -> &OutcomeMetrics {
        &self.metrics
    }
}

/// Starts the loop. What `spill` holds of an earlier process is written first.
pub fn start(store: Arc<dyn JournalStore>, settings: &Settings, spill: Option<Spill>, tenure: Tenure) -> Journal {
    let (orders, inbox) = mpsc::channel(settings.records_waiting_max);
    let unsettled = Arc::new(Unsettled::new());
    let status = Arc::new(Status::default());
    let outlet = Outlet::new(store, spill, settings, unsettled.clone(), status.clone());
    let (progress, metrics) = (outlet.progress_shown(), OutcomeMetrics::default());
    let writer = Writer {
        outlet: Arc::new(outlet),
        inbox,
        flush_interval: settings.flush_interval,
        masking: settings.masking.clone(),
        metrics: metrics.clone(),
        places: Arc::new(Semaphore::new(settings.writes_in_flight_max)),
    };
    tokio::spawn(writer.run());
    Journal { orders, unsettled, status, progress, metrics, masking: settings.masking.clone(), tenure }
}

#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    started: Vec<Started>,
    outcomes: Vec<(Fire, FireOutcome)>,
    waiters: Vec<(Until, oneshot::Sender<()>)>,
}

impl Batch {
    fn add(&mut self, order: Order) {
        match order {
            Order::Record(record) => self.records.push(*record),
            Order::Started(started) => self.started.push(*started),
            Order::Fire(ended, following) => {
                self.outcomes.push(*ended);
                self.started.extend(following);
            }
            Order::Flush(until, waiter) => self.waiters.push((until, waiter)),
        }
    }

    fn len(&self) -> usize {
        self.records.len() + self.started.len() + self.outcomes.len()
    }

    /// All records, those of runs composed now.
    async fn compose(&mut self, masking: &Masking) -> Vec<Record> {
        let mut records = std::mem::take(&mut self.records);
        let (started, outcomes) = (std::mem::take(&mut self.started), std::mem::take(&mut self.outcomes));
        if !started.is_empty() || !outcomes.is_empty() {
            // Thousands at once: not on a thread that requests go out from.
            let masking = masking.clone();
            let composed = tokio::task::spawn_blocking(move || of_runs(&started, &outcomes, &masking));
            records.extend(composed.await.expect("composing a record does not panic"));
        }
        records
    }
}

/// The records of runs. What has ended within the batch has only its outcome; what follows from an outcome stands before it: where
/// a store writes only a part of a batch, a run may be told of twice, never not at all.
fn of_runs(started: &[Started], outcomes: &[(Fire, FireOutcome)], masking: &Masking) -> Vec<Record> {
    let ended: Vec<Record> = outcomes.iter().map(|(fire, outcome)| fire_record(fire, outcome, masking)).collect();
    if started.is_empty() {
        return ended;
    }
    let ids: HashSet<RecordId> = ended.iter().map(|record| record.id).collect();
    let goes_on = started.iter().filter(|started| !ids.contains(&started.fire.run_id().into()));
    goes_on.map(|started| started.record(masking)).chain(ended).collect()
}

struct Writer {
    outlet: Arc<Outlet>,
    inbox: mpsc::Receiver<Order>,
    flush_interval: Duration,
    masking: Masking,
    metrics: OutcomeMetrics,
    places: Arc<Semaphore>,
}

impl Writer {
    async fn run(mut self) {
        let emptying = tokio::spawn(self.outlet.clone().empty_spill());
        while let Some(mut batch) = self.next_batch().await {
            if batch.len() > 0 {
                let records = batch.compose(&self.masking).await;
                // Once for each record, however often it is written.
                records.iter().for_each(|record| self.metrics.note(record));
                self.give(records).await;
            }
            for (until, waiter) in batch.waiters {
                self.outlet.progress().wait(until, waiter);
            }
        }
        // What is under way ends by itself; what waits on the disk is for the next start.
        emptying.abort();
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

    /// Hands a batch over, to the store or to the disk. Returns before it is written, if there is a place for it.
    async fn give(&self, records: Vec<Record>) {
        let number = self.outlet.progress().begin(Instant::now());
        let mut records = Some(records);
        while let Some(batch) = records.take() {
            if self.outlet.spills() {
                records = self.outlet.spill(number, batch).await;
                if records.is_none() {
                    return;
                }
            } else {
                records = Some(batch);
            }
            match tokio::time::timeout(PLACE_TIMEOUT, self.places.clone().acquire_owned()).await {
                Ok(Ok(place)) => {
                    let Some(batch) = records.take() else { return };
                    tokio::spawn(deliver(self.outlet.clone(), number, batch, place));
                }
                Ok(Err(_)) => return,
                Err(_) => self.outlet.note_slow(),
            }
        }
    }
}

/// Writes a batch, however long nobody takes it. Records wait, then the fires that bring them: nothing is dropped.
async fn deliver(outlet: Arc<Outlet>, number: u64, mut records: Vec<Record>, place: OwnedSemaphorePermit) {
    let mut backoff = BACKOFF.0;
    loop {
        match outlet.take(number, records).await {
            Taken::Yes => break,
            Taken::No(back) => records = back,
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RunStage;
    use crate::model::{
        Entry, EntryName, Identity, RecordKind, Request, Revision, RunId, Schedule, TargetUrl, Task, TimeZone,
        Timestamp, Trigger,
    };

    fn fire(second: i64) -> Fire {
        let request = Request::post(TargetUrl::parse("http://a/").unwrap());
        let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("* * * * * *").unwrap(), request);
        let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry]);
        let revision = Arc::new(Revision::new(task, Timestamp::EPOCH));
        Fire::planned(revision, 0, Timestamp::from_secs(second), Trigger::Schedule)
    }

    fn started(second: i64) -> Started {
        let (attempts, at) = (Vec::new(), Timestamp::from_secs(second));
        Started { fire: fire(second), stage: RunStage::Running, attempts, phase: 1, at, resume_at: None }
    }

    #[test]
    fn what_has_ended_within_a_batch_has_only_its_outcome_and_what_follows_stands_before_it() {
        let mut batch = Batch::default();
        batch.add(Order::Started(Box::new(started(1))));
        batch.add(Order::Fire(Box::new((fire(1), FireOutcome::default())), vec![started(2)]));
        batch.add(Order::Started(Box::new(started(3))));

        let records = of_runs(&batch.started, &batch.outcomes, &Masking::default());

        let kinds = |record: &Record| (record.kind, RunId::from(record.id).instant().secs());
        let expected = [(RecordKind::Started, 2), (RecordKind::Started, 3), (RecordKind::Success, 1)];
        assert_eq!(records.iter().map(kinds).collect::<Vec<_>>(), expected);
        assert_eq!(batch.len(), 4);
    }
}
