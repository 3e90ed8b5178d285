//! What dispatch shows of itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::lanes::Limits;
use crate::observe::metrics::DispatchState;

/// How many runs stand where. The loop writes it after each step.
#[derive(Debug)]
pub(super) struct Gauges {
    limits: Limits,
    pub(super) in_flight: AtomicUsize,
    pub(super) hosts: AtomicUsize,
    /// For whatever it is.
    pub(super) waiting: AtomicUsize,
    pub(super) for_limit: AtomicUsize,
    pub(super) for_jitter: AtomicUsize,
    pub(super) for_retry: AtomicUsize,
}

impl Gauges {
    pub(super) fn new(limits: Limits) -> Self {
        let [in_flight, hosts, waiting, for_limit, for_jitter, for_retry] = [(); 6].map(|()| AtomicUsize::new(0));
        Self { limits, in_flight, hosts, waiting, for_limit, for_jitter, for_retry }
    }

    /// As it stood after the newest step.
    pub(super) fn state(&self) -> DispatchState {
        let read = |gauge: &AtomicUsize| gauge.load(Ordering::Relaxed);
        let (limit, jitter, retry) = (read(&self.for_limit), read(&self.for_jitter), read(&self.for_retry));
        DispatchState {
            in_flight: read(&self.in_flight),
            in_flight_max: self.limits.in_flight_max,
            in_flight_per_host_max: self.limits.in_flight_per_host_max,
            hosts: read(&self.hosts),
            waiting_for_limit: limit,
            waiting_for_jitter: jitter,
            waiting_for_retry: retry,
            waiting_for_turn: read(&self.waiting).saturating_sub(limit + jitter + retry),
        }
    }
}
