//! What `/put` makes of a body, for who has it before it is sent.

use super::reply::ApiError;
use super::view::TaskView;
use super::wire::Misunderstood;
use super::wire_put::{self, Terms};
use crate::model::Timestamp;

/// A body of a put that was understood.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Which task it is.
    pub identity: String,
    /// The body as `/export` would give it. Two that are the same here make the same task.
    pub normal: String,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// Reads a body of a put, or says why it is refused, one line for each mistake. `now` tells which instants have passed.
pub fn read_draft(body: &[u8], now: Timestamp) -> Result<Draft, String> {
    let parsed = wire_put::put(body, &Terms::at(now)).map_err(|Misunderstood(text)| text)?;
    let (task, start) = (&parsed.value.task, parsed.value.enabled);
    let normal =
        serde_json::to_string(&TaskView::for_put(task, start, None, None)).expect("a task can be written as JSON");
    Ok(Draft { identity: task.identity.as_str().to_owned(), normal, warnings: parsed.warnings })
}

/// What `/put` says of a body before anything is stored: its warnings, or why it is refused, one line for each mistake.
pub fn check_put(body: &[u8], body_max: usize, now: Timestamp) -> Result<Vec<String>, String> {
    if body.len() > body_max {
        return Err(ApiError::TooLarge { max: body_max }.to_string());
    }
    read_draft(body, now).map(|draft| draft.warnings)
}
