//! What is counted and measured, for machines that look every few seconds. Here stands every metric and its name, once.
//!
//! A room holds the metrics of what happens in it, and adds to them without a lock and without a look-up by name. What is a state, such as
//! the length of a queue, is read when somebody asks: [`State`]. A [`Page`] is made of both for each answer. Nothing is global: each
//! node of a process has its own.

mod fires;
mod histogram;
mod page;
mod process;
mod requests;
mod series;
mod standing;
mod state;
mod store;

pub use self::fires::{AttemptEnd, AttemptMetrics, OutcomeMetrics};
pub use self::histogram::Histogram;
pub use self::page::{Form, Page};
pub use self::process::commit;
pub use self::requests::RequestMetrics;
pub use self::standing::{ClusterState, MemberState, ShardState};
pub use self::state::{ApiState, DispatchState, EngineState, JournalState, State};
pub use self::store::{StoreFailure, StoreMetrics, StoreOperation};

#[cfg(test)]
mod tests;
