//! Takes in a request body: bounded in size and time, also after decompression.

use std::io::Read;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::{Stream, StreamExt};

use super::Settings;
use super::reply::ApiError;

/// Collects a body.
pub(super) async fn collect<S, B>(
    stream: S,
    length: Option<u64>,
    encoding: Option<String>,
    settings: &Settings,
) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let max = settings.body_max;
    if length.is_some_and(|length| length > max as u64) {
        return Err(ApiError::TooLarge { max });
    }
    let bytes = within(settings.body_timeout, gather(stream, max)).await?;
    match encoding.as_deref().map(str::trim) {
        None | Some("" | "identity") => Ok(bytes),
        Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => gunzip(&bytes, max),
        Some(name) => Err(ApiError::Encoding(name.chars().take(32).collect())),
    }
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let too_slow = |_| ApiError::TooSlow { seconds: timeout.as_secs() };
    tokio::time::timeout(timeout, work).await.map_err(too_slow)?
}

async fn gather<S, B>(stream: S, max: usize) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut stream = std::pin::pin!(stream);
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
