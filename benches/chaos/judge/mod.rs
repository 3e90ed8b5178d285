//! Judges one scene. Pure; its tests are in tests/it/chaos.rs, as a bench has none.

mod evidence;
mod figures;
mod promises;
mod table;

pub(crate) use self::evidence::{Arrival, Delivery, Evidence, Hit, Outcome, Task, Times, Word};
pub(crate) use self::figures::Figures;
pub(crate) use self::promises::{Breach, Promise};
pub(crate) use self::table::{Answers, Goals, Row, table};

/// What is found about a scene.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) breaches: Vec<Breach>,
    pub(crate) figures: Figures,
}

/// Looks at everything about a scene.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Finding {
    Finding { breaches: promises::breaches(evidence), figures: figures::figures(evidence) }
}
