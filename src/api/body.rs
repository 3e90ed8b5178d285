//! Takes in a request body: bounded in size and time, also after decompression.

use std::io::Read;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use warp::Filter;

use super::reply::ApiError;

/// How much of a body that is too large is still read, in bytes, and for how long: a client that is still sending would
/// otherwise lose the answer with the connection. Beyond it the connection ends.
const DISCARDED_MAX: usize = 16 * 1024 * 1024;
const DISCARDING_MAX: Duration = Duration::from_secs(5);

/// What the head of a request says of its body.
#[derive(Debug)]
pub(super) struct BodyHead {
    pub(super) length: Option<u64>,
    pub(super) encoding: Option<String>,
    /// The client waits for a word before it sends.
    pub(super) expects_word: bool,
}

/// Reads what the head of a request says of its body.
pub(super) fn head() -> impl Filter<Extract = (BodyHead,), Error = std::convert::Infallible> + Clone {
    warp::header::headers_cloned().map(|headers: HeaderMap| BodyHead {
        length: headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()),
        // What is no text is no name of an encoding that is known, either.
        encoding: headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        expects_word: headers.contains_key(EXPECT),
    })
}

/// Collects a body of at most `max` bytes.
pub(super) async fn collect<S, B>(stream: S, head: BodyHead, max: usize, timeout: Duration) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut stream = std::pin::pin!(stream);
    let is_announced_too_large = head.length.is_some_and(|length| length > max as u64);
    if is_announced_too_large && head.expects_word {
        return Err(ApiError::TooLarge { max });
    }
    let gathered = match is_announced_too_large {
        true => Err(ApiError::TooLarge { max }),
        false => within(timeout, gather(&mut stream, max)).await,
    };
    if let Err(ApiError::TooLarge { .. }) = gathered {
        discard(&mut stream).await;
    }
    let bytes = gathered?;
    match Encoding::of(&head)? {
        Encoding::Plain => Ok(bytes),
        Encoding::Gzip => gunzip(&bytes, max),
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

impl Encoding {
    /// What the head says.
    pub(super) fn of(head: &BodyHead) -> Result<Self, ApiError> {
        match head.encoding.as_deref().map(str::trim) {
            None | Some("" | "identity") => Ok(Self::Plain),
            Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Ok(Self::Gzip),
            Some(name) => Err(ApiError::Encoding(name.chars().take(32).collect())),
        }
    }
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let too_slow = |_| ApiError::TooSlow { seconds: timeout.as_secs() };
    tokio::time::timeout(timeout, work).await.map_err(too_slow)?
}

async fn gather<S, B>(stream: &mut S, max: usize) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin,
    B: Buf,
{
    let mut gathered = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.map_err(|error| ApiError::Unreadable(error.to_string()))?;
        if gathered.len() + chunk.remaining() > max {
            return Err(ApiError::TooLarge { max });
        }
        gathered.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    Ok(gathered.freeze())
}

/// Reads what a client is still sending, within limits.
async fn discard<S, B>(stream: &mut S)
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin,
    B: Buf,
{
    let read = async {
        let mut discarded = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            discarded += chunk.remaining();
            if discarded > DISCARDED_MAX {
                break;
            }
        }
    };
    // At the end of the time the answer goes out all the same.
    let _ = tokio::time::timeout(DISCARDING_MAX, read).await;
}

fn gunzip(bytes: &[u8], max: usize) -> Result<Bytes, ApiError> {
    let mut plain = Vec::new();
    // One byte more than allowed tells a body that is too large from one that just fits.
    let read = MultiGzDecoder::new(bytes).take(max as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| ApiError::Unreadable(format!("it is no gzip ({error})")))?;
    if plain.len() > max {
        return Err(ApiError::TooLarge { max });
    }
    Ok(plain.into())
}
