//! Fires: how they end, how late they go, how long their requests take.

use std::array;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};

use super::Histogram;
use super::series::Series;
use crate::model::{Record, RecordKind};

const OUTCOMES: [RecordKind; 4] = [RecordKind::Success, RecordKind::Error, RecordKind::Skipped, RecordKind::Missed];

/// How instants and runs ended. The journal counts them when it composes their records.
#[derive(Clone, Debug, Default)]
pub struct OutcomeMetrics {
    outcomes: [Counter; OUTCOMES.len()],
    callbacks: [Counter; OUTCOMES.len()],
    dead_letters: Counter,
}

impl OutcomeMetrics {
    /// Counts what a record says that is written for the first time.
    pub fn note(&self, record: &Record) {
        let Some(place) = OUTCOMES.iter().position(|kind| *kind == record.kind) else { return };
        match (&record.settled, &record.run) {
            (Some(settled), _) => drop(self.outcomes[place].inc_by(settled.stretch.count)),
            (None, Some(_)) => drop(self.outcomes[place].inc()),
            // It stands for no run of its own.
            (None, None) => drop(self.callbacks[place].inc()),
        }
        if record.run.as_ref().is_some_and(|run| run.is_dead_letter) {
            self.dead_letters.inc();
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let words = OUTCOMES.map(RecordKind::as_str);
        registry.register(
            "fires",
            "Instants and runs that somebody asked for, by how they ended",
            Series::by("outcome", words.into_iter().zip(self.outcomes.clone())),
        );
        registry.register(
            "callbacks",
            "Messages about the end of runs, by how they ended",
            Series::by("outcome", words.into_iter().zip(self.callbacks.clone()).take(2)),
        );
        registry.register(
            "dead_letters",
            "Runs that failed after all attempts that their entry wanted",
            self.dead_letters.clone(),
        );
    }
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// An answer with this status.
    Answered(u16),
    /// No whole answer in time.
    TimedOut,
    /// The target could not be reached, or the connection broke.
    Broken,
    /// It may not be sent there, or cannot be.
    Refused,
    /// We broke it off.
    CalledOff,
}

/// The words for ends of attempts; statuses go by their hundreds, from 100 to 599.
const ENDS: [&str; 10] =
    ["1xx", "2xx", "3xx", "4xx", "5xx", "other_status", "timed_out", "broken", "refused", "called_off"];

impl AttemptEnd {
    /// Its place among [`ENDS`].
    fn place(self) -> usize {
        match self {
            Self::Answered(status) => match status / 100 {
                hundred @ 1..=5 => usize::from(hundred) - 1,
                _ => 5,
            },
            Self::TimedOut => 6,
            Self::Broken => 7,
            Self::Refused => 8,
            Self::CalledOff => 9,
        }
    }
}

/// The requests that are sent. Dispatch counts them.
#[derive(Clone, Debug)]
pub struct AttemptMetrics {
    ends: [Counter; ENDS.len()],
    retries: Counter,
    lateness: Histogram,
    duration: Histogram,
}

impl Default for AttemptMetrics {
    fn default() -> Self {
        let (retries, lateness, duration) = Default::default();
        Self { ends: array::from_fn(|_| Counter::default()), retries, lateness, duration }
    }
}

impl AttemptMetrics {
    /// The first attempt of a run goes, so long after it was due.
    pub fn note_lateness(&self, lateness: Duration) {
        self.lateness.observe(lateness);
    }

    /// An attempt was sent after one that failed.
    pub fn note_retry(&self) {
        self.retries.inc();
    }

    /// An attempt has ended that was sent, or was to be.
    pub fn note_end(&self, end: AttemptEnd, took: Duration) {
        self.ends[end.place()].inc();
        self.duration.observe(took);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "attempts",
            "Requests to targets, by what they came to: the hundreds of the status, or why there is none",
            Series::by("result", ENDS.into_iter().zip(self.ends.clone())),
        );
        registry.register("retries", "Requests to targets after one of the same run that failed", self.retries.clone());
        registry.register_with_unit(
            "fire_lateness",
            "From the moment when a run was due to its first request",
            Unit::Seconds,
            self.lateness.clone(),
        );
        registry.register_with_unit(
            "attempt_duration",
            "From a request to a target to the end of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryName, Identity, RecordId, RunState, Settled, Stretch, Timestamp};

    fn record(kind: RecordKind, settles: Option<u64>, run: Option<bool>) -> Record {
        let entry = EntryName::parse("e").unwrap();
        let stretch = |count| Stretch { count, ..Stretch::one(Timestamp::EPOCH) };
        let ended = |is_dead_letter| RunState { is_dead_letter, ..RunState::ended(entry.clone()) };
        Record {
            id: RecordId::random(),
            identity: Identity::parse("t").unwrap(),
            kind,
            settled: settles.map(|count| Settled { entry: entry.clone(), stretch: stretch(count) }),
            run: run.map(ended),
            time: Timestamp::EPOCH,
            source: "{}".into(),
        }
    }

    #[test]
    fn a_stretch_counts_as_many_instants_a_run_one_and_a_message_apart() {
        let metrics = OutcomeMetrics::default();
        for record in [
            record(RecordKind::Success, Some(1), Some(false)),
            record(RecordKind::Success, None, Some(false)),
            record(RecordKind::Error, Some(1), Some(true)),
            record(RecordKind::Error, None, None),
            record(RecordKind::Missed, Some(7), None),
            record(RecordKind::Started, Some(1), Some(false)),
            record(RecordKind::Put, None, None),
        ] {
            metrics.note(&record);
        }

        assert_eq!(metrics.outcomes.map(|counter| counter.get()), [2, 1, 0, 7]);
        assert_eq!(metrics.callbacks.map(|counter| counter.get()), [0, 1, 0, 0]);
        assert_eq!(metrics.dead_letters.get(), 1);
    }

    #[test]
    fn every_status_has_its_word() {
        let word = |status| ENDS[AttemptEnd::Answered(status).place()];

        assert_eq!([100, 204, 399, 404, 599].map(word), ["1xx", "2xx", "3xx", "4xx", "5xx"]);
        assert_eq!([0, 99, 600, u16::MAX].map(word), ["other_status"; 4]);
        let ends = [AttemptEnd::TimedOut, AttemptEnd::Broken, AttemptEnd::Refused, AttemptEnd::CalledOff];
        assert_eq!(ends.map(|end| ENDS[end.place()]), ["timed_out", "broken", "refused", "called_off"]);
    }
}
