//! One connection from its first byte to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use log::debug;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::activity::{Activity, Patience, UnderWay, Verdict};
use super::connection::{ClientName, Connection};
use super::noting::Noted;
use super::pieces::Pieces;
use super::wire::{WatchedWire, Wire};
use super::{refusing, tls};
use crate::api::Settings;
use crate::api::reply::into_reply;
use crate::observe::metrics::RequestMetrics;

/// How long the polite end of a connection may take, on which nothing is under way.
const CLOSING_MAX: Duration = Duration::from_secs(1);
/// The least that hyper reads a head into, in bytes; beyond it a head is answered 431 without a body.
const HEAD_BUFFER_MIN: usize = 64 * 1024;
/// How many streams of HTTP/2 a client may take back before they were begun, and how many of them we may end on errors of the client.
/// Then the connection ends: nobody but who floods us gets there.
const RESETS_WAITING_MAX: usize = 20;
const RESETS_OF_ERRORS_MAX: usize = 1_024;

/// What every connection is served with.
#[derive(Clone)]
pub(super) struct Means<R> {
    pub(super) routes: R,
    pub(super) settings: Arc<Settings>,
    /// Where requests are counted.
    pub(super) requests: RequestMetrics,
    /// What TLS is spoken with; `None`: none is.
    pub(super) tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    /// True once nothing more is taken in.
    pub(super) going_down: watch::Receiver<bool>,
}

pub(super) type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// How long clients may take.
pub(super) fn patience(settings: &Settings) -> Patience {
    let Settings { header_timeout: head, idle_timeout: idle, write_timeout: write, .. } = *settings;
    Patience { head, idle, write }
}

/// Serves a connection until it ends.
pub(super) async fn serve<R>(
    stream: TcpStream,
    address: SocketAddr,
    activity: Activity,
    means: Means<R>,
) -> Result<(), ConnectionError>
where
    R: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible> + Send + 'static,
    R::Future: Send + 'static,
{
    // Only a hint to the system: answers go out all the same.
    let _ = stream.set_nodelay(true);
    let (accepted_at, Means { routes, settings, requests, tls, mut going_down }) = (Instant::now(), means);
    let begun = timeout_at(accepted_at + settings.header_timeout, begin(stream, tls));
    let (wire, client) = tokio::select! {
        begun = begun => begun??,
        _ = going_down.changed() => return Ok(()),
        () = activity.called() => return Ok(()),
    };
    let builder = builder(&settings);
    let io = TokioIo::new(WatchedWire::new(wire, activity.clone()));
    let connection = Connection { address, client };
    let served = Served { routes, settings, requests, activity: activity.clone(), connection };
    let connection = pin!(builder.serve_connection(io, served));
    attend(connection, address, &activity, going_down).await
}

/// What the bytes go over, and who is at the other end.
async fn begin(
    stream: TcpStream,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
) -> std::io::Result<(Wire, Option<ClientName>)> {
    let Some(config) = tls.map(|config| config.borrow().clone()) else { return Ok((Wire::Plain(stream), None)) };
    let (stream, client) = tls::shake_hands(stream, config).await?;
    Ok((Wire::Tls(Box::new(stream)), client))
}

/// Lets a connection go on until it ends, or has to.
async fn attend<C>(
    mut connection: Pin<&mut C>,
    address: SocketAddr,
    activity: &Activity,
    mut going_down: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    C: GracefulConnection<Error = ConnectionError>,
{
    let (mut closing_until, mut is_going_down) = (None, false);
    loop {
        let now = Instant::now();
        let look_at = match (activity.verdict(now), closing_until) {
            (Verdict::LookAgain(at), _) => at,
            (Verdict::Close, None) => {
                connection.as_mut().graceful_shutdown();
                *closing_until.insert(now + CLOSING_MAX)
            }
            (Verdict::Close, Some(until)) if now < until => until,
            (Verdict::Close, Some(_)) => return Ok(()),
            (Verdict::Cut(why), _) => {
                debug!(address:%; "a connection is cut: {why}");
                return Ok(());
            }
        };
        tokio::select! {
            ended = connection.as_mut() => return ended,
            // An error: nobody is left who would say it.
            _ = going_down.changed(), if !is_going_down => {
                is_going_down = true;
                connection.as_mut().graceful_shutdown();
            }
            // The verdict says what follows.
            () = activity.called() => {}
            () = sleep_until(look_at) => {}
        }
    }
}

fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The whole connection is watched, not only the heads of HTTP/1.
        .header_read_timeout(None)
        .max_headers(settings.headers_max)
        .max_buf_size(HEAD_BUFFER_MIN.max(settings.head_max + 1));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(settings.head_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(settings.streams_max)
        .max_pending_accept_reset_streams(RESETS_WAITING_MAX)
        .max_local_error_reset_streams(RESETS_OF_ERRORS_MAX);
    builder
}

/// The routes as one connection reaches them.
struct Served<R> {
    routes: R,
    settings: Arc<Settings>,
    requests: RequestMetrics,
    activity: Activity,
    connection: Connection,
}

impl<R> Service<Request<Incoming>> for Served<R>
where
    R: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible>,
    R::Future: Send + 'static,
{
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let under_way = self.activity.begin();
        let Connection { address, .. } = self.connection;
        let (method, path, client) = (request.method(), request.uri().path(), self.connection.client_name());
        debug!(address:%, client, method:%, path; "asked");
        let noted = Noted::begin(&self.requests, method, path);
        if let Err(error) = refusing::check(&request, &self.settings) {
            let version = request.version();
            let mut reply = into_reply(Err(error));
            noted.end(reply.status());
            if version < Version::HTTP_2 {
                // What else comes over this connection may be meant in another way than it is read.
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return std::future::ready(Ok(finished(reply, under_way))).boxed();
        }
        request.extensions_mut().insert(self.connection.clone());
        let answered = self.routes.call(request);
        async move {
            let Ok(reply) = answered.await;
            noted.end(reply.status());
            Ok(finished(reply, under_way))
        }
        .boxed()
    }
}

/// An answer as it goes out: no browser takes it for something else than it says it is.
fn finished(reply: warp::reply::Response, under_way: UnderWay) -> Response<Pieces> {
    let mut reply = reply.map(|body| Pieces::new(body, under_way));
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
