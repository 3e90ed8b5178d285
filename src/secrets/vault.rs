//! The secrets of the store as this node has them, and how they are changed: by compare-and-set, as nodes share them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ChangeError;
use super::keys::KeyRing;
use super::sealed::Document;
use crate::model::{SecretName, SecretText, Timestamp};
use crate::store::{RegisterName, RegisterStore, Registered, StoreError};

/// How many secrets the store holds. A further one is refused.
pub const SECRETS_MAX: usize = 1_000;
/// How long all values together are, in bytes. What would make them longer is refused.
pub const TOTAL_BYTES_MAX: usize = 1024 * 1024;
/// How often a change is tried that others come before. Then it is refused.
const TRIES_MAX: usize = 20;

/// What the store holds, read and decrypted.
pub(super) struct Vault {
    version: u64,
    pub(super) document: Document,
    pub(super) keys: Arc<KeyRing>,
    opened: BTreeMap<SecretName, Result<SecretText, String>>,
}

impl Vault {
    pub(super) fn new(version: u64, document: Document, keys: Arc<KeyRing>) -> Self {
        let opened = document.items().map(|(name, item)| (name.clone(), item.open(name, &keys))).collect();
        Self { version, document, keys, opened }
    }

    /// The same with other keys.
    pub(super) fn with_keys(&self, keys: Arc<KeyRing>) -> Self {
        Self::new(self.version, self.document.clone(), keys)
    }

    pub(super) fn get(&self, name: &SecretName) -> Option<&Result<SecretText, String>> {
        self.opened.get(name)
    }

    pub(super) fn is_older_than(&self, version: u64) -> bool {
        self.version < version
    }
}

/// What is to be changed.
pub(super) enum Wish<'w> {
    Set { name: &'w SecretName, text: &'w SecretText, by: &'w str, now: Timestamp },
    Remove(&'w SecretName),
    Rotate,
}

impl Wish<'_> {
    /// What the store is to hold then. Pure but for the dice of encryption.
    pub(super) fn on(&self, document: &Document, keys: &KeyRing) -> Result<Document, ChangeError> {
        const NO_KEY: &str = "the store holds no secret without a key to encrypt it by: set [secrets] key_file, \
                              `schedule-service secret keygen` makes a key";
        let refused = |why: String| Err(ChangeError::Refused(why));
        match self {
            Self::Set { name, text, by, now } => {
                let Some(next) = document.with(name, text, by, *now, keys) else { return refused(NO_KEY.to_owned()) };
                if next.len() > SECRETS_MAX {
                    return refused(format!("the store holds {SECRETS_MAX} secrets, which is the most"));
                }
                let bytes = next.bytes();
                if bytes > TOTAL_BYTES_MAX {
                    let text =
                        format!("all secrets would be {bytes} bytes together, expected at most {TOTAL_BYTES_MAX}");
                    return refused(text);
                }
                Ok(next)
            }
            Self::Remove(name) => Ok(document.without(name)),
            Self::Rotate if keys.is_empty() => refused(NO_KEY.to_owned()),
            Self::Rotate => document.rotated(keys).or_else(|why| refused(format!("nothing was changed:\n{why}"))),
        }
    }
}

/// What stands in the store now.
pub(super) async fn read(store: &dyn RegisterStore) -> Result<(u64, Document), StoreError> {
    match store.register(RegisterName::Secrets).await? {
        Some(Registered { version, text }) => Ok((version, Document::read(&text)?)),
        None => Ok((0, Document::empty())),
    }
}

/// Makes a change durable. Gives what stands there then; `None`: it stands there already.
pub(super) async fn change(
    store: &dyn RegisterStore,
    keys: &KeyRing,
    wish: Wish<'_>,
) -> Result<Option<(u64, Document)>, ChangeError> {
    for _ in 0..TRIES_MAX {
        let (version, document) = read(store).await?;
        let next = wish.on(&document, keys)?;
        if next == document {
            return Ok(None);
        }
        let registered = Registered { version: version + 1, text: next.write() };
        if store.set_register(RegisterName::Secrets, &registered).await? {
            return Ok(Some((registered.version, next)));
        }
    }
    Err(ChangeError::Busy)
}
