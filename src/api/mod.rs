//! What clients ask: HTTP in, the model's words inside, HTTP out. Here stands the list of routes.

mod asked;
mod audit;
mod body;
mod bulk;
mod caller;
mod changes;
mod dead_letters;
mod dealing;
mod docs;
mod draft;
mod export;
mod forecast;
mod gate;
mod health;
mod history;
mod jobs;
mod keys;
mod lines;
mod listener;
mod log_search;
mod masked;
mod metrics;
mod ndjson;
mod nodes;
mod one_shot;
mod openapi;
mod operations;
mod parts;
mod peer;
mod peers;
mod preview;
mod problem;
mod put_limits;
mod quota;
mod reply;
mod routing;
mod secrets;
mod settings;
mod targets;
mod tasks;
mod uri;
mod versions;
mod view;
mod wire;
mod wire_put;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use self::asked::post;
use self::audit::Bounds;
use self::metrics::Counted;
use self::reply::{ApiError, into_reply};
use self::routing::place;
use self::wire_put::Terms;
use crate::access::Access;
use crate::catalog::Catalog;
use crate::cluster::{Keeper, Peers, Tenure};
use crate::dispatch::Dispatch;
use crate::engine::Engine;
use crate::journal::Journal;
use crate::model::{Masking, TargetRules, TimeZone};
use crate::observe::metrics::StoreMetrics;
use crate::secrets::Secrets;
use crate::store::Store;

pub use self::audit::{AuditSettings, WatchedReads};
pub use self::draft::{Draft, check_put, read_draft};
pub use self::listener::{ClientCertificate, Server, ServerError, TlsError, TlsSettings, TlsVersion};
pub use self::put_limits::PutLimits;
pub use self::settings::Settings;

/// What the handlers work with, once the agenda is loaded.
#[derive(Clone)]
pub struct Services {
    /// The tasks.
    pub catalog: Catalog,
    /// For `/readyz` and `/metrics`.
    pub engine: Engine,
    /// For `/metrics`.
    pub dispatch: Dispatch,
    /// For `/readyz` and `/metrics`.
    pub journal: Journal,
    /// For `/readyz`.
    pub store: Arc<dyn Store>,
    /// The nodes that share the store; `None`: this one is alone.
    pub cluster: Option<Keeper>,
    /// For `/metrics`.
    pub tenure: Tenure,
    /// The name that `/search` gives as `_index`.
    pub index_name: Arc<str>,
    /// How long results are kept.
    pub results_kept_for: Duration,
    /// The zone of dates that have no offset and belong to no task.
    pub default_time_zone: TimeZone,
    /// Which node owns what, and how the others are asked.
    pub peers: Peers,
    /// What a put may hold.
    pub put_limits: PutLimits,
    /// Where requests may go.
    pub targets: Arc<TargetRules>,
    /// The keys.
    pub access: Access,
    /// What requests are filled in with.
    pub secrets: Secrets,
}

impl Services {
    /// Which headers carry credentials.
    fn masking(&self) -> &Masking {
        self.journal.masking()
    }

    /// By what credentials are masked for somebody who sees them or does not.
    fn mask(&self, sees_credentials: bool) -> Option<&Masking> {
        (!sees_credentials).then(|| self.masking())
    }

    /// What puts are read by.
    fn terms(&self) -> Terms {
        let secrets = Some(self.secrets.clone());
        Terms { now: self.catalog.now(), masking: self.masking().clone(), secrets, limits: self.put_limits }
    }
}

/// The state of the API. Requests that need [`Services`] are answered 503 until [`Api::open`].
#[derive(Clone)]
pub struct Api {
    services: Arc<OnceLock<Services>>,
    waits_for: Arc<Mutex<Option<String>>>,
    is_draining: Arc<AtomicBool>,
    places: Arc<Semaphore>,
    peer_places: Arc<Semaphore>,
    bulk_places: Arc<Semaphore>,
    access: Access,
    audit_bounds: Arc<Mutex<Bounds>>,
    counted: Counted,
    settings: Arc<Settings>,
}

impl Api {
    /// An API that is alive but not ready. `access`: who may ask for what. `store`: what is measured of the store.
    pub fn new(settings: &Settings, access: Access, store: StoreMetrics) -> Self {
        Self {
            services: Arc::new(OnceLock::new()),
            waits_for: Arc::default(),
            is_draining: Arc::new(AtomicBool::new(false)),
            places: Arc::new(Semaphore::new(settings.requests_max)),
            peer_places: Arc::new(Semaphore::new(settings.requests_max)),
            bulk_places: Arc::new(Semaphore::new(BULKS_MAX)),
            access,
            audit_bounds: Arc::default(),
            counted: Counted { store, ..Counted::default() },
            settings: Arc::new(settings.clone()),
        }
    }

    /// Says what the start waits for, if it waits for something.
    pub fn note_wait(&self, reason: Option<String>) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// What is missing before requests can be served.
    fn loading(&self) -> String {
        let waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits_for.unwrap_or_else(|| "tasks are still being loaded".to_owned())
    }

    /// From now on requests are served. Only the first call counts.
    pub fn open(&self, services: Services) {
        // A second opening would be a mistake of the node, and the first stays in force.
        let _ = self.services.set(services);
    }

    /// From now on requests are refused.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// The right to be worked on.
    fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = |_| ApiError::Busy("too many requests are being worked on".to_owned());
        self.places.clone().try_acquire_owned().map_err(busy)
    }

    /// The same for what other nodes ask. It does not wait behind clients that wait for other nodes themselves.
    fn peer_place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = |_| ApiError::Busy("too many requests of other nodes are being worked on".to_owned());
        self.peer_places.clone().try_acquire_owned().map_err(busy)
    }

    /// The right to be worked on for long.
    fn bulk_place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = |_| ApiError::Busy(format!("{BULKS_MAX} long requests are being worked on"));
        self.bulk_places.clone().try_acquire_owned().map_err(busy)
    }

    fn services(&self) -> Result<Services, ApiError> {
        if self.is_draining() {
            return Err(ApiError::Busy("the service is going down".to_owned()));
        }
        self.services.get().cloned().ok_or_else(|| ApiError::Busy(self.loading()))
    }
}

/// How many requests are worked on that stream much. Further ones are answered 503.
const BULKS_MAX: usize = 16;

/// All routes. What each of them takes and answers stands in `openapi`; what does not stand there is served to nodes of the same
/// cluster only, or not at all. Groups are in boxes: what answers a request would else hold the state of all routes one in another, and
/// take most of a thread's stack.
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let tasks = post(warp::path("put"), &api, place::change, tasks::put)
        .or(post(warp::path("get"), &api, place::read, tasks::get))
        .unify()
        .or(post(warp::path("lists"), &api, place::everywhere, tasks::lists))
        .unify()
        .or(post(warp::path("all"), &api, place::everywhere, tasks::all))
        .unify()
        .or(post(warp::path("running"), &api, place::change, tasks::running))
        .unify()
        .or(post(warp::path("delete"), &api, place::change, tasks::delete))
        .unify()
        .boxed();
    let logs = warp::path("logs").and(warp::path("search"));
    let history = post(warp::path("search"), &api, place::stored, history::search)
        .or(post(warp::path("clear"), &api, place::change, history::clear))
        .unify()
        .or(post(logs, &api, place::anywhere, history::search_logs))
        .unify()
        .boxed();
    let ping = warp::path!("ping").or(warp::path!("api" / "ping")).unify().and(warp::get()).map(health::ping);
    let healthz = warp::path!("healthz").and(warp::get()).map(health::healthz);
    let readyz = warp::path!("readyz").and(warp::get()).and(with(&api)).then(readyz);
    let health = ping.or(healthz).unify().or(readyz).unify().or(metrics::route(&api)).unify().boxed();
    let declarative = versions::routes(&api).or(bulk::route(&api)).unify().or(export::route(&api)).unify();
    let declarative = declarative
        .or(post(warp::path("validate"), &api, preview::place_of_validate, preview::validate))
        .unify()
        .or(post(warp::path("preview"), &api, preview::place_of_preview, preview::preview))
        .unify()
        .boxed();
    let runs = jobs::routes(&api).or(one_shot::routes(&api)).unify().or(operations::routes(&api)).unify().boxed();
    let runs = runs.or(dead_letters::routes(&api)).unify().or(nodes::routes(&api)).unify().boxed();
    let runs = runs.or(keys::routes(&api)).unify().or(secrets::routes(&api)).unify().boxed();
    let ours = tasks.or(history).unify().or(declarative).unify().or(runs).unify();
    let served = ours.or(health).unify().or(docs::routes()).unify().boxed();
    let other = warp::method().and(warp::path::full()).map(|method, path: FullPath| unserved(&method, path.as_str()));
    peers::routes(&api).or(openapi::listed().and(served)).unify().or(other).unify()
}

async fn readyz(api: Api) -> Response {
    health::readyz(&api).await
}

fn with(api: &Api) -> impl Filter<Extract = (Api,), Error = Infallible> + Clone + use<> {
    let api = api.clone();
    warp::any().map(move || api.clone())
}

/// What no route took: a known path with another method, or no known path. Each family tells it in its own words.
fn unserved(method: &Method, path: &str) -> Response {
    let allow = openapi::document().listed.allow(path);
    if jobs::is_below(path) {
        return jobs::unserved(allow);
    }
    if one_shot::is_below(path) {
        return one_shot::unserved(method, allow);
    }
    into_reply(Err(match allow {
        Some(allow) => ApiError::Method { allow },
        None => ApiError::NotFound,
    }))
}

/// An error in the words of the family that a path belongs to.
fn told(method: &Method, path: &str, error: ApiError) -> Response {
    if jobs::is_below(path) {
        return jobs::refused(error);
    }
    if one_shot::is_below(path) {
        return one_shot::refused(method, error);
    }
    into_reply(Err(error))
}

#[cfg(test)]
mod tests;
