//! What happened: records of changes and of every instant's outcome. Append first, written in bulk, bounded.
//!
//! It also knows which fires have no durable outcome yet, and so up to which instant a shard is settled.

mod documents;
mod prune;
mod settings;
mod unsettled;
mod writer;

pub use self::documents::{FireOutcome, MaskedHeaders, change_record, missed_record, skipped_record};
pub use self::prune::prune;
pub use self::settings::Settings;
pub use self::unsettled::Unsettled;
pub use self::writer::{Journal, JournalStopped, start};

#[cfg(test)]
mod tests;
