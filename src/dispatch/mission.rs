//! A run for one attempt, and what its options say about it. Pure.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use log::debug;

use super::departure::Departure;
use crate::journal::{RunStage, Started};
use crate::model::{Attempt, Delivery, EntryOptions, Failure, Fire, RetryPolicy, RunId, SuccessRule, Timestamp};

/// A run for one attempt.
pub(super) struct Mission {
    pub(super) run_id: RunId,
    pub(super) fire: Fire,
    /// Whether this attempt may still go.
    pub(super) departure: Arc<Departure>,
    /// In which this node has its shard.
    pub(super) term: u64,
    /// When the run is to start, if that is later than its instant on purpose.
    pub(super) due_at: Option<Timestamp>,
    /// Those that have ended.
    pub(super) attempts: Vec<Attempt>,
    /// Of the run's newest record.
    pub(super) phase: u32,
}

impl Mission {
    /// The options of the entry; a callback has none of them.
    fn options(&self) -> &EntryOptions {
        if self.fire.notice.is_some() { EntryOptions::none() } else { self.fire.entry().options() }
    }

    /// The number of the attempt that is to be made.
    pub(super) fn number(&self) -> u32 {
        self.attempts.last().map_or(1, |last| last.number + 1)
    }

    /// The attempt that is to be made, begun now, with nothing known of its end.
    pub(super) fn attempt(&self, started_at: Timestamp) -> Attempt {
        Attempt { number: self.number(), started_at, duration: Duration::ZERO, status: None, error: None, bytes: 0 }
    }

    /// The next record of the run.
    pub(super) fn started(&self, stage: RunStage, at: Timestamp) -> Started {
        let (fire, attempts) = (self.fire.clone(), self.attempts.clone());
        Started { fire, stage, attempts, phase: self.phase + 1, at, resume_at: None }
    }

    /// Whether the history knows of it already: then a crash during the attempt must find there that it may have been sent.
    pub(super) fn has_record(&self) -> bool {
        self.phase > 0 || !self.fire.is_planned()
    }

    /// How long the attempt may take.
    pub(super) fn timeout(&self, default: Duration) -> Duration {
        self.options().timeout.unwrap_or(default)
    }

    /// How many redirects are followed.
    pub(super) fn redirects_max(&self) -> u32 {
        self.options().redirects_max
    }

    /// Which answers are a success.
    pub(super) fn success(&self) -> &SuccessRule {
        &self.options().success
    }

    /// Whether it must never be sent twice: not even when a crash leaves it uncertain whether it was sent.
    pub(super) fn is_at_most_once(&self) -> bool {
        self.options().delivery == Delivery::AtMostOnce
    }

    /// When failed attempts are made again. A callback is sent as everything is that gives a `retry` without more.
    pub(super) fn retry(&self) -> Option<&RetryPolicy> {
        static OF_CALLBACKS: LazyLock<RetryPolicy> = LazyLock::new(RetryPolicy::default);
        if self.fire.notice.is_some() { Some(&OF_CALLBACKS) } else { self.options().retry.as_ref() }
    }

    /// Whether another attempt is made after one that failed so.
    pub(super) fn goes_on(&self, attempt: u32, failure: Failure) -> bool {
        self.retry().is_some_and(|retry| retry.goes_on(attempt, failure))
    }

    /// Whether all of an answer with this status is to be kept: not if another attempt is made all the same.
    pub(super) fn keeps_result(&self, status: u16) -> bool {
        let rule = self.success();
        let surely_fails = !rule.looks_at_body() && rule.judge(status, b"").is_err();
        self.fire.notice.is_none() && !(surely_fails && self.goes_on(self.number(), Failure::Status(status)))
    }

    /// Whether a run that fails for good has failed after all that its entry wanted to be tried.
    pub(super) fn is_dead_letter(&self, is_failure: bool) -> bool {
        is_failure && is_retried(&self.fire)
    }

    pub(super) fn log_end(&self) {
        let Some(first) = self.attempts.first() else { return };
        let due_at = self.due_at.unwrap_or(self.fire.fire_time);
        let lateness_ms = u64::try_from(first.started_at.since(due_at).as_millis()).unwrap_or(u64::MAX);
        let (identity, entry) = (self.fire.identity().as_str(), self.fire.entry().name.as_str());
        let (fire_time, attempts) = (self.fire.fire_time, self.attempts.len());
        if self.attempts.last().is_some_and(|last| last.error.is_some()) {
            debug!(identity, entry, fire_time:%, attempts, lateness_ms; "fire of `{identity}` failed");
        } else {
            debug!(identity, entry, fire_time:%, attempts, lateness_ms; "fired `{identity}`");
        }
    }
}

/// Whether failed attempts of a run of the entry are made again.
pub(super) fn is_retried(fire: &Fire) -> bool {
    fire.notice.is_none() && fire.entry().options().retry.is_some()
}
