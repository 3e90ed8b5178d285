//! What clients ask: HTTP in, the model's words inside, HTTP out. Here stands the list of routes.

mod body;
mod health;
mod history;
mod log_search;
mod object;
mod reply;
mod server;
mod settings;
mod tasks;
mod view;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::sync::Semaphore;
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use self::body::BodyHead;
use self::reply::{ApiError, into_reply};
use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::journal::Journal;
use crate::store::Store;

pub use self::server::{Server, ServerError};
pub use self::settings::Settings;
pub use self::tasks::check_put;

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
    /// The name that `/search` gives as `_index`.
    pub index_name: Arc<str>,
}

/// The state of the API. Requests that need [`Services`] are answered 503 until [`Api::open`].
#[derive(Clone)]
pub struct Api {
    services: Arc<OnceLock<Services>>,
    waits_for: Arc<Mutex<Option<String>>>,
    is_draining: Arc<AtomicBool>,
    places: Arc<Semaphore>,
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

    fn services(&self) -> Result<Services, ApiError> {
        if self.is_draining() {
            return Err(ApiError::Busy("the service is going down".to_owned()));
        }
        self.services.get().cloned().ok_or_else(|| ApiError::Busy(self.loading()))
    }
}

const POST_PATHS: [&str; 9] = ["put", "get", "lists", "all", "running", "delete", "search", "clear", "logs/search"];
const GET_PATHS: [&str; 4] = ["ping", "api/ping", "healthz", "readyz"];

/// All routes.
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let tasks = post("put", &api, tasks::put)
        .or(post("get", &api, tasks::get))
        .unify()
        .or(post("lists", &api, tasks::lists))
        .unify()
        .or(post("all", &api, tasks::all))
        .unify()
        .or(post("running", &api, tasks::running))
        .unify()
        .or(post("delete", &api, tasks::delete))
        .unify();
    let logs = warp::path("logs").and(warp::path("search"));
    let history = post("search", &api, history::search)
        .or(post("clear", &api, history::clear))
        .unify()
        .or(post_at(logs, &api, history::search_logs))
        .unify();
    let ping = warp::path!("ping").or(warp::path!("api" / "ping")).unify().and(warp::get()).map(health::ping);
    let healthz = warp::path!("healthz").and(warp::get()).map(health::healthz);
    let readyz = warp::path!("readyz").and(warp::get()).and(with(&api)).then(readyz);
    let health = ping.or(healthz).unify().or(readyz).unify();
    let other = warp::path::full().map(|path| into_reply(Err(unserved(&path))));
    tasks.or(history).unify().or(health).unify().or(other).unify()
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
    H: Fn(Services, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send,
{
    path.and(warp::path::end())
        .and(warp::post())
        .and(with(api))
        .and(warp::header::optional("content-length"))
        .and(warp::header::optional("content-encoding"))
        .and(warp::header::optional::<String>("expect"))
        .and(warp::body::stream())
        .then(move |api, length, encoding, expect: Option<String>, stream| {
            let (handler, head) = (handler.clone(), BodyHead { length, encoding, expects_word: expect.is_some() });
            async move { into_reply(answer(api, head, stream, handler).await) }
        })
}

async fn answer<S, B, H, F>(api: Api, head: BodyHead, stream: S, handler: H) -> Result<Response, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
    H: Fn(Services, Bytes) -> F,
    F: Future<Output = Result<Response, ApiError>>,
{
    let services = api.services()?;
    let busy = |_| ApiError::Busy("too many requests are being worked on".to_owned());
    let _place = api.places.try_acquire().map_err(busy)?;
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

/// What no route took: a known path with another method, or no known path.
fn unserved(path: &FullPath) -> ApiError {
    let path = path.as_str().strip_prefix('/').unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    if POST_PATHS.contains(&path) {
        ApiError::Method { allow: "POST" }
    } else if GET_PATHS.contains(&path) {
        ApiError::Method { allow: "GET" }
    } else {
        ApiError::NotFound
    }
}

#[cfg(test)]
mod tests;
