//! Answers of many lines, read as they come.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{Method, StatusCode};
use reqwest::{Body, Response};
use serde::Deserialize;

use super::service::{CallError, Service};

/// The longest line of an answer, in bytes. A longer one ends the reading.
const LINE_MAX: usize = 256 * 1024 * 1024;

/// The lines of an answer.
pub(in crate::cli) struct AnswerLines<'a> {
    service: &'a Service,
    path: &'static str,
    answer: Response,
    waiting: BytesMut,
    looked_at: usize,
}

impl AnswerLines<'_> {
    /// The next line; `None` at the end of a whole answer.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            let end = self.waiting[self.looked_at..].iter().position(|&byte| byte == b'\n');
            if let Some(end) = end.map(|end| self.looked_at + end) {
                self.looked_at = 0;
                let line = self.waiting.split_to(end + 1).freeze();
                return Ok(Some(line.slice(..end)));
            }
            self.looked_at = self.waiting.len();
            if self.waiting.len() > LINE_MAX {
                return Err(self.service.failed(self.path, CallError::TooLarge { max: LINE_MAX }));
            }
            let chunk = self.answer.chunk().await.map_err(|error| self.service.unreachable(self.path, error))?;
            match chunk {
                Some(chunk) => self.waiting.extend_from_slice(&chunk),
                None if self.waiting.is_empty() => return Ok(None),
                None => return Err(self.service.failed(self.path, "its answer broke off within a line")),
            }
        }
    }
}

/// An answer to a line of `/bulk`.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct BulkLine {
    /// The line, counted from 1.
    pub(in crate::cli) line: u64,
    /// 0: it was carried out.
    pub(in crate::cli) error: u64,
    /// Why not.
    pub(in crate::cli) msg: String,
}

/// The last line of an answer of `/bulk`.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct BulkEnd {
    /// How many lines were answered.
    #[serde(rename = "lines")]
    pub(in crate::cli) _lines: u64,
    /// Why not all lines were read.
    pub(in crate::cli) stopped: Option<String>,
}

/// A line of an answer of `/bulk`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::cli) enum BulkAnswer {
    /// To one line.
    Line(BulkLine),
    /// The last one.
    End(BulkEnd),
}

const EXPORT: &str = "/export";
const BULK: &str = "/bulk";

impl Service {
    /// All tasks with their revisions; those that begin with a prefix.
    pub(in crate::cli) async fn export(&self, prefix: &str, revisions: bool) -> Result<AnswerLines<'_>, CallError> {
        let mut url = self.address().at(EXPORT);
        let revisions = if revisions { "true" } else { "false" };
        url.query_pairs_mut().append_pair("identity", prefix).append_pair("revisions", revisions);
        self.lines(EXPORT, || self.request_to(Method::GET, url.clone())).await
    }

    /// Sends lines of changes. Their answers can be read while they are still being sent.
    pub(in crate::cli) async fn bulk(&self, chunks: Arc<[Bytes]>) -> Result<AnswerLines<'_>, CallError> {
        let body = || {
            let chunks = chunks.clone();
            let chunk =
                move |index: usize| chunks.get(index).cloned().map(|chunk| (Ok::<_, CallError>(chunk), index + 1));
            Body::wrap_stream(stream::unfold(0, move |index| std::future::ready(chunk(index))))
        };
        self.lines(BULK, || self.request(Method::POST, BULK).body(body())).await
    }

    async fn lines(
        &self,
        path: &'static str,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<AnswerLines<'_>, CallError> {
        let answer = self.send(path, request).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.complaint(path, answer).await);
        }
        Ok(AnswerLines { service: self, path, answer, waiting: BytesMut::new(), looked_at: 0 })
    }

    /// An answer to `/bulk` that is understood.
    pub(in crate::cli) fn bulk_answer(&self, line: &[u8]) -> Result<BulkAnswer, CallError> {
        let read = serde_json::from_slice(line);
        read.map_err(|error| self.failed(BULK, format_args!("its answer is not understood ({error})")))
    }
}
