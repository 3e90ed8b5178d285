//! How often somebody may ask: by a key that of the key, without one that of the address.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::bucket::{Bucket, Buckets};
use super::grant::{Grant, Source};
use super::handle::Access;
use super::key::KeyLimits;
use super::key_list::KEYS_MAX;
use super::key_text::KeyId;
use super::tries::{ADDRESSES_MAX, place_of};

/// Somebody asks more often than allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} may send {per_second} requests a second ({limit}), wait {} s", .wait.as_secs() + 1)]
pub struct TooOften {
    whose: String,
    per_second: NonZeroU32,
    limit: &'static str,
    /// For how long to wait.
    pub wait: Duration,
}

/// From what is taken when somebody asks. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns(Option<Arc<Paying>>);

#[derive(Debug, PartialEq, Eq)]
struct Paying {
    who: Who,
    name: Arc<str>,
    per_second: NonZeroU32,
    /// Whether the key says so itself.
    is_own: bool,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever shows the admin key of the configuration.
    Admin,
    Key(KeyId),
    /// Whoever shows none, from here; of IPv6, from this /64.
    Address(IpAddr),
}

/// What was taken lately.
#[derive(Debug)]
pub(super) struct Paces {
    admin: Bucket,
    keys: Buckets<KeyId>,
    addresses: Buckets<IpAddr>,
}

impl Default for Paces {
    fn default() -> Self {
        let (keys, addresses) = (Buckets::new(KEYS_MAX), Buckets::new(ADDRESSES_MAX));
        Self { admin: Bucket::default(), keys, addresses }
    }
}

impl Paces {
    fn take(&mut self, paying: &Paying, elapsed: Duration) -> Result<(), Duration> {
        match &paying.who {
            Who::Admin => self.admin.take(paying.per_second, elapsed),
            Who::Key(id) => self.keys.take(id, paying.per_second, elapsed),
            Who::Address(address) => self.addresses.take(address, paying.per_second, elapsed),
        }
    }
}

impl Access {
    /// What a key says of its limits itself.
    fn limits_of(&self, source: &Source) -> KeyLimits {
        let Source::Key(id) = source else { return KeyLimits::default() };
        self.shared
            .known
            .borrow()
            .as_ref()
            .and_then(|known| known.list.get(id))
            .map_or_else(KeyLimits::default, |key| key.limits)
    }

    /// From what the requests of somebody are taken who was let in from an address. What another node passes on was taken there.
    pub fn turns(&self, grant: &Grant, address: IpAddr) -> Turns {
        let who = match &grant.source {
            Source::Nothing => Who::Address(place_of(address)),
            Source::AdminKey => Who::Admin,
            Source::Key(id) => Who::Key(id.clone()),
            Source::Node => return Turns::default(),
        };
        let own = self.limits_of(&grant.source).requests_per_second;
        let per_second = NonZeroU32::new(own.unwrap_or(self.shared.settings.requests_per_key_per_second));
        let (name, is_own) = (grant.name.clone(), own.is_some());
        Turns(per_second.map(|per_second| Arc::new(Paying { who, name, per_second, is_own })))
    }

    /// Takes one request from what somebody may send.
    pub fn take_turn(&self, turns: &Turns) -> Result<(), TooOften> {
        let Some(paying) = turns.0.as_deref() else { return Ok(()) };
        let elapsed = self.shared.clock.elapsed();
        let taken = self.shared.paces.lock().unwrap_or_else(PoisonError::into_inner).take(paying, elapsed);
        taken.map_err(|wait| paying.too_often(wait))
    }

    /// How many tasks there may be of those that somebody's key is for; `None`: as many as are put.
    pub fn tasks_max(&self, source: &Source) -> Option<u64> {
        let max = match source {
            Source::Key(_) => {
                let own = self.limits_of(source).tasks_max;
                own.unwrap_or(self.shared.settings.tasks_per_key_max)
            }
            // Whoever runs the service, or another node, which says it itself.
            Source::Nothing | Source::AdminKey | Source::Node => 0,
        };
        (max > 0).then_some(max)
    }
}

impl Paying {
    fn too_often(&self, wait: Duration) -> TooOften {
        let whose = match self.who {
            Who::Admin | Who::Key(_) => format!("the key `{}`", self.name),
            Who::Address(_) => "whoever shows no key from this address".to_owned(),
        };
        let limit = if self.is_own { "its requests_per_second" } else { "[limits] requests_per_key_per_second" };
        TooOften { whose, per_second: self.per_second, limit, wait }
    }
}
