//! Routes by all that stands under a path: the families whose paths hold names.

use bytes::Bytes;
use http::{HeaderMap, Method};
use warp::Filter;
use warp::path::Tail;
use warp::reply::Response;

use super::caller::{Caller, caller};
use super::reply::ApiError;
use super::{Api, Services, body, uri, with};

/// A request to a path under a prefix.
pub(super) struct Asked {
    pub(super) method: Method,
    /// What stands behind the prefix, not decoded, without slashes at its ends.
    pub(super) path: String,
    /// Not decoded.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) caller: Caller,
}

impl Asked {
    /// A header, if it is a text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Everything under a prefix goes to one handler; what comes before it is told by `refuse`.
pub(super) fn under<P, H, F>(
    prefix: P,
    api: &Api,
    handler: H,
    refuse: fn(ApiError) -> Response,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<P, H, F>
where
    P: Filter<Extract = (), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    H: Fn(Services, Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send,
{
    prefix
        .and(warp::path::tail())
        .and(warp::method())
        .and(uri::query())
        .and(warp::header::headers_cloned())
        .and(with(api))
        .and(caller(api))
        .and(body::head())
        .and(warp::body::stream())
        .then(move |tail: Tail, method, query, headers, api: Api, caller, head, stream| {
            let handler = handler.clone();
            async move {
                let (services, _place) = match api.services().and_then(|services| Ok((services, api.place()?))) {
                    Ok(both) => both,
                    Err(error) => return refuse(error),
                };
                let path = tail.as_str().trim_matches('/').to_owned();
                match body::collect(stream, head, &api.settings).await {
                    Ok(body) => handler(services, Asked { method, path, query, headers, body, caller }).await,
                    Err(error) => refuse(error),
                }
            }
        })
}
