//! Questions about tasks of many nodes. Each node answers for the shards that it acts for; the answers together are for every
//! shard that was asked about, or there is no answer.

mod page;
mod zones;

use std::future::Future;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use warp::Filter;
use warp::reply::Response;

pub(super) use self::page::{Page, Scan, covered, page, scan};
pub(super) use self::zones::Zones;
use super::body::{self, BodyHead};
use super::export::Lines;
use super::forecast::Coming;
use super::jobs::{JobViews, JobsCounted, JobsNamed};
use super::peer::Peer;
use super::quota::TasksCounted;
use super::reply::{self, ApiError};
use super::routing::{cannot_ask, nobody};
use super::tasks::{Names, Views};
use super::{Api, Services, with};
use crate::cluster::{AskError, Member, Overdue, PeerAnswer, PeerRequest};
use crate::model::{Identity, Shard, ShardSet};

/// The largest question, in bytes: of some ten thousand tasks by their names.
const QUESTION_MAX: usize = 16 * 1024 * 1024;
/// The largest answer of one node, in bytes.
const ANSWER_MAX: usize = 96 * 1024 * 1024;

/// A question about tasks that every node answers for its own.
pub(super) trait Question: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Under which name nodes ask it.
    const NAME: &'static str;
    /// What is answered.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// What this node knows of the tasks of these shards, all of which it has. [`ApiError::Elsewhere`]: it has them no more.
    fn answer(
        &self,
        services: &Services,
        shards: ShardSet,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;

    /// What of it concerns some shards only.
    fn of(&self, _shards: ShardSet) -> Self {
        self.clone()
    }
}

/// The shards of some tasks.
pub(super) fn shards_of<'i>(identities: impl IntoIterator<Item = &'i str>) -> ShardSet {
    identities.into_iter().filter_map(|identity| Some(Shard::of(&Identity::parse(identity).ok()?))).collect()
}

/// Whether a task is of one of these shards.
pub(super) fn is_of(identity: &str, shards: ShardSet) -> bool {
    Identity::parse(identity).is_ok_and(|identity| shards.contains(Shard::of(&identity)))
}

impl Services {
    /// Those of some shards for which this node acts, and has all tasks.
    pub(super) fn ours(&self, shards: ShardSet) -> ShardSet {
        let here = self.catalog.shards();
        self.peers.held(shards.iter().filter(|shard| here.contains(*shard)).collect())
    }
}

/// Asks those who own these shards, and again where shards have moved, until each has been answered for.
pub(super) async fn gather<Q: Question>(
    services: &Services,
    question: &Q,
    shards: ShardSet,
) -> Result<Vec<Q::Answer>, ApiError> {
    let (mut missing, mut answers) = (shards, Vec::new());
    let mut search = services.peers.search();
    while !missing.is_empty() {
        for (answered, answer) in once(services, question, missing).await? {
            answered.iter().for_each(|shard| missing.remove(shard));
            answers.push(answer);
        }
        if !missing.is_empty()
            && let Err(Overdue) = search.again().await
        {
            return Err(nobody());
        }
    }
    Ok(answers)
}

/// Asks everybody once, each for what is its own.
async fn once<Q: Question>(
    services: &Services,
    question: &Q,
    missing: ShardSet,
) -> Result<Vec<(ShardSet, Q::Answer)>, ApiError> {
    let ours = services.ours(missing);
    let others: ShardSet = missing.iter().filter(|shard| !ours.contains(*shard)).collect();
    let here = async { if ours.is_empty() { Ok(None) } else { by_us(services, question, ours).await } };
    let there = services.peers.owners(others).into_iter().map(|(member, shards)| {
        let question = question.of(shards);
        async move { of_peer(services, &member, &question, shards).await }.boxed()
    });
    let (here, there) = futures_util::join!(here, join_all(there));
    std::iter::once(here).chain(there).filter_map(Result::transpose).collect()
}

/// What this node answers; `None`: a shard has gone meanwhile.
async fn by_us<Q: Question>(
    services: &Services,
    question: &Q,
    shards: ShardSet,
) -> Result<Option<(ShardSet, Q::Answer)>, ApiError> {
    match question.of(shards).answer(services, shards).await {
        Ok(answer) => Ok(Some((shards, answer)).filter(|_| services.ours(shards) == shards)),
        Err(ApiError::Elsewhere) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Serialize, Deserialize)]
struct Asking<Q> {
    /// A bit for each shard.
    shards: u64,
    question: Q,
}

#[derive(Serialize, Deserialize)]
struct Told<A> {
    shards: u64,
    answer: Option<A>,
    /// Why there is no answer, though the node is the right one.
    failed: Option<String>,
}

/// What another node answers; `None`: it may be asked again.
async fn of_peer<Q: Question>(
    services: &Services,
    member: &Member,
    question: &Q,
    shards: ShardSet,
) -> Result<Option<(ShardSet, Q::Answer)>, ApiError> {
    let asking = Asking { shards: shards.bits(), question };
    let asked = ask_json(services, member, &format!("/cluster/ask/{}", Q::NAME), &asking).await;
    let told: Told<Q::Answer> = match asked {
        Ok(Some(told)) => told,
        Ok(None) | Err(AskError::NotSent(_) | AskError::BrokeOff(_)) => return Ok(None),
        Err(error) => return Err(cannot_ask(&error)),
    };
    if let Some(why) = told.failed {
        return Err(ApiError::Failed(why));
    }
    let answered = shards.iter().filter(|shard| told.shards & (1 << shard.index()) != 0).collect();
    Ok(told.answer.map(|answer| (answered, answer)))
}

/// Asks another node in JSON. `None`: it is not the right one, or cannot answer now.
pub(super) async fn ask_json<A: DeserializeOwned>(
    services: &Services,
    member: &Member,
    path: &str,
    asking: &(impl Serialize + Sync),
) -> Result<Option<A>, AskError> {
    let body: Bytes = serde_json::to_vec(asking).expect("a question can be written as JSON").into();
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let request = PeerRequest { method: Method::POST, path: path.to_owned(), headers, body };
    let PeerAnswer { status, mut body, .. } = services.peers.ask(member, request).await?;
    if status == StatusCode::MISDIRECTED_REQUEST || status == StatusCode::SERVICE_UNAVAILABLE {
        return Ok(None);
    }
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        whole.extend_from_slice(&chunk?);
        if whole.len() > ANSWER_MAX {
            return Err(AskError::BrokeOff(format!("its answer is larger than {ANSWER_MAX} bytes")));
        }
    }
    let told = serde_json::from_slice(&whole);
    told.map(Some).map_err(|_| AskError::BrokeOff(format!("{} answers {status} in other words", member.url)))
}

/// The routes by which nodes ask each other.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let ask = warp::path!("cluster" / "ask" / String);
    internal(ask, api, |services, name: String, body, _peer| async move { answered(&services, &name, &body).await })
}

/// A route for nodes of this cluster only.
pub(super) fn internal<P, H, F>(
    path: P,
    api: &Api,
    handler: H,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<P, H, F>
where
    P: Filter<Extract = (String,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Services, String, Bytes, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    path.and(warp::post())
        .and(with(api))
        .and(warp::header::headers_cloned())
        .and(body::head())
        .and(warp::body::stream())
        .then(move |part: String, api: Api, headers: HeaderMap, head: BodyHead, stream| {
            let handler = handler.clone();
            let answered = async move {
                let peer = Peer::only(&api, &headers)?;
                let services = api.services().map_err(|_| ApiError::Elsewhere)?;
                let _place = api.peer_place()?;
                let body = body::collect(stream, head, QUESTION_MAX, api.settings.body_timeout).await?;
                handler(services, part, body, peer).await
            };
            // Boxed, as the handlers of clients are.
            async move { reply::into_reply(answered.await) }.boxed()
        })
}

async fn answered(services: &Services, name: &str, body: &[u8]) -> Result<Response, ApiError> {
    match name {
        Names::NAME => answer::<Names>(services, body).await,
        Views::NAME => answer::<Views>(services, body).await,
        Lines::NAME => answer::<Lines>(services, body).await,
        Zones::NAME => answer::<Zones>(services, body).await,
        Coming::NAME => answer::<Coming>(services, body).await,
        JobsNamed::NAME => answer::<JobsNamed>(services, body).await,
        JobsCounted::NAME => answer::<JobsCounted>(services, body).await,
        JobViews::NAME => answer::<JobViews>(services, body).await,
        TasksCounted::NAME => answer::<TasksCounted>(services, body).await,
        // A newer node asks it.
        _ => Err(ApiError::NotFound),
    }
}

async fn answer<Q: Question>(services: &Services, body: &[u8]) -> Result<Response, ApiError> {
    let Asking { shards, question } = read::<Asking<Q>>(body)?;
    let asked = services.ours(Shard::all().filter(|shard| shards & (1 << shard.index()) != 0).collect());
    let told = match by_us(services, &question, asked).await {
        Ok(Some((shards, answer))) => Told { shards: shards.bits(), answer: Some(answer), failed: None },
        Ok(None) => return Err(ApiError::Elsewhere),
        Err(error @ ApiError::Busy(_)) => return Err(error),
        Err(error) => Told { shards: 0, answer: None, failed: Some(error.to_string()) },
    };
    Ok(reply::json(StatusCode::OK, &told))
}

/// Reads what another node sends.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::Unreadable(error.to_string()))
}
