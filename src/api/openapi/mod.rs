//! What can be asked, as an OpenAPI document. It is made of the types that are answered with and of types that describe what
//! is read; and it is the list of what is served: a request that no operation describes reaches no handler.

mod document;
mod entry;
mod health;
mod jobs;
mod keys;
mod listed;
mod logs;
mod metrics;
mod nodes;
mod one_shot;
mod operation;
mod operations;
mod options;
mod preview;
mod secrets;
mod security;
mod service;
mod tasks;
mod versions;
pub(super) mod words;

pub(super) use self::document::document;
pub(super) use self::entry::EntryAnswer;
pub(super) use self::listed::{Taken, listed};
pub(super) use self::logs::{AttemptAnswer, LogDocument};
pub(super) use self::operation::Needs;
