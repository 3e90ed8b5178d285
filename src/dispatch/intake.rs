//! Takes an answer in: as much as a record holds, and what is longer or no text in pieces beside it.
//!
//! Never is a whole long answer in memory, and only so many are taken in pieces at once: the others wait, and their targets with
//! them. Whatever goes wrong with the pieces is noted, and does not make the run fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use log::warn;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::attempt::{Answer, TransportError};
use crate::journal::{KeptAnswer, fits_record};
use crate::model::RunId;
use crate::observe::with_causes;
use crate::store::{RESULT_PIECE, ResultStore};

/// How many answers are taken in pieces at once.
const PLACES: usize = 64;
/// How long an answer waits for one of these places, and for each of its pieces to be written. Then it goes without.
const KEEPING_TIMEOUT: Duration = Duration::from_secs(30);
/// A longer content type is not kept, in bytes.
const CONTENT_TYPE_LEN_MAX: usize = 256;

/// Where results go.
pub(super) struct Results {
    store: Arc<dyn ResultStore>,
    places: Arc<Semaphore>,
    response_max: usize,
    result_max: u64,
}

impl Results {
    pub(super) fn new(store: Arc<dyn ResultStore>, response_max: usize, result_max: u64) -> Self {
        Self { store, places: Arc::new(Semaphore::new(PLACES)), response_max, result_max }
    }
}

/// How long an attempt waited for us, not for its target: that is not counted against the target.
#[derive(Debug, Default)]
pub(super) struct OwnTime {
    is_running: AtomicBool,
    millis: AtomicU64,
}

impl OwnTime {
    pub(super) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Relaxed)
    }

    pub(super) fn total(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    async fn of<T>(&self, wait: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        self.is_running.store(true, Ordering::Relaxed);
        let done = wait.await;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_add(millis, Ordering::Relaxed);
        self.is_running.store(false, Ordering::Relaxed);
        done
    }
}

/// Takes in the answer of a run. Without `keeps_result` it stops where the record is full: the answer will not be kept.
pub(super) async fn take_in(
    mut answer: Answer,
    results: &Results,
    run: RunId,
    keeps_result: bool,
    own_time: &OwnTime,
) -> Result<KeptAnswer, TransportError> {
    let content_type = content_type(&answer.headers);
    let in_record = results.response_max as u64;
    let size_max = if keeps_result { results.result_max.max(in_record) } else { in_record };
    let mut intake = Intake { results, run, own_time, kept: Vec::new(), size: 0, pieces: None };
    let mut is_cut = false;
    while !is_cut && let Some(chunk) = answer.body.next().await {
        let mut chunk = chunk?;
        let room = usize::try_from(size_max - intake.size).unwrap_or(usize::MAX);
        is_cut = chunk.len() > room;
        chunk.truncate(room);
        intake.take(&chunk).await;
        // What cannot be kept need not be read.
        is_cut |= intake.pieces.as_ref().is_some_and(|pieces| pieces.error.is_some());
    }
    let is_truncated = is_cut || intake.size > intake.kept.len() as u64;
    if keeps_result && !is_truncated && !fits_record(&intake.kept) {
        if intake.size > results.result_max {
            // The record has something like it; the mark says that this is not all.
            is_cut = true;
        } else {
            intake.begin_pieces().await;
        }
    }
    let (pieces, result_error) = match intake.pieces {
        Some(pieces) => pieces.finish(results, run, own_time).await,
        None => (0, None),
    };
    Ok(KeptAnswer {
        status: answer.status,
        body: intake.kept,
        is_truncated,
        size: intake.size,
        content_type,
        pieces,
        result_is_truncated: is_cut,
        result_error,
        ..KeptAnswer::default()
    })
}

fn content_type(headers: &HeaderMap) -> Option<Box<str>> {
    // Visible ASCII and blanks only, else there is none.
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_kept = !value.is_empty() && value.len() <= CONTENT_TYPE_LEN_MAX && !value.contains(char::is_control);
    is_kept.then(|| value.into())
}

/// An answer that comes in.
struct Intake<'a> {
    results: &'a Results,
    run: RunId,
    own_time: &'a OwnTime,
    /// For the record.
    kept: Vec<u8>,
    size: u64,
    pieces: Option<Pieces>,
}

impl Intake<'_> {
    async fn take(&mut self, chunk: &[u8]) {
        let room = self.results.response_max - self.kept.len();
        if self.pieces.is_none() && chunk.len() > room {
            self.begin_pieces().await;
        }
        self.size += chunk.len() as u64;
        self.kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if let Some(pieces) = &mut self.pieces {
            pieces.add(chunk, self.results, self.run, self.own_time).await;
        }
    }

    /// From now on all goes into pieces, what is there already first.
    async fn begin_pieces(&mut self) {
        let place = self.own_time.of(timeout(KEEPING_TIMEOUT, self.results.places.clone().acquire_owned())).await;
        let mut pieces = Pieces { buffer: Vec::new(), written: 0, error: None, place: None };
        match place {
            Ok(Ok(place)) => pieces.place = Some(place),
            Ok(Err(_)) | Err(_) => pieces.fail("too many long answers came at once".to_owned()),
        }
        pieces.add(&self.kept, self.results, self.run, self.own_time).await;
        self.pieces = Some(pieces);
    }
}

/// The pieces of one answer.
struct Pieces {
    buffer: Vec<u8>,
    written: u32,
    /// Why there are none.
    error: Option<String>,
    place: Option<OwnedSemaphorePermit>,
}

impl Pieces {
    fn fail(&mut self, why: String) {
        self.error = Some(why);
        self.buffer = Vec::new();
        self.place = None;
    }

    async fn add(&mut self, mut bytes: &[u8], results: &Results, run: RunId, own_time: &OwnTime) {
        while self.error.is_none() && !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(RESULT_PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == RESULT_PIECE {
                self.write(results, run, own_time).await;
            }
        }
    }

    async fn write(&mut self, results: &Results, run: RunId, own_time: &OwnTime) {
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        let written = results.store.put_piece(run, self.written, piece);
        match own_time.of(timeout(KEEPING_TIMEOUT, written)).await {
            Ok(Ok(())) => self.written += 1,
            Ok(Err(error)) => {
                warn!(run_id:% = run; "a result cannot be kept: {}", with_causes(&error));
                self.fail(with_causes(&error));
            }
            Err(_) => {
                warn!(run_id:% = run; "a result cannot be kept: the store takes too long");
                self.fail("the store took too long".to_owned());
            }
        }
    }

    /// How many there are, and why there are none.
    async fn finish(mut self, results: &Results, run: RunId, own_time: &OwnTime) -> (u32, Option<String>) {
        if self.error.is_none() && !self.buffer.is_empty() {
            self.write(results, run, own_time).await;
        }
        match self.error {
            Some(error) => (0, Some(error)),
            None => (self.written, None),
        }
    }
}

#[cfg(test)]
mod tests;
