//! `/export`: all tasks as they would be put again, one in a line.

use bytes::{BufMut, BytesMut};
use log::warn;
use serde::{Deserialize, Serialize};
use warp::Filter;
use warp::reply::Response;

use super::caller::Caller;
use super::gate::{Asker, asker};
use super::ndjson::{self, CHUNK, Gone, Outlet};
use super::parts::{Page, Question, Scan, covered, page, scan};
use super::reply::{ApiError, into_reply};
use super::uri::{self, Query};
use super::view::TaskView;
use super::{Api, Services, with};
use crate::model::{Masking, Revision, ShardSet};

/// How many tasks are taken from a node at once, and how many bytes of them. Each is as it is at that moment.
const TASKS_AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 2 * 1024 * 1024;

/// The route of this file.
pub(super) fn route(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let path = warp::path("export").and(warp::path::end()).and(warp::get());
    path.and(with(api))
        .and(asker())
        .and(uri::query())
        .map(|api: Api, asker: Asker, query: String| into_reply(start(&api, &asker.caller, &query)))
}

fn start(api: &Api, caller: &Caller, query: &str) -> Result<Response, ApiError> {
    let services = api.services()?;
    let places = [api.place()?, api.bulk_place()?];
    let query = Query::read(query, &["identity", "revisions", "format"])?;
    query.word("format", &["ndjson"])?;
    let has_revisions = query.word("revisions", &["true", "false"])? == Some("true");
    let prefix = query.get("identity").unwrap_or_default().to_owned();
    let (covered, has_credentials) = (caller.prefixes().to_texts(), caller.sees_credentials());
    let (outlet, reply) = ndjson::open();
    tokio::spawn(async move {
        match write(&services, Lines { prefix, covered, has_revisions, has_credentials, after: None }, &outlet).await {
            Ok(()) => outlet.end().await,
            Err(Broken::Gone) => {}
            Err(Broken::Failed(error)) => warn!("an export broke off: {error}"),
        }
        drop(places);
    });
    Ok(reply)
}

async fn write(services: &Services, mut wanted: Lines, outlet: &Outlet) -> Result<(), Broken> {
    let mut chunk = BytesMut::new();
    loop {
        let Page { items, through } = page(services, &wanted).await?;
        for (_, line) in items {
            chunk.put(line.as_bytes());
            chunk.put_u8(b'\n');
            if chunk.len() >= CHUNK {
                outlet.send(chunk.split().freeze()).await?;
            }
        }
        if through.is_none() {
            break;
        }
        wanted.after = through;
    }
    if !chunk.is_empty() {
        outlet.send(chunk.freeze()).await?;
    }
    Ok(())
}

/// Why an export ends before it is whole.
enum Broken {
    Gone,
    Failed(ApiError),
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<ApiError> for Broken {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// Tasks as they would be put again, a page of them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Lines {
    prefix: String,
    /// The tasks that the caller knows of.
    #[serde(default)]
    covered: Vec<String>,
    has_revisions: bool,
    /// Whether whoever asks sees credentials.
    has_credentials: bool,
    after: Option<String>,
}

impl Question for Lines {
    const NAME: &'static str = "lines";
    type Answer = Page<String>;

    async fn answer(&self, services: &Services, shards: ShardSet) -> Result<Self::Answer, ApiError> {
        let (mut items, mut size) = (Vec::new(), 0);
        let (prefix, covered, after) = (self.prefix.as_str(), covered(&self.covered)?, self.after.as_deref());
        let through = scan(services, Scan { shards, prefix, covered, after, tasks_max: TASKS_AT_ONCE }, |revision| {
            let line = line(revision, self.has_revisions, services.mask(self.has_credentials));
            size += line.len();
            items.push((revision.task.identity.as_str().to_owned(), line));
            size < BYTES_AT_ONCE
        });
        let through = through.await?;
        Ok(Page { items, through })
    }
}

fn line(revision: &Revision, has_revisions: bool, mask: Option<&Masking>) -> String {
    let view = TaskView::for_put(&revision.task, revision.enabled, has_revisions.then_some(revision.number), mask);
    serde_json::to_string(&view).expect("a task can be written as JSON")
}
