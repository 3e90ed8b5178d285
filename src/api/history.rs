//! `/search` and `/clear`.

use bytes::Bytes;
use tokio::time::Instant;
use warp::reply::Response;

use super::Services;
use super::reply::{self, ApiError};
use super::view::SearchView;
use super::wire;

pub(super) async fn search(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let search = wire::search(&body)?.value;
    let begun = Instant::now();
    let found = services.catalog.search(search).await?;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(reply::data(SearchView::new(&found, &services.index_name, took_ms)))
}

pub(super) async fn clear(services: Services, body: Bytes) -> Result<Response, ApiError> {
    let identity = wire::identity(&body)?.value;
    services.catalog.clear(&identity).await?;
    Ok(reply::done(&[]))
}
