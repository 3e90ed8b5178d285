//! One key, and when it opens.

use std::sync::Arc;
use std::time::Duration;

use super::grant::{Grant, Source};
use super::key_text::{KeyId, SecretHash};
use super::role::Role;
use crate::model::{Prefixes, Timestamp};

/// How long a key that opens nothing any more stays listed.
pub const LISTED_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The largest rate that a key may have.
pub const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
/// The largest number of tasks that can be said.
pub const TASKS_MAX_MAX: u64 = 1_000_000_000;

/// What a key says of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// How often it may be used; 0: as often as one likes; `None`: as the configuration says.
    pub requests_per_second: Option<u32>,
    /// How many tasks there may be of those that it is for; 0: as many as one likes; `None`: as the configuration says.
    pub tasks_max: Option<u64>,
}

/// A key as it is kept: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// By which it is found.
    pub id: KeyId,
    /// What is changed or asked for with it bears this name.
    pub name: Arc<str>,
    /// What may be done with it.
    pub role: Role,
    /// To which tasks.
    pub prefixes: Prefixes,
    /// How much of it.
    pub limits: KeyLimits,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: Arc<str>,
    /// From when on it opens nothing; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it got its newest secret, if that is not the first.
    pub rotated_at: Option<Timestamp>,
    /// Since when it opens nothing, as somebody wanted it so.
    pub revoked_at: Option<Timestamp>,
    pub(super) secret: SecretHash,
    pub(super) previous: Option<Previous>,
}

/// The secret before the newest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    pub(super) secret: SecretHash,
    /// From when on it opens nothing.
    pub(super) until: Timestamp,
}

/// Whether a key opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Valid,
    /// Not any more, as its time has come.
    Expired,
    /// Not any more, as somebody wanted it so.
    Revoked,
}

impl Standing {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Key {
    /// Whether it opens anything at this moment.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }

    /// Until when its secret before the newest one still opens, if it does.
    pub fn overlaps_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.previous.as_ref().map(|previous| previous.until).filter(|until| *until > now)
    }

    /// Whether it is shown to those who look at the keys.
    pub(super) fn is_listed(&self, now: Timestamp) -> bool {
        let ended_at = match self.standing(now) {
            Standing::Valid => return true,
            Standing::Expired => self.expires_at,
            Standing::Revoked => self.revoked_at,
        };
        ended_at.is_some_and(|ended_at| now.since(ended_at) < LISTED_FOR)
    }

    /// Whether a secret is one of its own. Both are compared, whatever the first comparison gave.
    pub(super) fn has(&self, secret: &SecretHash, now: Timestamp) -> bool {
        let nobody = Previous { secret: SecretHash::NOBODY, until: now };
        let previous = self.previous.as_ref().unwrap_or(&nobody);
        let (is_newest, is_previous) = (self.secret.is(secret), previous.secret.is(secret));
        is_newest | (is_previous & (previous.until > now))
    }

    pub(super) fn grant(&self) -> Grant {
        let source = Source::Key(self.id.clone());
        Grant { name: self.name.clone(), role: self.role, prefixes: self.prefixes.clone(), source }
    }
}
