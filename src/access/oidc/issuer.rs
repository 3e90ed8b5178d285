//! The handle, and the loop that keeps the keys of the issuer: it fetches them at the start, now and again, and when a token names a key
//! that is not known. Only the loop asks the issuer, so it is asked once at a time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use log::{info, warn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::claims::judge;
use super::key_set::{KeySet, KeySetError};
use super::refusal::{TokenError, Unfit};
use super::settings::{OidcSettings, Pace};
use crate::access::grant::Grant;
use crate::clock::Clock;

/// How many requests wait until the keys were looked at again. Further ones are answered by the keys that are known.
const WAITING_MAX: usize = 64;
/// How long a request waits for that, and how long the issuer may take.
pub(super) const FETCH_MAX: Duration = Duration::from_secs(10);

/// Where the keys of an issuer come from.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Asks the issuer.
    async fn fetch(&self) -> Result<Fetched, FetchError>;
}

/// What an issuer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its keys, in JSON.
    pub keys: Vec<u8>,
    /// For how long they are good, if it says so.
    pub good_for: Option<Duration>,
}

/// Why there are no keys. It is told in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// The keys as they were fetched last.
#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    fetched: Duration,
}

/// Judges tokens by the keys that are known. The loop ends with it.
pub(in crate::access) struct Issuer {
    settings: OidcSettings,
    clock: Arc<dyn Clock>,
    following: OnceLock<Following>,
}

struct Following {
    known: watch::Receiver<Option<Known>>,
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl Issuer {
    pub(in crate::access) fn new(settings: OidcSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, following: OnceLock::new() }
    }

    /// Begins to fetch the keys. Only the first call counts.
    pub(in crate::access) fn follow(&self, source: Arc<dyn KeySource>) {
        let ((tell, known), (asks, asked)) = (watch::channel(None), mpsc::channel(WAITING_MAX));
        if self.following.set(Following { known, asks }).is_ok() {
            let (pace, clock) = (self.settings.pace, self.clock.clone());
            tokio::spawn(Fetching { source, clock, pace, known: tell, told: None }.run(asked));
        }
    }

    /// What a token allows.
    pub(in crate::access) async fn judge(&self, token: &[u8]) -> Result<Grant, Unfit> {
        match self.judge_now(token) {
            Err(Unfit::Wrong(TokenError::UnknownKey) | Unfit::NoKeys(_)) if self.has_looked_again().await => {
                self.judge_now(token)
            }
            judged => judged,
        }
    }

    fn judge_now(&self, token: &[u8]) -> Result<Grant, Unfit> {
        // What is no token at all is so whatever keys there are.
        let nobody = || super::token::Token::read(token).map(drop);
        let known = self.following.get().and_then(|following| following.known.borrow().clone());
        let Some(Known { keys, fetched }) = known else {
            nobody()?;
            return Err(Unfit::NoKeys("the keys of the issuer of tokens could not be fetched yet"));
        };
        if self.clock.elapsed().saturating_sub(fetched) > self.settings.pace.kept_max {
            nobody()?;
            return Err(Unfit::NoKeys("the issuer of tokens has been away for too long"));
        }
        judge(token, &keys, &self.settings, self.clock.now())
    }

    /// Waits until the keys were looked at again, if they may be.
    async fn has_looked_again(&self) -> bool {
        let Some(following) = self.following.get() else { return false };
        let (looked, answer) = oneshot::channel();
        following.asks.try_send(looked).is_ok() && matches!(timeout(FETCH_MAX, answer).await, Ok(Ok(())))
    }
}

struct Fetching {
    source: Arc<dyn KeySource>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    known: watch::Sender<Option<Known>>,
    /// What was told in the log last: empty, or why there are no keys.
    told: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error("it took longer than {} s", FETCH_MAX.as_secs())]
    Slow,
}

impl Fetching {
    /// Works until nobody can ask any more.
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let (mut next_at, mut tried_at) = (Instant::now(), None::<Instant>);
        loop {
            let waiting = tokio::select! {
                waiting = asked.recv() => match waiting {
                    None => return,
                    Some(waiting) => Some(waiting),
                },
                () = sleep_until(next_at) => None,
            };
            // Anybody can name keys that are not there: that must not make us flood the issuer.
            let is_due = next_at <= Instant::now();
            if is_due || tried_at.is_none_or(|at| at.elapsed() >= self.pace.look_again_after) {
                let pause = self.fetch().await;
                tried_at = Some(Instant::now());
                next_at = Instant::now() + pause;
            }
            if let Some(waiting) = waiting {
                // Who asked may have gone.
                let _ = waiting.send(());
            }
        }
    }

    /// Asks the issuer, and says after how long it is asked again.
    async fn fetch(&mut self) -> Duration {
        let fetched = match timeout(FETCH_MAX, self.source.fetch()).await {
            Ok(fetched) => fetched.map_err(Failure::from),
            Err(_) => Err(Failure::Slow),
        };
        let read = fetched.and_then(|fetched| Ok((KeySet::read(&fetched.keys)?, fetched.good_for)));
        match read {
            Ok((keys, good_for)) => {
                self.tell(String::new(), &keys);
                let known = Known { keys: Arc::new(keys), fetched: self.clock.elapsed() };
                self.known.send_replace(Some(known));
                let (min, max) = self.pace.good_for_range;
                good_for.unwrap_or(self.pace.good_for).clamp(min, max)
            }
            Err(failure) => {
                let why = failure.to_string();
                if self.told.as_ref() != Some(&why) {
                    warn!(
                        "the keys of the issuer of tokens cannot be fetched, those that are known stay in force: {why}"
                    );
                    self.told = Some(why);
                }
                self.pace.retry_after
            }
        }
    }

    fn tell(&mut self, outcome: String, keys: &KeySet) {
        if self.told.as_ref() != Some(&outcome) {
            let (count, passed_over) = (keys.count(), keys.passed_over);
            info!(keys = count, passed_over; "the keys of the issuer of tokens are in force");
            self.told = Some(outcome);
        }
    }
}
