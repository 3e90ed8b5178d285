//! `/cluster`: the nodes that share the store, who owns which shard, and what changed hands.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use warp::Filter;
use warp::reply::Response;

use super::asked::post;
use super::caller::Caller;
use super::gate::asker;
use super::openapi::words;
use super::operations::name_of;
use super::peer::Peer;
use super::reply::{self, ApiError, into_reply};
use super::routing::place;
use super::routing::relay;
use super::wire::{Understood, understand};
use super::{Api, Services, with};
use crate::cluster::{AskError, Change, End, Member, PeerRequest, Peers, View};
use crate::model::object::Object;
use crate::model::{Lease, Shard, ShardSet, Timestamp};

/// The longest name of a node, in bytes.
const NODE_MAX: usize = 1_024;
const DRAIN_PATH: &str = "/cluster/drain";

/// The routes of this file.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let status = warp::path!("cluster").and(warp::get()).and(asker()).and(with(api)).then(|_, api| status(api));
    let path = warp::path("cluster").and(warp::path("drain"));
    // A node is drained by itself.
    let drain = post(path, api, place::anywhere, drain);
    status.or(drain).unify()
}

/// The nodes that share the store. A node on the embedded store is alone: it has no other nodes and owns all shards.
#[derive(Serialize, ToSchema)]
#[schema(as = Cluster)]
pub(super) struct ClusterView<'a> {
    /// After how long without a sign of life a node is taken out, in milliseconds; `null`: there are no other nodes.
    #[schema(required)]
    ttl_ms: Option<u64>,
    nodes: Vec<NodeView<'a>>,
    /// All 64, in the order of their numbers.
    shards: Vec<ShardView<'a>>,
    /// The newest changes of owners that the node which answers has seen, the oldest first.
    changes: Vec<ChangeView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClusterNode)]
struct NodeView<'a> {
    /// One life of a node: started anew it has another one.
    #[schema(value_type = words::RecordUuid)]
    id: String,
    /// Where the others reach it.
    url: &'a str,
    /// Whether it is the one that answers.
    is_me: bool,
    /// Whether it takes shards; one that is drained or going down gives them away.
    is_leaving: bool,
    #[schema(value_type = words::UtcDate)]
    joined: String,
    /// How long ago the node that answers saw its newest sign of life, in milliseconds.
    #[schema(required)]
    silent_ms: Option<u64>,
    /// How far its clock is ahead of that of the node that answers, in milliseconds.
    #[schema(required)]
    clock_ahead_ms: Option<i64>,
    /// Within how much that is known, in milliseconds.
    #[schema(required)]
    clock_ahead_within_ms: Option<u64>,
    /// How many shards it owns.
    shards: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClusterShard)]
struct ShardView<'a> {
    shard: usize,
    /// The URL of the node that owns it; `null`: nobody does at present.
    #[schema(required)]
    owner: Option<&'a str>,
    /// How often it was taken.
    #[schema(required)]
    epoch: Option<u64>,
    /// Nothing later than this was sent.
    #[schema(value_type = Option<words::UtcDate>, required)]
    claimed_through: Option<String>,
    /// Everything up to this has its outcome.
    #[schema(value_type = Option<words::UtcDate>, required)]
    settled_through: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClusterChange)]
struct ChangeView<'a> {
    #[schema(value_type = words::UtcDate)]
    at: String,
    #[schema(required)]
    from: Option<&'a str>,
    #[schema(required)]
    to: Option<&'a str>,
    #[schema(value_type = words::OwnerChange)]
    reason: &'static str,
    shards: Vec<usize>,
}

impl<'a> NodeView<'a> {
    fn new(member: &'a Member, view: &View, elapsed: Duration) -> Self {
        let age = view.signs.age(member.id, elapsed);
        let ahead = if view.is_me(member) { Some((0, 0)) } else { view.signs.ahead_ms(member.id) };
        Self {
            id: member.id.to_string(),
            url: &member.url,
            is_me: view.is_me(member),
            is_leaving: member.is_leaving,
            joined: Timestamp::from_millis(member.joined).to_string(),
            silent_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            clock_ahead_ms: ahead.map(|(ahead, _)| ahead),
            clock_ahead_within_ms: ahead.map(|(_, within)| within),
            shards: view.membership.owned_by(member.id).count(),
        }
    }
}

impl<'a> ShardView<'a> {
    fn new(shard: Shard, owner: Option<&'a str>, lease: Option<&Lease>) -> Self {
        Self {
            shard: shard.index(),
            owner,
            epoch: lease.map(|lease| lease.epoch.0),
            claimed_through: lease.map(|lease| lease.claimed_through.to_string()),
            settled_through: lease.map(|lease| lease.settled_through.to_string()),
        }
    }
}

impl<'a> ChangeView<'a> {
    fn new(change: &'a Change) -> Self {
        let url = |end: &'a Option<End>| end.as_ref().map(|end| &*end.url);
        let numbers = |shards: ShardSet| shards.iter().map(Shard::index).collect();
        Self {
            at: change.at.to_string(),
            from: url(&change.from),
            to: url(&change.to),
            reason: change.reason.as_str(),
            shards: numbers(change.shards),
        }
    }
}

async fn status(api: Api) -> Response {
    into_reply(match api.services() {
        Ok(services) => shown(&services).await,
        Err(error) => Err(error),
    })
}

async fn shown(services: &Services) -> Result<Response, ApiError> {
    let leases = services.store.leases().await?;
    let lease = |shard: Shard| leases.iter().find(|lease| lease.shard == shard);
    let Some(keeper) = &services.cluster else {
        let shards = Shard::all().map(|shard| ShardView::new(shard, Some(ALONE), lease(shard))).collect();
        return Ok(reply::data(ClusterView { ttl_ms: None, nodes: Vec::new(), shards, changes: Vec::new() }));
    };
    let view = keeper.view().borrow().clone();
    let elapsed = keeper.elapsed();
    let owner = |shard: Shard| view.membership.owner(shard).map(|owner| &*owner.url);
    Ok(reply::data(ClusterView {
        ttl_ms: Some(u64::try_from(keeper.ttl().as_millis()).unwrap_or(u64::MAX)),
        nodes: view.membership.members().iter().map(|member| NodeView::new(member, &view, elapsed)).collect(),
        shards: Shard::all().map(|shard| ShardView::new(shard, owner(shard), lease(shard))).collect(),
        changes: view.changes.iter().map(ChangeView::new).collect(),
    }))
}

/// What owns all shards of a store that is not shared.
const ALONE: &str = "this node";

struct DrainWish {
    node: String,
    is_drained: bool,
}

fn drain_wish(bytes: &[u8]) -> Understood<DrainWish> {
    const EXAMPLE: &str = r#"{"node":"http://10.0.0.7:3000"}"#;
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&["node", "drained"], mistakes);
        let name = |text: &str| match text.len() {
            1..=NODE_MAX => Ok(text.to_owned()),
            len => Err(format!("is {len} bytes long, expected the id or the URL of a node, as /cluster gives it")),
        };
        let node = name_of(&body, "node", name, mistakes);
        let is_drained = if body.get("drained").is_some() { body.boolean("drained", mistakes) } else { Some(true) };
        Some(DrainWish { node: node?, is_drained: is_drained? })
    })
}

async fn drain(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    caller.check_all_tasks("draining a node")?;
    let DrainWish { node, is_drained } = drain_wish(&body)?.value;
    if let Some(trail) = caller.trail() {
        trail.of("node", &node);
        trail.is_now(&json!({ "drained": is_drained }));
    }
    let Some(keeper) = &services.cluster else {
        return Err(ApiError::Refused(
            "node: this service is alone on its store, there is nobody to take its shards".to_owned(),
        ));
    };
    let view = keeper.view().borrow().clone();
    let member = find(&view, &node)?;
    caller.trail().iter().for_each(|trail| trail.of("node", &member.url));
    if is_drained && !view.membership.members().iter().any(|other| other.id != member.id && !other.is_leaving) {
        return Err(ApiError::Refused("node: no other node is there to take its shards".to_owned()));
    }
    if view.is_me(member) {
        keeper.drain(is_drained).await;
        return Ok(reply::done(&[]));
    }
    // By its id, so that it is surely meant itself.
    let wish = json!({ "node": member.id.to_string(), "drained": is_drained });
    let reply = tell(&services.peers, member, &caller, wish.to_string().into()).await?;
    // It knows whether it has done it, and who asked.
    caller.trail().iter().for_each(|trail| trail.note_passed_on());
    Ok(reply)
}

/// Has a node do it that is meant.
async fn tell(peers: &Peers, member: &Member, caller: &Caller, body: Bytes) -> Result<Response, ApiError> {
    let mut headers = Peer::tell(caller, None);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let request = PeerRequest { method: Method::POST, path: DRAIN_PATH.to_owned(), headers, body };
    let failed = |error: AskError| ApiError::Busy(format!("node: {} does not answer: {error}", member.url));
    let answer = relay(peers, member, request).await.map_err(failed)?;
    match answer.status() {
        // It goes down, or is not ready yet: nothing was done.
        StatusCode::MISDIRECTED_REQUEST => Err(ApiError::Busy(format!("node: {} is not ready for it", member.url))),
        _ => Ok(answer),
    }
}

fn find<'a>(view: &'a View, node: &str) -> Result<&'a Member, ApiError> {
    let wanted = node.trim_end_matches('/');
    let is_meant = |member: &&Member| *member.url == *wanted || member.id.to_string() == wanted;
    view.membership.members().iter().find(is_meant).ok_or_else(|| {
        let urls: Vec<&str> = view.membership.members().iter().map(|member| &*member.url).collect();
        let shown: String = node.chars().take(80).flat_map(char::escape_debug).collect();
        ApiError::Refused(format!("node: is `{shown}`, expected one of {}", urls.join(", ")))
    })
}
