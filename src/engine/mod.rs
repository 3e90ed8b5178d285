//! Decides when. Knows instants, shards and claims; sends nothing itself, and nothing here scans all entries.

mod agenda;
mod handle;
mod misfire;
mod planner;
mod planning;
mod recovery;
mod run_loop;
mod settings;

pub use self::handle::{Engine, EngineError, Held, Settlement, Status, Stopped};
pub use self::planner::{Planner, PlannerError, Recurring};
pub use self::recovery::{Recovered, recover};
pub use self::run_loop::start;
pub use self::settings::Settings;

#[cfg(test)]
mod tests;
