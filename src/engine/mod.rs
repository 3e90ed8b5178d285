//! Decides when. Knows instants, shards and claims; sends nothing itself, and nothing here scans all entries.

mod agenda;
mod catch_up;
mod changes;
mod claiming;
mod elsewhere;
mod finished;
mod following;
mod handle;
mod misfire;
mod on_the_way;
mod pause_writing;
mod paused;
mod pausing;
mod planner;
mod planning;
mod recovery;
mod run_loop;
mod settings;
mod standing;
mod tenancy;
mod time;
mod unfinished;

pub use self::elsewhere::{Elsewhere, Look};
pub use self::handle::{ClockProblem, Engine, EngineError, Held, Settlement, Status, Stopped};
pub use self::planner::{Planner, PlannerError, Recurring};
pub use self::recovery::{Recovered, TakeOver, recover, take_over};
pub use self::run_loop::start;
pub use self::settings::Settings;

#[cfg(test)]
mod tests;
