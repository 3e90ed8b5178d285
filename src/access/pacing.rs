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
    /// Whoever shows a token or a certificate with this name.
    Named(Arc<str>),
    /// Whoever shows none, from here; of IPv6, from this /64.
    Address(IpAddr),
}

/// What was taken lately.
#[derive(Debug)]
pub(super) struct Paces {
    admin: Bucket,
    keys: Buckets<KeyId>,
    names: Buckets<Arc<str>>,
    addresses: Buckets<IpAddr>,
}

impl Default for Paces {
    fn default() -> Self {
        let (keys, names, addresses) =
            (Buckets::new(KEYS_MAX), Buckets::new(ADDRESSES_MAX), Buckets::new(ADDRESSES_MAX));
        Self { admin: Bucket::default(), keys, names, addresses }
    }
}

impl Paces {
    fn take(&mut self, paying: &Paying, elapsed: Duration) -> Result<(), Duration> {
        match &paying.who {
            Who::Admin => self.admin.take(paying.per_second, elapsed),
            Who::Key(id) => self.keys.take(id, paying.per_second, elapsed),
            Who::Named(name) => self.names.take(name, paying.per_second, elapsed),
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
            Source::Token | Source::Certificate => Who::Named(grant.name.clone()),
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
            Source::Token | Source::Certificate => self.shared.settings.tasks_per_key_max,
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
            Who::Named(_) => format!("`{}`", self.name),
            Who::Address(_) => "whoever shows no key from this address".to_owned(),
        };
        let limit = if self.is_own { "its requests_per_second" } else { "[limits] requests_per_key_per_second" };
        TooOften { whose, per_second: self.per_second, limit, wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeyList, KeyText, NewKey, Role, Settings};
    use crate::clock::{Clock, SimClock};
    use crate::model::{Prefixes, Timestamp};
    use crate::store::Registered;

    const SECOND: Duration = Duration::from_secs(1);

    fn access(settings: Settings) -> (Access, Arc<SimClock>) {
        let clock = Arc::new(SimClock::starting_at(Timestamp::from_secs(1_800_000_000)));
        (Access::new(&settings, "127.0.0.1".parse().unwrap(), clock.clone()), clock)
    }

    fn per_second(number: u32) -> Settings {
        Settings { requests_per_key_per_second: number, ..Settings::default() }
    }

    /// Takes keys with these limits in, and gives what each is known by.
    fn with_keys<const N: usize>(access: &Access, limits: [KeyLimits; N]) -> [Grant; N] {
        let mut list = KeyList::default();
        let grants = std::array::from_fn(|number| {
            let text = KeyText::generate(KeyId::generate().unwrap()).unwrap();
            let (name, prefixes, created_by) = (format!("key-{number}").into(), Prefixes::all(), "test".into());
            let (role, limits) = (Role::Write, limits[number]);
            let new = NewKey { name, role, prefixes, limits, expires_at: None, created_by };
            list.add(&new, &text, access.now()).unwrap().grant()
        });
        access.take(Some(Registered { version: 1, text: list.write() })).unwrap();
        grants
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of a thousand requests at one moment are taken.
    fn taken(access: &Access, grant: &Grant, from: &str) -> usize {
        (0..1_000).filter(|_| access.take_turn(&access.turns(grant, address(from))).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_is_counted() {
        let (access, _) = access(Settings::default());
        let [key] = with_keys(&access, [KeyLimits::default()]);

        assert_eq!(
            (taken(&access, &key, "192.0.2.1"), taken(&access, &Grant::anonymous(), "192.0.2.1")),
            (1_000, 1_000)
        );
        assert_eq!(access.turns(&key, address("192.0.2.1")), Turns::default());
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_the_admin_key_and_each_address_without_a_key_have_what_is_configured_to_themselves() {
        let (access, clock) = access(per_second(5));
        let [one, other] = with_keys(&access, [KeyLimits::default(); 2]);

        for _ in 0..2 {
            for who in [&one, &other, &Grant::admin()] {
                assert_eq!(
                    (taken(&access, who, "192.0.2.1"), taken(&access, who, "192.0.2.2")),
                    (5, 0),
                    "from anywhere"
                );
            }
            for from in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
                assert_eq!(taken(&access, &Grant::anonymous(), from), 5, "{from}");
            }
            assert_eq!(taken(&access, &Grant::anonymous(), "2001:db8::2"), 0, "of the same network");
            clock.sleep_until(clock.now().plus(SECOND)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_key_says_itself_wins_over_the_configuration_and_zero_is_no_limit() {
        let (access, _) = access(per_second(5));
        let of = |requests_per_second| KeyLimits { requests_per_second, tasks_max: None };
        let [narrow, wide, free] = with_keys(&access, [of(Some(2)), of(Some(50)), of(Some(0))]);

        assert_eq!([&narrow, &wide, &free].map(|key| taken(&access, key, "192.0.2.1")), [2, 50, 1_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_name_of_a_token_or_a_certificate_is_counted_from_wherever_it_asks() {
        let (access, _) = access(per_second(5));
        let named = |name: &str, source| Grant { name: name.into(), source, ..Grant::anonymous() };
        let ann = named("oidc:ann", Source::Token);

        assert_eq!(taken(&access, &ann, "192.0.2.1"), 5);
        assert_eq!(taken(&access, &ann, "192.0.2.2"), 0);
        assert_eq!(taken(&access, &named("oidc:zoe", Source::Token), "192.0.2.1"), 5);
        assert_eq!(taken(&access, &named("cert:ann", Source::Certificate), "192.0.2.1"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_node_passes_on_was_counted_there() {
        let (access, _) = access(per_second(5));
        let passed_on = Grant { source: Source::Node, ..Grant::anonymous() };

        assert_eq!(taken(&access, &passed_on, "192.0.2.1"), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_says_whose_limit_it_is_and_how_long_to_wait() {
        let (access, _) = access(per_second(1));
        let [own, configured] =
            with_keys(&access, [KeyLimits { requests_per_second: Some(1), tasks_max: None }, KeyLimits::default()]);
        let told = |grant: &Grant| {
            let turns = access.turns(grant, address("192.0.2.1"));
            access.take_turn(&turns).unwrap();
            access.take_turn(&turns).unwrap_err()
        };

        assert_eq!(told(&own).wait, SECOND);
        let limit = "may send 1 requests a second ([limits] requests_per_key_per_second), wait 2 s";
        assert_eq!(told(&configured).to_string(), format!("the key `key-1` {limit}"));
        assert_eq!(told(&Grant::anonymous()).to_string(), format!("whoever shows no key from this address {limit}"));
        let own = access.take_turn(&access.turns(&own, address("192.0.2.1"))).unwrap_err().to_string();
        assert_eq!(own, "the key `key-0` may send 1 requests a second (its requests_per_second), wait 2 s");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_are_counted_for_keys_that_were_made_and_for_nobody_else() {
        let (access, _) = access(Settings { tasks_per_key_max: 9, ..Settings::default() });
        let of = |tasks_max| KeyLimits { requests_per_second: None, tasks_max };
        let keys = with_keys(&access, [of(None), of(Some(3)), of(Some(0))]);

        assert_eq!(keys.map(|key| access.tasks_max(&key.source)), [Some(9), Some(3), None]);
        for source in [Source::Token, Source::Certificate] {
            assert_eq!(access.tasks_max(&source), Some(9));
        }
        for source in [Source::Nothing, Source::AdminKey, Source::Node] {
            assert_eq!(access.tasks_max(&source), None);
        }
    }
}
