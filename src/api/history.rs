//! `/search`, `/logs/search` and `/clear`.

use bytes::Bytes;
use tokio::time::Instant;
use warp::reply::Response;

use super::Services;
use super::caller::Caller;
use super::log_search::{self, LogSearch};
use super::reply::{self, ApiError};
use super::view::{LogPageView, SearchView};
use super::wire;
use crate::access::Role;

pub(super) async fn search(services: Services, body: Bytes, _caller: Caller) -> Result<Response, ApiError> {
    let search = wire::search(&body)?.value;
    let begun = Instant::now();
    let found = services.catalog.search(search).await?;
    Ok(reply::data(SearchView::new(&found, &services.index_name, millis_since(begun))))
}

pub(super) async fn search_logs(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let LogSearch { query, after } = log_search::read(&body, caller.prefixes())?.value;
    if query.filter.is_of_audit() {
        caller.check_role(Role::Admin)?;
        caller.check_all_tasks("reading the audit")?;
    }
    let begun = Instant::now();
    let page = services.catalog.search_logs(query, after).await?;
    Ok(reply::data(LogPageView::new(&page, millis_since(begun))))
}

fn millis_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn clear(services: Services, body: Bytes, _caller: Caller) -> Result<Response, ApiError> {
    let identity = wire::identity(&body)?.value;
    services.catalog.clear(&identity).await?;
    Ok(reply::done(&[]))
}
