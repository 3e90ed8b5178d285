//! How things stand at the moment when somebody asks. Nobody writes these down in between.

use std::time::Duration;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::series::Series;
use super::standing::{ClusterState, ShardState};

/// How things stand in all rooms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// In the engine.
    pub engine: EngineState,
    /// In dispatch.
    pub dispatch: DispatchState,
    /// In the journal.
    pub journal: JournalState,
    /// At the front.
    pub api: ApiState,
    /// The shards that this node fires.
    pub shards: Vec<ShardState>,
    /// Among the nodes.
    pub cluster: ClusterState,
}

impl State {
    pub(super) fn register(&self, registry: &mut Registry) {
        let mut told = Told { registry };
        self.engine.tell(&mut told);
        self.dispatch.tell(&mut told);
        self.journal.tell(&mut told);
        self.api.tell(&mut told);
        ShardState::tell(&self.shards, &mut told);
        self.cluster.tell(&mut told);
    }
}

/// What is told of a state.
pub(super) struct Told<'r> {
    registry: &'r mut Registry,
}

impl Told<'_> {
    pub(super) fn number(&mut self, name: &'static str, help: &'static str, value: impl TryInto<u64>) {
        self.registry.register(name, help, ConstGauge::new(value.try_into().unwrap_or(u64::MAX)));
    }

    pub(super) fn flag(&mut self, name: &'static str, help: &'static str, value: bool) {
        self.number(name, help, u64::from(value));
    }

    pub(super) fn count(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.registry.register(name, help, ConstCounter::new(value));
    }

    pub(super) fn bytes(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.registry.register_with_unit(name, help, Unit::Bytes, ConstGauge::new(value));
    }

    pub(super) fn seconds(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.registry.register_with_unit(name, help, Unit::Seconds, ConstGauge::new(value));
    }

    pub(super) fn numbers(&mut self, name: &'static str, help: &'static str, series: Series<1, ConstGauge<u64>>) {
        self.registry.register(name, help, series);
    }

    pub(super) fn counts(&mut self, name: &'static str, help: &'static str, series: Series<1, ConstCounter<u64>>) {
        self.registry.register(name, help, series);
    }

    pub(super) fn spans(&mut self, name: &'static str, help: &'static str, series: Series<1, ConstGauge<f64>>) {
        self.registry.register_with_unit(name, help, Unit::Seconds, series);
    }
}

/// The engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineState {
    /// How many tasks this node has, without one-shots.
    pub tasks: usize,
    /// How many entries have an instant to come.
    pub entries: usize,
    /// How many fires were handed to dispatch.
    pub handed_out: u64,
    /// Whether the newest claim was written.
    pub is_claiming: bool,
    /// How often the run loop planned by itself.
    pub plannings_overdue: u64,
    /// When the planning job called last, in seconds since 1970.
    pub planned_at_s: f64,
    /// How far the clock is behind what was fired before, in seconds.
    pub clock_behind_s: u64,
    /// Whether the clock has leapt, and is not followed.
    pub clock_has_leapt: bool,
}

impl EngineState {
    fn tell(&self, told: &mut Told<'_>) {
        told.number("tasks", "Tasks of this node, without one-shots", self.tasks);
        told.number("entries", "Entries of this node with an instant to come", self.entries);
        told.count("fires_handed_out", "Fires handed to dispatch", self.handed_out);
        told.flag("claiming", "Whether windows can be claimed; 0: nothing is fired", self.is_claiming);
        told.count(
            "plannings_overdue",
            "Plannings that the run loop did as the planning job was late",
            self.plannings_overdue,
        );
        told.seconds("planning_job_last_timestamp", "When the planning job called last, since 1970", self.planned_at_s);
        #[expect(clippy::cast_precision_loss, reason = "a clock is not behind by millions of years")]
        let behind_s = self.clock_behind_s as f64;
        told.seconds("clock_behind", "How far the clock is behind what was fired before; 0: it is not", behind_s);
        told.flag("clock_leapt", "Whether the clock has leapt ahead and is not followed yet", self.clock_has_leapt);
    }
}

/// Dispatch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchState {
    /// How many requests are in flight.
    pub in_flight: usize,
    /// How many may be.
    pub in_flight_max: usize,
    /// How many may be to one host.
    pub in_flight_per_host_max: usize,
    /// To how many hosts requests are in flight or wait.
    pub hosts: usize,
    /// How many runs wait for a limit of what may be in flight.
    pub waiting_for_limit: usize,
    /// How many wait for their moment within the jitter.
    pub waiting_for_jitter: usize,
    /// How many wait for their next attempt.
    pub waiting_for_retry: usize,
    /// How many wait for other runs of their entry or their backfill.
    pub waiting_for_turn: usize,
}

impl DispatchState {
    fn tell(&self, told: &mut Told<'_>) {
        told.number("in_flight", "Requests to targets in flight", self.in_flight);
        told.number("in_flight_limit", "Requests to targets that may be in flight", self.in_flight_max);
        told.number(
            "in_flight_per_host_limit",
            "Requests that may be in flight to one host",
            self.in_flight_per_host_max,
        );
        told.number("hosts", "Hosts to which requests are in flight or wait", self.hosts);
        let waiting = [
            ("limit", self.waiting_for_limit),
            ("jitter", self.waiting_for_jitter),
            ("retry", self.waiting_for_retry),
            ("turn", self.waiting_for_turn),
        ];
        let waiting = waiting.map(|(reason, count)| (reason, ConstGauge::new(count as u64)));
        told.numbers("runs_waiting", "Runs that wait, by what for", Series::by("reason", waiting));
    }
}

/// The journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// How many records wait in memory.
    pub waiting: usize,
    /// How many may.
    pub waiting_max: usize,
    /// For how long the oldest record that is not in the store has been on its way.
    pub lag: Duration,
    /// How many records wait on the disk.
    pub spilled: u64,
    /// How many bytes these are.
    pub spilled_bytes: u64,
    /// How many bytes there may be; 0: records do not wait on the disk.
    pub spill_bytes_max: u64,
    /// How many records were lost for want of room.
    pub dropped: u64,
    /// Whether nothing is fired for want of room.
    pub is_full: bool,
    /// How many fires have no durable outcome yet.
    pub unsettled: usize,
}

impl JournalState {
    fn tell(&self, told: &mut Told<'_>) {
        told.number("journal_records_waiting", "Records that wait in memory to be written", self.waiting);
        told.number("journal_records_waiting_limit", "Records that may wait in memory", self.waiting_max);
        told.seconds(
            "journal_lag",
            "Age of the oldest batch of records that is not in the store; 0: all are",
            self.lag.as_secs_f64(),
        );
        told.number("journal_spilled_records", "Records that wait on the disk for the store", self.spilled);
        told.bytes("journal_spilled", "Size of the records that wait on the disk", self.spilled_bytes);
        told.bytes(
            "journal_spill_limit",
            "Size of the records that may wait on the disk; 0: none do",
            self.spill_bytes_max,
        );
        told.count("journal_records_dropped", "Records lost as there was no room for them", self.dropped);
        told.flag("journal_full", "Whether nothing is fired as there is no room for its records", self.is_full);
        told.number("fires_unsettled", "Fires without a durable outcome", self.unsettled);
    }
}

/// The front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiState {
    /// How many requests are worked on.
    pub under_way: usize,
    /// How many may be.
    pub under_way_max: usize,
}

impl ApiState {
    fn tell(&self, told: &mut Told<'_>) {
        told.number("http_requests_under_way", "Requests of clients that are worked on", self.under_way);
        told.number("http_requests_under_way_limit", "Requests of clients that may be worked on", self.under_way_max);
    }
}
