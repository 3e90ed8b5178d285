//! Makes the changes: each names the revision that was compared, so that nobody's work is overwritten.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::plan::{Deed, Step};
use crate::api;
use crate::cli::client::{BulkAnswer, CallError, Service};
use crate::cli::files::Place;
use crate::cli::progress::Progress;
use crate::cli::task::Task;
use crate::model::Timestamp;

/// How much is sent at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// A change that was not made.
pub(super) struct Failure {
    pub(super) identity: String,
    pub(super) place: Option<Place>,
    pub(super) text: String,
}

/// What was done.
#[derive(Default)]
pub(super) struct Done {
    /// How many tasks were created, changed and deleted.
    pub(super) counts: [usize; 3],
    pub(super) failures: Vec<Failure>,
    /// Why it ended before its time.
    pub(super) stopped: Option<String>,
}

/// Makes the changes and says what became of each.
pub(super) async fn carry_out(service: &Service, steps: &[Step<'_>]) -> Result<Done, CallError> {
    let mut done = Done::default();
    if steps.is_empty() {
        return Ok(done);
    }
    let progress = Progress::new(steps.len());
    let mut answers = service.bulk(chunks(steps)).await?;
    loop {
        let line = match answers.next().await {
            Ok(Some(line)) => line,
            Ok(None) => {
                done.stopped = Some(service.failed("/bulk", "its answer ended before its last line").to_string());
                return Ok(done);
            }
            Err(error) => {
                done.stopped = Some(error.to_string());
                return Ok(done);
            }
        };
        match service.bulk_answer(&line)? {
            BulkAnswer::Line(answer) => {
                let index = usize::try_from(answer.line).ok().and_then(|line| line.checked_sub(1));
                let Some(step) = index.and_then(|index| steps.get(index)) else {
                    return Err(
                        service.failed("/bulk", format_args!("it answered a line {}, which was not sent", answer.line))
                    );
                };
                done.note(step, (answer.error != 0).then_some(answer.msg));
                progress.step();
            }
            BulkAnswer::End(end) => {
                let (answered, all) = (done.answered(), steps.len());
                let too_few = || (answered < all).then(|| format!("it answered {answered} of {all} lines"));
                done.stopped = end.stopped.or_else(too_few).map(|text| service.failed("/bulk", text).to_string());
                return Ok(done);
            }
        }
    }
}

/// What would not be made: the service takes bodies of at most so many bytes.
pub(super) fn too_large(steps: &[Step<'_>], body_max: usize, now: Timestamp) -> Vec<Failure> {
    let refused = |step: &Step<'_>| {
        let (Deed::Create { task } | Deed::Change { task, .. }) = &step.deed else { return None };
        let text = api::check_put(&parsed(&task.body).to_put(None, None), body_max, now).err()?;
        Some(Failure::of(step, text))
    };
    steps.iter().filter_map(refused).collect()
}

fn parsed(body: &str) -> Task<'_> {
    let raw: &RawValue = serde_json::from_str(body).expect("a task of a file was read as JSON");
    Task::parse(raw).expect("a task of a file was read as a task")
}

impl Failure {
    fn of(step: &Step<'_>, text: String) -> Self {
        let place = match &step.deed {
            Deed::Create { task } | Deed::Change { task, .. } => Some(task.place.clone()),
            Deed::Delete { .. } => None,
        };
        Self { identity: step.identity.clone(), place, text }
    }
}

impl Done {
    /// Of how many steps it is known what became of them.
    pub(super) fn answered(&self) -> usize {
        self.counts.iter().sum::<usize>() + self.failures.len()
    }

    fn note(&mut self, step: &Step<'_>, refused: Option<String>) {
        let Some(text) = refused else {
            self.counts[step.deed.index()] += 1;
            return;
        };
        let is_outdated = text.starts_with("revision: ");
        let hint = if is_outdated { "\nit was changed meanwhile: run apply again" } else { "" };
        self.failures.push(Failure::of(step, format!("{text}{hint}")));
    }
}

/// The lines of all changes, in pieces that are worth sending.
fn chunks(steps: &[Step<'_>]) -> Arc<[Bytes]> {
    let (mut chunks, mut chunk) = (Vec::new(), BytesMut::new());
    for step in steps {
        chunk.put_slice(line(step).as_bytes());
        chunk.put_u8(b'\n');
        if chunk.len() >= CHUNK {
            chunks.push(chunk.split().freeze());
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk.freeze());
    }
    chunks.into()
}

fn line(step: &Step<'_>) -> String {
    let put = |body: &str, revision| {
        let put = parsed(body).to_put(None, Some(revision));
        // A body that was written in several lines becomes one.
        format!("{{\"put\":{}}}", String::from_utf8_lossy(&put).replace(['\n', '\r'], " "))
    };
    match &step.deed {
        Deed::Create { task } => put(&task.body, 0),
        Deed::Change { task, revision, .. } => put(&task.body, *revision),
        Deed::Delete { revision } => {
            serde_json::json!({ "delete": { "identity": step.identity, "revision": revision } }).to_string()
        }
    }
}
