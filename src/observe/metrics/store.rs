//! The store: how long it takes, and what it does not do.

use std::array;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};

use super::Histogram;
use super::series::Series;

/// What a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum StoreOperation {
    /// Write records.
    Append,
    /// Change a task.
    Change,
    /// Claim the next window.
    Claim,
    /// Take or release shards, or read who holds them.
    Lease,
    /// Read or change what nodes have agreed on, keys, secrets, pauses.
    Register,
    /// Find records.
    Search,
    /// Look up how instants and runs ended.
    LookUp,
    /// Read or write a piece of a result.
    Result,
    /// Delete what is old.
    Prune,
    /// Tell whether it is well, and how large it is.
    Check,
}

impl StoreOperation {
    const ALL: [Self; 10] = [
        Self::Append,
        Self::Change,
        Self::Claim,
        Self::Lease,
        Self::Register,
        Self::Search,
        Self::LookUp,
        Self::Result,
        Self::Prune,
        Self::Check,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Change => "change",
            Self::Claim => "claim",
            Self::Lease => "lease",
            Self::Register => "register",
            Self::Search => "search",
            Self::LookUp => "look_up",
            Self::Result => "result",
            Self::Prune => "prune",
            Self::Check => "check",
        }
    }
}

/// Why a store did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum StoreFailure {
    /// It cannot be reached, or cannot write.
    Unavailable,
    /// Someone else wrote first.
    Conflict,
    /// Another node has the shard.
    Fenced,
    /// What is stored cannot be read.
    Corrupt,
    /// It refuses, or the question makes no sense.
    Refused,
}

impl StoreFailure {
    const ALL: [Self; 5] = [Self::Unavailable, Self::Conflict, Self::Fenced, Self::Corrupt, Self::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::Corrupt => "corrupt",
            Self::Refused => "refused",
        }
    }
}

/// The store as those see it who ask it.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    duration: [Histogram; StoreOperation::ALL.len()],
    failures: [[Counter; StoreFailure::ALL.len()]; StoreOperation::ALL.len()],
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self { duration: array::from_fn(|_| Histogram::default()), failures: array::from_fn(|_| Default::default()) }
    }
}

impl StoreMetrics {
    /// The store was asked for something, and gave its answer.
    pub fn note(&self, operation: StoreOperation, took: Duration, failure: Option<StoreFailure>) {
        self.duration[operation as usize].observe(took);
        if let Some(failure) = failure {
            self.failures[operation as usize][failure as usize].inc();
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let operations = StoreOperation::ALL.map(StoreOperation::as_str);
        registry.register_with_unit(
            "store_duration",
            "How long the store took to answer, also with an error",
            Unit::Seconds,
            Series::by("operation", operations.into_iter().zip(self.duration.clone())),
        );
        let of_operation = |(operation, counters): (&'static str, &[Counter; StoreFailure::ALL.len()])| {
            let all = StoreFailure::ALL.into_iter().zip(counters.clone());
            let label = move |(failure, counter): (StoreFailure, Counter)| {
                ([("operation", operation.into()), ("error", failure.as_str().into())], counter)
            };
            all.map(label).collect::<Vec<_>>()
        };
        let failures = operations.into_iter().zip(&self.failures).flat_map(of_operation).collect();
        registry.register("store_errors", "What the store did not do, and why", Series::<2, Counter>(failures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_and_each_failure_has_a_place_of_its_own() {
        for (place, operation) in StoreOperation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        for (place, failure) in StoreFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, place);
        }
    }
}
