//! Takes in a request whole, has it done where it belongs, and answers.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream};
use http::{HeaderMap, Method};
use tokio::sync::OwnedSemaphorePermit;
use warp::Filter;
use warp::path::{FullPath, Tail};
use warp::reply::Response;

use super::body::{self, BodyHead};
use super::caller::Caller;
use super::gate::{Asker, asker};
use super::reply::{ApiError, into_reply};
use super::routing::{self, Place};
use super::{Api, Services, uri, with};
use crate::model::RunId;

/// A request with its body.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path as it stands in the URL.
    pub(super) whole_path: String,
    /// What stands behind the prefix of its family, not decoded, without slashes at its ends.
    pub(super) path: String,
    /// Not decoded.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// As it was before it was packed.
    pub(super) body: Bytes,
    pub(super) caller: Caller,
    /// Another node sends it: it has looked for the owner, and does so again if this is not the one.
    pub(super) is_from_peer: bool,
    /// The name of what is made, if it was chosen to find the owner.
    pub(super) chosen: Option<RunId>,
}

impl Asked {
    /// A header, if it is a text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How a family tells what comes before its handlers.
pub(super) type Refuse = fn(ApiError) -> Response;

/// Requests to one path, by POST. `place` says where they belong.
pub(super) fn post<P, H, F>(
    path: P,
    api: &Api,
    place: Place,
    handler: H,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<P, H, F>
where
    P: Filter<Extract = (), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Services, Bytes, Caller) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let path = path.and(warp::path::end()).and(warp::post()).map(String::new);
    let handler = move |services, asked: Arc<Asked>| {
        let answer = handler(services, asked.body.clone(), asked.caller.clone());
        async move { into_reply(answer.await) }
    };
    whole(path, api, place, handler, |error| into_reply(Err(error)))
}

/// Everything under a prefix: the families whose paths hold names.
pub(super) fn under<P, H, F>(
    prefix: P,
    api: &Api,
    place: Place,
    handler: H,
    refuse: Refuse,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<P, H, F>
where
    P: Filter<Extract = (), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Services, Arc<Asked>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let path = prefix.and(warp::path::tail()).map(|tail: Tail| tail.as_str().trim_matches('/').to_owned());
    whole(path, api, place, handler, refuse)
}

/// What is known of a request before its body has come.
struct Head {
    method: Method,
    whole_path: String,
    path: String,
    query: String,
    headers: HeaderMap,
    asker: Asker,
    body: BodyHead,
}

fn whole<P, H, F>(
    path: P,
    api: &Api,
    place: Place,
    handler: H,
    refuse: Refuse,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<P, H, F>
where
    P: Filter<Extract = (String,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Services, Arc<Asked>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    path.and(warp::method())
        .and(warp::path::full())
        .and(uri::query())
        .and(warp::header::headers_cloned())
        .and(asker())
        .and(with(api))
        .and(body::head())
        .and(warp::body::stream())
        .then(move |path, method, full: FullPath, query, headers, asker, api: Api, body, stream| {
            let handler = handler.clone();
            let head = Head { method, whole_path: full.as_str().to_owned(), path, query, headers, asker, body };
            let answered = async move {
                match take_in(&api, head, stream).await {
                    Ok((services, asked, _place)) => routing::answer(services, asked, place, handler, refuse).await,
                    Err(error) => refuse(error),
                }
            };
            // Boxed: each filter around it would be as large as the largest handler, and so would each connection.
            answered.boxed()
        })
}

async fn take_in<S, B>(api: &Api, head: Head, stream: S) -> Result<(Services, Asked, OwnedSemaphorePermit), ApiError>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let Head { method, whole_path, path, query, headers, asker, body } = head;
    let Asker { caller, is_peer, chosen, turns: _ } = asker;
    let services = match api.services() {
        Ok(services) => services,
        // Nothing is done: the other node asks somebody else.
        Err(_) if is_peer => return Err(ApiError::Elsewhere),
        Err(error) => return Err(error),
    };
    let place = if is_peer { api.peer_place()? } else { api.place()? };
    let body = body::collect(stream, body, api.settings.body_max, api.settings.body_timeout).await?;
    let asked = Asked { method, whole_path, path, query, headers, body, caller, is_from_peer: is_peer, chosen };
    Ok((services, asked, place))
}
