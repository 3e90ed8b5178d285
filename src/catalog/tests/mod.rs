//! The rooms from the catalog inward, on a simulated clock and a store in memory.

mod asked;
mod callbacks;
mod dead_letters;
mod late_changes;
mod lingering;
mod one_shots;
mod options;
mod promise;
mod shared_pauses;
mod stops;
mod tenancy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::verify::{Finding, Range, verify};
use super::*;
use crate::clock::SimClock;
use crate::dispatch::{self, Answer, OutgoingRequest, Patience, Transport, TransportError};
use crate::engine;
use crate::journal;
use crate::model::{
    Entry, EntryName, EntryOptions, Record, RecordKind, Request, Schedule, ShardSet, TargetUrl, Task, TimeZone,
    Timestamp,
};
use crate::store::memory::MemoryStore;
use crate::store::{JournalStore, LeaseStore};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn identity(name: &str) -> Identity {
    Identity::parse(name).unwrap()
}

fn entry_name() -> EntryName {
    EntryName::parse("e").unwrap()
}

fn entry(schedule: Schedule, options: EntryOptions) -> Entry {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/").unwrap());
    Entry::new(entry_name(), schedule, request).with_options(Some(Box::new(options)))
}

/// A request as the target got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    identity: String,
    run_id: String,
    fire_time: String,
    trigger: String,
    attempt: String,
    /// It tells of the end of a run.
    is_message: bool,
    /// Since the sink was made.
    after: Duration,
}

/// How long a target takes, and what it answers then.
type Script = dyn Fn(&Sent) -> (Duration, u16) + Send + Sync;

/// Notes each request it is given, and answers, at once or when it is told to.
#[derive(Clone)]
struct Sink {
    sent: Arc<Mutex<Vec<Sent>>>,
    answers: Arc<watch::Sender<Option<u16>>>,
    script: Arc<Mutex<Option<Arc<Script>>>>,
    /// How many requests of each task are open, messages aside.
    open: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Tasks of which two were at once.
    overlapped: Arc<Mutex<BTreeSet<String>>>,
    made_at: Instant,
}

/// A request that was sent and is not answered.
struct Open<'a> {
    sink: &'a Sink,
    identity: Option<String>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut open = self.sink.open.lock().unwrap();
        if let Some(count) = self.identity.as_ref().and_then(|identity| open.get_mut(identity)) {
            *count -= 1;
        }
    }
}

#[async_trait]
impl Transport for Sink {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        let (identity, run_id) = (header("x-schedule-identity"), header("x-schedule-run-id"));
        let (fire_time, trigger) = (header("x-schedule-fire-time"), header("x-schedule-trigger"));
        let is_message = request.headers.contains_key("x-schedule-callback");
        let (attempt, after) = (header("x-schedule-attempt"), self.made_at.elapsed());
        let sent = Sent { identity, run_id, fire_time, trigger, attempt, is_message, after };
        self.sent.lock().unwrap().push(sent.clone());
        let _open = self.open(&sent);
        let script = self.script.lock().unwrap().clone();
        if let Some(script) = script {
            let (takes, status) = script(&sent);
            tokio::time::sleep(takes).await;
            return Ok(Answer::whole(status, ""));
        }
        let mut answers = self.answers.subscribe();
        let status = answers.wait_for(Option::is_some).await.unwrap().unwrap();
        Ok(Answer::whole(status, ""))
    }
}

impl Sink {
    fn new() -> Self {
        let answers = Arc::new(watch::channel(Some(200)).0);
        let (sent, script, open, overlapped) = Default::default();
        Self { sent, answers, script, open, overlapped, made_at: Instant::now() }
    }

    fn open(&self, sent: &Sent) -> Open<'_> {
        let identity = (!sent.is_message).then(|| sent.identity.clone());
        if let Some(identity) = &identity {
            let mut open = self.open.lock().unwrap();
            let count = open.entry(identity.clone()).or_default();
            *count += 1;
            if *count > 1 {
                self.overlapped.lock().unwrap().insert(identity.clone());
            }
        }
        Open { sink: self, identity }
    }

    /// From now on it takes its time, and answers as is said, to each request for itself.
    fn follow(&self, script: impl Fn(&Sent) -> (Duration, u16) + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// From now on it answers with this status, or lets the requests wait.
    fn answer(&self, status: Option<u16>) {
        self.answers.send_replace(status);
    }

    fn sent_of(&self, identity: &str) -> Vec<Sent> {
        self.sent.lock().unwrap().iter().filter(|sent| sent.identity == identity).cloned().collect()
    }
}

/// A node without its front.
struct Node {
    clock: Arc<SimClock>,
    store: MemoryStore,
    means: Means,
    catalog: Catalog,
    sink: Sink,
}

impl Node {
    async fn start(clock: Arc<SimClock>, store: MemoryStore, sink: Sink) -> Self {
        let tenure = crate::cluster::Tenure::alone(clock.clone());
        Self::start_of(ShardSet::ALL, (tenure, Agreement::alone()), clock, store, sink).await
    }

    /// Acts for some shards only, as long as it may.
    async fn start_of(
        shards: ShardSet,
        (tenure, agreement): (crate::cluster::Tenure, Agreement),
        clock: Arc<SimClock>,
        store: MemoryStore,
        sink: Sink,
    ) -> Self {
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let journal = journal::start(Arc::new(store.clone()), &journal::Settings::default(), None, tenure.clone());
        let settings = engine::Settings { pause_reach: agreement.reach(), ..engine::Settings::default() };
        let dispatch_means = dispatch::Means {
            transport: Arc::new(sink.clone()),
            journal: journal.clone(),
            history: shared.clone(),
            results: shared.clone(),
            clock: clock.clone(),
            tenure: tenure.clone(),
            secrets: crate::secrets::Secrets::open(&Default::default(), clock.clone()).unwrap(),
        };
        let engine::Settings { misfire_grace, catch_up_window, .. } = settings;
        let patience = Patience { misfire_grace, catch_up_window };
        let dispatch = dispatch::start(dispatch_means, &dispatch::Settings::default(), patience);
        let leases = store.take(shards, "test").await.unwrap();
        let mut recovered = engine::recover(&store, &journal, &leases, clock.now(), &settings).await.unwrap();
        let revisions = std::mem::take(&mut recovered.revisions);
        let (for_engine, for_dispatch) = (journal.clone(), dispatch.clone());
        let engine = engine::start(recovered, shared.clone(), for_engine, for_dispatch, clock.clone(), &settings);
        let means = Means { store: shared, engine, dispatch, journal, clock: clock.clone(), tenure, agreement };
        let catalog = Catalog::new(revisions, means.clone());
        Self { clock, store, means, catalog, sink }
    }

    async fn new(now: &str) -> Self {
        let clock = Arc::new(SimClock::starting_at(at(now)));
        Self::start(clock, MemoryStore::new(), Sink::new()).await
    }

    async fn put(&self, task: Task) -> Result<u64, CatalogError> {
        self.catalog.put(Put { task, enabled: true, request: empty(), revision: None, by: None, asked_by: None }).await
    }

    async fn put_entry(&self, name: &str, schedule: Schedule, options: EntryOptions) {
        self.put(Task::new(identity(name), TimeZone::UTC, vec![entry(schedule, options)])).await.unwrap();
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

    /// Ends as the node does when it is asked to, with little time for what is in flight.
    async fn stop(self) -> (Arc<SimClock>, MemoryStore, Sink) {
        let stopped = self.means.engine.stop().await.unwrap();
        self.means.dispatch.drain(Duration::from_secs(1)).await.unwrap();
        self.means.journal.flush().await.unwrap();
        self.store.release(&stopped.claims(self.means.journal.unsettled())).await.unwrap();
        self.crash().await
    }

    async fn record(&self, run: crate::model::RunId) -> Option<Record> {
        self.means.journal.flush().await.unwrap();
        self.store.records().into_iter().find(|record| record.id == run.into())
    }

    async fn verify(&self, from: Timestamp, to: Timestamp) -> Vec<Finding> {
        self.means.journal.flush().await.unwrap();
        let mut findings = Vec::new();
        verify(&self.store, Range { from, to }, &mut |finding| findings.push(finding)).await.unwrap();
        findings
    }
}

fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap()
}
