//! The loop that owns the runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Settings;
use super::alarms::Alarms;
use super::attempt::Transport;
use super::gauges::Gauges;
use super::groups::Groups;
use super::handle::{AskRefused, Dispatch, Drained, Order, Patience, Reservation, Reserved};
use super::intake::Results;
use super::keys::Keys;
use super::lanes::{Lanes, Limits};
use super::overlap::Overlaps;
use super::runs::{Place, Run, Runs};
use super::sender::{Event, Sender, warn_of_stopped_journal};
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::cluster::Tenure;
use crate::journal::Journal;
use crate::model::{Fire, Record, Shard, ShardSet};
use crate::observe::metrics::AttemptMetrics;
use crate::secrets::Secrets;
use crate::store::{JournalStore, ResultStore};

/// How many batches of fires may wait to be taken in. A full queue makes the engine wait.
const BATCHES_WAITING_MAX: usize = 64;
/// How many runs whose time has come are looked at before the loop looks for endings.
const RUNG_AT_ONCE: usize = 1_000;

/// What dispatch works with.
pub struct Means {
    /// The way out.
    pub transport: Arc<dyn Transport>,
    /// Takes the records.
    pub journal: Journal,
    /// Knows how runs ended.
    pub history: Arc<dyn JournalStore>,
    /// Keeps what is too large for a record.
    pub results: Arc<dyn ResultStore>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Whether this node may still send.
    pub tenure: Tenure,
    /// The secrets that requests name.
    pub secrets: Secrets,
}

/// Starts the loop.
pub fn start(means: Means, settings: &Settings, patience: Patience) -> Dispatch {
    let (orders, inbox) = mpsc::channel(BATCHES_WAITING_MAX);
    let (events, happened) = mpsc::unbounded_channel();
    let limits =
        Limits { in_flight_max: settings.in_flight_max, in_flight_per_host_max: settings.in_flight_per_host_max };
    let (gauges, metrics) = (Arc::new(Gauges::new(limits)), AttemptMetrics::default());
    let Means { transport, journal, history, results, clock, tenure, secrets } = means;
    let sender = Sender {
        tokens: Tokens::new(transport.clone()),
        transport,
        journal,
        history,
        results: Results::new(results, settings.response_max, settings.result_max),
        clock,
        tenure,
        secrets,
        metrics: metrics.clone(),
        events,
        timeout: settings.timeout,
        growth: settings.growth,
        is_draining: AtomicBool::new(false),
    };
    let run_loop = RunLoop {
        runs: Runs::default(),
        keys: Keys::default(),
        overlaps: Overlaps::default(),
        groups: Groups::default(),
        lanes: Lanes::new(limits),
        alarms: Alarms::default(),
        ending: 0,
        skipped: Vec::new(),
        let_go_in: HashMap::new(),
        ends_awaited: Vec::new(),
        sender: Arc::new(sender),
        patience,
        retries_waiting_max: settings.retries_waiting_max,
        gauges: gauges.clone(),
    };
    tokio::spawn(run_loop.run(inbox, happened));
    Dispatch { orders, gauges, metrics }
}

/// All that dispatch holds. What becomes of a run stands in `steps.rs`.
pub(super) struct RunLoop {
    pub(super) runs: Runs,
    pub(super) keys: Keys,
    pub(super) overlaps: Overlaps,
    pub(super) groups: Groups,
    pub(super) lanes: Lanes,
    pub(super) alarms: Alarms,
    /// How many runs have their outcome on its way to the journal.
    pub(super) ending: usize,
    /// Records for the journal: they are given when the step is done.
    pub(super) skipped: Vec<Record>,
    /// In which term each shard was let go.
    pub(super) let_go_in: HashMap<Shard, u64>,
    /// Who waits until what was under way of shards has ended.
    pub(super) ends_awaited: Vec<(ShardSet, oneshot::Sender<ShardSet>)>,
    pub(super) sender: Arc<Sender>,
    pub(super) patience: Patience,
    pub(super) retries_waiting_max: usize,
    gauges: Arc<Gauges>,
}

impl RunLoop {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>, mut happened: mpsc::UnboundedReceiver<Event>) {
        let sleep = tokio::time::sleep_until(Instant::now());
        tokio::pin!(sleep);
        loop {
            let next = self.alarms.next(|| self.sender.clock.now(), Instant::now());
            if let Some(at) = next.filter(|&at| at != sleep.deadline()) {
                sleep.as_mut().reset(at);
            }
            tokio::select! {
                // Endings first: they make room.
                biased;
                Some(event) = happened.recv() => self.note(event),
                () = &mut sleep, if next.is_some() => self.ring(),
                order = inbox.recv() => match order {
                    None => return,
                    Some(Order::Drain(deadline, done)) => {
                        let drained = self.drain(happened, deadline).await;
                        // The caller may have gone: nothing to tell.
                        let _ = done.send(drained);
                        return;
                    }
                    Some(order) => self.obey(order).await,
                },
            }
            self.give_records().await;
            self.tell_ends();
            self.show();
        }
    }

    fn show(&self) {
        let in_flight = self.lanes.in_flight();
        let gone = in_flight + self.ending + self.runs.elsewhere();
        let shown = [
            (&self.gauges.in_flight, in_flight),
            (&self.gauges.hosts, self.lanes.len()),
            (&self.gauges.waiting, self.runs.len().saturating_sub(gone)),
            (&self.gauges.for_limit, self.lanes.waiting()),
            (&self.gauges.for_jitter, self.alarms.delays()),
            (&self.gauges.for_retry, self.alarms.pauses()),
        ];
        shown.into_iter().for_each(|(gauge, count)| gauge.store(count, Ordering::Relaxed));
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Fire(fires) => fires.into_iter().for_each(|fire| self.take(fire)),
            Order::Ask(fire, answer) => self.reserve(*fire, answer),
            Order::Cancel(scope, why, done) => {
                self.cancel(&scope, &why);
                // Before the caller goes on: what it writes next is to stand behind these.
                self.give_records().await;
                let _ = done.send(());
            }
            Order::CancelRun(run_id, by, answer) => self.cancel_run(run_id, &by, answer),
            Order::TakeBack(run_id, why, answer) => {
                let taken_back = self.take_back(run_id, &why);
                self.give_records().await;
                // The caller may have gone: nothing to tell.
                let _ = answer.send(taken_back);
            }
            Order::Activity(identity, entry, answer) => {
                let goes = |run_id| self.runs.get(run_id).is_some_and(Run::goes);
                let _ = answer.send(self.overlaps.activity(self.keys.entry(&identity, &entry), goes));
            }
            Order::LetGo(shards, letting, done) => {
                let let_go = self.let_go(shards, letting).await;
                // The caller may have gone: nothing to tell.
                let _ = done.send(let_go);
            }
            Order::Ended(shards, done) => self.ends_awaited.push((shards, done)),
            Order::Elsewhere(shards, answer) => {
                let _ = answer.send(self.list_elsewhere(shards));
            }
            Order::EndElsewhere(ends) => self.note_ends_elsewhere(ends),
            Order::Drain(_, _) => unreachable!("ends the loop"),
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Ended(run_id, ended) => self.ended(run_id, ended),
            Event::Reservation(Reservation::Taken(run_id)) => self.start_reserved(run_id),
            Event::Reservation(Reservation::Freed(run_id)) => self.forget_reserved(run_id),
        }
    }

    fn reserve(&mut self, fire: Fire, answer: oneshot::Sender<Result<Reserved, AskRefused>>) {
        if self.is_let_go(fire.revision.shard()) {
            // The caller may have gone: nothing to tell.
            let _ = answer.send(Err(AskRefused::NotOwned));
            return;
        }
        let (run_id, events) = (fire.run_id(), self.sender.events.clone());
        let kept = self.keep_place(run_id, fire);
        // Where nobody takes the answer any more it is dropped, and that frees the place.
        let _ = answer.send(kept.map(|()| Reserved::new(run_id, events)).map_err(AskRefused::Waiting));
    }

    /// Looks at the runs whose time has come.
    fn ring(&mut self) {
        let (wall, now) = (self.sender.clock.now(), Instant::now());
        for _ in 0..RUNG_AT_ONCE {
            let Some(run_id) = self.alarms.take_due(wall, now) else { return };
            self.wake(run_id);
        }
    }

    async fn give_records(&mut self) {
        for record in self.skipped.drain(..) {
            if self.sender.journal.settle(record).await.is_err() {
                warn_of_stopped_journal();
            }
        }
    }

    async fn drain(&mut self, mut happened: mpsc::UnboundedReceiver<Event>, deadline: Instant) -> Drained {
        self.sender.is_draining.store(true, Ordering::Relaxed);
        self.lanes.close();
        while self.lanes.in_flight() + self.ending > 0 {
            match tokio::time::timeout_at(deadline, happened.recv()).await {
                Ok(Some(event)) => self.note(event),
                Ok(None) | Err(_) => break,
            }
            self.give_records().await;
            self.tell_ends();
            self.show();
        }
        let in_flight = self.lanes.in_flight();
        let waiting = self.runs.len().saturating_sub(in_flight + self.ending + self.runs.elsewhere());
        self.leave_all().await;
        Drained { waiting, in_flight }
    }

    /// Writes of the runs that are left what the next start has to know. What was asked for and what failed before has its record
    /// already.
    async fn leave_all(&mut self) {
        let now = self.sender.clock.now();
        for (_, run) in self.runs.iter() {
            let is_kept = run.is_waiting() && !run.is_told() || matches!(run.place, Place::Left);
            if is_kept && self.sender.journal.note_started(run.left(now)).await.is_err() {
                return warn_of_stopped_journal();
            }
        }
    }
}
