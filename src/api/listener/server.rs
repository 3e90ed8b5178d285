//! The accept loop: bounded connections, and a graceful end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use log::{debug, warn};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::activity::Activity;
use super::admission::{Admission, Closings};
use super::serving::{Means, patience, serve};
use super::tls::{self, TlsError};
use crate::api::gate::Passage;
use crate::api::{Api, Settings, audit, gate, openapi, routes};
use crate::clock::Clock;

/// How many connections may wait to be accepted before the system refuses further ones.
const BACKLOG: i32 = 1_024;
/// How long accepting pauses after an error such as too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Why the service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Choose another address, or end who listens there.
    #[error("cannot listen on {address} ([server] host and port)")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Mend the files of the certificate.
    #[error("cannot listen with TLS")]
    Tls(#[from] TlsError),
}

/// A listening server.
pub struct Server {
    address: SocketAddr,
    is_tls: bool,
    stop: oneshot::Sender<Duration>,
    ended: JoinHandle<()>,
}

impl Server {
    /// Binds the address and serves.
    pub fn start(api: Api, settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, ServerError> {
        let tls = settings.tls.as_ref().map(|tls| tls::in_force(tls, clock)).transpose()?;
        let wanted = SocketAddr::new(settings.host, settings.port);
        let failed = |source| ServerError::Address { address: wanted, source };
        let listener = bind(wanted).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // What is served stands in the description: the first request does not wait until it is made.
        openapi::document();
        let (stop, stopped) = oneshot::channel();
        let is_tls = tls.is_some();
        let ended = tokio::spawn(accept(listener, api, settings.clone(), tls, stopped));
        Ok(Self { address, is_tls, stop, ended })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https`, or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
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

async fn accept(
    listener: TcpListener,
    api: Api,
    settings: Settings,
    tls: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
    mut stopped: oneshot::Receiver<Duration>,
) {
    let admission = Admission::new(settings.connections_max, settings.connections_per_address_max);
    let (go_down, going_down) = watch::channel(false);
    // Every connection holds one end of it: when all have gone, it says so.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let requests = api.counted.requests.clone();
    let served = TowerToHyperService::new(warp::service(routes(api.clone())));
    let routes = service_fn(move |mut request: Request<Incoming>| {
        let (api, served) = (api.clone(), served.clone());
        async move {
            let Passage { refusal, trail } = gate::passage(&api, &mut request).await;
            let answer = async move {
                match refusal {
                    Some(refusal) => refusal,
                    None => {
                        let Ok(reply) = served.call(request).await;
                        reply
                    }
                }
            };
            Ok(audit::attend(api, trail, answer).await)
        }
    });
    let means = Means { routes, settings: Arc::new(settings), requests, tls, going_down };
    let mut refused = Closings::default();
    let grace = loop {
        let accepted = tokio::select! {
            grace = &mut stopped => break grace.unwrap_or_default(),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // Before a place is waited for: who has too many must not keep others waiting behind.
                let Some(mut admitted) = admission.admit(address.ip()) else {
                    if let Some(closed) = refused.note(1, Instant::now()) {
                        warn!(address:% = address.ip(), closed; "too many connections of one address ([server] connections_per_address_max)");
                    }
                    continue;
                };
                let place = tokio::select! {
                    grace = &mut stopped => break grace.unwrap_or_default(),
                    place = admission.place() => place,
                };
                let activity = Activity::new(patience(&means.settings), Instant::now());
                admitted.take(place, activity.clone());
                let (connection, open) = (serve(stream, address, activity, means.clone()), open.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        debug!(address:%; "a connection ended: {error}");
                    }
                    drop((admitted, open));
                });
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    };
    drop((listener, open));
    go_down.send_replace(true);
    if tokio::time::timeout(grace, all_closed.recv()).await.is_err() {
        warn!("requests were still under way at the end of the grace");
    }
}
