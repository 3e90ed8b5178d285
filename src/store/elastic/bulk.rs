//! Bulks: many writes in one request, each with its own answer. Small writes of concurrent callers share one.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use elasticsearch::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::client::{Client, read, unavailable};
use super::problem::{self, Cause};
use crate::store::StoreError;

/// How many bytes one request carries at most; a single document may be larger.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many writes of callers share one request.
const SHARED_MAX: usize = 500;
/// How many shared requests are under way at once.
const SHARED_IN_FLIGHT_MAX: usize = 2;
/// How many callers may wait. Further ones wait to be let in.
const CALLERS_WAITING_MAX: usize = 1_024;

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) index: Arc<str>,
    pub(super) id: String,
    pub(super) op: Op,
    /// One line of JSON; empty for a delete.
    pub(super) source: Bytes,
}

/// What a write does with the document of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Writes it, whether there is one or not.
    Index,
    /// Writes it where there is none.
    Create,
    /// Writes it where it is still as it was read.
    Replace(Seen),
    /// Writes it with a version, unless one with a later version stands.
    Version(u64),
    /// Deletes it, unless one with a later version stands. What is written with this version after it stands again.
    DeleteVersion(u64),
    /// Deletes it where it is still as it was read.
    DeleteSeen(Seen),
}

/// The state of a document that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seq_no: u64,
    pub(super) primary_term: u64,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is done.
    Done(Option<Seen>),
    /// The document is not as it was read, or is there already.
    Conflict,
    /// This document will never be taken.
    Refused(String),
    /// It may be taken later.
    Later(String),
}

#[derive(Serialize)]
struct Action<'a> {
    _index: &'a str,
    _id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_seq_no: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_primary_term: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_type: Option<&'static str>,
}

impl Op {
    fn is_delete(self) -> bool {
        matches!(self, Self::DeleteVersion(_) | Self::DeleteSeen(_))
    }
}

impl Write {
    /// Roughly how long its lines are.
    fn len(&self) -> usize {
        self.source.len() + self.id.len() + 128
    }

    fn put_lines(&self, lines: &mut BytesMut) {
        let (seen, version) = match self.op {
            Op::Replace(seen) | Op::DeleteSeen(seen) => (Some(seen), None),
            Op::Version(version) | Op::DeleteVersion(version) => (None, Some(version)),
            Op::Index | Op::Create => (None, None),
        };
        let action = Action {
            _index: &self.index,
            _id: &self.id,
            if_seq_no: seen.map(|seen| seen.seq_no),
            if_primary_term: seen.map(|seen| seen.primary_term),
            version,
            version_type: version.map(|_| "external_gte"),
        };
        let word = match self.op {
            Op::Index | Op::Replace(_) | Op::Version(_) => "{\"index\":",
            Op::Create => "{\"create\":",
            Op::DeleteVersion(_) | Op::DeleteSeen(_) => "{\"delete\":",
        };
        lines.put_slice(word.as_bytes());
        serde_json::to_writer(lines.writer(), &action).expect("an action can be written as JSON");
        lines.put_slice(b"}\n");
        if !self.op.is_delete() {
            // Within JSON a line break can only stand between two tokens.
            lines.extend(self.source.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
            lines.put_u8(b'\n');
        }
    }
}

#[derive(Deserialize)]
struct BulkAnswer<'a> {
    #[serde(borrow, default)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Item<'a> {
    #[serde(borrow)]
    Index(ItemResult<'a>),
    #[serde(borrow)]
    Create(ItemResult<'a>),
    #[serde(borrow)]
    Delete(ItemResult<'a>),
}

#[derive(Deserialize)]
struct ItemResult<'a> {
    status: u16,
    _seq_no: Option<u64>,
    _primary_term: Option<u64>,
    #[serde(borrow)]
    error: Option<Cause<'a>>,
}

impl Item<'_> {
    fn written(&self) -> Written {
        let (Self::Index(result) | Self::Create(result) | Self::Delete(result)) = self;
        let said = result.error.as_ref().map(Cause::text).unwrap_or_default();
        match result.status {
            200..=299 | 404 if result.error.is_none() => {
                let seen = result._seq_no.zip(result._primary_term);
                Written::Done(seen.map(|(seq_no, primary_term)| Seen { seq_no, primary_term }))
            }
            409 => Written::Conflict,
            400 => Written::Refused(said),
            status => Written::Later(problem::of_status(status, &said)),
        }
    }
}

/// Why the first of these writes that failed did so. A conflict is no failure: what it means is for the caller.
pub(super) fn first_failure(written: &[Written]) -> Option<String> {
    written.iter().find_map(|written| match written {
        Written::Later(why) | Written::Refused(why) => Some(why.clone()),
        Written::Done(_) | Written::Conflict => None,
    })
}

/// Sends writes, in requests of a bounded size. The answers stand in the order of the writes. An error means that nothing is
/// known about some of them.
pub(super) async fn send(
    client: &Client,
    doing: &'static str,
    refresh: bool,
    writes: &[Write],
) -> Result<Vec<Written>, StoreError> {
    const FIELDS: &str = "items.*.status,items.*.error,items.*._seq_no,items.*._primary_term";
    // Elasticsearch gives up before we do: what it says is then known.
    let timeout_ms = client.timeout().as_millis() / 2;
    let refresh = if refresh { "&refresh=true" } else { "" };
    let path = format!("/_bulk?timeout={timeout_ms}ms&filter_path={FIELDS}{refresh}");
    let mut written = Vec::with_capacity(writes.len());
    let (mut rest, mut bytes_max) = (writes, BYTES_MAX);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(fitting(rest, bytes_max));
        let mut lines = BytesMut::with_capacity(part.iter().map(Write::len).sum());
        part.iter().for_each(|write| write.put_lines(&mut lines));
        let answer = client.send_bulk(doing, &path, lines.freeze()).await?;
        if answer.status == StatusCode::PAYLOAD_TOO_LARGE {
            if part.len() == 1 {
                written.push(Written::Refused(problem::of_answer(&answer)));
                rest = after;
            } else {
                // Something on the way takes less than Elasticsearch does.
                bytes_max = part.iter().map(Write::len).sum::<usize>() / 2;
            }
            continue;
        }
        if !answer.status.is_success() {
            return Err(unavailable(doing, problem::of_answer(&answer)));
        }
        let items = serde_json::from_slice::<BulkAnswer<'_>>(&answer.body);
        let items = items.map_err(|error| unavailable(doing, format!("the answer cannot be read: {error}")))?.items;
        if items.len() != part.len() {
            return Err(unavailable(doing, format!("{} answers to {} writes", items.len(), part.len())));
        }
        let of_part: Vec<Written> = items.iter().map(Item::written).collect();
        if let Some(Written::Later(why)) =
            of_part.iter().find(|it| answer.is_second_try && matches!(it, Written::Later(_)))
        {
            // An earlier try, whose answer was lost, may have done it.
            return Err(unavailable(doing, why.clone()));
        }
        written.extend(of_part);
        rest = after;
    }
    Ok(written)
}

/// How many of the first writes go into one request; at least one.
fn fitting(writes: &[Write], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = writes.iter().take_while(|write| {
        bytes += write.len();
        bytes <= bytes_max
    });
    fits.count().max(1)
}

type Caller = (Vec<Write>, oneshot::Sender<Result<Vec<Written>, Arc<str>>>);

/// Lets concurrent callers share requests, and so their fsyncs.
pub(super) struct SharedBulk {
    callers: mpsc::Sender<Caller>,
}

impl SharedBulk {
    pub(super) fn start(client: Arc<Client>, refresh: bool) -> Self {
        let (callers, inbox) = mpsc::channel(CALLERS_WAITING_MAX);
        tokio::spawn(share(client, refresh, inbox));
        Self { callers }
    }

    /// Writes, together with what others write at the same time. The writes of one caller go into one request, in order, if
    /// they fit.
    pub(super) async fn write(&self, doing: &'static str, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let (answer, written) = oneshot::channel();
        let closed = || unavailable(doing, "the store is closed");
        self.callers.send((writes, answer)).await.map_err(|_| closed())?;
        written.await.map_err(|_| closed())?.map_err(|why| unavailable(doing, why.to_string()))
    }
}

/// Collects what waits while requests are under way, and sends it with the next.
async fn share(client: Arc<Client>, refresh: bool, mut inbox: mpsc::Receiver<Caller>) {
    let in_flight = Arc::new(Semaphore::new(SHARED_IN_FLIGHT_MAX));
    while let Some(first) = inbox.recv().await {
        let Ok(place) = in_flight.clone().acquire_owned().await else { return };
        let mut bytes: usize = first.0.iter().map(Write::len).sum();
        let mut count = first.0.len();
        let mut together = vec![first];
        while count < SHARED_MAX && bytes < BYTES_MAX / 2 {
            let Ok(next) = inbox.try_recv() else { break };
            count += next.0.len();
            bytes += next.0.iter().map(Write::len).sum::<usize>();
            together.push(next);
        }
        let client = client.clone();
        tokio::spawn(async move {
            send_together(&client, refresh, together).await;
            drop(place);
        });
    }
}

async fn send_together(client: &Client, refresh: bool, together: Vec<Caller>) {
    let (mut writes, mut callers) = (Vec::new(), Vec::with_capacity(together.len()));
    for (of_caller, answer) in together {
        callers.push((of_caller.len(), answer));
        writes.extend(of_caller);
    }
    let sent = send(client, "writing", refresh, &writes).await;
    let sent = sent.map_err(|error| -> Arc<str> { cause_of(&error).into() });
    let mut left = sent.map(Vec::into_iter);
    for (count, answer) in callers {
        let of_caller = match &mut left {
            Ok(written) => Ok(written.take(count).collect()),
            Err(why) => Err(why.clone()),
        };
        // Who asked may have gone: it is written all the same.
        let _ = answer.send(of_caller);
    }
}

fn cause_of(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// A get of many documents by their ids, as they are now, not as a search sees them.
pub(super) async fn get_many<'a, T: serde::de::DeserializeOwned>(
    client: &Client,
    doing: &'static str,
    ids: impl Iterator<Item = (&'a str, String)>,
) -> Result<Vec<Option<(Seen, T)>>, StoreError> {
    #[derive(Serialize)]
    struct Asked {
        docs: Vec<AskedDoc>,
    }
    #[derive(Serialize)]
    struct AskedDoc {
        _index: String,
        _id: String,
    }
    #[derive(Deserialize)]
    struct Got<T> {
        docs: Vec<GotDoc<T>>,
    }
    #[derive(Deserialize)]
    struct GotDoc<T> {
        #[serde(default)]
        found: bool,
        _seq_no: Option<u64>,
        _primary_term: Option<u64>,
        _source: Option<T>,
        error: Option<serde_json::Value>,
    }
    let docs = ids.map(|(index, id)| AskedDoc { _index: index.to_owned(), _id: id }).collect();
    let answer = client.call(doing, elasticsearch::http::Method::Post, "/_mget", Some(&Asked { docs })).await?;
    if !answer.status.is_success() {
        return Err(unavailable(doing, problem::of_answer(&answer)));
    }
    let got: Got<T> = read(doing, &answer.body)?;
    let document = |doc: GotDoc<T>| match doc {
        GotDoc {
            found: true, _seq_no: Some(seq_no), _primary_term: Some(primary_term), _source: Some(source), ..
        } => Ok(Some((Seen { seq_no, primary_term }, source))),
        GotDoc { error: Some(error), .. } => {
            let kind = error.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
            if kind == "index_not_found_exception" { Ok(None) } else { Err(unavailable(doing, error.to_string())) }
        }
        GotDoc { .. } => Ok(None),
    };
    got.docs.into_iter().map(document).collect()
}
