//! What an entry may say beside its trigger and its request. Each option's meaning stands in `docs/entries.md`.

mod callback;
mod exclude;
mod jitter;
mod read;
mod retry;
mod retry_after;
mod status;
mod success;

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::instants::Limit;
use super::{Credentials, Exclude, JsonText, Request, Timestamp};

pub use self::jitter::jitter_delay;

pub use self::retry::Failure;
pub use self::retry_after::parse_retry_after;

/// Everything optional of an entry, with the defaults of what was not given.
#[derive(Clone, Debug)]
pub struct EntryOptions {
    /// The options as they were given, in the order given: what answers and stores show.
    pub given: Box<[(Box<str>, JsonText)]>,
    /// How long one attempt may take; `None`: as the service is configured.
    pub timeout: Option<Duration>,
    /// Which answers are a success.
    pub success: SuccessRule,
    /// How many redirects are followed.
    pub redirects_max: u32,
    /// When a failed attempt is made again; `None`: never.
    pub retry: Option<RetryPolicy>,
    /// What happens when an instant comes while a run is in progress.
    pub overlap: Overlap,
    /// What happens with instants that passed unfired.
    pub misfire: Misfire,
    /// Misfires older than this are not caught up; `None`: as the service is configured.
    pub catch_up_window: Option<Duration>,
    /// What a crash does to a fire that may have been sent.
    pub delivery: Delivery,
    /// Fires are spread over this long after their instants.
    pub jitter: Option<Duration>,
    /// It names no instant before this one.
    pub start_at: Option<Timestamp>,
    /// It names no instant after this one.
    pub end_at: Option<Timestamp>,
    /// How many instants it names at most.
    pub fires_max: Option<u64>,
    /// Days on which it names nothing.
    pub exclude: Exclude,
    /// Whether it names anything.
    pub enabled: bool,
    /// Words to find it by.
    pub tags: Box<[Box<str>]>,
    /// What it is for.
    pub description: Option<Box<str>>,
    /// Whom to tell when a run fails.
    pub on_failure: Option<Callback>,
    /// Whom to tell when a run succeeds.
    pub on_success: Option<Callback>,
    /// Whom to tell when a run succeeds after one that failed.
    pub on_recovery: Option<Callback>,
    /// How its request shows who sends it. Callbacks have their own.
    pub credentials: Credentials,
    /// The last instant that `fires_max` leaves, once it is known.
    pub limit: Limit,
}

impl Default for EntryOptions {
    fn default() -> Self {
        Self {
            given: Box::default(),
            timeout: None,
            success: SuccessRule::default(),
            redirects_max: 0,
            retry: None,
            overlap: Overlap::default(),
            misfire: Misfire::default(),
            catch_up_window: None,
            delivery: Delivery::default(),
            jitter: None,
            start_at: None,
            end_at: None,
            fires_max: None,
            exclude: Exclude::default(),
            enabled: true,
            tags: Box::default(),
            description: None,
            on_failure: None,
            on_success: None,
            on_recovery: None,
            credentials: Credentials::default(),
            limit: Limit::default(),
        }
    }
}

impl EntryOptions {
    /// What holds for an entry that gives none.
    pub fn none() -> &'static Self {
        static NONE: LazyLock<EntryOptions> = LazyLock::new(EntryOptions::default);
        &NONE
    }

    /// Whether anybody is to be told how runs end.
    pub fn has_callbacks(&self) -> bool {
        [&self.on_failure, &self.on_success, &self.on_recovery].into_iter().any(Option::is_some)
    }

    /// Whether one of its tags is this one.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }
}

/// Which answers are a success. All that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct SuccessRule {
    /// Statuses, each range with both ends; empty: any 2xx.
    pub status: Box<[(u16, u16)]>,
    /// A text that the body must hold.
    pub body_contains: Option<Box<str>>,
    /// An expression that must match in the body.
    pub body_matches: Option<Regex>,
}

/// When a failed attempt is made again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How many attempts there are at most, the first included.
    pub attempts_max: u32,
    /// How long the pauses between them are.
    pub backoff: Backoff,
    /// Statuses after which another attempt is made, each range with both ends.
    pub on_status: Box<[(u16, u16)]>,
    /// Whether one is made when no whole answer came in time.
    pub on_timeout: bool,
    /// Whether one is made when the target could not be reached or the connection broke.
    pub on_connect: bool,
}

/// Pauses that grow from one attempt to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The longest pause after the first attempt.
    pub initial: Duration,
    /// No pause is longer.
    pub max: Duration,
    /// How much longer each one is than the one before.
    pub factor: f64,
    /// Full jitter: a pause is a random part of its length, so that many runs do not come back at once.
    pub jitter: bool,
}

/// What happens when an instant comes while a run of the entry is in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Both run.
    #[default]
    Allow,
    /// The new one is skipped.
    Skip,
    /// The newest one waits for the end of the run; those between are skipped.
    QueueOne,
    /// The run is cancelled, and the new one takes its place.
    CancelRunning,
}

/// What happens with instants that passed unfired for longer than the misfire grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misfire {
    /// None is fired.
    Skip,
    /// The newest one stands for all.
    #[default]
    FireOnce,
    /// Each is fired, oldest first.
    FireAll,
}

/// What a crash does to a fire that may have been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// It is sent again, with the same `Idempotency-Key`.
    #[default]
    AtLeastOnce,
    /// It is not sent again.
    AtMostOnce,
}

/// Whom to tell of a run's end.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The request; without a body of its own it carries the event.
    pub request: Request,
    /// How it shows who sends it: an alarm goes elsewhere, so nothing is taken over from its entry.
    pub credentials: Credentials,
    /// Of each run, not only of those that change the state of the entry.
    pub each: bool,
}

macro_rules! words {
    ($name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|it| it.as_str() == word)
            }
        }
    };
}

words!(Overlap { Allow => "allow", Skip => "skip", QueueOne => "queue_one", CancelRunning => "cancel_running" });
words!(Misfire { Skip => "skip", FireOnce => "fire_once", FireAll => "fire_all" });
words!(Delivery { AtLeastOnce => "at_least_once", AtMostOnce => "at_most_once" });
