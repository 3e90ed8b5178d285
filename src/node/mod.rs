//! Composition: opens the store, starts each room, drains them in reverse. Only this room knows all others.

mod home;
mod joining;
mod recurring;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use log::{info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use uuid::Uuid;

use self::home::home;
use self::joining::Joining;
use self::waiting::{patiently, write_left_overs};
use crate::access::{Access, HttpKeySource, issuer_client};
use crate::api::{Api, Server, Services};
use crate::catalog::{self, Catalog};
use crate::clock::{Clock, SystemClock};
use crate::cluster::{Agreement, Keeper, Peers, Tenure};
use crate::config::NodeSettings;
use crate::dispatch::{self, Dispatch, HttpTransport, Means, Patience, authorities, build_client};
use crate::engine::{self, Engine, Planner};
use crate::journal::{self, Journal, Spill};
use crate::model::ShardSet;
use crate::observe::metrics::StoreMetrics;
use crate::secrets::Secrets;
use crate::store::elastic::Elastic;
use crate::store::embedded::Embedded;
use crate::store::unfinished::{Place, Unfinished};
use crate::store::{Metered, RegisterName, RegisterStore, Registered, Store};

/// Serves until the process is asked to end, then drains.
pub fn serve(settings: NodeSettings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let served = runtime.block_on(async {
        // Before anything is started: a start may wait for Elasticsearch, and must not wait for ever.
        let mut signals = Signals::listen()?;
        let node = tokio::select! {
            started = Node::start(settings) => started?,
            () = signals.wait() => return Ok(()),
        };
        signals.wait().await;
        node.stop().await;
        anyhow::Ok(())
    });
    // What is still in flight after the grace is settled by the next start.
    runtime.shutdown_background();
    served
}

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    async fn wait(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!("got {name}, draining");
    }
}

/// A running node.
pub struct Node {
    api: Api,
    server: Server,
    planner: Planner,
    engine: Engine,
    dispatch: Dispatch,
    journal: Journal,
    store: Arc<dyn Store>,
    tenure: Tenure,
    /// Among others; `None`: alone on the embedded store.
    keeper: Option<Keeper>,
    peers: Peers,
    access: Access,
    shutdown_grace: Duration,
}

impl Node {
    /// Opens the store, binds the port, loads the agenda, and begins to fire.
    pub async fn start(settings: NodeSettings) -> anyhow::Result<Self> {
        info!("schedule-service {} starts", env!("CARGO_PKG_VERSION"));
        // Another TLS provider can only have been installed by a test: it serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        check_whole(&settings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let access = Access::new(&settings.access, settings.api.host, clock.clone());
        let secrets = Secrets::open(&settings.secrets, clock.clone())?;
        let embedded = match settings.elasticsearch {
            None => Some(Embedded::open(&settings.store.path)?),
            Some(_) => None,
        };
        if let Some(embedded) = &embedded {
            // Before a port is bound.
            let stored = embedded.register(RegisterName::Keys).await.context(NO_KEYS)?;
            check_access(&access, stored, &settings)?;
        }
        follow_issuer(&access, &settings)?;
        let store_metrics = StoreMetrics::default();
        let api = Api::new(&settings.api, access.clone(), store_metrics.clone());
        let server = Server::start(api.clone(), &settings.api, &clock)?;
        info!(address:% = server.address(), scheme = server.scheme(), store:% = store_name(&settings); "listening");
        let Opened { store, spill, home } = Opened::open(embedded, &settings, &clock, &api).await?;
        let store: Arc<dyn Store> = Arc::new(Metered::new(store, store_metrics));
        let is_shared = home.is_some();
        if is_shared {
            let stored = patiently(&api, NO_KEYS, || store.register(RegisterName::Keys)).await?;
            check_access(&access, stored, &settings)?;
        }
        access.keep(store.clone(), is_shared);
        let follow = || secrets.follow(store.clone(), is_shared);
        patiently(&api, "cannot read the secrets of the store", follow).await?;
        let (tenure, agreement) = match home {
            Some(_) => (Tenure::shared(clock.clone()), Agreement::shared(settings.sharing.ttl)),
            None => (Tenure::alone(clock.clone()), Agreement::alone()),
        };
        let for_engine = engine::Settings { pause_reach: agreement.reach(), ..settings.engine };

        let journal = journal::start(store.clone(), &settings.journal, spill, tenure.clone());
        let dispatch = dispatch(&settings, &store, &journal, &clock, &tenure, &secrets)?;
        write_left_overs(&journal, &api).await?;
        // Among others a node begins with nothing, and takes what is dealt to it.
        let shards = if home.is_some() { ShardSet::EMPTY } else { ShardSet::ALL };
        let recover = || async {
            let leases = store.take(shards, ALONE).await?;
            engine::recover(store.as_ref(), &journal, &leases, clock.now(), &for_engine).await
        };
        let mut recovered = patiently(&api, "cannot load the tasks", recover).await?;
        let revisions = std::mem::take(&mut recovered.revisions);
        let engine =
            engine::start(recovered, store.clone(), journal.clone(), dispatch.clone(), clock.clone(), &for_engine);
        let means = catalog::Means {
            store: store.clone(),
            engine: engine.clone(),
            dispatch: dispatch.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            tenure: tenure.clone(),
            agreement: agreement.clone(),
        };
        let catalog = Catalog::new(revisions, means);
        let keeper = match home {
            None => None,
            Some(home) => {
                let url = joining::advertised(&settings.sharing, server.scheme(), server.address())?;
                let (store, catalog, tenure) = (store.clone(), catalog.clone(), tenure.clone());
                let (clock, ttl, engine) = (clock.clone(), settings.sharing.ttl, for_engine);
                let timeout = settings.elasticsearch.as_ref().map_or(Duration::ZERO, |cluster| cluster.timeout);
                let write_max = 2 * timeout;
                let joining = Joining { api: &api, store, catalog, tenure, clock, home, url, ttl, write_max, engine };
                Some(joining.join().await?)
            }
        };
        let peers = joining::peers(keeper.clone(), &tenure, &settings.sharing)?;
        if let Some(keeper) = &keeper {
            agreement.join(keeper.clone(), peers.wake());
            joining::spread_news(keeper, peers.wake());
        }
        // Nothing is awaited between the first fire and this: one to the service itself finds it open.
        api.open(Services {
            catalog: catalog.clone(),
            engine: engine.clone(),
            dispatch: dispatch.clone(),
            journal: journal.clone(),
            store: store.clone(),
            cluster: keeper.clone(),
            tenure: tenure.clone(),
            index_name: settings.api.index_name.as_str().into(),
            results_kept_for: settings.journal.results_retention_age,
            default_time_zone: settings.api.default_time_zone,
            peers: peers.clone(),
            secrets,
            put_limits: settings.api.put_limits,
            targets: settings.dispatch.targets.clone(),
            access: access.clone(),
        });
        let planner = Planner::start(recurring::jobs(recurring::Means {
            catalog: catalog.clone(),
            engine: engine.clone(),
            dispatch: dispatch.clone(),
            journal: journal.clone(),
            store: store.clone(),
            clock: clock.clone(),
            tenure: tenure.clone(),
            settings: settings.journal.clone(),
        }))
        .await?;
        if let Some(keeper) = &keeper {
            joining::settled(keeper).await;
        }
        info!("ready");
        let shutdown_grace = settings.shutdown_grace;
        Ok(Self {
            api,
            server,
            planner,
            engine,
            dispatch,
            journal,
            store,
            tenure,
            keeper,
            peers,
            access,
            shutdown_grace,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Refuses new requests, hands out nothing more, waits for what is in flight, writes all records.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.shutdown_grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        if let Some(keeper) = &self.keeper {
            // Requests are answered meanwhile, and those of what others own by now go there.
            joining::leave(keeper, &self.tenure, left()).await;
            // So that they send nothing more to this node when it closes its connections.
            self.peers.poke().await;
        }
        self.api.drain();
        self.server.stop(left()).await;
        if let Err(error) = self.planner.stop().await {
            warn!("the recurring jobs did not end: {error}");
        }
        // A planning under way may wait for the store: the leases then stay as they are, which is safe.
        let stopped = tokio::time::timeout(left().max(FLUSH_GRACE_MIN), self.engine.stop()).await;
        match self.dispatch.drain(left()).await {
            Ok(drained) if drained.in_flight > 0 => {
                let (in_flight, waiting) = (drained.in_flight, drained.waiting);
                warn!(in_flight, waiting; "the grace ended before all fires did, the next start settles them");
            }
            Ok(drained) if drained.waiting > 0 => {
                let waiting = drained.waiting;
                info!(waiting; "runs that wait for their time or for another attempt go on with the next start");
            }
            Ok(_) | Err(_) => {}
        }
        let flush_grace = left().max(FLUSH_GRACE_MIN);
        let flushed = tokio::time::timeout(flush_grace, self.journal.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            warn!("not all records were written, the next start settles their fires");
        } else if let Ok(Ok(stopped)) = stopped {
            let claims = stopped.claims(self.journal.unsettled());
            match tokio::time::timeout(FLUSH_GRACE_MIN, self.store.release(&claims)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!("the leases were not released: {error}"),
                Err(_) => warn!("the leases were not released: the store takes too long"),
            }
        }
        self.access.end().await;
        if let Err(error) = self.store.close().await {
            warn!("the store was not closed: {error}");
        }
        info!("stopped");
    }
}

/// Where records wait while Elasticsearch is away, within the folder of the node.
pub const SPILL_FOLDER: &str = "spill";
/// Who holds the leases of a store that is not shared: for people who look into it.
const ALONE: &str = "the only node";

/// A store that is ready for use.
struct Opened {
    store: Arc<dyn Store>,
    /// Where records wait while Elasticsearch is away.
    spill: Option<Spill>,
    /// By which the others know this node; `None`: there are no others.
    home: Option<Uuid>,
}

impl Opened {
    async fn open(
        embedded: Option<Embedded>,
        settings: &NodeSettings,
        clock: &Arc<dyn Clock>,
        api: &Api,
    ) -> anyhow::Result<Self> {
        let cluster = match (embedded, &settings.elasticsearch) {
            (Some(embedded), _) => return Ok(Self { store: Arc::new(embedded), spill: None, home: None }),
            (None, Some(cluster)) => cluster,
            (None, None) => unreachable!("without a cluster the embedded store is open"),
        };
        let folder = settings.store.path.join(SPILL_FOLDER);
        let spill = Spill::open(&folder, settings.journal.spill_bytes_max)
            .with_context(|| format!("cannot use {} ([store] path)", folder.display()))?;
        // The folder is locked by now.
        let home = home(&folder)?;
        // A cluster that is away is waited for: `/readyz` says so.
        let store = patiently(api, "cannot use Elasticsearch", || Elastic::open(cluster, clock.clone())).await?;
        Ok(Self { store: Arc::new(store), spill: Some(spill), home: Some(home) })
    }
}

fn dispatch(
    settings: &NodeSettings,
    store: &Arc<dyn Store>,
    journal: &Journal,
    clock: &Arc<dyn Clock>,
    tenure: &Tenure,
    secrets: &Secrets,
) -> anyhow::Result<Dispatch> {
    let transport = Arc::new(HttpTransport::new(&settings.dispatch).context("cannot build the HTTP client")?);
    let means = Means {
        transport,
        journal: journal.clone(),
        history: store.clone(),
        results: store.clone(),
        clock: clock.clone(),
        tenure: tenure.clone(),
        secrets: secrets.clone(),
    };
    let engine::Settings { misfire_grace, catch_up_window, .. } = settings.engine;
    Ok(dispatch::start(means, &settings.dispatch, Patience { misfire_grace, catch_up_window }))
}

/// Begins to fetch the keys of the issuer of tokens. It may be away: the service starts without it.
fn follow_issuer(access: &Access, settings: &NodeSettings) -> anyhow::Result<()> {
    let Some(oidc) = &settings.access.oidc else { return Ok(()) };
    let trusted = settings.oidc_ca_file.as_deref().map(authorities).transpose().context("[access] oidc_ca_file")?;
    let builder = || match &trusted {
        Some(trusted) => issuer_client().tls_certs_only(trusted.iter().cloned()),
        None => issuer_client(),
    };
    let client = build_client(builder).context("cannot build the HTTP client for the issuer of tokens")?;
    access.follow_issuer(Arc::new(HttpKeySource::new(client, oidc)));
    Ok(())
}

/// What is told if the keys cannot be read.
const NO_KEYS: &str = "cannot read the keys";

/// A service that others reach is not opened to all of them by mistake.
fn check_access(access: &Access, stored: Option<Registered>, settings: &NodeSettings) -> anyhow::Result<()> {
    access.take(stored).context(NO_KEYS)?;
    Ok(access.check_start(settings.api.host)?)
}

/// A store that a copy has not filled yet would pass for a whole one, with tasks missing.
fn check_whole(settings: &NodeSettings) -> anyhow::Result<()> {
    let file = Unfinished::path(&settings.store.path);
    let unfinished =
        Unfinished::load(&settings.store.path).with_context(|| format!("cannot read {}", file.display()))?;
    let ours = match &settings.elasticsearch {
        Some(cluster) => Place::Elasticsearch(cluster.index.clone()),
        None => Place::Embedded,
    };
    if unfinished.is_some_and(|unfinished| unfinished.to == ours) {
        let file = file.display();
        anyhow::bail!("{ours} is the target of a migration that has not ended: run `migrate` again, or delete {file}");
    }
    Ok(())
}

fn store_name(settings: &NodeSettings) -> String {
    match &settings.elasticsearch {
        Some(cluster) => format!("elasticsearch index {}", cluster.index),
        None => settings.store.path.display().to_string(),
    }
}

/// Records are written even when fires took the whole grace.
const FLUSH_GRACE_MIN: Duration = Duration::from_secs(2);
