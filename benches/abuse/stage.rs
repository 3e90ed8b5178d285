//! What every scene has at hand, and what it tells at its end.

use std::net::SocketAddr;
use std::sync::Arc;

use super::fuzz::Base;
use super::options::Size;

/// Where it is played.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    /// Opens the tasks that are fuzzed, and no others.
    pub(crate) key: Arc<str>,
    pub(crate) seed: u64,
    /// Only the fuzzed request of this number.
    pub(crate) only: Option<usize>,
    pub(crate) size: Size,
    /// Requests of every kind that the service describes.
    pub(crate) bases: Arc<[Base]>,
}

/// What came of a scene, as the one saw it who played it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// In a few words.
    pub(crate) what: String,
    /// What the service must not do, and how to see it again.
    pub(crate) broken: Vec<String>,
}

impl Seen {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), broken: Vec::new() }
    }

    /// Notes what must not be, unless it is so.
    pub(crate) fn expect(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.broken.push(otherwise());
        }
    }
}
