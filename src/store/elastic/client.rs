//! Requests and answers in JSON, with failures in words.

use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exchange::{Answer, Request};
use super::hosts::Hosts;
use super::problem;
use super::settings::Settings;
use crate::store::{BoxError, StoreError};

/// What the cluster is asked through.
pub(super) struct Client {
    hosts: Hosts,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { hosts: Hosts::new(settings)?, timeout: settings.timeout })
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks, and reads the answer to a request that succeeded.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        method: Method,
        path: impl Into<String>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, StoreError> {
        let answer = self.call(doing, method, path, body).await?;
        if !answer.status.is_success() {
            return Err(unavailable(doing, problem::of_answer(&answer)));
        }
        read(doing, &answer.body)
    }

    /// Asks; an answer with any status is one.
    pub(super) async fn call(
        &self,
        doing: &'static str,
        method: Method,
        path: impl Into<String>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, StoreError> {
        let body = body.map(|body| serde_json::to_vec(body).expect("our requests can be written as JSON").into());
        let request = Request { method, path: path.into(), body, is_bulk: false };
        self.hosts.send(&request).await.map_err(|away| unavailable(doing, away))
    }

    /// Sends the lines of a bulk.
    pub(super) async fn send_bulk(&self, doing: &'static str, path: &str, lines: Bytes) -> Result<Answer, StoreError> {
        let request = Request { method: Method::Post, path: path.to_owned(), body: Some(lines), is_bulk: true };
        self.hosts.send(&request).await.map_err(|away| unavailable(doing, away))
    }

    /// Deletes or creates something where it does not matter whether it was so before.
    pub(super) async fn do_or_find(
        &self,
        doing: &'static str,
        method: Method,
        path: impl Into<String>,
        body: Option<&(impl Serialize + Sync)>,
        is_found: impl FnOnce(&Answer) -> bool,
    ) -> Result<(), StoreError> {
        let answer = self.call(doing, method, path, body).await?;
        if answer.status.is_success() || is_found(&answer) {
            return Ok(());
        }
        Err(unavailable(doing, problem::of_answer(&answer)))
    }
}

/// A search that cannot look everywhere fails: an answer with something left out would be taken for the whole.
pub(super) const WHOLE: &str = "allow_partial_search_results=false";

/// No body.
pub(super) const NOTHING: Option<&()> = None;

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(doing: &'static str, body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|error| unavailable(doing, format!("the answer cannot be read: {error}")))
}

pub(super) fn unavailable(doing: &'static str, source: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable { doing, source: source.into() }
}

pub(super) fn is_missing(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND
}
