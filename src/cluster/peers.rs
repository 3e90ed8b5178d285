//! The other members: which of them owns a shard, and how they are asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use log::warn;
use percent_encoding::percent_decode_str;
use reqwest::redirect;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::agreement::Wake;
use super::keeper::Keeper;
use super::key::ClusterKey;
use super::membership::{Member, MemberId};
use super::tenure::Tenure;
use super::view::View;
use crate::model::{Shard, ShardSet};
use crate::observe::with_causes;

/// The header in which nodes show each other that they belong together.
pub const KEY_HEADER: HeaderName = HeaderName::from_static("schedule-cluster-key");
/// Where a node is told to look at the cluster document.
pub const LOOK_PATH: &str = "/cluster/look";

/// How long a connection to another node may take. A node that does not accept it by then is taken for dead.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long another node may take until its answer begins, and for each part of it.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How many connections to a node are kept open while nothing goes over them.
const IDLE_MAX: usize = 64;
/// How long such a connection is kept. Less than a server waits for the next request: else one could be sent just when the other end closes.
const IDLE_WITHIN: Duration = Duration::from_secs(5);
/// How long the answer of a member that has gone may still be on its way.
const LAST_WORD_MAX: Duration = Duration::from_millis(500);
/// How long a node that is told to look may take to say that it does.
const POKE_MAX: Duration = Duration::from_secs(1);
/// How often requests that found nobody make this node look at the cluster document. All that wait look together.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a request waits before it tries again, at first and at most.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// How much longer than twice the time to live a request waits for an owner: a shard is taken and loaded in this time.
const LOADING_MAX: Duration = Duration::from_secs(2);

/// Who owns a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node, and it may act now.
    Here,
    /// Another one.
    At(Member),
    /// Nobody at this moment, or this node, which may not act yet.
    Nobody,
}

/// What a node asks another.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// The method.
    pub method: Method,
    /// Path and query as they stand in a URL.
    pub path: String,
    /// The headers; the key is added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What another node answers. Its body may still be coming.
pub struct PeerAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: BoxStream<'static, Result<Bytes, AskError>>,
}

/// Why another node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nothing of the request went out: ask again, or somebody else.
    #[error("a node could not be reached: {0}")]
    NotSent(String),
    /// It went out, and may have been carried out.
    #[error("the answer of a node broke off: {0}")]
    BrokeOff(String),
    /// This node has no key to show.
    #[error("nodes cannot ask each other: set the same [cluster] key on all of them")]
    NoKey,
    /// The other node has another key.
    #[error("{0} has another [cluster] key: set the same on all nodes")]
    KeyRefused(Box<str>),
    /// The path would become another one on its way.
    #[error("this path cannot be sent on, ask {0} itself")]
    Path(Box<str>),
}

/// There was no owner in all the time that a request waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue;

/// The members as requests see them. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    tenure: Tenure,
    shared: Option<Arc<Shared>>,
}

struct Shared {
    keeper: Keeper,
    view: watch::Receiver<Arc<View>>,
    client: reqwest::Client,
    key: Option<ClusterKey>,
    patience: Duration,
    looked_at: Mutex<Option<Instant>>,
}

/// How connections to other nodes are made.
pub fn peer_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .read_timeout(ANSWER_MAX)
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_WITHIN)
        .tcp_nodelay(true)
        .no_proxy()
        .no_gzip()
        // Over one connection of HTTP/2 a slow answer would make the others wait, and a node has more requests than streams.
        .http1_only()
        .referer(false)
        .redirect(redirect::Policy::none())
        // Whether a request may be sent again is for the one who knows what it does.
        .retry(reqwest::retry::never())
}

impl Peers {
    /// Of a node that shares its store with nobody: everything is here.
    pub fn alone(tenure: Tenure) -> Self {
        Self { tenure, shared: None }
    }

    /// Of a node that takes part. `client` is built by [`peer_client`]; `ttl`: after how long the others take a node out.
    pub fn new(
        keeper: Keeper,
        tenure: Tenure,
        client: reqwest::Client,
        key: Option<ClusterKey>,
        ttl: Duration,
    ) -> Self {
        let (view, patience) = (keeper.view(), 2 * ttl + LOADING_MAX);
        let shared = Shared { keeper, view, client, key, patience, looked_at: Mutex::new(None) };
        Self { tenure, shared: Some(Arc::new(shared)) }
    }

    /// Whether this node shares its store with nobody.
    pub fn is_alone(&self) -> bool {
        self.shared.is_none()
    }

    /// Who owns a shard.
    pub fn owner(&self, shard: Shard) -> Owner {
        if self.tenure.holds(shard) {
            return Owner::Here;
        }
        let Some(shared) = &self.shared else { return Owner::Nobody };
        let view = shared.view.borrow();
        match view.membership.owner(shard) {
            Some(member) if !view.is_me(member) => Owner::At(member.clone()),
            Some(_) | None => Owner::Nobody,
        }
    }

    /// Those of some shards for which this node may act now.
    pub fn held(&self, shards: ShardSet) -> ShardSet {
        shards.iter().filter(|shard| self.tenure.holds(*shard)).collect()
    }

    /// The other members that own some of these shards, each with those.
    pub fn owners(&self, shards: ShardSet) -> Vec<(Member, ShardSet)> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let view = shared.view.borrow();
        let owned = |member: &Member| {
            let owned: ShardSet = view.membership.owned_by(member.id).filter(|shard| shards.contains(*shard)).collect();
            (!owned.is_empty()).then(|| (member.clone(), owned))
        };
        view.others().filter_map(owned).collect()
    }

    /// Whether somebody who shows this key is a node of this cluster.
    pub fn trusts(&self, key: &[u8]) -> bool {
        let ours = self.shared.as_ref().and_then(|shared| shared.key.as_ref());
        ours.is_some_and(|ours| ours.is(key))
    }

    /// Begins to look for an owner.
    pub fn search(&self) -> Search<'_> {
        let patience = self.shared.as_ref().map_or(Duration::ZERO, |shared| shared.patience);
        let mut view = self.shared.as_ref().map(|shared| shared.view.clone());
        view.iter_mut().for_each(watch::Receiver::mark_unchanged);
        Search { peers: self, view, until: Instant::now() + patience, pause: AGAIN_AFTER.0 }
    }

    /// Looks at the cluster document now, not only with the next sign of life.
    pub fn look(&self) {
        if let Some(shared) = &self.shared {
            shared.keeper.look();
        }
    }

    /// The same for one of many that wait.
    fn look_with_others(&self) {
        let Some(shared) = &self.shared else { return };
        let now = Instant::now();
        let mut looked_at = shared.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY) {
            *looked_at = Some(now);
            shared.keeper.look();
        }
    }

    /// Has the others look at the cluster document now. Returns when each has answered, or has taken too long for it.
    pub async fn poke(&self) {
        let Some(shared) = &self.shared else { return };
        let others: Vec<Member> = shared.view.borrow().others().cloned().collect();
        let poked = others.iter().map(|member| async move {
            let (headers, body) = (HeaderMap::new(), Bytes::new());
            let request = PeerRequest { method: Method::POST, path: LOOK_PATH.to_owned(), headers, body };
            // Whoever does not hear it looks with its next sign of life.
            let _ = timeout(POKE_MAX, self.ask(member, request)).await;
        });
        join_all(poked).await;
    }

    /// The same for who does not wait for it.
    pub fn wake(&self) -> Wake {
        let peers = self.clone();
        Arc::new(move || {
            let peers = peers.clone();
            tokio::spawn(async move { peers.poke().await });
        })
    }

    /// Sends a request to a member and waits for the head of its answer, as long as it takes part.
    pub async fn ask(&self, member: &Member, request: PeerRequest) -> Result<PeerAnswer, AskError> {
        let shared = self.shared.as_ref().ok_or(AskError::NoKey)?;
        let key = shared.key.as_ref().and_then(ClusterKey::header).ok_or(AskError::NoKey)?;
        let url = url_of(member, &request.path)?;
        let PeerRequest { method, mut headers, body, .. } = request;
        headers.insert(KEY_HEADER, key);
        let sent = shared.client.request(method, url).headers(headers).body(body).send();
        let answer = tokio::select! {
            answer = timeout(ANSWER_MAX, sent) => answer.map_err(|_| AskError::BrokeOff("it took too long".to_owned()))?,
            () = gone(shared.view.clone(), member.id) => return Err(AskError::BrokeOff("it has gone".to_owned())),
        };
        let mut answer = answer.map_err(told)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        if status == StatusCode::FORBIDDEN {
            warn!(node = &*member.url; "another node refuses the [cluster] key of this one");
            return Err(AskError::KeyRefused(member.url.clone()));
        }
        let body = answer.bytes_stream().map(|chunk| chunk.map_err(|error| AskError::BrokeOff(text_of(error))));
        Ok(PeerAnswer { status, headers, body: body.boxed() })
    }
}

/// Returns when a member takes part no more, and its last answer would have come.
async fn gone(mut view: watch::Receiver<Arc<View>>, id: MemberId) {
    if view.wait_for(|view| view.membership.member(id).is_none()).await.is_err() {
        // This node takes part no more: it hears of nobody.
        std::future::pending::<()>().await;
    }
    sleep(LAST_WORD_MAX).await;
}

/// Where a path is at a member. URLs have their own mind about some paths, such as those with a part `%2e`.
fn url_of(member: &Member, path: &str) -> Result<Url, AskError> {
    let not_sent = |_| AskError::Path(member.url.clone());
    let base = Url::parse(&member.url).map_err(not_sent)?;
    let wanted = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let url = Url::parse(&wanted).map_err(not_sent)?;
    let is_same = percent_decode_str(url.as_str()).eq(percent_decode_str(&wanted));
    if is_same { Ok(url) } else { Err(AskError::Path(member.url.clone())) }
}

fn told(error: reqwest::Error) -> AskError {
    if error.is_connect() || error.is_builder() {
        AskError::NotSent(text_of(error))
    } else {
        AskError::BrokeOff(text_of(error))
    }
}

fn text_of(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}

/// A header value with any text that may stand in one.
pub fn header_text(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// A request that looks for an owner, until it has waited long enough.
pub struct Search<'p> {
    peers: &'p Peers,
    view: Option<watch::Receiver<Arc<View>>>,
    until: Instant,
    pause: Duration,
}

impl Search<'_> {
    /// Waits until it is worth trying again.
    pub async fn again(&mut self) -> Result<(), Overdue> {
        let left = self.until.saturating_duration_since(Instant::now());
        let Some(view) = self.view.as_mut().filter(|_| !left.is_zero()) else { return Err(Overdue) };
        self.peers.look_with_others();
        let pause = self.pause.min(left);
        if let Ok(Err(_)) = timeout(pause, view.changed()).await {
            // This node takes part no more, the view stays as it is.
            sleep(pause).await;
        }
        self.pause = (self.pause * 2).min(AGAIN_AFTER.1);
        Ok(())
    }
}
