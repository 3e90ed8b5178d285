//! The engine on a simulated clock and a store in memory, with a transport that only notes what it was given.

mod firing;
mod misfires;
mod one_shots;
mod pauses;
mod tenancy;
mod unfinished;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::*;
use crate::clock::{Clock, SimClock};
use crate::dispatch::{self, Answer, Cancelled, Dispatch, Means, OutgoingRequest, Patience, Transport, TransportError};
use crate::journal::{self, Journal, change_record};
use crate::model::{
    Entry, EntryName, EntryOptions, Identity, RecordKind, Request, Revision, Schedule, ShardSet, Stretch, TargetUrl,
    Task, TimeZone, Timestamp,
};
use crate::store::memory::MemoryStore;
use crate::store::{CatalogStore, Change, JournalStore, LeaseStore, Outcome};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// A request as the target got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    identity: String,
    fire_time: String,
    trigger: String,
    at: Timestamp,
}

/// Notes each request it is given, and answers 200, at once or when it is told to.
#[derive(Clone)]
struct Sink {
    clock: Arc<SimClock>,
    sent: Arc<Mutex<Vec<Sent>>>,
    answers: Arc<watch::Sender<bool>>,
}

#[async_trait]
impl Transport for Sink {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        let (identity, fire_time) = (header("x-schedule-identity"), header("x-schedule-fire-time"));
        let (trigger, at) = (header("x-schedule-trigger"), self.clock.now());
        self.sent.lock().unwrap().push(Sent { identity, fire_time, trigger, at });
        let mut answers = self.answers.subscribe();
        answers.wait_for(|answers| *answers).await.unwrap();
        Ok(Answer::whole(200, ""))
    }
}

impl Sink {
    fn new(clock: Arc<SimClock>) -> Self {
        Self { clock, sent: Arc::default(), answers: Arc::new(watch::channel(true).0) }
    }

    /// From now on it answers, or lets the requests wait.
    fn answer(&self, answers: bool) {
        self.answers.send_replace(answers);
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    fn sent_of(&self, identity: &str) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.identity == identity).collect()
    }

    fn fire_times(&self) -> Vec<String> {
        let sent = self.sent();
        let fire_times: BTreeSet<String> = sent.iter().map(|sent| sent.fire_time.clone()).collect();
        assert_eq!(fire_times.len(), sent.len(), "an instant was fired twice: {sent:?}");
        fire_times.into_iter().collect()
    }

    fn total(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
}

/// The rooms from the engine inward.
struct Rooms {
    clock: Arc<SimClock>,
    store: MemoryStore,
    journal: Journal,
    dispatch: Dispatch,
    engine: Engine,
    sink: Sink,
}

impl Rooms {
    async fn start(clock: Arc<SimClock>, store: MemoryStore, sink: Sink) -> Self {
        Self::start_with(clock, store, sink, dispatch::Settings::default()).await
    }

    async fn start_with(
        clock: Arc<SimClock>,
        store: MemoryStore,
        sink: Sink,
        dispatch_settings: dispatch::Settings,
    ) -> Self {
        Self::start_of(ShardSet::ALL, clock, store, sink, dispatch_settings).await
    }

    /// Acts for some shards only.
    async fn start_of(
        shards: ShardSet,
        clock: Arc<SimClock>,
        store: MemoryStore,
        sink: Sink,
        dispatch_settings: dispatch::Settings,
    ) -> Self {
        let shared: Arc<dyn crate::store::Store> = Arc::new(store.clone());
        let journal = journal::start(
            Arc::new(store.clone()),
            &journal::Settings::default(),
            None,
            crate::cluster::Tenure::alone(clock.clone()),
        );
        let settings = Settings::default();
        let means = Means {
            transport: Arc::new(sink.clone()),
            journal: journal.clone(),
            history: shared.clone(),
            results: shared.clone(),
            clock: clock.clone(),
            tenure: crate::cluster::Tenure::alone(clock.clone()),
            secrets: crate::secrets::Secrets::open(&Default::default(), clock.clone()).unwrap(),
        };
        let Settings { misfire_grace, catch_up_window, .. } = settings;
        let patience = Patience { misfire_grace, catch_up_window };
        let dispatch = dispatch::start(means, &dispatch_settings, patience);
        let leases = store.take(shards, "test").await.unwrap();
        let recovered = recover(&store, &journal, &leases, clock.now(), &settings).await.unwrap();
        let engine = super::start(recovered, shared, journal.clone(), dispatch.clone(), clock.clone(), &settings);
        Self { clock, store, journal, dispatch, engine, sink }
    }

    async fn new(now: &str) -> Self {
        let clock = Arc::new(SimClock::starting_at(at(now)));
        Self::start(clock.clone(), MemoryStore::new(), Sink::new(clock)).await
    }

    /// As the catalog does it.
    async fn change(&self, identity: &str, cron_time: Option<&str>) {
        let task = cron_time.map(|cron_time| task(identity, entry(cron_time, EntryOptions::default())));
        self.put(identity, task).await;
    }

    /// Puts a task, or deletes it.
    async fn put(&self, identity: &str, task: Option<Task>) {
        let identity = Identity::parse(identity).unwrap();
        let held = self.engine.hold(&identity).await.unwrap();
        let replaces = self.store.history_of(&identity, None, 1).await.unwrap();
        let replaces = replaces.iter().find(|it| it.in_force_until.is_none()).map(|it| it.number);
        let next = task.map(|task| Revision::new(task, held.since));
        let kind = if next.is_some() { RecordKind::Put } else { RecordKind::Delete };
        let record = change_record(kind, &identity, &(), held.since);
        let change =
            Change { identity, replaces, epoch: held.epoch, at: held.since, next: next.clone(), record, audit: None };
        self.store.change(change).await.unwrap();
        let settlement =
            next.map_or(Settlement::Ended(Cancelled::Deleted), |next| Settlement::Replaced(Arc::new(next)));
        self.engine.settle(held, settlement).await.unwrap();
    }

    async fn until(&self, time: &str) {
        self.clock.sleep_until(at(time)).await;
    }

    /// Ends as a crash does: nothing more is written.
    async fn crash(self) -> (Arc<SimClock>, MemoryStore, Sink) {
        let next = self.store.reopen();
        self.store.close().await.unwrap();
        (self.clock, next, self.sink)
    }

    /// A crash, and a start at a later moment.
    async fn restart(self, time: &str) -> Self {
        let (clock, store, sink) = self.crash().await;
        clock.sleep_until(at(time)).await;
        Self::start(clock, store, sink).await
    }

    async fn found(&self, identity: &str) -> Vec<Outcome> {
        self.journal.flush().await.unwrap();
        let entry = (Identity::parse(identity).unwrap(), EntryName::parse("e").unwrap());
        self.store.outcomes(&[entry], Timestamp::EPOCH).await.unwrap().remove(0)
    }

    async fn outcomes(&self, identity: &str) -> Vec<(RecordKind, u64)> {
        let found = self.found(identity).await;
        found.into_iter().map(|outcome| (outcome.kind, outcome.stretch.count)).collect()
    }

    /// How many instants have an outcome of each kind.
    async fn counts(&self, identity: &str) -> [(RecordKind, u64); 4] {
        let outcomes = self.outcomes(identity).await;
        [RecordKind::Success, RecordKind::Error, RecordKind::Skipped, RecordKind::Missed]
            .map(|wanted| (wanted, outcomes.iter().filter(|(kind, _)| *kind == wanted).map(|(_, count)| count).sum()))
    }

    /// What the records of one kind say under a key.
    fn told(&self, kind: RecordKind, key: &str) -> Vec<String> {
        let records = self.store.records().into_iter().filter(|record| record.kind == kind);
        let told = |source: &str| serde_json::from_str::<serde_json::Value>(source).unwrap()[key].clone();
        records.map(|record| told(&record.source)).map(|it| it.as_str().map_or(it.to_string(), str::to_owned)).collect()
    }

    /// For a task that names each second: from the first second on, up to this one.
    async fn assert_each_second_once(&self, identity: &str, first: &str, last: &str) {
        let mut outcomes = self.found(identity).await;
        outcomes.sort_by_key(|outcome| outcome.stretch.first);
        let mut next = at(first);
        for outcome in &outcomes {
            assert_eq!(outcome.stretch.first, next, "{outcomes:?}");
            next = outcome.stretch.last.plus(Duration::from_secs(1));
        }
        assert_eq!(next, at(last).plus(Duration::from_secs(1)), "{outcomes:?}");
    }
}

fn entry(cron_time: &str, options: EntryOptions) -> Entry {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/").unwrap());
    let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron(cron_time).unwrap(), request);
    entry.with_options(Some(Box::new(options)))
}

fn task(identity: &str, entry: Entry) -> Task {
    Task::new(Identity::parse(identity).unwrap(), TimeZone::UTC, vec![entry])
}
