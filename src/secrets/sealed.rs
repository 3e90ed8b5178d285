//! The secrets of the store: one small text, in which each value is encrypted by itself.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::keys::{KeyRing, SEAL_LEN, Sealed};
use crate::model::{SecretName, SecretText, Timestamp};
use crate::store::StoreError;

/// The format that is written. A newer one is refused.
const FORMAT: u32 = 1;
/// Before the name in what a value is bound to: under another name it cannot be decrypted.
const CONTEXT: &str = "schedule-service secret\0";

/// All secrets of the store, encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document(BTreeMap<SecretName, Item>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    /// The name of the key that encrypted it.
    key: String,
    /// In Base64.
    nonce: String,
    /// In Base64.
    sealed: String,
    /// When it got its value, in milliseconds since the epoch.
    changed: i64,
    pub(super) by: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    secrets: BTreeMap<String, Item>,
}

impl Document {
    /// Before the first secret is set.
    pub(super) fn empty() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn read(text: &str) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Formatted {
            format: u32,
        }
        let corrupt = |source| StoreError::Corrupt { what: "text of secrets".to_owned(), source };
        let Formatted { format } = serde_json::from_str(text).map_err(|error| corrupt(error.into()))?;
        if format > FORMAT {
            let text = format!("the secrets in the store have format {format}, this version reads up to {FORMAT}");
            return Err(StoreError::Refused(text));
        }
        let Written { secrets, .. } = serde_json::from_str(text).map_err(|error| corrupt(error.into()))?;
        let named = |(name, item): (String, Item)| SecretName::parse(&name).map(|name| (name, item));
        let secrets: Result<_, _> = secrets.into_iter().map(named).collect();
        secrets.map(Self).map_err(|error| corrupt(error.into()))
    }

    pub(super) fn write(&self) -> String {
        let secrets = self.0.iter().map(|(name, item)| (name.as_str().to_owned(), item.clone())).collect();
        serde_json::to_string(&Written { format: FORMAT, secrets }).expect("secrets can be written as JSON")
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (&SecretName, &Item)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How long all values are together, in bytes.
    pub(super) fn bytes(&self) -> usize {
        // Four letters of Base64 for three bytes.
        let len = |item: &Item| {
            let padding = item.sealed.bytes().rev().take_while(|byte| *byte == b'=').count();
            (item.sealed.len() / 4 * 3).saturating_sub(padding + SEAL_LEN)
        };
        self.0.values().map(len).sum()
    }

    /// `None`: there is no key to encrypt it by.
    #[must_use]
    pub(super) fn with(
        &self,
        name: &SecretName,
        text: &SecretText,
        by: &str,
        now: Timestamp,
        keys: &KeyRing,
    ) -> Option<Self> {
        let item = Item::seal(name, text.expose().as_bytes(), keys)?;
        let mut next = self.clone();
        next.0.insert(name.clone(), Item { changed: now.millis(), by: by.to_owned(), ..item });
        Some(next)
    }

    #[must_use]
    pub(super) fn without(&self, name: &SecretName) -> Self {
        let mut next = self.clone();
        next.0.remove(name);
        next
    }

    /// Encrypted anew, all by the first key. The error tells of each that cannot be decrypted.
    pub(super) fn rotated(&self, keys: &KeyRing) -> Result<Self, String> {
        let (mut next, mut unreadable) = (BTreeMap::new(), Vec::new());
        for (name, item) in &self.0 {
            let sealed = item.open_bytes(name, keys).map(|bytes| Item::seal(name, &bytes, keys));
            match sealed {
                Ok(Some(sealed)) => {
                    next.insert(name.clone(), Item { changed: item.changed, by: item.by.clone(), ..sealed });
                }
                Ok(None) => unreadable.push(format!("{name}: there is no key")),
                Err(why) => unreadable.push(format!("{name}: {why}")),
            }
        }
        if unreadable.is_empty() { Ok(Self(next)) } else { Err(unreadable.join("\n")) }
    }
}

impl Item {
    fn seal(name: &SecretName, text: &[u8], keys: &KeyRing) -> Option<Self> {
        let Sealed { key, nonce, bytes } = keys.seal(text, &context(name))?;
        let (nonce, sealed) = (STANDARD.encode(nonce), STANDARD.encode(bytes));
        Some(Self { key, nonce, sealed, changed: 0, by: String::new() })
    }

    /// Its value, or what stands in the way.
    pub(super) fn open(&self, name: &SecretName, keys: &KeyRing) -> Result<SecretText, String> {
        let bytes = self.open_bytes(name, keys)?;
        std::str::from_utf8(&bytes).map(SecretText::new).map_err(|_| "what the store holds is not UTF-8".to_owned())
    }

    fn open_bytes(&self, name: &SecretName, keys: &KeyRing) -> Result<secrecy::zeroize::Zeroizing<Vec<u8>>, String> {
        let damaged = || "what the store holds is damaged".to_owned();
        let nonce = STANDARD.decode(&self.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or_else(damaged)?;
        let bytes = STANDARD.decode(&self.sealed).map_err(|_| damaged())?;
        keys.open(Sealed { key: self.key.clone(), nonce, bytes }, &context(name))
    }

    pub(super) fn changed(&self) -> Timestamp {
        Timestamp::from_millis(self.changed)
    }
}

fn context(name: &SecretName) -> Vec<u8> {
    format!("{CONTEXT}{name}").into_bytes()
}
