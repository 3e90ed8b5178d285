//! The loop that owns the keys: it changes them in the store, and looks there for what other nodes have changed.

use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::key::Key;
use super::key_list::{KeyError, KeyList, KeyListError, NewKey};
use super::key_text::{KeyId, KeyText};
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::observe::with_causes;
use crate::store::{RegisterName, RegisterStore, Registered, StoreError};

/// How often the keys are read anew where other nodes may change them: so long a key that was revoked elsewhere may still open here.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How often a change is tried that others were faster than.
const TRIES_MAX: usize = 10;
/// How many changes wait for the loop. Further callers wait.
pub(super) const ORDERS_MAX: usize = 64;

/// The keys as they were read last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// 0: no key was ever made on this store.
    pub(super) version: u64,
    pub(super) list: KeyList,
}

impl Known {
    pub(super) fn read(stored: Option<Registered>) -> Result<Self, KeyListError> {
        match stored {
            None => Ok(Self::default()),
            Some(Registered { version, text }) => Ok(Self { version, list: KeyList::read(&text)? }),
        }
    }
}

/// What somebody wants of the keys.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create(NewKey, KeyText),
    Rotate(KeyText, Duration),
    Revoke(KeyId),
}

impl Change {
    fn carry_out(&self, list: &mut KeyList, now: Timestamp) -> Result<Key, KeyError> {
        match self {
            Self::Create(new, text) => list.add(new, text, now),
            Self::Rotate(text, overlap) => list.rotate(text, *overlap, now),
            Self::Revoke(id) => list.revoke(id, now),
        }
    }
}

pub(super) enum Order {
    Change { change: Change, may_be_first: bool, told: oneshot::Sender<Result<Key, KeyError>> },
    End,
}

pub(super) struct Keeping {
    pub(super) store: Arc<dyn RegisterStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) known: Arc<watch::Sender<Option<Known>>>,
    pub(super) is_shared: bool,
}

impl Keeping {
    /// Works until nobody can ask any more.
    pub(super) async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let (mut read_at, mut told) = (Instant::now() + READ_EVERY, String::new());
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None | Some(Order::End) => return,
                    Some(Order::Change { change, may_be_first, told }) => {
                        // Who asked may have gone.
                        let _ = told.send(self.change(&change, may_be_first).await);
                    }
                },
                () = sleep_until(read_at), if self.is_shared => {
                    let outcome = self.read().await.err().map(|error| with_causes(&error)).unwrap_or_default();
                    if outcome != told {
                        match outcome.as_str() {
                            "" => info!("the keys can be read again"),
                            why => warn!("the keys cannot be read, those that are known stay in force: {why}"),
                        }
                        told = outcome;
                    }
                    read_at = Instant::now() + READ_EVERY;
                }
            }
        }
    }

    async fn read(&self) -> Result<Known, KeyError> {
        let known = Known::read(self.store.register(RegisterName::Keys).await?)?;
        self.take(known.clone());
        Ok(known)
    }

    /// What was read before what is known by now does not count.
    fn take(&self, read: Known) {
        self.known.send_if_modified(|known| {
            let is_newer = known.as_ref().is_none_or(|known| known.version < read.version);
            if is_newer {
                *known = Some(read);
            }
            is_newer
        });
    }

    async fn change(&self, change: &Change, may_be_first: bool) -> Result<Key, KeyError> {
        for _ in 0..TRIES_MAX {
            let Known { version, mut list } = self.read().await?;
            if version == 0 && !may_be_first {
                return Err(KeyError::FirstIsNoAdmin);
            }
            let before = list.clone();
            let key = change.carry_out(&mut list, self.clock.now())?;
            if list == before {
                return Ok(key);
            }
            let next = Registered { version: version + 1, text: list.write() };
            match self.store.set_register(RegisterName::Keys, &next).await {
                Ok(true) => {
                    self.take(Known { version: next.version, list });
                    return Ok(key);
                }
                Ok(false) => {}
                Err(error) => return self.settle(&next, error, key).await,
            }
        }
        Err(KeyError::Contended)
    }

    /// The store did not say whether it took a change: it may stand there all the same.
    async fn settle(&self, next: &Registered, error: StoreError, key: Key) -> Result<Key, KeyError> {
        match self.store.register(RegisterName::Keys).await {
            Ok(Some(stored)) if stored == *next => {
                self.take(Known::read(Some(stored))?);
                Ok(key)
            }
            Ok(_) | Err(_) => Err(error.into()),
        }
    }
}
