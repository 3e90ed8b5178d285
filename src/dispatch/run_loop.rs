//! The loop that owns the lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use log::{debug, warn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::attempt::{Answer, Transport, TransportError};
use super::lanes::{Admission, HostKey, Lanes, Limits};
use super::{OutgoingRequest, Settings};
use crate::clock::Clock;
use crate::journal::{FireOutcome, Journal, skipped_record};
use crate::model::{Fire, Identity, Record, Stretch, Timestamp};

/// How many batches of fires may wait to be taken in. A full queue makes the engine wait.
const BATCHES_WAITING_MAX: usize = 64;

/// The dispatch loop has ended: the node is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dispatch has stopped")]
pub struct DispatchStopped;

/// Why the waiting fires of a task are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The task was deleted.
    Deleted,
    /// The task was switched off.
    Stopped,
}

impl Cancelled {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted before it could be sent",
            Self::Stopped => "switched off before it could be sent",
        }
    }
}

/// What a drain left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Fires that never started. The next start of the node settles them.
    pub waiting: usize,
    /// Requests whose answer was not awaited. The next start of the node settles them.
    pub in_flight: usize,
}

enum Order {
    Fire(Vec<Fire>),
    Cancel(Identity, Cancelled, oneshot::Sender<()>),
    Drain(Instant, oneshot::Sender<Drained>),
}

/// Takes fires. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    orders: mpsc::Sender<Order>,
    gauges: Arc<Gauges>,
}

#[derive(Debug, Default)]
struct Gauges {
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
}

impl Dispatch {
    /// Hands over fires whose instant has come. Waits while dispatch is behind.
    pub async fn fire(&self, fires: Vec<Fire>) -> Result<(), DispatchStopped> {
        self.orders.send(Order::Fire(fires)).await.map_err(|_| DispatchStopped)
    }

    /// Gives up the waiting fires of a task. When this returns, none of those handed over before starts any more.
    pub async fn cancel(&self, identity: Identity, why: Cancelled) -> Result<(), DispatchStopped> {
        let (done, cancelled) = oneshot::channel();
        self.orders.send(Order::Cancel(identity, why, done)).await.map_err(|_| DispatchStopped)?;
        cancelled.await.map_err(|_| DispatchStopped)
    }

    /// Starts nothing more and waits for the answers in flight, for `grace` at most.
    pub async fn drain(&self, grace: Duration) -> Result<Drained, DispatchStopped> {
        let (done, drained) = oneshot::channel();
        self.orders.send(Order::Drain(Instant::now() + grace, done)).await.map_err(|_| DispatchStopped)?;
        drained.await.map_err(|_| DispatchStopped)
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.gauges.in_flight.load(Ordering::Relaxed)
    }

    /// How many fires wait for a limit.
    pub fn waiting(&self) -> usize {
        self.gauges.waiting.load(Ordering::Relaxed)
    }
}

/// Starts the loop.
pub fn start(
    transport: Arc<dyn Transport>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    settings: &Settings,
    misfire_grace: Duration,
) -> Dispatch {
    let (orders, inbox) = mpsc::channel(BATCHES_WAITING_MAX);
    let (ended, endings) = mpsc::unbounded_channel();
    let limits = Limits {
        in_flight_max: settings.in_flight_max,
        in_flight_per_host_max: settings.in_flight_per_host_max,
        misfire_grace,
    };
    let gauges = Arc::new(Gauges::default());
    let run_loop = RunLoop {
        lanes: Lanes::new(limits),
        sender: Arc::new(Sender { transport, journal, clock, ended }),
        gauges: gauges.clone(),
    };
    tokio::spawn(run_loop.run(inbox, endings));
    Dispatch { orders, gauges }
}

struct RunLoop {
    lanes: Lanes,
    sender: Arc<Sender>,
    gauges: Arc<Gauges>,
}

impl RunLoop {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>, mut endings: mpsc::UnboundedReceiver<HostKey>) {
        loop {
            tokio::select! {
                // Endings first: they make room.
                biased;
                Some(host) = endings.recv() => self.note_ending(&host),
                order = inbox.recv() => match order {
                    None => return,
                    Some(Order::Fire(fires)) => self.admit(fires).await,
                    Some(Order::Cancel(identity, why, done)) => {
                        self.cancel(&identity, why).await;
                        // The caller may have gone: nothing to tell.
                        let _ = done.send(());
                    }
                    Some(Order::Drain(deadline, done)) => {
                        let drained = self.drain(endings, deadline).await;
                        let _ = done.send(drained);
                        return;
                    }
                },
            }
            self.show();
        }
    }

    fn show(&self) {
        self.gauges.in_flight.store(self.lanes.in_flight(), Ordering::Relaxed);
        self.gauges.waiting.store(self.lanes.waiting(), Ordering::Relaxed);
    }

    async fn admit(&mut self, fires: Vec<Fire>) {
        let now = self.sender.clock.now();
        for fire in fires {
            let host = HostKey::from(fire.entry().request.url.origin());
            let Admission { start, superseded } = self.lanes.admit(host, fire, now);
            if let Some((host, fire)) = start {
                self.sender.start(host, fire);
            }
            if let Some(fire) = superseded {
                self.give_up(&fire, "fire_once").await;
            }
        }
    }

    fn note_ending(&mut self, host: &HostKey) {
        for (host, fire) in self.lanes.ended(host) {
            self.sender.start(host, fire);
        }
    }

    async fn cancel(&mut self, identity: &Identity, why: Cancelled) {
        for fire in self.lanes.cancel(identity) {
            self.give_up(&fire, why.as_str()).await;
        }
    }

    async fn give_up(&self, fire: &Fire, policy: &str) {
        let (entry, stretch) = (&fire.entry().name, Stretch::one(fire.fire_time));
        let record = skipped_record(fire.identity(), entry, stretch, policy, self.sender.clock.now());
        self.sender.settle(record).await;
    }

    async fn drain(&mut self, mut endings: mpsc::UnboundedReceiver<HostKey>, deadline: Instant) -> Drained {
        self.lanes.close();
        while self.lanes.in_flight() > 0 {
            match tokio::time::timeout_at(deadline, endings.recv()).await {
                Ok(Some(host)) => drop(self.lanes.ended(&host)),
                Ok(None) | Err(_) => break,
            }
            self.show();
        }
        Drained { waiting: self.lanes.waiting(), in_flight: self.lanes.in_flight() }
    }
}

/// Sends fires and records how they end.
struct Sender {
    transport: Arc<dyn Transport>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    ended: mpsc::UnboundedSender<HostKey>,
}

/// Tells the lanes of an ending, also when the attempt panics: a place is never lost.
struct Ending {
    host: Option<HostKey>,
    ended: mpsc::UnboundedSender<HostKey>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            // After the loop has ended nobody counts any more.
            let _ = self.ended.send(host);
        }
    }
}

impl Sender {
    fn start(self: &Arc<Self>, host: HostKey, fire: Fire) {
        let sender = self.clone();
        tokio::spawn(async move {
            let _ending = Ending { host: Some(host), ended: sender.ended.clone() };
            sender.run(fire).await;
        });
    }

    async fn run(&self, fire: Fire) {
        let (started_at, begun) = (self.clock.now(), Instant::now());
        let answer = self.transport.send(OutgoingRequest::of(&fire, fire.run_id(), 1)).await;
        let outcome = outcome(answer, started_at, begun.elapsed());
        let lateness_ms = u64::try_from(started_at.since(fire.fire_time).as_millis()).unwrap_or(u64::MAX);
        let (identity, entry) = (fire.identity().as_str(), fire.entry().name.as_str());
        if outcome.messages.is_empty() {
            debug!(identity, entry, fire_time:% = fire.fire_time, lateness_ms; "fired `{identity}`");
        } else {
            debug!(identity, entry, fire_time:% = fire.fire_time, lateness_ms; "fire of `{identity}` failed");
        }
        if self.journal.settle_fire(fire, outcome).await.is_err() {
            warn_of_stopped_journal();
        }
    }

    async fn settle(&self, record: Record) {
        if self.journal.settle(record).await.is_err() {
            warn_of_stopped_journal();
        }
    }
}

/// Only when the node goes down: the next start finds the fire without an outcome and settles it.
fn warn_of_stopped_journal() {
    warn!("an outcome came after the journal had stopped");
}

fn outcome(answer: Result<Answer, TransportError>, started_at: Timestamp, duration: Duration) -> FireOutcome {
    let mut outcome = FireOutcome {
        started_at,
        duration,
        status: None,
        response: None,
        response_truncated: false,
        messages: Vec::new(),
    };
    match answer {
        Ok(answer) => {
            if !(200..300).contains(&answer.status) {
                outcome.messages.push(format!("answered with status {}", answer.status));
            }
            outcome.status = Some(answer.status);
            outcome.response = Some(answer.body);
            outcome.response_truncated = answer.is_truncated;
        }
        Err(error) => outcome.messages.push(error.to_string()),
    }
    outcome
}
