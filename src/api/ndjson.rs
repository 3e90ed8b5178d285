//! Answers that go out line by line while they are made: a client that reads slowly makes their maker wait.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::sync::mpsc;
use warp::Reply;
use warp::reply::Response;

/// How many chunks wait for a client. Then their maker waits.
const CHUNKS_MAX: usize = 4;
/// How long a client may read nothing. Then its answer breaks off, and what it held is free for others.
pub(super) const NOT_READ_MAX: Duration = Duration::from_secs(300);
/// How large a chunk is that is worth sending, in bytes.
pub(super) const CHUNK: usize = 32 * 1024;

/// The client reads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Where the maker of an answer puts it. Dropped before [`Outlet::end`], the answer breaks off, so that no client takes a
/// part for the whole.
pub(super) struct Outlet {
    chunks: mpsc::Sender<Option<Bytes>>,
}

impl Outlet {
    /// Waits until the client has taken enough, for [`NOT_READ_MAX`] at most.
    pub(super) async fn send(&self, chunk: Bytes) -> Result<(), Gone> {
        let sent = tokio::time::timeout(NOT_READ_MAX, self.chunks.send(Some(chunk)));
        sent.await.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    /// Waits for a place for one chunk. May be dropped while it waits.
    pub(super) async fn place(&self) -> Result<Place<'_>, Gone> {
        self.chunks.reserve().await.map(Place).map_err(|_| Gone)
    }

    /// The answer is whole.
    pub(super) async fn end(self) {
        // Whoever has gone does not need to know.
        let _ = tokio::time::timeout(NOT_READ_MAX, self.chunks.send(None)).await;
    }
}

/// The right to send one chunk.
pub(super) struct Place<'a>(mpsc::Permit<'a, Option<Bytes>>);

impl Place<'_> {
    /// Sends it.
    pub(super) fn send(self, chunk: Bytes) {
        self.0.send(Some(chunk));
    }
}

/// An answer of lines, each a JSON object.
pub(super) fn open() -> (Outlet, Response) {
    let (chunks, mut sent) = mpsc::channel(CHUNKS_MAX);
    let mut has_ended = false;
    let stream = futures_util::stream::poll_fn(move |context| {
        if has_ended {
            return std::task::Poll::Ready(None);
        }
        sent.poll_recv(context).map(|chunk: Option<Option<Bytes>>| {
            has_ended = !matches!(chunk, Some(Some(_)));
            match chunk {
                Some(chunk) => chunk.map(Ok),
                None => Some(Err(std::io::Error::other("the answer broke off"))),
            }
        })
    });
    let mut reply = warp::reply::stream(stream).into_response();
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson; charset=UTF-8"));
    (Outlet { chunks }, reply)
}
