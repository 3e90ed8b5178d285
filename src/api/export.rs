//! `/export`: all tasks as they would be put again, one in a line.

use bytes::{BufMut, BytesMut};
use warp::Filter;
use warp::reply::Response;

use super::ndjson::{self, CHUNK, Gone, Outlet};
use super::reply::{ApiError, into_reply};
use super::uri::{self, Query};
use super::view::TaskView;
use super::{Api, Services, with};
use crate::model::Revision;

/// How many tasks are taken from the catalog at once. Each is as it is at that moment.
const TASKS_AT_ONCE: usize = 100;

/// The route of this file.
pub(super) fn route(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let path = warp::path("export").and(warp::path::end()).and(warp::get());
    path.and(with(api)).and(uri::query()).map(|api: Api, query: String| into_reply(start(&api, &query)))
}

fn start(api: &Api, query: &str) -> Result<Response, ApiError> {
    let services = api.services()?;
    let places = [api.place()?, api.bulk_place()?];
    let query = Query::read(query, &["identity", "revisions", "format"])?;
    query.word("format", &["ndjson"])?;
    let has_revisions = query.word("revisions", &["true", "false"])? == Some("true");
    let prefix = query.get("identity").unwrap_or_default().to_owned();
    let (outlet, reply) = ndjson::open();
    tokio::spawn(async move {
        if write(&services, &prefix, has_revisions, &outlet).await.is_ok() {
            outlet.end().await;
        }
        drop(places);
    });
    Ok(reply)
}

async fn write(services: &Services, prefix: &str, has_revisions: bool, outlet: &Outlet) -> Result<(), Gone> {
    let (mut chunk, mut after) = (BytesMut::new(), None);
    loop {
        let page = services.catalog.page(prefix, after.as_ref(), TASKS_AT_ONCE);
        let Some(last) = page.last() else { break };
        after = Some(last.task.identity.clone());
        for revision in page.iter().filter(|revision| !revision.task.is_one_shot) {
            put_line(&mut chunk, revision, has_revisions);
            if chunk.len() >= CHUNK {
                outlet.send(chunk.split().freeze()).await?;
            }
        }
        // Many pages may hold nothing that is shown.
        tokio::task::yield_now().await;
    }
    if chunk.is_empty() { Ok(()) } else { outlet.send(chunk.freeze()).await }
}

fn put_line(chunk: &mut BytesMut, revision: &Revision, has_revisions: bool) {
    let view = TaskView::for_put(&revision.task, revision.enabled, has_revisions.then_some(revision.number));
    serde_json::to_writer(chunk.writer(), &view).expect("a task can be written as JSON");
    chunk.put_u8(b'\n');
}
