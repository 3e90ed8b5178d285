//! Where requests may go: what an address is, the rules of the configuration, and the judgement. Plain data and pure functions.

mod address;
mod destination;
mod refusal;
mod rule;
mod rules;

pub use self::address::AddressClass;
pub use self::destination::Destination;
pub use self::refusal::Refusal;
pub use self::rule::{Rule, RuleMistake};
pub use self::rules::TargetRules;

#[cfg(test)]
mod tests;
