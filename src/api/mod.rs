//! What clients ask: HTTP in, the model's words inside, HTTP out. Here stands the list of routes.

mod body;
mod bulk;
mod caller;
mod changes;
mod dead_letters;
mod docs;
mod draft;
mod export;
mod forecast;
mod health;
mod history;
mod jobs;
mod lines;
mod log_search;
mod ndjson;
mod nodes;
mod one_shot;
mod openapi;
mod operations;
mod preview;
mod problem;
mod reply;
mod server;
mod settings;
mod tasks;
mod under;
mod uri;
mod versions;
mod view;
mod wire;
mod wire_put;

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use self::body::BodyHead;
use self::caller::{Caller, caller};
use self::reply::{ApiError, into_reply};
use crate::catalog::Catalog;
use crate::cluster::Keeper;
use crate::engine::Engine;
use crate::journal::Journal;
use crate::model::TimeZone;
use crate::store::Store;

pub use self::draft::{Draft, check_put, read_draft};
pub use self::server::{Server, ServerError};
pub use self::settings::Settings;

/// What the handlers work with, once the agenda is loaded.
#[derive(Clone)]
pub struct Services {
    /// The tasks.
    pub catalog: Catalog,
    /// For `/readyz`.
    pub engine: Engine,
    /// For `/readyz`.
    pub journal: Journal,
    /// For `/readyz`.
    pub store: Arc<dyn Store>,
    /// The nodes that share the store; `None`: this one is alone.
    pub cluster: Option<Keeper>,
    /// The name that `/search` gives as `_index`.
    pub index_name: Arc<str>,
    /// How long results are kept.
    pub results_kept_for: Duration,
    /// The zone of dates that have no offset and belong to no task.
    pub default_time_zone: TimeZone,
}

/// The state of the API. Requests that need [`Services`] are answered 503 until [`Api::open`].
#[derive(Clone)]
pub struct Api {
    services: Arc<OnceLock<Services>>,
    waits_for: Arc<Mutex<Option<String>>>,
    is_draining: Arc<AtomicBool>,
    places: Arc<Semaphore>,
    bulk_places: Arc<Semaphore>,
    settings: Arc<Settings>,
}

impl Api {
    /// An API that is alive but not ready.
    pub fn new(settings: &Settings) -> Self {
        Self {
            services: Arc::new(OnceLock::new()),
            waits_for: Arc::default(),
            is_draining: Arc::new(AtomicBool::new(false)),
            places: Arc::new(Semaphore::new(settings.requests_max)),
            bulk_places: Arc::new(Semaphore::new(BULKS_MAX)),
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

/// All routes. What each of them takes and answers stands in `openapi`; what does not stand there is not served.
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let tasks = post_by("put", &api, tasks::put)
        .or(post("get", &api, tasks::get))
        .unify()
        .or(post("lists", &api, tasks::lists))
        .unify()
        .or(post("all", &api, tasks::all))
        .unify()
        .or(post_by("running", &api, tasks::running))
        .unify()
        .or(post_by("delete", &api, tasks::delete))
        .unify();
    let logs = warp::path("logs").and(warp::path("search"));
    let history = post("search", &api, history::search)
        .or(post("clear", &api, history::clear))
        .unify()
        .or(post_at(logs, &api, |services, body, _| history::search_logs(services, body)))
        .unify();
    let ping = warp::path!("ping").or(warp::path!("api" / "ping")).unify().and(warp::get()).map(health::ping);
    let healthz = warp::path!("healthz").and(warp::get()).map(health::healthz);
    let readyz = warp::path!("readyz").and(warp::get()).and(with(&api)).then(readyz);
    let health = ping.or(healthz).unify().or(readyz).unify();
    let declarative = versions::routes(&api).or(bulk::route(&api)).unify().or(export::route(&api)).unify();
    let declarative = declarative
        .or(post("validate", &api, preview::validate))
        .unify()
        .or(post("preview", &api, preview::preview))
        .unify();
    let runs = jobs::routes(&api).or(one_shot::routes(&api)).unify().or(operations::routes(&api)).unify();
    let runs = runs.or(dead_letters::routes(&api)).unify().or(nodes::routes(&api)).unify();
    let ours = tasks.or(history).unify().or(declarative).unify().or(runs).unify();
    let served = ours.or(health).unify().or(docs::routes()).unify();
    let other = warp::method().and(warp::path::full()).map(|method, path: FullPath| unserved(&method, path.as_str()));
    openapi::listed().and(served).or(other).unify()
}

/// A route that takes a JSON body by POST.
fn post<H, F>(
    path: &'static str,
    api: &Api,
    handler: H,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<H, F>
where
    H: Fn(Services, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send,
{
    post_at(warp::path(path), api, move |services, body, _| handler(services, body))
}

/// The same for a handler that wants to know who asks.
fn post_by<H, F>(
    path: &'static str,
    api: &Api,
    handler: H,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<H, F>
where
    H: Fn(Services, Bytes, Caller) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send,
{
    post_at(warp::path(path), api, handler)
}

/// The same for a path of any length.
fn post_at<P, H, F>(
    path: P,
    api: &Api,
    handler: H,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<P, H, F>
where
    P: Filter<Extract = (), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Services, Bytes, Caller) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send,
{
    path.and(warp::path::end())
        .and(warp::post())
        .and(with(api))
        .and(caller(api))
        .and(body::head())
        .and(warp::body::stream())
        .then(move |api, caller, head, stream| {
            let handler = handler.clone();
            let handler = move |services, body| handler(services, body, caller);
            async move { into_reply(answer(api, head, stream, handler).await) }
        })
}

async fn answer<S, B, H, F>(api: Api, head: BodyHead, stream: S, handler: H) -> Result<Response, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
    H: FnOnce(Services, Bytes) -> F,
    F: Future<Output = Result<Response, ApiError>>,
{
    let services = api.services()?;
    let _place = api.place()?;
    let body = body::collect(stream, head, &api.settings).await?;
    handler(services, body).await
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

#[cfg(test)]
mod tests;
