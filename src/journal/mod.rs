//! What happened: records of changes and of every instant's outcome. Append first, written in bulk, bounded.
//!
//! It also knows which fires have no durable outcome yet, and so up to which instant a shard is settled.

mod audit;
mod dead_letter;
mod documents;
mod outcome;
mod outlet;
mod progress;
mod prune;
mod response;
mod run_document;
mod settings;
mod spill;
mod spill_line;
mod started;
mod status;
mod unsettled;
mod writer;

pub use self::audit::{AskedBy, Audit, AuditOutcome, ShowTask, audit_record};
pub use self::dead_letter::{Remedy, dealt_with, put_back};
#[cfg(test)]
pub(crate) use self::started::started_record;

pub use self::documents::{MaskedHeaders, change_record, missed_record, paused_by, paused_record, skipped_record};
pub use self::outcome::{FireOutcome, KeptAnswer, due_at};
pub use self::prune::prune;
pub use self::response::fits_record;
pub use self::settings::{Settings, WhenSpillFull};
pub use self::spill::Spill;
pub use self::started::{RunStage, Started, StartedRun, abandoned_record, read_started};
pub use self::status::Status;
pub use self::unsettled::Unsettled;
pub use self::writer::{Journal, JournalStopped, start};

#[cfg(test)]
mod tests;
