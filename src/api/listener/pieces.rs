//! The body of an answer in small pieces, so that it shows whether the client takes them: over HTTP/2 a client can stop one answer
//! while the connection goes on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::activity::UnderWay;

/// The largest piece, in bytes.
const PIECE_MAX: usize = 16 * 1024;

/// The body of an answer.
pub(super) struct Pieces {
    body: UnsyncBoxBody<Bytes, warp::Error>,
    /// What came of it and is not given yet.
    rest: Bytes,
    under_way: UnderWay,
}

impl Pieces {
    pub(super) fn new(
        body: impl Body<Data = Bytes, Error = warp::Error> + Send + 'static,
        under_way: UnderWay,
    ) -> Self {
        Self { body: body.boxed_unsync(), rest: Bytes::new(), under_way }
    }

    fn give(&mut self) -> Frame<Bytes> {
        self.under_way.note_given(Instant::now());
        Frame::data(self.rest.split_to(self.rest.len().min(PIECE_MAX)))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = warp::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.under_way.note_taken();
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.give())));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    self.give()
                }
                Err(trailers) => trailers,
            }))),
            other @ (Poll::Ready(Some(Err(_)) | None) | Poll::Pending) => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http_body_util::Full;

    use super::super::activity::{Activity, Patience, Verdict};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_out_whole_in_pieces_and_each_has_to_be_taken_in_its_time() {
        let second = Duration::from_secs(1);
        let activity = Activity::new(Patience { head: 9 * second, idle: 9 * second, write: second }, Instant::now());
        let whole: Bytes = (0..100_000_u32).map(|number| number as u8).collect::<Vec<u8>>().into();
        let body = Full::new(whole.clone()).map_err(|never: Infallible| match never {});
        let mut pieces = Pieces::new(body, activity.begin());
        assert_eq!((pieces.size_hint().exact(), pieces.is_end_stream()), (Some(100_000), false));

        let mut taken = Vec::new();
        while let Some(frame) = pieces.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_MAX);
            taken.extend_from_slice(&piece);
            assert_eq!(pieces.size_hint().exact(), Some(100_000 - taken.len() as u64));
            tokio::time::advance(second * 9 / 10).await;
            assert!(matches!(activity.verdict(Instant::now()), Verdict::LookAgain(_)), "it is taken in time");
        }

        assert!(pieces.is_end_stream());
        assert_eq!(taken, whole);
    }
}
