//! Takes part among the nodes that share a store.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use log::{info, warn};
use tokio::time::{Duration, Instant, sleep, timeout};
use url::Url;
use uuid::Uuid;

use super::waiting::patiently;
use crate::api::Api;
use crate::catalog::{Catalog, Shards};
use crate::clock::Clock;
use crate::cluster::{ClusterKey, Keeper, KeeperSettings, Member, Membership, Peers, Tenure, Wake, peer_client};
use crate::config::Sharing;
use crate::dispatch::{authorities, build_client};
use crate::engine;
use crate::store::{RegisterName, RegisterStore, Registered, Store};

/// How often a node that goes looks whether it still counts.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a node joins with.
pub(super) struct Joining<'a> {
    pub(super) api: &'a Api,
    pub(super) store: Arc<dyn Store>,
    pub(super) catalog: Catalog,
    pub(super) tenure: Tenure,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) home: Uuid,
    pub(super) url: Url,
    pub(super) ttl: Duration,
    /// The longest time that a write of another node can be on its way.
    pub(super) write_max: Duration,
    pub(super) engine: engine::Settings,
}

impl Joining<'_> {
    /// Begins to take part. A cluster of a newer version is refused.
    pub(super) async fn join(self) -> anyhow::Result<Keeper> {
        let Self { api, store, catalog, tenure, clock, home, url, ttl, write_max, engine } = self;
        let stored =
            patiently(api, "cannot read the cluster document", || store.register(RegisterName::Cluster)).await?;
        if let Some(Registered { version, text }) = stored {
            Membership::read(version, &text).context("cannot take part in this cluster")?;
        }
        // Those of leases that a newer version wrote, too.
        patiently(api, "cannot read the leases", || store.leases()).await?;
        let url = url.as_str().trim_end_matches('/');
        info!(url, ttl_ms = ttl.as_millis(); "joins the nodes that share this store");
        let holder = Arc::new(Shards::new(catalog, url, engine).looking_again_after(write_max));
        let me = Member::new(home, url, clock.now());
        let register: Arc<dyn RegisterStore> = store;
        Ok(Keeper::start(me, register, holder, tenure, clock, KeeperSettings { ttl }))
    }
}

/// Waits until this node takes part, and acts for its share.
pub(super) async fn settled(keeper: &Keeper) {
    // An error: it has ended already.
    let _ = keeper.view().wait_for(|view| view.has_settled).await;
}

/// Has the others look whenever this node has written something that they wait for.
pub(super) fn spread_news(keeper: &Keeper, wake: Wake) {
    let (mut view, mut told) = (keeper.view(), 0);
    tokio::spawn(async move {
        while let Ok(seen) = view.wait_for(|view| view.news != told).await.map(|view| view.news) {
            told = seen;
            wake();
        }
    });
}

/// Gives everything away, as long as the others count on this node: else they take it anyway.
pub(super) async fn leave(keeper: &Keeper, tenure: &Tenure, grace: Duration) {
    let begun = Instant::now();
    let is_out = async {
        while tenure.is_valid() {
            sleep(LOOK_AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        left = timeout(grace, keeper.leave()) => match left {
            Ok(()) => info!(took_ms = begun.elapsed().as_millis(); "gave all shards away"),
            Err(_) => warn!("the grace ended before all shards were given away, the others take them in a moment"),
        },
        () = is_out => warn!("no sign of life could be given, so no shards can be given away: the others take them"),
    }
}

/// How requests find the node that they belong to.
pub(super) fn peers(keeper: Option<Keeper>, tenure: &Tenure, sharing: &Sharing) -> anyhow::Result<Peers> {
    let Some(keeper) = keeper else { return Ok(Peers::alone(tenure.clone())) };
    let trusted = sharing.ca_file.as_deref().map(authorities).transpose().context("[cluster] ca_file")?;
    let builder = || match &trusted {
        Some(trusted) => peer_client().tls_certs_only(trusted.iter().cloned()),
        None => peer_client(),
    };
    let client = build_client(builder).context("cannot build the HTTP client for other nodes")?;
    let key = sharing.key.as_deref().map(ClusterKey::new);
    if key.is_none() {
        warn!("[cluster] key is not set: this node answers for its own tasks, and cannot ask other nodes for theirs");
    }
    Ok(Peers::new(keeper, tenure.clone(), client, key, sharing.ttl))
}

/// Where the others reach this node.
pub(super) fn advertised(sharing: &Sharing, scheme: &str, listens: SocketAddr) -> anyhow::Result<Url> {
    if let Some(url) = &sharing.advertise_url {
        return Ok(url.clone());
    }
    let host = match listens.ip() {
        ip if ip.is_unspecified() => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        ip if ip.is_ipv6() => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let url = format!("{scheme}://{host}:{}", listens.port());
    Url::parse(&url).with_context(|| format!("`{url}` is no URL, set [cluster] advertise_url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(listens: &str, given: Option<&str>) -> String {
        let advertise_url = given.map(|url| url.parse().unwrap());
        let sharing = Sharing { advertise_url, key: None, ca_file: None, ttl: Duration::from_secs(3) };
        advertised(&sharing, "http", listens.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_node_is_reached_where_it_listens_unless_something_else_is_said() {
        let machine = rustix::system::uname().nodename().to_string_lossy().to_lowercase();

        assert_eq!(url("127.0.0.1:3000", None), "http://127.0.0.1:3000/");
        assert_eq!(url("[::1]:3000", None), "http://[::1]:3000/");
        assert_eq!(url("0.0.0.0:3001", None), format!("http://{machine}:3001/"));
        assert_eq!(url("0.0.0.0:3001", Some("http://10.0.0.7:80")), "http://10.0.0.7/");
    }
}
