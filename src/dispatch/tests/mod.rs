//! Dispatch on a simulated clock and a store in memory, with a target that does what it is told.

mod backfills;
mod callbacks;
mod cancelling;
mod elsewhere;
mod leaving;
mod letting_go;
mod load;
mod overlaps;
mod results;
mod retries;
mod secrets;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::header::RETRY_AFTER;
use serde_json::Value;

use super::*;
use crate::clock::{Clock, SimClock};
use crate::cluster::Tenure;
use crate::journal::{self, Journal};
use crate::model::{
    Asked, Backfill, Entry, EntryName, EntryOptions, Fire, Identity, Overlap, Record, RecordKind, Request, RetryPolicy,
    Revision, RunId, Schedule, SecretName, SecretText, ShardSet, TargetUrl, Task, TimeZone, Timestamp, Trigger,
};
use crate::secrets::Secrets;
use crate::store::memory::MemoryStore;
use crate::store::{JournalStore, Pruned, ResultStore, StoreError};

/// When each test begins.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(START.secs() + seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the target does with a request.
#[derive(Clone, Debug)]
enum Deed {
    /// Answers after so long.
    Answer(Duration, u16),
    /// Answers with where the request went and what it carried.
    Echo(u16),
    /// Answers with so many bytes.
    AnswerLong(usize),
    /// Answers, and asks to be left alone for so long.
    AnswerLater(u16, &'static str),
    Refuse,
    /// It may not go there.
    Forbid,
    Hang,
    Panic,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Came {
    /// After the start.
    ms: i64,
    run: String,
    attempt: String,
    url: String,
    body: String,
}

type Script = dyn Fn(&Came) -> Deed + Send + Sync;

/// A target: it notes what comes and asks its script what to do.
#[derive(Clone)]
struct Target {
    clock: Arc<SimClock>,
    came: Arc<Mutex<Vec<Came>>>,
    script: Arc<Script>,
}

#[async_trait]
impl Transport for Target {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        let came = Came {
            ms: self.clock.now().millis() - START.millis(),
            run: header("idempotency-key"),
            attempt: header("x-schedule-attempt"),
            url: request.url.to_string(),
            body: String::from_utf8(request.body.clone()).unwrap(),
        };
        self.came.lock().unwrap().push(came.clone());
        match (self.script)(&came) {
            Deed::Answer(after, status) => {
                tokio::time::sleep(after).await;
                Ok(Answer::whole(status, "ok"))
            }
            Deed::Echo(status) => Ok(Answer::whole(status, format!("{} {}", came.url, came.body))),
            Deed::AnswerLong(len) => Ok(Answer::whole(200, vec![b'x'; len])),
            Deed::AnswerLater(status, retry_after) => {
                let mut answer = Answer::whole(status, "");
                answer.headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
                Ok(answer)
            }
            Deed::Refuse => Err(TransportError::Broken("connection refused".to_owned())),
            Deed::Forbid => Err(TransportError::Refused("refused: it may not".to_owned())),
            Deed::Hang => std::future::pending().await,
            Deed::Panic => panic!("a test wants it"),
        }
    }
}

/// What entries may name.
fn secrets_of_tests() -> crate::secrets::Settings {
    let token = (SecretName::parse("token").unwrap(), SecretText::new("hunter2!"));
    crate::secrets::Settings { environment: [token].into(), ..Default::default() }
}

/// The rooms from dispatch inward.
struct Rooms {
    clock: Arc<SimClock>,
    store: MemoryStore,
    journal: Journal,
    dispatch: Dispatch,
    target: Target,
}

impl Rooms {
    async fn new(script: impl Fn(&Came) -> Deed + Send + Sync + 'static) -> Self {
        Self::with(Settings::default(), script).await
    }

    async fn with(settings: Settings, script: impl Fn(&Came) -> Deed + Send + Sync + 'static) -> Self {
        let clock = Arc::new(SimClock::starting_at(START));
        let target = Target { clock: clock.clone(), came: Arc::default(), script: Arc::new(script) };
        Self::start(clock, MemoryStore::new(), target, &settings)
    }

    fn start(clock: Arc<SimClock>, store: MemoryStore, target: Target, settings: &Settings) -> Self {
        let results = Arc::new(store.clone());
        Self::start_with(clock, store, target, settings, results)
    }

    fn start_with(
        clock: Arc<SimClock>,
        store: MemoryStore,
        target: Target,
        settings: &Settings,
        results: Arc<dyn ResultStore>,
    ) -> Self {
        let journal =
            journal::start(Arc::new(store.clone()), &journal::Settings::default(), None, Tenure::alone(clock.clone()));
        Self::start_on(clock, store, target, settings, results, journal)
    }

    fn start_on(
        clock: Arc<SimClock>,
        store: MemoryStore,
        target: Target,
        settings: &Settings,
        results: Arc<dyn ResultStore>,
        journal: Journal,
    ) -> Self {
        let tenure = Tenure::alone(clock.clone());
        Self::start_under(tenure, clock, store, target, settings, results, journal)
    }

    fn start_under(
        tenure: Tenure,
        clock: Arc<SimClock>,
        store: MemoryStore,
        target: Target,
        settings: &Settings,
        results: Arc<dyn ResultStore>,
        journal: Journal,
    ) -> Self {
        let means = Means {
            transport: Arc::new(target.clone()),
            journal: journal.clone(),
            history: Arc::new(store.clone()),
            results,
            clock: clock.clone(),
            tenure,
            secrets: Secrets::open(&secrets_of_tests(), clock.clone()).unwrap(),
        };
        let patience = Patience { misfire_grace: secs(30), catch_up_window: secs(3_600) };
        let dispatch = start(means, settings, patience);
        Self { clock, store, journal, dispatch, target }
    }

    /// As the engine does it.
    async fn fire(&self, fires: impl IntoIterator<Item = Fire>) {
        let fires: Vec<Fire> = fires.into_iter().collect();
        let planned = fires.iter().filter(|fire| fire.is_planned());
        self.journal.unsettled().open(planned.map(|fire| (fire.revision.shard(), fire.fire_time)));
        self.dispatch.fire(fires).await.unwrap();
    }

    /// Fires at its instant.
    async fn fire_at(&self, revision: &Arc<Revision>, seconds: i64) {
        self.until(seconds).await;
        self.fire([planned(revision, seconds)]).await;
    }

    async fn until(&self, seconds: i64) {
        self.clock.sleep_until(at(seconds)).await;
    }

    fn came(&self) -> Vec<Came> {
        self.target.came.lock().unwrap().clone()
    }

    /// When requests came, after the start.
    fn came_ms(&self) -> Vec<i64> {
        self.came().iter().map(|came| came.ms).collect()
    }

    /// The newest record of a run.
    async fn record(&self, run: RunId) -> Record {
        self.journal.flush().await.unwrap();
        let found = self.store.records().into_iter().find(|record| record.id == run.into());
        found.unwrap_or_else(|| panic!("there is no record of {run}"))
    }

    async fn document(&self, run: RunId) -> Value {
        serde_json::from_str(&self.record(run).await.source).unwrap()
    }

    /// Kind, and message or policy.
    async fn end(&self, run: RunId) -> (RecordKind, String) {
        let (kind, document) = (self.record(run).await.kind, self.document(run).await);
        let texts = document["message"].as_array().cloned().unwrap_or_default();
        let texts: Vec<&str> = texts.iter().chain(document.get("policy")).filter_map(Value::as_str).collect();
        (kind, texts.join(", "))
    }

    async fn assert_settled(&self) {
        self.journal.flush().await.unwrap();
        assert_eq!(self.journal.unsettled().count(), 0, "every instant has its outcome");
        assert_eq!((self.dispatch.in_flight(), self.dispatch.waiting()), (0, 0));
    }

    /// Ends as a crash does, nothing more is written; and starts again.
    async fn crash(self) -> Self {
        let next = self.store.reopen();
        self.store.close().await.unwrap();
        Self::start(self.clock, next, self.target, &Settings::default())
    }

    /// What the history holds of runs of a task that have not ended, on its way again.
    async fn unfinished(&self, revision: &Arc<Revision>) -> Vec<Fire> {
        let mut pages = self.store.unfinished(ShardSet::ALL);
        let mut fires = Vec::new();
        while let Some(page) = pages.recv().await {
            let page = page.unwrap().into_iter().filter(|record| record.identity == revision.task.identity);
            fires.extend(page.map(|it| journal::read_started(&it).unwrap().into_fire(revision).unwrap()));
        }
        fires
    }
}

fn task(name: &str, options: EntryOptions) -> Arc<Revision> {
    let request = Request::post(TargetUrl::parse(&format!("http://{name}/")).unwrap());
    let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("* * * * * *").unwrap(), request);
    let entry = entry.with_options(Some(Box::new(options)));
    Arc::new(Revision::new(Task::new(Identity::parse(name).unwrap(), TimeZone::UTC, vec![entry]), Timestamp::EPOCH))
}

fn overlapping(overlap: Overlap) -> Arc<Revision> {
    task("t", EntryOptions { overlap, ..EntryOptions::default() })
}

/// So many attempts, with pauses of 1, 2, 4… seconds.
fn retried(attempts_max: u32) -> EntryOptions {
    let mut retry = RetryPolicy { attempts_max, ..RetryPolicy::default() };
    retry.backoff.jitter = false;
    EntryOptions { retry: Some(retry), ..EntryOptions::default() }
}

fn planned(revision: &Arc<Revision>, seconds: i64) -> Fire {
    Fire::planned(revision.clone(), 0, at(seconds), Trigger::Schedule)
}

/// The run of an instant.
fn run(revision: &Arc<Revision>, seconds: i64) -> RunId {
    planned(revision, seconds).run_id()
}

fn asked(revision: &Arc<Revision>, seconds: i64) -> Fire {
    let asked = Asked {
        run_id: RunId::asked(at(seconds)),
        run_by: "alice".into(),
        args: "".into(),
        rerun_of: None,
        backfill: None,
    };
    Fire { asked: Some(Arc::new(asked)), trigger: Trigger::Manual, ..planned(revision, seconds) }
}

fn succeeded() -> (RecordKind, String) {
    (RecordKind::Success, String::new())
}

fn failed(message: &str) -> (RecordKind, String) {
    (RecordKind::Error, message.to_owned())
}

fn skipped(policy: &str) -> (RecordKind, String) {
    (RecordKind::Skipped, policy.to_owned())
}
