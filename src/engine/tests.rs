//! The engine on a simulated clock and a store in memory, with a transport that only notes what it was given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::*;
use crate::clock::{Clock, SimClock};
use crate::dispatch::{self, Answer, Cancelled, Dispatch, OutgoingRequest, Transport, TransportError};
use crate::journal::{self, Journal, change_record, skipped_record};
use crate::model::cron::CronExpr;
use crate::model::{
    Entry, EntryName, Identity, LastFire, RecordKind, Request, Revision, Stretch, TargetUrl, Task, TimeZone, Timestamp,
};
use crate::store::memory::MemoryStore;
use crate::store::{CatalogStore, Change, JournalStore, LeaseStore};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// Notes each run it is given, and answers 200.
#[derive(Clone)]
struct Sink {
    runs: Arc<Mutex<BTreeMap<String, usize>>>,
    count: Arc<watch::Sender<usize>>,
}

#[async_trait]
impl Transport for Sink {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let fire_time = request.headers["x-schedule-fire-time"].to_str().unwrap().to_owned();
        *self.runs.lock().unwrap().entry(fire_time).or_default() += 1;
        self.count.send_modify(|count| *count += 1);
        Ok(Answer { status: 200, body: Vec::new(), is_truncated: false })
    }
}

impl Sink {
    fn new() -> Self {
        Self { runs: Arc::default(), count: Arc::new(watch::channel(0).0) }
    }

    fn fire_times(&self) -> Vec<String> {
        let runs = self.runs.lock().unwrap();
        assert!(runs.values().all(|&count| count == 1), "an instant was fired twice: {runs:?}");
        runs.keys().cloned().collect()
    }

    fn total(&self) -> usize {
        self.runs.lock().unwrap().values().sum()
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
        let shared: Arc<dyn crate::store::Store> = Arc::new(store.clone());
        let journal = journal::start(Arc::new(store.clone()), &journal::Settings::default(), None);
        let settings = Settings::default();
        let transport = Arc::new(sink.clone());
        let grace = settings.misfire_grace;
        let dispatch =
            dispatch::start(transport, journal.clone(), clock.clone(), &dispatch::Settings::default(), grace);
        let leases = store.take_all("test").await.unwrap();
        let recovered = recover(&store, &journal, &leases, clock.now()).await.unwrap();
        let engine = super::start(recovered, shared, journal.clone(), dispatch.clone(), clock.clone(), &settings);
        Self { clock, store, journal, dispatch, engine, sink }
    }

    async fn new(now: &str) -> Self {
        Self::start(Arc::new(SimClock::starting_at(at(now))), MemoryStore::new(), Sink::new()).await
    }

    /// As the catalog does it.
    async fn change(&self, identity: &str, cron_time: Option<&str>) {
        let identity = Identity::parse(identity).unwrap();
        let held = self.engine.hold(&identity).await.unwrap();
        let mut known = self.store.revisions(Timestamp::EPOCH);
        let mut replaces = None;
        while let Some(page) = known.recv().await {
            let of_task =
                page.unwrap().into_iter().filter(|it| it.task.identity == identity && it.in_force_until.is_none());
            replaces = of_task.map(|it| it.number).last().or(replaces);
        }
        let next = cron_time.map(|cron_time| revision(&identity, cron_time, held.since));
        let kind = if next.is_some() { RecordKind::Put } else { RecordKind::Delete };
        let record = change_record(kind, &identity, &(), held.since);
        let change = Change { identity, replaces, epoch: held.epoch, at: held.since, next: next.clone(), record };
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

    async fn outcomes(&self, identity: &str) -> Vec<(RecordKind, u64)> {
        self.journal.flush().await.unwrap();
        let entry = (Identity::parse(identity).unwrap(), EntryName::parse("e").unwrap());
        let outcomes = self.store.outcomes(&[entry], Timestamp::EPOCH).await.unwrap().remove(0);
        outcomes.into_iter().map(|outcome| (outcome.kind, outcome.stretch.count)).collect()
    }
}

fn revision(identity: &Identity, cron_time: &str, since: Timestamp) -> Revision {
    let entry = Entry {
        name: EntryName::parse("e").unwrap(),
        cron_time: cron_time.into(),
        cron: CronExpr::parse(cron_time).unwrap(),
        request: Request { url: TargetUrl::parse("http://127.0.0.1/").unwrap(), headers: None, body: None },
        last_fire: LastFire::never(),
    };
    let task = Task { identity: identity.clone(), time_zone: TimeZone::UTC, entries: [entry].into() };
    let (put_at, in_force_from) = (since, since);
    Revision { task: Arc::new(task), number: 0, enabled: true, put_at, in_force_from, in_force_until: None }
}

#[tokio::test(start_paused = true)]
async fn an_instant_fires_when_it_has_come_and_not_before() {
    let rooms = Rooms::new("2026-03-29T11:00:00Z").await;
    rooms.change("backup", Some("0 0 12 * * *")).await;

    rooms.until("2026-03-29T11:59:59.990Z").await;
    assert!(rooms.sink.fire_times().is_empty());
    rooms.until("2026-03-29T12:00:00.050Z").await;

    assert_eq!(rooms.sink.fire_times(), ["2026-03-29T12:00:00.000Z"]);
}

#[tokio::test(start_paused = true)]
async fn a_simulated_day_fires_every_instant_once() {
    let rooms = Rooms::new("2026-03-29T00:00:00Z").await;
    rooms.change("quarters", Some("0 */15 * * * *")).await;
    rooms.change("daily", Some("30 0 6 * * *")).await;

    rooms.until("2026-03-30T00:00:00.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 4 * 24 + 1);
    assert_eq!(rooms.outcomes("quarters").await.len(), 96);
}

#[tokio::test(start_paused = true)]
async fn a_put_within_the_claimed_window_fires_on_its_first_instant() {
    let rooms = Rooms::new("2026-03-29T00:00:00Z").await;
    rooms.change("first", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:10.900Z").await;

    rooms.change("late-comer", Some("11 0 0 * * *")).await;
    rooms.until("2026-03-29T00:00:11.100Z").await;

    assert_eq!(rooms.outcomes("late-comer").await, [(RecordKind::Success, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_task_fires_by_its_new_definition_only() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;

    rooms.change("task", Some("0 * * * * *")).await;
    rooms.until("2026-03-29T00:02:30Z").await;

    let seconds: Vec<String> = rooms.sink.fire_times().iter().map(|time| time[14..19].to_owned()).collect();
    assert_eq!(seconds, ["00:01", "00:02", "00:03", "01:00", "02:00"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_delete_nothing_fires() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.change("task", None).await;
    rooms.until("2026-03-29T01:00:00Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 2);
    assert_eq!(rooms.engine.status().entries(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_back_fires_nothing_twice() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:10.500Z").await;
    assert_eq!(rooms.sink.total(), 10);

    rooms.clock.step(-5_000);
    rooms.until("2026-03-29T00:00:10.400Z").await;
    assert_eq!(rooms.sink.total(), 10);
    rooms.until("2026-03-29T00:00:20.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_clock_stepped_far_ahead_makes_misfires_of_which_the_newest_is_fired() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.clock.step(2 * 60 * 60 * 1_000);
    rooms.until("2026-03-29T02:00:05.500Z").await;

    // Two hours: the hour beyond the catch-up window is missed, the hour within it stands behind its newest instant.
    let outcomes = rooms.outcomes("task").await;
    let of = |wanted: RecordKind| -> u64 {
        outcomes.iter().filter(|(kind, _)| *kind == wanted).map(|(_, count)| count).sum()
    };
    let total: u64 = outcomes.iter().map(|(_, count)| count).sum();
    assert!((3_590..=3_605).contains(&of(RecordKind::Missed)), "{outcomes:?}");
    assert!((3_590..=3_605).contains(&of(RecordKind::Skipped)), "{outcomes:?}");
    assert_eq!(total, 2 * 60 * 60 + 5, "every instant has one outcome: {outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_fires_late_and_loses_none() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;

    rooms.store.fail_writes(true);
    rooms.until("2026-03-29T00:00:12.500Z").await;
    assert!(!rooms.engine.status().is_claiming());
    let identity = Identity::parse("task").unwrap();
    assert_eq!(rooms.engine.hold(&identity).await.err(), Some(EngineError::CannotClaim));
    rooms.store.fail_writes(false);
    rooms.until("2026-03-29T00:00:20.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 20);
    assert_eq!(rooms.outcomes("task").await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_dropped_leaves_the_task_as_it_was() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;

    let held = rooms.engine.hold(&Identity::parse("task").unwrap()).await.unwrap();
    rooms.until("2026-03-29T00:00:05.500Z").await;
    assert_eq!(rooms.sink.total(), 0);
    drop(held);
    rooms.until("2026-03-29T00:00:06.500Z").await;

    assert_eq!(rooms.sink.fire_times().len(), 6, "what came meanwhile is fired late");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_every_instant_has_exactly_one_outcome() {
    // Each moment of two seconds, so that a crash meets every state between a claim and its record.
    for crash_ms in (0..2_000).step_by(37) {
        let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
        rooms.change("task", Some("* * * * * *")).await;
        let crash_at = Timestamp::from_millis(at("2026-03-29T00:00:03Z").millis() + crash_ms);
        rooms.clock.sleep_until(crash_at).await;
        let (clock, store, sink) = rooms.crash().await;
        clock.sleep_until(at("2026-03-29T00:00:09.500Z")).await;

        let rooms = Rooms::start(clock, store, sink).await;
        rooms.until("2026-03-29T00:00:12.500Z").await;

        let outcomes = rooms.outcomes("task").await;
        assert_eq!(outcomes, vec![(RecordKind::Success, 1); 12], "crash {crash_ms} ms after the third second");
        // At most the fires of one unwritten batch are sent again, with the same key.
        assert!(rooms.sink.total() <= 12 + 2, "crash {crash_ms} ms after the third second: {:?}", rooms.sink.runs);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_open_of_a_task_that_is_gone_is_missed_and_not_sent() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.001Z").await;
    rooms.change("task", None).await;
    let (clock, store, sink) = rooms.crash().await;
    let sent = sink.total();

    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:06.500Z").await;

    let outcomes = rooms.outcomes("task").await;
    assert_eq!(rooms.sink.total(), sent);
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    assert!(outcomes.contains(&(RecordKind::Missed, 1)), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_planned_stop_leaves_nothing_uncertain() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.200Z").await;

    let stopped = rooms.engine.stop().await.unwrap();
    rooms.dispatch.drain(Duration::from_secs(1)).await.unwrap();
    rooms.journal.flush().await.unwrap();
    rooms.store.release(&stopped.claims(rooms.journal.unsettled())).await.unwrap();
    let (clock, store, sink) = rooms.crash().await;
    let leases = store.take_all("next").await.unwrap();

    assert!(leases.iter().all(|lease| lease.claimed_through <= at("2026-03-29T00:00:03.200Z")));
    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:00:06.500Z").await;
    assert_eq!(rooms.sink.fire_times().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn claims_that_fail_for_long_make_misfires_with_one_outcome_each() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;

    // Records can be written, claims cannot: each planning finds misfires, and the next must not find them again.
    rooms.store.fail_claims(true);
    rooms.until("2026-03-29T00:02:00.500Z").await;
    rooms.store.fail_claims(false);
    rooms.until("2026-03-29T00:02:10.500Z").await;

    assert_each_instant_once(&rooms, "2026-03-29T00:02:10Z").await;
}

#[tokio::test(start_paused = true)]
async fn of_the_records_of_one_planning_a_crash_may_leave_only_the_newer() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.change("task", Some("* * * * * *")).await;
    rooms.until("2026-03-29T00:00:03.500Z").await;
    let (clock, store, sink) = rooms.crash().await;
    let (identity, entry) = (Identity::parse("task").unwrap(), EntryName::parse("e").unwrap());
    let stretch = Stretch { first: at("2026-03-29T00:00:40Z"), last: at("2026-03-29T00:00:50Z"), count: 11 };
    let newer = skipped_record(&identity, &entry, stretch, "fire_once", stretch.last);
    store.append(vec![newer]).await.unwrap();
    clock.sleep_until(at("2026-03-29T00:00:55.500Z")).await;

    let rooms = Rooms::start(clock, store, sink).await;
    rooms.until("2026-03-29T00:01:00.500Z").await;

    assert_each_instant_once(&rooms, "2026-03-29T00:01:00Z").await;
}

/// From the first second on, up to this one.
async fn assert_each_instant_once(rooms: &Rooms, last: &str) {
    let entry = (Identity::parse("task").unwrap(), EntryName::parse("e").unwrap());
    rooms.journal.flush().await.unwrap();
    let outcomes = rooms.store.outcomes(&[entry], Timestamp::EPOCH).await.unwrap().remove(0);
    let mut next = at("2026-03-29T00:00:01Z");
    for outcome in &outcomes {
        assert_eq!(outcome.stretch.first, next, "{outcomes:?}");
        next = outcome.stretch.last.plus(Duration::from_secs(1));
    }
    assert_eq!(next, at(last).plus(Duration::from_secs(1)));
}
