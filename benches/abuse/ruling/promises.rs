//! What must hold, however the service is treated.

use super::{Bounds, Row, Whole};

/// What was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// The process lives on, nothing in it panics, and it ends when it is asked to.
    Alive,
    /// Each instant has one request and one record.
    NoneLost,
    NoneDoubled,
    /// Everything fires on time.
    OnTime,
    /// Who floods, drips or sends nonsense is answered or dropped as it is written down.
    Answered,
    /// Who means well is served meanwhile.
    Served,
    /// Memory stays within a bound and comes back.
    Memory,
    /// Nobody fills the log.
    Log,
}

/// A promise that was broken, and in which scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) promise: Promise,
    pub(crate) scene: String,
    pub(crate) what: String,
}

/// Every promise that was broken.
pub(crate) fn breaches(whole: &Whole, bounds: &Bounds) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for row in &whole.rows {
        breaches.extend(of_row(row, whole.memory_before, bounds));
    }
    let mut at_end = |promise, what| breaches.push(Breach { promise, scene: "the end".to_owned(), what });
    if let Some(how) = &whole.ended {
        at_end(Promise::Alive, how.clone());
    }
    let left = whole.memory_after.saturating_sub(whole.memory_before);
    if left > bounds.memory_left {
        at_end(
            Promise::Memory,
            format!("{} more than before are left, allowed are {}", mib(left), mib(bounds.memory_left)),
        );
    }
    if whole.rows.iter().all(|row| row.fires.owed == 0) {
        at_end(Promise::NoneLost, "nothing was to fire, so nothing is proven".to_owned());
    }
    breaches
}

fn of_row(row: &Row, memory_before: u64, bounds: &Bounds) -> Vec<Breach> {
    let breach = |promise, what: String| Breach { promise, scene: row.scene.clone(), what };
    let all = |promise, whats: &[String]| whats.iter().map(|what| breach(promise, what.clone())).collect::<Vec<_>>();
    let mut breaches = [
        all(Promise::Alive, &row.panics),
        all(Promise::NoneLost, &row.fires.lost),
        all(Promise::NoneDoubled, &row.fires.doubled),
        all(Promise::Answered, &row.broken),
        all(Promise::Served, &row.visits.failed),
    ]
    .concat();
    if let Some(max) = bounds.lateness_p99_ms.filter(|max| row.fires.p99_ms > *max) {
        breaches.push(breach(
            Promise::OnTime,
            format!("p99 of the lateness is {} ms, allowed are {max} ms", row.fires.p99_ms),
        ));
    }
    if row.visits.slowest > bounds.visit {
        let (slowest, max) = (row.visits.slowest.as_secs_f64(), bounds.visit.as_secs());
        breaches
            .push(breach(Promise::Served, format!("an honest client waited for {slowest:.1} s, allowed are {max} s")));
    }
    if row.visits.served == 0 {
        breaches.push(breach(Promise::Served, "no honest client was served".to_owned()));
    }
    let more = row.memory_max.saturating_sub(memory_before);
    if more > bounds.memory_more {
        breaches.push(breach(
            Promise::Memory,
            format!("{} more than before, allowed are {}", mib(more), mib(bounds.memory_more)),
        ));
    }
    let seconds = u64::try_from((row.end - row.begin) / 1_000).unwrap_or_default();
    let allowed = bounds.log + bounds.log_each_s * seconds;
    if row.logged > allowed {
        breaches.push(breach(Promise::Log, format!("{} bytes in {seconds} s, allowed are {allowed}", row.logged)));
    }
    breaches
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}
