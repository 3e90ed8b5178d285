//! The accept loop: bounded connections, bounded time for heads, and a graceful end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use log::{debug, warn};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::{Api, Settings, gate, openapi, routes};

/// How many connections may wait to be accepted before the system refuses further ones.
const BACKLOG: i32 = 1_024;
/// The largest head of a request, in bytes. A larger one is answered 431.
const HEAD_MAX: usize = 64 * 1024;
/// How long accepting pauses after an error such as too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ([server] host and port): {source}")]
pub struct ServerError {
    address: SocketAddr,
    source: io::Error,
}

/// A listening server.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    ended: JoinHandle<()>,
}

impl Server {
    /// Binds the address and serves.
    pub fn start(api: Api, settings: &Settings) -> Result<Self, ServerError> {
        let wanted = SocketAddr::new(settings.host, settings.port);
        let listener = bind(wanted).map_err(|source| ServerError { address: wanted, source })?;
        let address = listener.local_addr().map_err(|source| ServerError { address: wanted, source })?;
        // What is served stands in the description: the first request does not wait until it is made.
        openapi::document();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(accept(listener, api, settings.clone(), stopped));
        Ok(Self { address, stop, ended })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more and waits for the requests under way, for `grace` at most.
    pub async fn stop(self, grace: Duration) {
        // The loop may have ended by itself: then there is nothing to wait for.
        let _ = self.stop.send(grace);
        let _ = self.ended.await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, api: Api, settings: Settings, mut stopped: oneshot::Receiver<Duration>) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let grace = loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            grace = &mut stopped => break grace.unwrap_or_default(),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer.ip(), &api, &settings, &graceful);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        debug!(peer:%; "a connection ended: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    };
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        warn!("requests were still under way at the end of the grace");
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

fn connection(
    stream: TcpStream,
    address: IpAddr,
    api: &Api,
    settings: &Settings,
    graceful: &GracefulShutdown,
) -> impl Future<Output = Result<(), ConnectionError>> + Send + 'static {
    // Only a hint to the system: answers go out all the same.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.header_timeout).max_buf_size(HEAD_MAX);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEAD_MAX as u32);
    let (api, served) = (api.clone(), TowerToHyperService::new(warp::service(routes(api.clone()))));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (admitted, served) = (gate::admit(&api, address, &mut request), served.clone());
        async move {
            match admitted {
                Ok(()) => served.call(request).await,
                Err(refused) => Ok(refused),
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    graceful.watch(connection)
}
