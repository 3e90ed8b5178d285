//! Who did what: notes each request that changes something, is refused, or reads what is watched. What a record holds is decided in
//! `journal`; a change of a task is stored together with its record by `catalog`, all others are written here, before the answer.

mod attend;
mod bound;
mod rules;
mod settings;
mod trail;

pub(super) use self::attend::{attend, line_refused};
pub(super) use self::bound::Bounds;
pub(super) use self::rules::Failure;
pub use self::settings::{AuditSettings, WatchedReads};
pub(super) use self::trail::{Origin, Trail, Wanted};
