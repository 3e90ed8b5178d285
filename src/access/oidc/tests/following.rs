//! The loop that keeps the keys, on simulated time with an issuer that is played.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;

use super::{NOW, claims, settings};
use crate::access::grant::Grant;
use crate::access::oidc::{FetchError, Fetched, Issuer, KeySource, TokenError, Unfit};
use crate::access::signer::Signer;
use crate::clock::{Clock, SimClock};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// An issuer that answers what it is told to, and counts how often it is asked.
#[derive(Default)]
struct Played {
    answer: Mutex<Option<Fetched>>,
    takes: Mutex<Duration>,
    asked: AtomicUsize,
}

impl Played {
    fn publishes(&self, signers: &[(&str, &Signer)], good_for: Option<Duration>) {
        let keys: Vec<_> = signers.iter().map(|(id, signer)| signer.public(id)).collect();
        *self.answer.lock().unwrap() =
            Some(Fetched { keys: json!({ "keys": keys }).to_string().into_bytes(), good_for });
    }

    fn is_away(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl KeySource for Played {
    async fn fetch(&self) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.answer.lock().unwrap().clone().ok_or_else(|| FetchError("it is away".to_owned()))
    }
}

/// An issuer that is trusted, and the one that is played for it.
struct Trusted {
    issuer: Arc<Issuer>,
    played: Arc<Played>,
    clock: Arc<SimClock>,
}

impl Trusted {
    async fn start(played: Played) -> Self {
        let (clock, played) = (Arc::new(SimClock::starting_at(NOW)), Arc::new(played));
        let issuer = Arc::new(Issuer::new(settings(), clock.clone()));
        issuer.follow(played.clone());
        let trusted = Self { issuer, played, clock };
        trusted.passes(SECOND / 1_000).await;
        trusted
    }

    async fn passes(&self, span: Duration) {
        let until = self.clock.now().plus(span);
        self.clock.sleep_until(until).await;
    }

    /// What a token allows that is made now.
    async fn judge(&self, signer: &Signer, id: &str) -> Result<Grant, Unfit> {
        let now = self.clock.now().secs();
        let token = signer.token(id, &claims(json!({ "exp": now + 60, "iat": now })));
        self.issuer.judge(token.as_bytes()).await
    }
}

fn publishing(signers: &[(&str, &Signer)]) -> Played {
    let played = Played::default();
    played.publishes(signers, None);
    played
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_new_is_fetched_when_a_token_names_it_and_the_token_opens() {
    let (old, new) = (Signer::of("EdDSA"), Signer::of("EdDSA"));
    let trusted = Trusted::start(publishing(&[("old", &old)])).await;
    assert!(trusted.judge(&old, "old").await.is_ok());
    assert_eq!(trusted.played.asked(), 1, "keys are fetched at the start, not for each token");
    trusted.played.publishes(&[("new", &new)], None);
    trusted.passes(61 * SECOND).await;

    assert!(trusted.judge(&new, "new").await.is_ok());

    assert_eq!(trusted.played.asked(), 2);
    assert_eq!(trusted.judge(&old, "old").await, Err(TokenError::UnknownKey.into()), "it was taken back");
}

#[tokio::test(start_paused = true)]
async fn however_many_tokens_name_keys_that_are_not_there_the_issuer_is_asked_once_in_a_minute_and_once_at_a_time() {
    let signer = Signer::of("EdDSA");
    let trusted = Trusted::start(publishing(&[("a", &signer)])).await;
    trusted.passes(61 * SECOND).await;
    *trusted.played.takes.lock().unwrap() = 2 * SECOND;
    let ids: Vec<String> = (0..200).map(|number| format!("none-{number}")).collect();

    for _ in 0..2 {
        let judged = join_all(ids.iter().map(|id| trusted.judge(&signer, id))).await;
        assert!(judged.iter().all(|judged| *judged == Err(TokenError::UnknownKey.into())));
        assert_eq!(trusted.played.asked(), 2);
    }

    assert!(trusted.judge(&signer, "a").await.is_ok());
    trusted.passes(61 * SECOND).await;
    assert_eq!(trusted.judge(&signer, "none").await, Err(TokenError::UnknownKey.into()));
    assert_eq!(trusted.played.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_as_the_issuer_says_within_bounds() {
    for (good_for, first, last) in
        [(None, 599, 601), (Some(5), 59, 61), (Some(120), 119, 121), (Some(999_999), 3_599, 3_601)]
    {
        let (signer, played) = (Signer::of("EdDSA"), Played::default());
        played.publishes(&[("a", &signer)], good_for.map(Duration::from_secs));
        let trusted = Trusted::start(played).await;

        trusted.passes(first * SECOND).await;
        assert_eq!(trusted.played.asked(), 1, "{good_for:?}");
        trusted.passes((last - first) * SECOND).await;
        assert_eq!(trusted.played.asked(), 2, "{good_for:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_at_the_start_is_asked_until_it_is_there_and_nobody_is_let_in_before() {
    let signer = Signer::of("EdDSA");
    let trusted = Trusted::start(Played::default()).await;
    assert!(
        matches!(trusted.judge(&signer, "a").await, Err(Unfit::NoKeys(text)) if text.contains("not be fetched yet"))
    );
    assert!(
        matches!(trusted.issuer.judge(b"a.b.c").await, Err(Unfit::Wrong(TokenError::Form(_)))),
        "what is no token is none whatever keys there are"
    );

    trusted.played.publishes(&[("a", &signer)], None);
    trusted.passes(11 * SECOND).await;

    assert!(trusted.judge(&signer, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn keys_stay_in_force_for_a_day_while_the_issuer_is_away_or_answers_nonsense() {
    let signer = Signer::of("EdDSA");
    let trusted = Trusted::start(publishing(&[("a", &signer)])).await;
    trusted.played.is_away();
    trusted.passes(12 * HOUR).await;
    *trusted.played.answer.lock().unwrap() = Some(Fetched { keys: b"{}".to_vec(), good_for: None });
    trusted.passes(12 * HOUR - SECOND).await;
    assert!(trusted.judge(&signer, "a").await.is_ok());

    trusted.passes(2 * SECOND).await;

    assert!(
        matches!(trusted.judge(&signer, "a").await, Err(Unfit::NoKeys(text)) if text.contains("away for too long"))
    );
    trusted.played.publishes(&[("a", &signer)], None);
    trusted.passes(11 * SECOND).await;
    assert!(trusted.judge(&signer, "a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_holds_nobody_up_for_long() {
    let signer = Signer::of("EdDSA");
    let trusted = Trusted::start(publishing(&[("a", &signer)])).await;
    trusted.passes(61 * SECOND).await;
    *trusted.played.takes.lock().unwrap() = HOUR;
    let before = trusted.clock.elapsed();

    assert_eq!(trusted.judge(&signer, "none").await, Err(TokenError::UnknownKey.into()));

    assert!(trusted.clock.elapsed() - before <= 11 * SECOND, "{:?}", trusted.clock.elapsed() - before);
    assert!(trusted.judge(&signer, "a").await.is_ok(), "by the keys that are known");
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_with_the_handle() {
    let trusted = Trusted::start(publishing(&[("a", &Signer::of("EdDSA"))])).await;
    let Trusted { issuer, played, clock } = trusted;
    assert_eq!(Arc::strong_count(&played), 2);

    drop(issuer);
    clock.sleep_until(clock.now().plus(SECOND)).await;

    assert_eq!(Arc::strong_count(&played), 1, "nobody asks any more");
}
