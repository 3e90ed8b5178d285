//! The old service: read page by page, never written.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::cli::client::{CallError, Service};

/// How many tasks are asked for at once.
const PAGE_LEN_MAX: usize = 100;
/// The largest answer that is taken in, in bytes. A page that is larger is halved; a task that is larger is reported.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// What came of asking for some tasks.
pub(super) enum Page {
    /// A JSON array of tasks, empty for none, and the identities that were asked for.
    Tasks { asked: Vec<String>, data: Bytes },
    /// A task that cannot be read even alone.
    Unreadable { identity: String, reason: String },
}

/// Reads a running service, with one question at a time: the mirrored one can crash when several come at once.
pub(super) struct Source {
    service: Service,
    waiting: VecDeque<String>,
    page_len: usize,
}

impl Source {
    pub(super) fn new(service: Service) -> Self {
        Self { service, waiting: VecDeque::new(), page_len: PAGE_LEN_MAX }
    }

    /// Sets out to read some tasks, or all if none is named. Gives their number.
    pub(super) async fn find(&mut self, only: &[String]) -> Result<usize, CallError> {
        let mut identities = if only.is_empty() { self.all().await? } else { only.to_owned() };
        // The old service gives them in any order: sorted, two reports can be compared.
        identities.sort_unstable();
        identities.dedup();
        self.waiting = identities.into();
        Ok(self.waiting.len())
    }

    async fn all(&self) -> Result<Vec<String>, CallError> {
        const PATH: &str = "/all";
        let answer = self.service.post(PATH, Bytes::new(), ANSWER_MAX).await.map_err(|error| match error {
            CallError::TooLarge { .. } | CallError::Refused(_) => self.service.failed(PATH, error),
            CallError::Failed(_) => error,
        })?;
        if answer.data.is_empty() {
            return Ok(Vec::new());
        }
        let read = serde_json::from_slice(&answer.data);
        read.map_err(|error| self.service.failed(PATH, format_args!("expected an array of identities ({error})")))
    }

    /// The next page, `None` at the end.
    pub(super) async fn next_page(&mut self) -> Result<Option<Page>, CallError> {
        let mut count = self.page_len.min(self.waiting.len());
        while count > 0 {
            let asked = &self.waiting.make_contiguous()[..count];
            let body = serde_json::json!({ "identity": asked }).to_string();
            match self.service.post("/lists", body.into(), ANSWER_MAX).await {
                Ok(answer) => {
                    // After a page that was too large the next ones grow again, as large tasks may be few.
                    self.page_len = (2 * count).min(PAGE_LEN_MAX);
                    return Ok(Some(Page::Tasks { asked: self.waiting.drain(..count).collect(), data: answer.data }));
                }
                Err(CallError::TooLarge { .. } | CallError::Refused(_)) if count > 1 => count = count.div_ceil(2),
                Err(error @ (CallError::TooLarge { .. } | CallError::Refused(_))) => {
                    let identity = self.waiting.pop_front().unwrap_or_default();
                    let reason = format!("{}/lists: {error}", self.service.address());
                    self.page_len = 1;
                    return Ok(Some(Page::Unreadable { identity, reason }));
                }
                Err(error @ CallError::Failed(_)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// An answer to `/lists` that is no array of tasks.
    pub(super) fn not_understood(&self, error: &serde_json::Error) -> CallError {
        self.service.failed("/lists", format_args!("expected an array of tasks ({error})"))
    }
}
