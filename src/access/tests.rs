use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};

use super::*;
use crate::clock::{Clock, SimClock};
use crate::model::{Prefixes, Timestamp};
use crate::store::memory::MemoryStore;
use crate::store::{JournalStore, RegisterName, RegisterStore};

const ADMIN_KEY: &str = "0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn with_admin_key() -> Settings {
    Settings { admin_key: Some(SecretHash::of(ADMIN_KEY.as_bytes())), ..Settings::default() }
}

struct Node {
    access: Access,
    clock: Arc<SimClock>,
    store: MemoryStore,
}

impl Node {
    async fn start(shared: &MemoryStore, settings: &Settings) -> Self {
        let (clock, store) = (Arc::new(SimClock::starting_at(NOW)), shared.beside());
        let access = Access::new(settings, "127.0.0.1".parse().unwrap(), clock.clone());
        access.take(store.register(RegisterName::Keys).await.unwrap()).unwrap();
        access.keep(Arc::new(store.clone()), true);
        Self { access, clock, store }
    }

    fn admit(&self, headers: &[(http::HeaderName, &str)]) -> Result<Grant, Refused> {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let headers: HeaderMap = headers.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        let (uri, address) = (Uri::from_static("/"), "192.0.2.1".parse().unwrap());
        let shown = Shown { address, uri: &uri, headers: &headers, certificate: &[] };
        self.access.admit(shown).now_or_never().expect("only tokens make it wait")
    }

    fn admit_key(&self, key: &str) -> Result<Grant, Refused> {
        self.admit(&[(API_KEY, key)])
    }

    async fn make(&self, name: &str, change: impl FnOnce(&mut NewKey)) -> Result<(Key, KeyText), KeyError> {
        let (role, prefixes) = (Role::Admin, Prefixes::all());
        let (limits, created_by) = (KeyLimits::default(), "test".into());
        let mut new = NewKey { name: name.into(), role, prefixes, limits, expires_at: None, created_by };
        change(&mut new);
        self.access.create(new).await
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_key_everybody_is_anonymous_and_may_do_everything() {
    let node = Node::start(&MemoryStore::new(), &Settings::default()).await;

    assert_eq!(node.admit(&[]), Ok(Grant::anonymous()));
    assert_eq!(
        node.admit_key("sk_wrong"),
        Err(Refused::WrongKey("this key is not known")),
        "a wrong key is never taken for none"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_key_makes_others_so_it_is_one_that_can_and_from_then_on_a_key_is_needed() {
    let node = Node::start(&MemoryStore::new(), &Settings::default()).await;
    let refused = node.make("ci", |new| new.role = Role::Write).await;
    assert!(matches!(refused, Err(KeyError::FirstIsNoAdmin)));
    let limited = node.make("ci", |new| new.prefixes = Prefixes::parse(&["a/"]).unwrap()).await;
    assert!(matches!(limited, Err(KeyError::FirstIsNoAdmin)));

    let (_, first) = node.make("first", |_| ()).await.unwrap();
    let (_, second) = node.make("ci", |new| new.role = Role::Read).await.unwrap();

    assert_eq!(node.admit(&[]), Err(Refused::NoKey));
    assert_eq!(&*node.admit_key(&first.reveal()).unwrap().name, "first");
    assert_eq!(node.admit_key(&second.reveal()).unwrap().role, Role::Read);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_key_does_not_open_the_service_to_all() {
    let node = Node::start(&MemoryStore::new(), &Settings::default()).await;
    let (_, key) = node.make("short", |new| new.expires_at = Some(NOW.plus(10 * SECOND))).await.unwrap();
    assert!(node.admit_key(&key.reveal()).is_ok());

    node.clock.sleep_until(NOW.plus(10 * SECOND)).await;

    assert_eq!(node.admit_key(&key.reveal()), Err(Refused::WrongKey("this key has expired")));
    assert_eq!(node.admit(&[]), Err(Refused::NoKey));
    node.clock.step(40 * 24 * 3_600 * 1_000);
    assert_eq!(node.admit(&[]), Err(Refused::NoKey));
}

#[tokio::test(start_paused = true)]
async fn allow_anonymous_is_for_who_shows_no_key_and_the_admin_key_opens_everything() {
    let settings = Settings { allow_anonymous: true, ..with_admin_key() };
    let open = Node::start(&MemoryStore::new(), &settings).await;
    let closed = Node::start(&MemoryStore::new(), &with_admin_key()).await;

    assert_eq!(open.admit(&[]), Ok(Grant::anonymous()));
    assert_eq!(closed.admit(&[]), Err(Refused::NoKey));
    for node in [&open, &closed] {
        let grant = node.admit_key(ADMIN_KEY).unwrap();
        assert_eq!((&*grant.name, grant.role, grant.source), ("admin", Role::Admin, Source::AdminKey));
        assert!(matches!(node.admit_key(&ADMIN_KEY[1..]), Err(Refused::WrongKey(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_keys_are_read_nobody_is_let_in_but_by_the_admin_key() {
    let access = |settings: &Settings| {
        let clock = Arc::new(SimClock::starting_at(NOW));
        Node {
            access: Access::new(settings, "127.0.0.1".parse().unwrap(), clock.clone()),
            clock,
            store: MemoryStore::new(),
        }
    };
    let (open, closed) = (access(&Settings::default()), access(&with_admin_key()));
    let key = KeyText::generate(KeyId::generate().unwrap()).unwrap().reveal();

    assert_eq!(open.admit(&[]), Err(Refused::NotReady));
    assert_eq!(open.admit_key(&key), Err(Refused::NotReady));
    assert_eq!(closed.admit(&[]), Err(Refused::NoKey));
    assert!(closed.admit_key(ADMIN_KEY).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_page_from_elsewhere_is_refused_without_a_key_and_not_asked_for_with_one() {
    let node = Node::start(&MemoryStore::new(), &Settings::default()).await;
    let (foreign, own) = ((ORIGIN, "http://evil.example"), (HOST, "127.0.0.1:3000"));

    assert!(matches!(node.admit(&[foreign.clone(), own.clone()]), Err(Refused::Foreign(_))));
    assert!(matches!(node.admit(&[(HOST, "evil.example")]), Err(Refused::Foreign(_))));
    assert!(node.admit(&[(ORIGIN, "http://127.0.0.1:3000"), own.clone()]).is_ok());
    let (_, key) = node.make("page", |_| ()).await.unwrap();
    assert!(node.admit(&[foreign, own, (API_KEY, &key.reveal())]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn too_many_wrong_keys_of_an_address_are_refused_unseen_but_a_key_that_cannot_be_guessed_still_opens() {
    let settings = Settings { failed_tries_per_min: 3, ..with_admin_key() };
    let node = Node::start(&MemoryStore::new(), &settings).await;
    let (_, key) = node.make("ci", |_| ()).await.unwrap();

    for _ in 0..3 {
        assert!(matches!(node.admit_key("wrong"), Err(Refused::WrongKey(_))));
    }

    assert!(matches!(node.admit_key("wrong"), Err(Refused::TooManyTries(_))));
    assert!(matches!(node.admit_key(ADMIN_KEY), Err(Refused::TooManyTries(_))), "it may be guessed");
    assert!(node.admit_key(&key.reveal()).is_ok());
    node.clock.sleep_until(NOW.plus(61 * SECOND)).await;
    assert!(node.admit_key(ADMIN_KEY).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_done_at_one_node_holds_at_the_others_two_seconds_later() {
    let store = MemoryStore::new();
    let (one, other) = (Node::start(&store, &with_admin_key()).await, Node::start(&store, &with_admin_key()).await);
    let (key, text) = one.make("ci", |_| ()).await.unwrap();
    assert!(one.admit_key(&text.reveal()).is_ok());

    tokio::time::sleep(3 * SECOND).await;
    assert!(other.admit_key(&text.reveal()).is_ok());

    other.access.revoke(key.id, "test").await.unwrap();
    assert_eq!(other.admit_key(&text.reveal()), Err(Refused::WrongKey("this key was revoked")));
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(one.admit_key(&text.reveal()), Err(Refused::WrongKey("this key was revoked")));
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_made_at_several_nodes_at_once_are_all_kept() {
    let store = MemoryStore::new();
    let nodes = [Node::start(&store, &with_admin_key()).await, Node::start(&store, &with_admin_key()).await];
    let names: Vec<String> = (0..8).map(|number| format!("key-{number}")).collect();

    let made = join_all(names.iter().enumerate().map(|(place, name)| nodes[place % 2].make(name, |_| ()))).await;

    assert!(made.iter().all(Result::is_ok), "{made:?}");
    tokio::time::sleep(3 * SECOND).await;
    for node in &nodes {
        assert_eq!(node.access.keys().0.len(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_what_was_known_last_goes_on_and_nothing_is_changed() {
    let node = Node::start(&MemoryStore::new(), &with_admin_key()).await;
    let (key, text) = node.make("ci", |_| ()).await.unwrap();

    node.store.close().await.unwrap();
    tokio::time::sleep(10 * SECOND).await;

    assert!(node.admit_key(&text.reveal()).is_ok());
    assert!(matches!(node.access.revoke(key.id, "test").await, Err(KeyError::Store(_))));
    assert!(node.admit_key(&text.reveal()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_others_reach_starts_only_with_a_valid_key_or_the_word_that_it_needs_none() {
    let (store, wide) = (MemoryStore::new(), "0.0.0.0".parse().unwrap());
    let node = Node::start(&store, &Settings::default()).await;
    assert!(node.access.check_start(wide).is_err());

    node.make("short", |new| new.expires_at = Some(NOW.plus(10 * SECOND))).await.unwrap();

    assert!(node.access.check_start(wide).is_ok());
    node.clock.sleep_until(NOW.plus(10 * SECOND)).await;
    assert!(node.access.check_start(wide).is_err(), "the only key has expired");
    assert!(node.access.check_start("127.0.0.1".parse().unwrap()).is_ok());
    assert!(node.clock.elapsed() >= 10 * SECOND);
}
