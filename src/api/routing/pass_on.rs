//! A request goes on to another node, and its answer comes back as it is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};
use tokio::sync::mpsc;
use warp::Reply;
use warp::reply::Response;

use crate::api::asked::Asked;
use crate::api::ndjson::NOT_READ_MAX;
use crate::api::peer::Peer;
use crate::cluster::{AskError, Member, PeerAnswer, PeerRequest, Peers};

/// What of a client's head matters to who answers. Nothing else goes on: no word of ours that a client made up, and nothing
/// that is meant for this connection.
const GOES_ON: [HeaderName; 2] = [CONTENT_TYPE, ACCEPT];
/// What belongs to one connection, or is made anew.
const STAYS: [HeaderName; 8] =
    [CONNECTION, CONTENT_LENGTH, DATE, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// How much of an answer is taken in before any of it goes out, in bytes: one that breaks off in it can be asked for again.
const TAKEN_IN_MAX: usize = 1024 * 1024;
/// How many chunks of a longer one wait for the client.
const CHUNKS_MAX: usize = 4;
/// How long the beginning of an answer may take to come whole.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(60);

/// Has a member answer.
pub(super) async fn pass_on(peers: &Peers, member: &Member, asked: &Asked) -> Result<Response, AskError> {
    let mut headers = Peer::tell(&asked.caller, asked.chosen);
    for name in GOES_ON {
        if let Some(value) = asked.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let path = match asked.query.as_str() {
        "" => asked.whole_path.clone(),
        query => format!("{}?{query}", asked.whole_path),
    };
    let request = PeerRequest { method: asked.method.clone(), path, headers, body: asked.body.clone() };
    relay(peers, member, request).await
}

/// Asks a member, and gives its answer as it is.
pub(in crate::api) async fn relay(peers: &Peers, member: &Member, request: PeerRequest) -> Result<Response, AskError> {
    let PeerAnswer { status, headers, mut body } = peers.ask(member, request).await?;
    let mut lead = BytesMut::new();
    let is_whole = tokio::time::timeout(TAKEN_IN_WITHIN, async {
        while lead.len() < TAKEN_IN_MAX {
            let Some(chunk) = body.next().await else { return Ok(true) };
            lead.extend_from_slice(&chunk?);
        }
        Ok(false)
    });
    let is_whole = is_whole.await.map_err(|_| AskError::BrokeOff("it took too long".to_owned()))??;
    let mut reply = match is_whole {
        true => Response::new(lead.freeze().into()),
        false => rest_of(lead.freeze(), body),
    };
    *reply.status_mut() = status;
    *reply.headers_mut() = told(headers);
    Ok(reply)
}

/// An answer that goes out while it comes in. If it breaks off, so does what goes out.
fn rest_of(lead: Bytes, body: BoxStream<'static, Result<Bytes, AskError>>) -> Response {
    let (chunks, mut sent) = mpsc::channel(CHUNKS_MAX);
    // Apart, as the body of an answer must be shareable between threads.
    tokio::spawn(async move {
        let mut whole = stream::iter([Ok(lead)]).chain(body);
        while let Some(chunk) = whole.next().await {
            // A client that has gone, or reads nothing for long, needs no more of it.
            let gone = tokio::time::timeout(NOT_READ_MAX, chunks.send(chunk)).await;
            if !matches!(gone, Ok(Ok(()))) {
                return;
            }
        }
    });
    warp::reply::stream(stream::poll_fn(move |context| sent.poll_recv(context))).into_response()
}

fn told(headers: HeaderMap) -> HeaderMap {
    let mut told = headers;
    STAYS.iter().for_each(|name| drop(told.remove(name)));
    told
}
