//! Tokens of OAuth2 clients: asked for once, and kept in memory until shortly before they end.
//!
//! Fires that need the same token share one request for it. It goes the way of any other request, so the same rules say where to.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use http::Method;
use ring::digest;
use tokio::time::{Instant, timeout};

use super::OutgoingRequest;
use super::attempt::{Transport, TransportError};
use super::scrub::Scrub;
use super::token_answer::{self, Granted};
use crate::model::{Failure, MASK, OAuth2Client, SecretText};

/// How many clients have their tokens kept. Of more, the token that ends first makes place.
const TOKENS_MAX: usize = 1_000;
/// How long a request for a token may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// So long before its end a token is not used any more, or a tenth of its time if that is less.
const MARGIN_MAX: Duration = Duration::from_secs(60);

/// A token, and how long it is used.
#[derive(Clone)]
pub(super) struct Token(Arc<Kept>);

struct Kept {
    key: Key,
    text: SecretText,
    until: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({MASK})")
    }
}

impl Token {
    /// The token itself, for the request that shows it and for nothing else.
    pub(super) fn expose(&self) -> &str {
        self.0.text.expose()
    }

    /// One that no server has given.
    #[cfg(test)]
    pub(super) fn of_tests(text: &str) -> Self {
        Self(Arc::new(Kept { key: [0; 32], text: SecretText::new(text), until: Instant::now() }))
    }
}

/// Why there is no token. The text shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoToken {
    pub(super) message: String,
    /// As what it counts for a retry; `None`: another attempt would be the same.
    pub(super) failure: Option<Failure>,
}

/// A hash of all that goes into a request for a token.
type Key = [u8; 32];
type Asking = Shared<BoxFuture<'static, Result<Token, NoToken>>>;

/// The tokens that are kept, and those that are asked for.
pub(super) struct Tokens {
    transport: Arc<dyn Transport>,
    kept: Mutex<HashMap<Key, Asking>>,
}

impl Tokens {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, kept: Mutex::default() }
    }

    /// The token of a client. Waits for a request for it, its own or one that is under way. `scrub` keeps the texts of the client out of
    /// what is told.
    pub(super) async fn get(&self, client: &OAuth2Client, scrub: &Scrub) -> Result<Token, NoToken> {
        let asked =
            client.request().map_err(|error| NoToken { message: format!("no token: {error}"), failure: None })?;
        let key = key(client.token_url.as_str(), asked.authorization.as_deref(), &asked.body);
        let asking = {
            let now = Instant::now();
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            match kept.get(&key).filter(|asking| is_of_use(asking, now)) {
                Some(asking) => asking.clone(),
                None => {
                    let asking = self.ask(client.clone(), key, token_answer::request(client, asked), scrub.clone());
                    make_place(&mut kept, now);
                    kept.insert(key, asking.clone());
                    asking
                }
            }
        };
        asking.await
    }

    /// Its target does not take it: the next one that needs a token asks for another.
    pub(super) fn forget(&self, token: &Token) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |asking: &Asking| matches!(asking.peek(), Some(Ok(known)) if Arc::ptr_eq(&known.0, &token.0));
        if kept.get(&token.0.key).is_some_and(is_same) {
            kept.remove(&token.0.key);
        }
    }

    /// Asks on a task of its own: whoever waits may go away, and others still wait.
    fn ask(&self, client: OAuth2Client, key: Key, request: OutgoingRequest, scrub: Scrub) -> Asking {
        let transport = self.transport.clone();
        let asking = tokio::spawn(async move {
            let granted = match timeout(TOKEN_TIMEOUT, token_answer::ask(&*transport, &client, request, &scrub)).await {
                Ok(granted) => granted?,
                Err(_) => return Err(late(TOKEN_TIMEOUT)),
            };
            let Granted { text, lasts } = granted;
            let until = Instant::now() + lasts.saturating_sub(MARGIN_MAX.min(lasts / 10));
            Ok(Token(Arc::new(Kept { key, text, until })))
        });
        let told = |error: tokio::task::JoinError| NoToken { message: format!("no token: {error}"), failure: None };
        asking.map(move |done| done.map_err(told).flatten()).boxed().shared()
    }
}

/// No token came within this time.
pub(super) fn late(limit: Duration) -> NoToken {
    let message = format!("no token within {} s", limit.as_secs_f64());
    NoToken { message, failure: Some(Failure::Timeout) }
}

/// The same for a request for a token that could not be sent, or whose answer broke off.
pub(super) fn broken(client: &OAuth2Client, error: TransportError) -> NoToken {
    let failure = match error {
        TransportError::Broken(_) => Some(Failure::Connect),
        TransportError::Refused(_) => None,
    };
    NoToken { message: format!("no token from {}: {error}", client.token_url.origin()), failure }
}

/// Whether it is under way, or has given a token that still holds.
fn is_of_use(asking: &Asking, now: Instant) -> bool {
    match asking.peek() {
        None => true,
        Some(Ok(token)) => now < token.0.until,
        Some(Err(_)) => false,
    }
}

fn make_place(kept: &mut HashMap<Key, Asking>, now: Instant) {
    if kept.len() < TOKENS_MAX {
        return;
    }
    kept.retain(|_, asking| is_of_use(asking, now));
    if kept.len() >= TOKENS_MAX {
        // One that is under way has no end yet; those who wait for it have it all the same.
        let end =
            |asking: &Asking| asking.peek().and_then(|asked| asked.as_ref().ok()).map_or(now, |token| token.0.until);
        let first = kept.iter().min_by_key(|(_, asking)| end(asking)).map(|(key, _)| *key);
        first.and_then(|key| kept.remove(&key));
    }
}

fn key(url: &str, authorization: Option<&str>, body: &str) -> Key {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [Method::POST.as_str(), url, authorization.unwrap_or_default(), body] {
        hash.update(&part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests;
