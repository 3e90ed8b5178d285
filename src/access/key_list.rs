//! All keys, and what happens to them: plain data and rules. They stand in one small text in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::grant::{ADMIN, ANONYMOUS, is_kept_for_others};
use super::key::{Key, KeyLimits, Previous, Standing};
use super::key_text::{KeyId, KeyText, NoRandomness, SecretHash};
use super::role::Role;
use crate::model::{Prefixes, Timestamp};
use crate::store::StoreError;

/// How many keys there may be, with those that are still listed. More are refused.
pub const KEYS_MAX: usize = 1_000;
/// The longest name of a key, in bytes. Longer ones are refused.
pub const NAME_MAX: usize = 64;
/// The form of the text. One with a higher number is not understood.
const FORMAT: u32 = 1;

/// Why there is no new key, or why one stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Choose another name.
    #[error("name: `{0}` is the name of another key that is valid")]
    NameTaken(Arc<str>),
    /// Choose another name: this one means something else.
    #[error("name: `{0}` is kept for who has no key of their own")]
    NameKept(Arc<str>),
    /// Wait, or revoke some long before.
    #[error("there are {KEYS_MAX} keys already, with those that ended in the last 30 days")]
    TooMany,
    /// It would be the only key, and no further one could be made.
    #[error("role: the first key has to be of the role admin and without prefixes, as only that can make further ones")]
    FirstIsNoAdmin,
    /// There is no such key.
    #[error("id: there is no such key")]
    Unknown,
    /// Make a new one.
    #[error("id: this key is {}, make a new one", .0.as_str())]
    Over(Standing),
    /// Others changed the keys at the same time, again and again. Try again.
    #[error("the keys are being changed by others, try again")]
    Contended,
    /// Try again later.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The change may have been stored or not.
    #[error("the keys cannot be stored: {0}")]
    Store(#[from] StoreError),
    /// Someone must look.
    #[error(transparent)]
    Text(#[from] KeyListError),
    /// The service is going down, or not ready.
    #[error("the service is not ready")]
    NotReady,
}

/// The text in the store is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyListError {
    /// Run that version.
    #[error("the stored keys were written by a newer version of this program (format {0})")]
    Newer(u32),
    /// Someone must look.
    #[error("the stored keys cannot be read: {0}")]
    Unreadable(String),
}

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its name.
    pub name: Arc<str>,
    /// What may be done with it.
    pub role: Role,
    /// To which tasks.
    pub prefixes: Prefixes,
    /// How much of it.
    pub limits: KeyLimits,
    /// When it opens nothing any more.
    pub expires_at: Option<Timestamp>,
    /// Who wants it.
    pub created_by: Arc<str>,
}

/// Why a key does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is no such key.
    Unknown,
    /// There is, with another secret.
    Secret(KeyId),
    /// It was the right one.
    Over(KeyId, Standing),
}

/// All keys that are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyList(BTreeMap<KeyId, Key>);

impl KeyList {
    /// Those that are to be shown, the oldest first.
    pub fn listed(&self, now: Timestamp) -> Vec<&Key> {
        let mut listed: Vec<&Key> = self.0.values().filter(|key| key.is_listed(now)).collect();
        listed.sort_by_key(|key| (key.created_at, &key.id));
        listed
    }

    /// Whether any key opens something.
    pub fn has_valid(&self, now: Timestamp) -> bool {
        self.0.values().any(|key| key.standing(now) == Standing::Valid)
    }

    /// The key with this id, also one that opens nothing.
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        self.0.get(id)
    }

    /// The key that a text is. An unknown id takes as long as a wrong secret.
    pub fn find(&self, text: &KeyText, now: Timestamp) -> Result<&Key, Wrong> {
        let secret = text.hash();
        let Some(key) = self.0.get(text.id()) else {
            let _ = std::hint::black_box(SecretHash::NOBODY.is(&secret));
            return Err(Wrong::Unknown);
        };
        if !key.has(&secret, now) {
            return Err(Wrong::Secret(key.id.clone()));
        }
        match key.standing(now) {
            Standing::Valid => Ok(key),
            over @ (Standing::Expired | Standing::Revoked) => Err(Wrong::Over(key.id.clone(), over)),
        }
    }

    /// Adds a key with this text.
    pub fn add(&mut self, new: &NewKey, text: &KeyText, now: Timestamp) -> Result<Key, KeyError> {
        if [ANONYMOUS, ADMIN].contains(&&*new.name) || is_kept_for_others(&new.name) {
            return Err(KeyError::NameKept(new.name.clone()));
        }
        self.drop_old(now);
        if self.0.values().any(|key| key.name == new.name && key.standing(now) == Standing::Valid) {
            return Err(KeyError::NameTaken(new.name.clone()));
        }
        if self.0.len() >= KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        let key = Key {
            id: text.id().clone(),
            name: new.name.clone(),
            role: new.role,
            prefixes: new.prefixes.clone(),
            limits: new.limits,
            created_at: now,
            created_by: new.created_by.clone(),
            expires_at: new.expires_at,
            rotated_at: None,
            revoked_at: None,
            secret: text.hash(),
            previous: None,
        };
        self.0.insert(key.id.clone(), key.clone());
        Ok(key)
    }

    /// Gives a key another secret. The one before opens for `overlap` more.
    pub fn rotate(&mut self, text: &KeyText, overlap: Duration, now: Timestamp) -> Result<Key, KeyError> {
        self.drop_old(now);
        let key = self.0.get_mut(text.id()).ok_or(KeyError::Unknown)?;
        match key.standing(now) {
            Standing::Valid => {}
            over @ (Standing::Expired | Standing::Revoked) => return Err(KeyError::Over(over)),
        }
        let before = std::mem::replace(&mut key.secret, text.hash());
        key.previous = (!overlap.is_zero()).then(|| Previous { secret: before, until: now.plus(overlap) });
        key.rotated_at = Some(now);
        Ok(key.clone())
    }

    /// From now on a key opens nothing. One that was revoked before stays as it is.
    pub fn revoke(&mut self, id: &KeyId, now: Timestamp) -> Result<Key, KeyError> {
        self.drop_old(now);
        let key = self.0.get_mut(id).ok_or(KeyError::Unknown)?;
        key.revoked_at = key.revoked_at.or(Some(now));
        key.previous = None;
        Ok(key.clone())
    }

    fn drop_old(&mut self, now: Timestamp) {
        self.0.retain(|_, key| key.is_listed(now));
    }

    /// Reads what [`KeyList::write`] wrote.
    pub fn read(text: &str) -> Result<Self, KeyListError> {
        let unreadable = |error: serde_json::Error| KeyListError::Unreadable(error.to_string());
        let Format { format } = serde_json::from_str(text).map_err(unreadable)?;
        if format > FORMAT {
            return Err(KeyListError::Newer(format));
        }
        let written: Written = serde_json::from_str(text).map_err(unreadable)?;
        let key = |written: WrittenKey| {
            let id = written.id.clone();
            written.into_key().ok_or_else(|| KeyListError::Unreadable(format!("key `{}`", id.escape_debug())))
        };
        let keys = written.keys.into_iter().map(|written| key(written).map(|key| (key.id.clone(), key)));
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// As it stands in the store.
    pub fn write(&self) -> String {
        let keys = self.0.values().map(WrittenKey::of).collect();
        serde_json::to_string(&Written { format: FORMAT, keys }).expect("keys can be written as JSON")
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    keys: Vec<WrittenKey>,
}

/// Times in milliseconds of the epoch.
#[derive(Serialize, Deserialize)]
struct WrittenKey {
    id: String,
    name: String,
    role: String,
    prefixes: Vec<String>,
    /// Left out as they are by a version that knew of no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_second: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tasks_max: Option<u64>,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    rotated_at: Option<i64>,
    revoked_at: Option<i64>,
    sha256: String,
    previous: Option<WrittenPrevious>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPrevious {
    sha256: String,
    until: i64,
}

impl WrittenKey {
    fn of(key: &Key) -> Self {
        let millis = |time: Option<Timestamp>| time.map(Timestamp::millis);
        let previous =
            |previous: &Previous| WrittenPrevious { sha256: previous.secret.write(), until: previous.until.millis() };
        Self {
            id: key.id.as_str().to_owned(),
            name: key.name.to_string(),
            role: key.role.as_str().to_owned(),
            prefixes: key.prefixes.to_texts(),
            requests_per_second: key.limits.requests_per_second,
            tasks_max: key.limits.tasks_max,
            created_at: key.created_at.millis(),
            created_by: key.created_by.to_string(),
            expires_at: millis(key.expires_at),
            rotated_at: millis(key.rotated_at),
            revoked_at: millis(key.revoked_at),
            sha256: key.secret.write(),
            previous: key.previous.as_ref().map(previous),
        }
    }

    fn into_key(self) -> Option<Key> {
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let previous = |previous: WrittenPrevious| {
            let secret = SecretHash::read(&previous.sha256)?;
            Some(Previous { secret, until: Timestamp::from_millis(previous.until) })
        };
        Some(Key {
            id: KeyId::parse(&self.id)?,
            name: self.name.into(),
            role: Role::parse(&self.role)?,
            prefixes: Prefixes::parse(&self.prefixes).ok()?,
            limits: KeyLimits { requests_per_second: self.requests_per_second, tasks_max: self.tasks_max },
            created_at: Timestamp::from_millis(self.created_at),
            created_by: self.created_by.into(),
            expires_at: time(self.expires_at),
            rotated_at: time(self.rotated_at),
            revoked_at: time(self.revoked_at),
            secret: SecretHash::read(&self.sha256)?,
            previous: match self.previous {
                Some(written) => Some(previous(written)?),
                None => None,
            },
        })
    }
}

#[cfg(test)]
mod tests;
