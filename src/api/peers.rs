//! What nodes of a cluster ask each other. Nobody else may, and no description tells of it.

use http::{HeaderMap, StatusCode};
use warp::Filter;
use warp::reply::Response;

use super::peer::Peer;
use super::reply::{self, ApiError};
use super::{Api, bulk, dealing, parts, with};

/// The routes of nodes, all of them below `/cluster`.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let look = warp::path!("cluster" / "look").and(warp::post()).and(with(api)).and(warp::header::headers_cloned());
    let look = look.map(|api: Api, headers: HeaderMap| reply::into_reply(told_to_look(&api, &headers)));
    look.or(parts::routes(api)).unify().or(bulk::lines_of_peers(api)).unify().or(dealing::routes(api)).unify()
}

/// Another node has changed the cluster document. One that goes down hears of it, too.
fn told_to_look(api: &Api, headers: &HeaderMap) -> Result<Response, ApiError> {
    Peer::only(api, headers)?;
    if let Some(services) = api.services.get() {
        services.peers.look();
    }
    let mut reply = Response::default();
    *reply.status_mut() = StatusCode::NO_CONTENT;
    Ok(reply)
}
