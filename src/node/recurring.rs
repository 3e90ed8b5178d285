//! The service's own recurring jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::info;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::cluster::Tenure;
use crate::dispatch::Dispatch;
use crate::engine::{Engine, Recurring};
use crate::journal::{self, Journal};
use crate::model::Shard;
use crate::store::Store;

/// Whoever owns the shard with this number deletes what is old: one node is enough.
const OF_RETENTION: usize = 0;

/// What the jobs work with.
pub(super) struct Means {
    pub(super) catalog: Catalog,
    pub(super) engine: Engine,
    pub(super) dispatch: Dispatch,
    pub(super) journal: Journal,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tenure: Tenure,
    pub(super) settings: journal::Settings,
}

type Run = Arc<dyn Fn() + Send + Sync>;

/// All of them.
pub(super) fn jobs(means: Means) -> Vec<Recurring> {
    let Means { catalog, engine, dispatch, journal, store, clock, tenure, settings } = means;
    let planned = engine.clone();
    let retention = retention(store, settings, clock, tenure.clone());
    vec![
        Recurring { cron_time: "* * * * * *", run: Arc::new(move || planned.plan()) },
        Recurring { cron_time: "* * * * * *", run: sweep(catalog) },
        Recurring {
            cron_time: "0 * * * * *",
            run: Arc::new(move || log_statistics(&engine, &dispatch, &journal, &tenure)),
        },
        Recurring { cron_time: "30 * * * * *", run: retention },
    ]
}

fn log_statistics(engine: &Engine, dispatch: &Dispatch, journal: &Journal, tenure: &Tenure) {
    let (status, in_flight, waiting) = (engine.status(), dispatch.in_flight(), dispatch.waiting());
    let (entries, fires, overdue) = (status.entries(), status.fires(), status.plannings_overdue());
    let (records_waiting, records) = (journal.waiting(), journal.status());
    let (records_on_disk, records_dropped) = (records.spilled(), records.dropped());
    let shards = Shard::all().filter(|shard| tenure.holds(*shard)).count();
    info!(
        shards, entries, fires, in_flight, waiting, plannings_overdue = overdue, records_waiting, records_on_disk,
        records_dropped; "statistics"
    );
}

/// Removes one-shots that have ended.
fn sweep(catalog: Catalog) -> Run {
    one_at_a_time(move || {
        let catalog = catalog.clone();
        async move {
            catalog.sweep().await;
        }
    })
}

fn retention(store: Arc<dyn Store>, settings: journal::Settings, clock: Arc<dyn Clock>, tenure: Tenure) -> Run {
    one_at_a_time(move || {
        let (store, settings, clock, tenure) = (store.clone(), settings.clone(), clock.clone(), tenure.clone());
        async move {
            if tenure.holds(Shard::at(OF_RETENTION)) {
                journal::prune(store.as_ref(), &settings, clock.now()).await;
            }
        }
    })
}

/// A turn that comes while the last one still runs does nothing.
fn one_at_a_time<F>(work: impl Fn() -> F + Send + Sync + 'static) -> Run
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
