//! What happened: records of changes and of every instant's outcome. Append first, written in bulk, bounded.
//!
//! It also knows which fires have no durable outcome yet, and so up to which instant a shard is settled.

mod documents;
mod outlet;
mod progress;
mod prune;
mod settings;
mod spill;
mod spill_line;
mod status;
mod unsettled;
mod writer;

pub use self::documents::{FireOutcome, MaskedHeaders, change_record, missed_record, skipped_record};
pub use self::prune::prune;
pub use self::settings::{Settings, WhenSpillFull};
pub use self::spill::Spill;
pub use self::status::Status;
pub use self::unsettled::Unsettled;
pub use self::writer::{Journal, JournalStopped, start};

#[cfg(test)]
mod tests;
