//! When a failed attempt is made again, and after which pause.

use std::time::Duration;

use serde_json::value::RawValue;
use xxhash_rust::xxh64::xxh64;

use super::status::{Statuses, hold, read_one};
use super::{Backoff, RetryPolicy};
use crate::model::RunId;
use crate::model::duration::Span;
use crate::model::object::{Kind, Mistakes, Object, array, integer, kind, unexpected, word};

const KEYS: [&str; 3] = ["attempts_max", "backoff", "on"];
const BACKOFF_KEYS: [&str; 4] = ["initial", "max", "factor", "jitter"];
/// The most attempts of one run, the first included. More are refused.
const ATTEMPTS_MAX: i64 = 20;
const ATTEMPTS_DEFAULT: u32 = 3;
/// How many reasons for a retry may be listed. More are refused.
const REASONS_MAX: usize = 100;
/// The largest growth of the pauses. A larger one is refused.
const FACTOR_MAX: f64 = 100.0;
const DAY: Duration = Duration::from_secs(86_400);
const PAUSES: Span = Span::new(Duration::from_millis(1), DAY, "1ms to 24h");
const REASONS: &str = "\"timeout\", \"connect\", a status, a class such as \"5xx\" or a range such as \"500-503\"";

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No whole answer came in time.
    Timeout,
    /// The target could not be reached, or the connection broke.
    Connect,
    /// An answer came, and it is no success.
    Status(u16),
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: ATTEMPTS_DEFAULT,
            backoff: Backoff::default(),
            on_status: [(408, 408), (425, 425), (429, 429), (500, 599)].into(),
            on_timeout: true,
            on_connect: true,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(60), factor: 2.0, jitter: true }
    }
}

impl RetryPolicy {
    /// No answer of a target makes a pause longer than this.
    pub const RETRY_AFTER_MAX: Duration = DAY;

    /// Whether another attempt may be made after one that failed so. How many there are at most is another question.
    pub fn wants(&self, failure: Failure) -> bool {
        match failure {
            Failure::Timeout => self.on_timeout,
            Failure::Connect => self.on_connect,
            Failure::Status(status) => hold(&self.on_status, status),
        }
    }

    /// Whether another attempt is made after attempt number `attempt`, which failed so.
    pub fn goes_on(&self, attempt: u32, failure: Failure) -> bool {
        attempt < self.attempts_max && self.wants(failure)
    }

    /// The pause after attempt number `attempt` of a run: the same whenever it is computed. What the target asked for by
    /// `Retry-After` is its least, up to [`RetryPolicy::RETRY_AFTER_MAX`].
    pub fn pause(&self, attempt: u32, seed: RunId, retry_after: Option<Duration>) -> Duration {
        let longest = self.backoff.length(attempt);
        let own = if self.backoff.jitter { random_part(longest, seed, attempt) } else { longest };
        own.max(retry_after.unwrap_or_default().min(Self::RETRY_AFTER_MAX))
    }

    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Self {
        members.refuse_unknown(&KEYS, mistakes);
        let mut policy = Self::default();
        let path = |key: &str| members.path_of(key);
        let attempts = members.get("attempts_max");
        if let Some(attempts) = attempts.and_then(|raw| integer(raw, &path("attempts_max"), 1..=ATTEMPTS_MAX, mistakes))
        {
            policy.attempts_max = u32::try_from(attempts).unwrap_or(ATTEMPTS_DEFAULT);
        }
        if let Some(backoff) = members.object("backoff", mistakes) {
            policy.backoff = Backoff::read(&backoff, mistakes);
        }
        if let Some(reasons) = members.get("on") {
            policy.read_reasons(reasons, &path("on"), mistakes);
        }
        policy
    }

    fn read_reasons(&mut self, raw: &RawValue, path: &str, mistakes: &mut Mistakes) {
        let Some(items) = array(raw, path, REASONS, 1..=REASONS_MAX, mistakes) else { return };
        (self.on_timeout, self.on_connect) = (false, false);
        let mut statuses: Vec<Statuses> = Vec::new();
        for (index, raw) in items.iter().enumerate() {
            match raw.get() {
                "\"timeout\"" => self.on_timeout = true,
                "\"connect\"" => self.on_connect = true,
                _ => statuses.extend(read_one(raw, &format!("{path}[{index}]"), REASONS, mistakes)),
            }
        }
        self.on_status = statuses.into();
    }
}

impl Backoff {
    /// The longest pause after attempt number `attempt`, which counts from 1.
    fn length(&self, attempt: u32) -> Duration {
        let growth = self.factor.powi(i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX));
        let secs = (self.initial.as_secs_f64() * growth).min(self.max.as_secs_f64());
        Duration::try_from_secs_f64(secs).unwrap_or(self.max).min(self.max)
    }

    fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Self {
        members.refuse_unknown(&BACKOFF_KEYS, mistakes);
        let mut backoff = Self::default();
        let path = |key: &str| members.path_of(key);
        let pause =
            |key, mistakes: &mut Mistakes| members.get(key).and_then(|raw| PAUSES.read(raw, &path(key), mistakes));
        backoff.initial = pause("initial", mistakes).unwrap_or(backoff.initial);
        match pause("max", mistakes) {
            Some(max) if max < backoff.initial => {
                mistakes.add(&path("max"), "is shorter than `initial`, expected at least as long");
            }
            Some(max) => backoff.max = max,
            None => backoff.max = backoff.max.max(backoff.initial),
        }
        let factor = members.get("factor").and_then(|raw| factor(raw, &path("factor"), mistakes));
        backoff.factor = factor.unwrap_or(backoff.factor);
        let jitter = |text: &str| match text {
            "full" => Some(true),
            "none" => Some(false),
            _ => None,
        };
        let given = members.get("jitter");
        let jitter = given.and_then(|raw| word(raw, &path("jitter"), jitter, &["full", "none"], mistakes));
        backoff.jitter = jitter.unwrap_or(backoff.jitter);
        backoff
    }
}

fn factor(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<f64> {
    let number = Some(raw).filter(|raw| kind(raw) == Kind::Number).and_then(|raw| raw.get().parse::<f64>().ok());
    let factor = number.filter(|factor| (1.0..=FACTOR_MAX).contains(factor));
    if factor.is_none() {
        mistakes.add(path, unexpected("a number from 1 to 100", raw));
    }
    factor
}

/// A part of a span that looks random and is the same each time: of runs that fail together no two come back together.
fn random_part(span: Duration, seed: RunId, attempt: u32) -> Duration {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX - 1);
    Duration::from_millis(xxh64(seed.uuid().as_bytes(), u64::from(attempt)) % (millis + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Timestamp;

    fn read(json: &str) -> Result<RetryPolicy, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        let policy =
            Object::read(raw, "retry".to_owned(), &mut mistakes).map(|it| RetryPolicy::read(&it, &mut mistakes));
        policy.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.text())
    }

    fn seed(number: i64) -> RunId {
        RunId::asked(Timestamp::from_millis(number))
    }

    #[test]
    fn an_empty_policy_retries_what_may_pass_by_itself() {
        let policy = read("{}").unwrap();

        assert_eq!(policy, RetryPolicy::default());
        assert!([Failure::Timeout, Failure::Connect].into_iter().all(|failure| policy.wants(failure)));
        let retried = [408, 425, 429, 500, 503, 599];
        assert!(
            (100..1_000).all(|status| policy.wants(Failure::Status(status)) == retried.contains(&status)
                || (500..600).contains(&status))
        );
        assert!(policy.goes_on(2, Failure::Timeout) && !policy.goes_on(3, Failure::Timeout));
    }

    #[test]
    fn only_the_reasons_that_are_listed_count() {
        let policy = read(r#"{"on":["connect",404,"52x","500-501"]}"#);
        assert!(policy.unwrap_err().starts_with("retry.on[2]: is `52x`, expected \"timeout\", \"connect\", a status"));

        let policy = read(r#"{"attempts_max":20,"on":["connect",404,"500-501"]}"#).unwrap();

        assert!(policy.wants(Failure::Connect) && !policy.wants(Failure::Timeout));
        assert!(policy.wants(Failure::Status(404)) && policy.wants(Failure::Status(501)));
        assert!(!policy.wants(Failure::Status(502)) && !policy.wants(Failure::Status(429)));
        assert_eq!(policy.attempts_max, 20);
    }

    #[test]
    fn without_jitter_pauses_grow_by_the_factor_up_to_the_longest() {
        let policy = read(r#"{"backoff":{"initial":"100ms","max":"1s","factor":2.5,"jitter":"none"}}"#).unwrap();

        let pauses: Vec<u128> = (1..=5).map(|attempt| policy.pause(attempt, seed(1), None).as_millis()).collect();

        assert_eq!(pauses, [100, 250, 625, 1_000, 1_000]);
    }

    #[test]
    fn what_the_target_asks_for_is_the_least_and_has_an_end() {
        let policy = read(r#"{"backoff":{"jitter":"none"}}"#).unwrap();
        let pause = |secs| policy.pause(1, seed(1), Some(Duration::from_secs(secs)));

        assert_eq!([pause(0), pause(1), pause(30)].map(|pause| pause.as_secs()), [1, 1, 30]);
        assert_eq!(pause(u64::MAX), RetryPolicy::RETRY_AFTER_MAX);
    }

    #[test]
    fn the_longest_pause_follows_a_longer_first_one() {
        assert_eq!(read(r#"{"backoff":{"initial":"5m"}}"#).unwrap().backoff.max, Duration::from_secs(300));
        assert_eq!(
            read(r#"{"backoff":{"initial":"5m","max":"1m"}}"#).unwrap_err(),
            "retry.backoff.max: is shorter than `initial`, expected at least as long"
        );
    }

    #[test]
    fn every_mistake_is_told() {
        let refusal = read(
            r#"{"attempts_max":21,"backof":1,"backoff":{"initial":"0s","max":"25h","factor":0.5,"jitter":"half","x":1},"on":[]}"#,
        );

        let expected = [
            "retry.backof: is not known, did you mean `backoff`?",
            "retry.attempts_max: is `21`, expected a whole number from 1 to 20",
            "retry.backoff.x: is not known, expected one of initial, max, factor, jitter",
            "retry.backoff.initial: is `0s`, expected 1ms to 24h",
            "retry.backoff.max: is `25h`, expected 1ms to 24h",
            "retry.backoff.factor: is `0.5`, expected a number from 1 to 100",
            "retry.backoff.jitter: is `half`, expected one of full, none",
            "retry.on: has 0 values, expected 1 to 100",
        ];
        assert_eq!(refusal.unwrap_err().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pauses_with_jitter_fill_their_length_evenly() {
        let policy = RetryPolicy::default();
        let pauses: Vec<u128> = (0..4_000).map(|run| policy.pause(3, seed(run), None).as_millis()).collect();

        let in_quarter = |quarter: u128| pauses.iter().filter(|&&pause| pause / 1_001 == quarter).count();
        assert!((0..4).all(|quarter| (850..1_150).contains(&in_quarter(quarter))), "{:?}", (0..4).map(in_quarter));
    }

    proptest! {
        #[test]
        fn a_pause_is_the_same_each_time_and_never_longer_than_allowed(
            attempt in 0_u32..=u32::MAX, run in 0_i64..1_000_000, initial in 1_u64..=86_400_000, max in 1_u64..=86_400_000,
            factor in 1.0..=100.0_f64, jitter in any::<bool>(), asked in proptest::option::of(0_u64..200_000),
        ) {
            let max = Duration::from_millis(max.max(initial));
            let backoff = Backoff { initial: Duration::from_millis(initial), max, factor, jitter };
            let policy = RetryPolicy { backoff, ..RetryPolicy::default() };
            let (seed, asked) = (seed(run), asked.map(Duration::from_secs));

            let pause = policy.pause(attempt, seed, asked);

            prop_assert_eq!(pause, policy.pause(attempt, seed, asked));
            let least = asked.unwrap_or_default().min(RetryPolicy::RETRY_AFTER_MAX);
            prop_assert!(pause >= least && pause <= max.max(least));
            if !jitter {
                prop_assert!(pause >= backoff.initial);
            }
        }
    }
}
