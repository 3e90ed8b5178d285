//! The handle: may this request be answered, and by which name?

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{info, warn};
use tokio::sync::{mpsc, oneshot, watch};

use super::certificate::grant_of;
use super::grant::Grant;
use super::keeping::{Change, Keeping, Known, ORDERS_MAX, Order};
use super::key::{Key, Standing};
use super::key_list::{KeyError, KeyListError, NewKey, Wrong};
use super::key_text::{KeyId, KeyText, SecretHash};
use super::oidc::{Issuer, KeySource, TokenError, Unfit, is_token};
use super::origin::foreign;
use super::pacing::Paces;
use super::role::Role;
use super::settings::{OpenToAll, Settings, check_start};
use super::shown::{SeveralKeys, Shown};
use super::tries::Tries;
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::store::{RegisterStore, Registered};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A key is needed.
    #[error("this needs a key: send it as `Authorization: Bearer sk_…` or as `X-API-Key: sk_…`")]
    NoKey,
    /// A key or a token is needed.
    #[error(
        "this needs a key or a token: send it as `Authorization: Bearer sk_…` or `Authorization: Bearer <token>`; a key also as \
         `X-API-Key: sk_…`"
    )]
    NoKeyOrToken,
    /// The key is none that opens.
    #[error("{0}")]
    WrongKey(&'static str),
    /// The token is none that opens.
    #[error("{0}")]
    WrongToken(TokenError),
    /// The token is good, and allows nothing here.
    #[error("{0}")]
    NoRights(String),
    /// Whether the token is good cannot be said now.
    #[error("{0}")]
    NoIssuer(&'static str),
    /// Too many wrong keys or tokens came from the same address.
    #[error("too many wrong keys came from this address, wait {} s", .0.as_secs() + 1)]
    TooManyTries(Duration),
    /// It would be answered if it were known who sends it.
    #[error("{0}")]
    Foreign(String),
    /// The keys were not read yet.
    #[error("the keys are still being loaded")]
    NotReady,
}

/// Who may do what. Cheap to clone; the loop behind it ends with the last one.
#[derive(Clone)]
pub struct Access {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    is_on_loopback: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) known: Arc<watch::Sender<Option<Known>>>,
    pub(super) paces: Mutex<Paces>,
    issuer: Option<Issuer>,
    tries: Mutex<Tries>,
    orders: OnceLock<mpsc::Sender<Order>>,
}

impl Access {
    /// Of a service that listens on `host`. Until [`Access::take`] only the admin key of the configuration opens.
    pub fn new(settings: &Settings, host: IpAddr, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            settings: settings.clone(),
            is_on_loopback: host.to_canonical().is_loopback(),
            issuer: settings.oidc.clone().map(|oidc| Issuer::new(oidc, clock.clone())),
            clock,
            known: Arc::new(watch::channel(None).0),
            paces: Mutex::default(),
            tries: Mutex::new(Tries::new(settings.failed_tries_per_min)),
            orders: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes in the keys as they stand in the store.
    pub fn take(&self, stored: Option<Registered>) -> Result<(), KeyListError> {
        let known = Known::read(stored)?;
        self.shared.known.send_replace(Some(known));
        Ok(())
    }

    /// Whether the service may go on to start, with the keys that were taken in.
    pub fn check_start(&self, host: IpAddr) -> Result<(), OpenToAll> {
        let now = self.shared.clock.now();
        let (is_closed, has_valid) = {
            let known = self.shared.known.borrow();
            (self.is_closed(known.as_ref()), known.as_ref().is_some_and(|known| known.list.has_valid(now)))
        };
        check_start(&self.shared.settings, host, has_valid)?;
        if self.shared.settings.allow_anonymous {
            warn!("[access] allow_anonymous is true: whoever reaches this service without a key may do everything");
        } else if !is_closed {
            info!("there are no keys: every program on this machine may do everything");
        }
        Ok(())
    }

    /// Begins to keep the keys. `is_shared`: other nodes may change them. Only the first call counts.
    pub fn keep(&self, store: Arc<dyn RegisterStore>, is_shared: bool) {
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        if self.shared.orders.set(orders).is_ok() {
            let (clock, known) = (self.shared.clock.clone(), self.shared.known.clone());
            tokio::spawn(Keeping { store, clock, known, is_shared }.run(waiting));
        }
    }

    /// Begins to fetch the keys of the issuer of tokens, if there is one. Only the first call counts.
    pub fn follow_issuer(&self, source: Arc<dyn KeySource>) {
        if let Some(issuer) = &self.shared.issuer {
            issuer.follow(source);
        }
    }

    /// Ends the use of the store.
    pub async fn end(&self) {
        if let Some(orders) = self.shared.orders.get() {
            // An error: it has ended already.
            let _ = orders.send(Order::End).await;
        }
    }

    /// Whether somebody who shows no key is refused: from the first key on, also when that one has ended, as its end must not open
    /// the service to all.
    fn is_closed(&self, known: Option<&Known>) -> bool {
        self.shared.settings.is_closed() || known.is_some_and(|known| known.version > 0)
    }

    /// What the sender of a request may do. It waits only for a token whose key has to be fetched.
    pub async fn admit(&self, shown: Shown<'_>) -> Result<Grant, Refused> {
        match (shown.key(), &self.shared.issuer) {
            (Ok(None), _) => self.admit_without_key(shown),
            (Ok(Some(token)), Some(issuer)) if is_token(token) => self.admit_token(issuer, token, shown.address).await,
            (Ok(Some(key)), _) => self.admit_key(key, shown.address),
            (Err(SeveralKeys), _) => Err(Refused::WrongKey("two different keys are shown, send one")),
        }
    }

    /// A certificate stands in place of a key. A browser shows it for every page, so the page is looked at; not the name by which the
    /// service was reached, as a server of another name has no certificate of ours to show.
    fn admit_without_key(&self, shown: Shown<'_>) -> Result<Grant, Refused> {
        let Some(grant) = grant_of(shown.certificate, &self.shared.settings.certificates) else {
            return self.admit_anonymous(shown);
        };
        match foreign(shown.origin(), shown.host(), false) {
            Some(text) => Err(Refused::Foreign(text)),
            None => Ok(grant),
        }
    }

    /// A token is looked at in any case, as one with a good signature cannot be guessed.
    async fn admit_token(&self, issuer: &Issuer, token: &[u8], address: IpAddr) -> Result<Grant, Refused> {
        let wrong = match issuer.judge(token).await {
            Ok(grant) => return Ok(grant),
            Err(Unfit::Unmapped(text)) => return Err(Refused::NoRights(text)),
            Err(Unfit::NoKeys(text)) => return Err(Refused::NoIssuer(text)),
            Err(Unfit::Wrong(wrong)) => wrong,
        };
        let elapsed = self.shared.clock.elapsed();
        let (wait, told) = {
            let mut tries = self.tries();
            (tries.wait_of(address, elapsed), tries.note(address, elapsed))
        };
        if let Some(untold) = told {
            warn!(address:%, untold; "a wrong token was shown: {wrong}");
        }
        Err(wait.map_or(Refused::WrongToken(wrong), Refused::TooManyTries))
    }

    fn admit_anonymous(&self, shown: Shown<'_>) -> Result<Grant, Refused> {
        let Shared { settings, known, is_on_loopback, .. } = &*self.shared;
        let is_closed = {
            let known = known.borrow();
            let known = known.as_ref();
            if known.is_none() && !settings.is_closed() && !settings.allow_anonymous {
                return Err(Refused::NotReady);
            }
            self.is_closed(known)
        };
        if is_closed && !settings.allow_anonymous {
            return Err(if settings.oidc.is_some() { Refused::NoKeyOrToken } else { Refused::NoKey });
        }
        match foreign(shown.origin(), shown.host(), *is_on_loopback) {
            Some(text) => Err(Refused::Foreign(text)),
            None => Ok(Grant::anonymous()),
        }
    }

    fn admit_key(&self, key: &[u8], address: IpAddr) -> Result<Grant, Refused> {
        let wrong = match self.find(key) {
            Ok(grant) => return Ok(grant),
            Err(wrong) => wrong,
        };
        // A key that was made cannot be guessed, so it is looked at in any case: one client with an old key must not keep out all that
        // share its address. The admin key was thought of by somebody.
        let elapsed = self.shared.clock.elapsed();
        let wait = self.tries().wait_of(address, elapsed);
        if let Some(wait) = wait {
            self.note_failure(address, &wrong, elapsed);
            return Err(Refused::TooManyTries(wait));
        }
        if self.shared.settings.admin_key.is_some_and(|admin| admin.is(&SecretHash::of(key))) {
            return Ok(Grant::admin());
        }
        if wrong == Problem::NotReady {
            return Err(Refused::NotReady);
        }
        self.note_failure(address, &wrong, elapsed);
        Err(Refused::WrongKey(match wrong {
            Problem::Wrong(Wrong::Over(_, Standing::Expired)) => "this key has expired",
            Problem::Wrong(Wrong::Over(_, Standing::Revoked)) => "this key was revoked",
            Problem::Wrong(Wrong::Over(_, Standing::Valid) | Wrong::Unknown | Wrong::Secret(_))
            | Problem::NoKey
            | Problem::NotReady => "this key is not known",
        }))
    }

    /// The grant of a key that was made.
    fn find(&self, key: &[u8]) -> Result<Grant, Problem> {
        let text = std::str::from_utf8(key).ok().and_then(KeyText::parse).ok_or(Problem::NoKey)?;
        let known = self.shared.known.borrow();
        let known = known.as_ref().ok_or(Problem::NotReady)?;
        known.list.find(&text, self.shared.clock.now()).map(Key::grant).map_err(Problem::Wrong)
    }

    fn note_failure(&self, address: IpAddr, problem: &Problem, elapsed: Duration) {
        // The key itself is never told, nor what part of it may be right.
        let (why, id) = match problem {
            Problem::NoKey | Problem::NotReady => ("it has not the form of one", None),
            Problem::Wrong(Wrong::Unknown) => ("there is no such key", None),
            Problem::Wrong(Wrong::Secret(id)) => ("its secret is another one", Some(id)),
            Problem::Wrong(Wrong::Over(id, standing)) => (standing.as_str(), Some(id)),
        };
        let told = self.tries().note(address, elapsed);
        if let Some(untold) = told {
            let key = id.map_or("", KeyId::as_str);
            warn!(address:%, key, untold; "a wrong key was shown: {why}");
        }
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.shared.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that are listed, each with its standing at this moment.
    pub fn keys(&self) -> (Vec<Key>, Timestamp) {
        let now = self.shared.clock.now();
        let known = self.shared.known.borrow();
        (known.iter().flat_map(|known| known.list.listed(now)).cloned().collect(), now)
    }

    /// The time by which keys expire.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Makes a key. Its text is known to nobody but the caller from then on.
    pub async fn create(&self, new: NewKey) -> Result<(Key, KeyText), KeyError> {
        let text = KeyText::generate(KeyId::generate()?)?;
        let may_be_first =
            self.shared.settings.has_other_admin() || (new.role == Role::Admin && new.prefixes.are_all());
        let key = self.order(Change::Create(new, text.clone()), may_be_first).await?;
        let (id, name, role, by) = (&key.id, &*key.name, key.role.as_str(), &*key.created_by);
        info!(id:%, name, role, by; "a key was made");
        Ok((key, text))
    }

    /// Gives a key another secret. The one before opens for `overlap` more.
    pub async fn rotate(&self, id: KeyId, overlap: Duration, by: &str) -> Result<(Key, KeyText), KeyError> {
        let text = KeyText::generate(id)?;
        let key = self.order(Change::Rotate(text.clone(), overlap), true).await?;
        let (id, name) = (&key.id, &*key.name);
        info!(id:%, name, by; "a key got another secret");
        Ok((key, text))
    }

    /// From now on a key opens nothing: here at once, on other nodes within two seconds.
    pub async fn revoke(&self, id: KeyId, by: &str) -> Result<Key, KeyError> {
        let key = self.order(Change::Revoke(id), true).await?;
        let (id, name) = (&key.id, &*key.name);
        info!(id:%, name, by; "a key was revoked");
        Ok(key)
    }

    async fn order(&self, change: Change, may_be_first: bool) -> Result<Key, KeyError> {
        let orders = self.shared.orders.get().ok_or(KeyError::NotReady)?;
        let (told, answer) = oneshot::channel();
        orders.send(Order::Change { change, may_be_first, told }).await.map_err(|_| KeyError::NotReady)?;
        answer.await.map_err(|_| KeyError::NotReady)?
    }
}

/// Why a key that was shown is not one that was made.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// It has not the form of one.
    NoKey,
    Wrong(Wrong),
    NotReady,
}
