//! A node with its front and a store in memory, which it shares with others.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::{self, Access};
use crate::api::{Api, PutLimits, Server, Services, Settings};
use crate::catalog::{self, Catalog, Shards};
use crate::clock::{Clock, SystemClock};
use crate::cluster::{Agreement, ClusterKey, Keeper, KeeperSettings, Member, Peers, Tenure, peer_client};
use crate::dispatch::{self, Answer, OutgoingRequest, Patience, Transport, TransportError};
use crate::engine;
use crate::journal::{self, Journal};
use crate::model::{Identity, Shard, ShardSet, TargetRules, TimeZone};
use crate::observe::metrics::StoreMetrics;
use crate::store::memory::MemoryStore;
use crate::store::{JournalStore, LeaseStore, RegisterName, Store};

pub(super) const KEY: &str = "0123456789abcdef";
/// Long enough for a machine that is busy with other tests.
pub(super) const TTL: Duration = Duration::from_secs(3);

/// Answers at once.
struct Sink;

#[async_trait]
impl Transport for Sink {
    async fn send(&self, _: OutgoingRequest) -> Result<Answer, TransportError> {
        Ok(Answer::whole(500, ""))
    }
}

pub(super) struct Node {
    pub(super) base: String,
    pub(super) store: MemoryStore,
    pub(super) keeper: Keeper,
    pub(super) tenure: Tenure,
    pub(super) journal: Journal,
    pub(super) access: Access,
    server: Server,
    client: reqwest::Client,
}

impl Node {
    pub(super) async fn start(shared: &MemoryStore, key: Option<&str>) -> Self {
        Self::start_with(shared, key, &access::Settings::default()).await
    }

    pub(super) async fn start_with(shared: &MemoryStore, key: Option<&str>, access: &access::Settings) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { port: 0, remote_user_header: Some("x-user".parse().unwrap()), ..Settings::default() };
        let (clock, store): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), shared.beside());
        let access = Access::new(access, settings.host, clock.clone());
        let api = Api::new(&settings, access.clone(), StoreMetrics::default());
        let server = Server::start(api.clone(), &settings, &clock).unwrap();
        let base = format!("http://{}", server.address());
        let (tenure, shared): (_, Arc<dyn Store>) = (Tenure::shared(clock.clone()), Arc::new(store.clone()));
        let journal = journal::start(shared.clone(), &journal::Settings::default(), None, tenure.clone());
        let secrets = crate::secrets::Secrets::open(&Default::default(), clock.clone()).unwrap();
        secrets.follow(shared.clone(), true).await.unwrap();
        let means = dispatch::Means {
            transport: Arc::new(Sink),
            journal: journal.clone(),
            history: shared.clone(),
            results: shared.clone(),
            clock: clock.clone(),
            tenure: tenure.clone(),
            secrets: secrets.clone(),
        };
        let engine_settings = engine::Settings::default();
        let engine::Settings { misfire_grace, catch_up_window, .. } = engine_settings;
        let patience = Patience { misfire_grace, catch_up_window };
        let dispatch = dispatch::start(means, &dispatch::Settings::default(), patience);
        let leases = store.take(ShardSet::EMPTY, "test").await.unwrap();
        let recovered = engine::recover(&store, &journal, &leases, clock.now(), &engine_settings).await.unwrap();
        let (for_engine, for_dispatch) = (journal.clone(), dispatch.clone());
        let engine =
            engine::start(recovered, shared.clone(), for_engine, for_dispatch, clock.clone(), &engine_settings);
        let means = catalog::Means {
            store: shared.clone(),
            engine: engine.clone(),
            dispatch: dispatch.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            tenure: tenure.clone(),
            agreement: Agreement::alone(),
        };
        let catalog = Catalog::new(Vec::new(), means);
        let shards = Arc::new(Shards::new(catalog.clone(), "test", engine_settings));
        let me = Member::new(Uuid::new_v4(), &base, clock.now());
        let register = Arc::new(store.clone());
        let keeper = Keeper::start(me, register, shards, tenure.clone(), clock, KeeperSettings { ttl: TTL });
        let planned = engine.clone();
        tokio::spawn(async move {
            // As the planning job does each second.
            loop {
                planned.plan();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let client = peer_client().build().unwrap();
        let key = key.map(ClusterKey::new);
        access.take(shared.register(RegisterName::Keys).await.unwrap()).unwrap();
        access.keep(shared.clone(), true);
        let peers = Peers::new(keeper.clone(), tenure.clone(), client.clone(), key, TTL);
        api.open(Services {
            catalog,
            engine,
            dispatch,
            journal: journal.clone(),
            store: shared,
            cluster: Some(keeper.clone()),
            tenure: tenure.clone(),
            index_name: "test".into(),
            results_kept_for: Duration::from_secs(3_600),
            default_time_zone: TimeZone::UTC,
            peers,
            secrets,
            put_limits: PutLimits::default(),
            targets: Arc::new(TargetRules {
                allow: TargetRules::parse_list("loopback").unwrap(),
                ..TargetRules::default()
            }),
            access: access.clone(),
        });
        Self { base, store, keeper, tenure, journal, access, server, client }
    }

    /// Some nodes on one store that have shared out the work.
    pub(super) async fn several(count: usize) -> Vec<Self> {
        let (store, mut nodes) = (MemoryStore::new(), Vec::new());
        for _ in 0..count {
            nodes.push(Self::start(&store, Some(KEY)).await);
        }
        shared_out(&nodes).await;
        nodes
    }

    pub(super) fn owns(&self, identity: &str) -> bool {
        self.tenure.holds(Shard::of(&Identity::parse(identity).unwrap()))
    }

    /// Asks with a caller's name and other headers.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> (u16, String) {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap(), url).header("x-user", "ada").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, &[], String::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, text) = self.ask("POST", path, &[], body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Posts and expects `{"error":0,…}`.
    pub(super) async fn post_ok(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!((status, &answer["error"]), (200, &json!(0)), "{path}: {answer}");
        answer
    }

    /// Ends as a crash does: nothing more is written or answered.
    pub(super) async fn crash(self) {
        self.store.close().await.unwrap();
        self.tenure.end();
        self.server.stop(Duration::ZERO).await;
    }
}

/// Waits until each of these nodes acts for its part.
pub(super) async fn shared_out(nodes: &[Node]) {
    for node in nodes {
        let (mut view, seen) = (node.keeper.view(), node.keeper.view());
        // No other gets more than its share, rounded up.
        let least = 64 - (nodes.len() - 1) * 64_usize.div_ceil(nodes.len());
        let is_shared_out = |members: usize, acting: usize| members == nodes.len() && acting >= least;
        let waiting = view.wait_for(|view| is_shared_out(view.membership.members().len(), view.acting.len()));
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "{:?}", seen.borrow());
    }
}

/// Many names, so that each node owns some of them.
pub(super) fn names() -> Vec<String> {
    (0..40).map(|number| format!("task-{number:02}")).collect()
}

pub(super) fn task(identity: &str) -> Value {
    json!({
        "identity": identity, "time_zone": "Europe/Berlin", "start": true,
        "entries": { "a": { "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:9/", "retry": { "attempts_max": 1 } },
                     "b": { "cron_time": "0 0 0 2 1 *", "url": "http://127.0.0.1:9/" } },
    })
}
