//! Where tasks come from: a running service, or files.

use std::collections::{BTreeSet, VecDeque};

use super::source::{Page, Source};
use crate::cli::client::CallError;
use crate::cli::files::Tasks;

/// How many tasks of files make a page.
const PAGE_LEN_MAX: usize = 100;

/// Gives tasks page by page.
pub(super) enum Origin {
    /// A running service, which is only read.
    Service(Source),
    /// Files that were read.
    Files(FileTasks),
}

/// Tasks of files: each with its identity.
pub(super) struct FileTasks {
    waiting: VecDeque<(String, String)>,
    /// Those that were asked for and stand in no file.
    missing: Vec<String>,
}

impl FileTasks {
    pub(super) fn new(tasks: Tasks) -> Self {
        let waiting = tasks.tasks.into_iter().map(|(identity, task)| (identity, task.body)).collect();
        Self { waiting, missing: Vec::new() }
    }

    fn find(&mut self, only: &[String]) -> usize {
        if !only.is_empty() {
            let mut wanted: BTreeSet<&str> = only.iter().map(String::as_str).collect();
            self.waiting.retain(|(identity, _)| wanted.remove(identity.as_str()));
            self.missing = wanted.into_iter().map(str::to_owned).collect();
        }
        self.waiting.len() + self.missing.len()
    }

    fn next_page(&mut self) -> Option<Page> {
        if self.waiting.is_empty() && self.missing.is_empty() {
            return None;
        }
        let page: Vec<(String, String)> = self.waiting.drain(..PAGE_LEN_MAX.min(self.waiting.len())).collect();
        let (mut asked, bodies): (Vec<String>, Vec<String>) = page.into_iter().unzip();
        if self.waiting.is_empty() {
            asked.append(&mut self.missing);
        }
        Some(Page::Tasks { asked, data: format!("[{}]", bodies.join(",")).into() })
    }
}

impl Origin {
    /// Why a task that was asked for is not there.
    pub(super) fn why_gone(&self) -> &'static str {
        match self {
            Self::Service(_) => "the old service does not have it, or no longer",
            Self::Files(_) => "none of the files has it",
        }
    }

    /// Sets out to give some tasks, or all if none is named. Gives their number.
    pub(super) async fn find(&mut self, only: &[String]) -> Result<usize, CallError> {
        match self {
            Self::Service(source) => source.find(only).await,
            Self::Files(files) => Ok(files.find(only)),
        }
    }

    /// The next page, `None` at the end.
    pub(super) async fn next_page(&mut self) -> Result<Option<Page>, CallError> {
        match self {
            Self::Service(source) => source.next_page().await,
            Self::Files(files) => Ok(files.next_page()),
        }
    }

    /// A page that is no array of tasks.
    pub(super) fn not_understood(&self, error: &serde_json::Error) -> CallError {
        match self {
            Self::Service(source) => source.not_understood(error),
            // What was read as JSON once is read again.
            Self::Files(_) => CallError::Failed(format!("a file is not understood ({error})")),
        }
    }
}
