//! Composition: opens the store, starts each room, drains them in reverse. Only this room knows all others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use log::{error, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::api::{Api, Server, Services};
use crate::catalog::{self, Catalog};
use crate::clock::{Clock, SystemClock};
use crate::cluster::{Agreement, Tenure};
use crate::config::NodeSettings;
use crate::dispatch::{self, Dispatch, HttpTransport, Means, Patience};
use crate::engine::{self, Engine, Planner, Recovered, Recurring};
use crate::journal::{self, Journal, Spill};
use crate::model::ShardSet;
use crate::observe::with_causes;
use crate::store::elastic::{self, Elastic};
use crate::store::embedded::Embedded;
use crate::store::unfinished::{Place, Unfinished};
use crate::store::{Store, StoreError};

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
        let embedded = match settings.elasticsearch {
            None => Some(Embedded::open(&settings.store.path)?),
            Some(_) => None,
        };
        let api = Api::new(&settings.api);
        let server = Server::start(api.clone(), &settings.api)?;
        info!(address:% = server.address(), store:% = store_name(&settings); "listening");
        let (store, spill): (Arc<dyn Store>, _) = match (embedded, &settings.elasticsearch) {
            (Some(embedded), _) => (Arc::new(embedded), None),
            (None, Some(cluster)) => {
                let folder = settings.store.path.join(SPILL_FOLDER);
                let spill = Spill::open(&folder, settings.journal.spill_bytes_max)
                    .with_context(|| format!("cannot use {} ([store] path)", folder.display()))?;
                (Arc::new(connect(cluster, &clock, &api).await?), Some(spill))
            }
            (None, None) => unreachable!("without a cluster the embedded store is open"),
        };

        let journal = journal::start(store.clone(), &settings.journal, spill);
        let transport = Arc::new(HttpTransport::new(&settings.dispatch).context("cannot build the HTTP client")?);
        let means = Means {
            transport,
            journal: journal.clone(),
            history: store.clone(),
            results: store.clone(),
            clock: clock.clone(),
            tenure: Tenure::alone(clock.clone()),
        };
        let engine::Settings { misfire_grace, catch_up_window, .. } = settings.engine;
        let dispatch = dispatch::start(means, &settings.dispatch, Patience { misfire_grace, catch_up_window });
        let mut recovered = recover(&store, &journal, &clock, &api, &settings.engine).await?;
        let revisions = std::mem::take(&mut recovered.revisions);
        let (for_engine, for_dispatch) = (journal.clone(), dispatch.clone());
        let engine = engine::start(recovered, store.clone(), for_engine, for_dispatch, clock.clone(), &settings.engine);
        let means = catalog::Means {
            store: store.clone(),
            engine: engine.clone(),
            dispatch: dispatch.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            tenure: Tenure::alone(clock.clone()),
            agreement: Agreement::alone(),
        };
        let catalog = Catalog::new(revisions, means);
        // Nothing is awaited between the start of the engine and this: a fire to the service itself finds it open.
        api.open(Services {
            catalog: catalog.clone(),
            engine: engine.clone(),
            journal: journal.clone(),
            store: store.clone(),
            index_name: settings.api.index_name.as_str().into(),
            results_kept_for: settings.journal.results_retention_age,
            default_time_zone: settings.api.default_time_zone,
        });
        let mut jobs = recurring(&engine, &dispatch, &journal, &store, &settings, &clock);
        jobs.push(Recurring { cron_time: "* * * * * *", run: sweep(&catalog) });
        let planner = Planner::start(jobs).await?;
        info!("ready");
        let shutdown_grace = settings.shutdown_grace;
        Ok(Self { api, server, planner, engine, dispatch, journal, store, shutdown_grace })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Refuses new requests, hands out nothing more, waits for what is in flight, writes all records.
    pub async fn stop(self) {
        let deadline = Instant::now() + self.shutdown_grace;
        let left = || deadline.saturating_duration_since(Instant::now());
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
        if let Err(error) = self.store.close().await {
            warn!("the store was not closed: {error}");
        }
        info!("stopped");
    }
}

/// Where records wait while Elasticsearch is away, within the folder of the node.
pub const SPILL_FOLDER: &str = "spill";
/// How long a start that waits for Elasticsearch waits before it tries again, at first and at most.
const TRY_AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

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

/// Opens the cluster's store. One that is away is waited for: `/readyz` says so.
async fn connect(settings: &elastic::Settings, clock: &Arc<dyn Clock>, api: &Api) -> anyhow::Result<Elastic> {
    patiently(api, "cannot use Elasticsearch", || Elastic::open(settings, clock.clone())).await
}

/// Takes the leases and loads the agenda. What an earlier run left on the disk is written first: recovery looks for it.
async fn recover(
    store: &Arc<dyn Store>,
    journal: &Journal,
    clock: &Arc<dyn Clock>,
    api: &Api,
    settings: &engine::Settings,
) -> anyhow::Result<Recovered> {
    write_left_overs(journal, api).await?;
    let recover = || async {
        let leases = store.take(ShardSet::ALL, &owner()).await?;
        engine::recover(store.as_ref(), journal, &leases, clock.now(), settings).await
    };
    patiently(api, "cannot load the tasks", recover).await
}

/// Waits until what an earlier run left on the disk is written.
async fn write_left_overs(journal: &Journal, api: &Api) -> anyhow::Result<()> {
    const TELL_EVERY: Duration = Duration::from_millis(500);
    let mut flush = std::pin::pin!(journal.flush());
    loop {
        match tokio::time::timeout(TELL_EVERY, &mut flush).await {
            Ok(flushed) => {
                api.note_wait(None);
                return Ok(flushed?);
            }
            Err(_) => {
                let left = journal.status().spilled();
                let why = journal.status().problem().map(|why| format!(": {why}")).unwrap_or_default();
                api.note_wait(Some(format!("the start writes {left} records that an earlier run left{why}")));
            }
        }
    }
}

/// Tries until the store is there. What no waiting will mend ends the start.
async fn patiently<T, F>(api: &Api, what: &'static str, mut attempt: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = TRY_AGAIN_AFTER.0;
    let mut told = String::new();
    loop {
        match attempt().await {
            Ok(value) => {
                api.note_wait(None);
                return Ok(value);
            }
            Err(error @ StoreError::Unavailable { .. }) => {
                let text = with_causes(&error);
                if text != told {
                    error!("{what} yet, the start waits: {text}");
                    api.note_wait(Some(format!("the start waits for the store: {text}")));
                    told = text;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(TRY_AGAIN_AFTER.1);
            }
            Err(error) => return Err(error).context(what),
        }
    }
}

/// Records are written even when fires took the whole grace.
const FLUSH_GRACE_MIN: Duration = Duration::from_secs(2);

/// Who holds the leases: for people who look into the store.
fn owner() -> String {
    format!("pid {}", std::process::id())
}

/// The service's own recurring jobs.
fn recurring(
    engine: &Engine,
    dispatch: &Dispatch,
    journal: &Journal,
    store: &Arc<dyn Store>,
    settings: &NodeSettings,
    clock: &Arc<dyn Clock>,
) -> Vec<Recurring> {
    let planned = engine.clone();
    let plan = Recurring { cron_time: "* * * * * *", run: Arc::new(move || planned.plan()) };
    let (engine, dispatch) = (engine.clone(), dispatch.clone());
    let journal = journal.clone();
    let tell = move || log_statistics(&engine, &dispatch, &journal);
    let statistics = Recurring { cron_time: "0 * * * * *", run: Arc::new(tell) };
    let retention = Recurring { cron_time: "30 * * * * *", run: retention(store, settings, clock) };
    vec![plan, statistics, retention]
}

fn log_statistics(engine: &Engine, dispatch: &Dispatch, journal: &Journal) {
    let (status, in_flight, waiting) = (engine.status(), dispatch.in_flight(), dispatch.waiting());
    let (entries, fires, overdue) = (status.entries(), status.fires(), status.plannings_overdue());
    let (records_waiting, records) = (journal.waiting(), journal.status());
    let (records_on_disk, records_dropped) = (records.spilled(), records.dropped());
    info!(
        entries, fires, in_flight, waiting, plannings_overdue = overdue, records_waiting, records_on_disk,
        records_dropped; "statistics"
    );
}

/// Removes one-shots that have ended.
fn sweep(catalog: &Catalog) -> Arc<dyn Fn() + Send + Sync> {
    let catalog = catalog.clone();
    one_at_a_time(move || {
        let catalog = catalog.clone();
        async move {
            catalog.sweep().await;
        }
    })
}

fn retention(store: &Arc<dyn Store>, settings: &NodeSettings, clock: &Arc<dyn Clock>) -> Arc<dyn Fn() + Send + Sync> {
    let (store, settings, clock) = (store.clone(), settings.journal.clone(), clock.clone());
    one_at_a_time(move || {
        let (store, settings, clock) = (store.clone(), settings.clone(), clock.clone());
        async move { journal::prune(store.as_ref(), &settings, clock.now()).await }
    })
}

/// A turn that comes while the last one still runs does nothing.
fn one_at_a_time<F>(work: impl Fn() -> F + Send + Sync + 'static) -> Arc<dyn Fn() + Send + Sync>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Handle::current();
    let is_running = Arc::new(AtomicBool::new(false));
    Arc::new(move || {
        if is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (work, is_running) = (work(), is_running.clone());
        runtime.spawn(async move {
            work.await;
            is_running.store(false, Ordering::Release);
        });
    })
}
