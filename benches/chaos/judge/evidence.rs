//! What the judge is shown. Times are milliseconds since 1970, nodes are counted from 0.

use std::collections::HashSet;

/// What the task asks of a run that may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    AtLeastOnce,
    AtMostOnce,
}

/// A task of one entry. Its instants are the multiples of its period.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) identity: String,
    pub(crate) shard: usize,
    pub(crate) every_s: i64,
    pub(crate) delivery: Delivery,
    /// From when on its instants are owed: the answer to its put. Never, if there was no clear answer.
    pub(crate) owed_from: i64,
    /// Until when they are owed: right before its delete was asked for.
    pub(crate) owed_until: i64,
    /// When its delete was answered with `ok`.
    pub(crate) deleted_at: Option<i64>,
}

impl Task {
    /// Its instants between both times, without these.
    pub(crate) fn instants(&self, after: i64, before: i64) -> impl Iterator<Item = i64> {
        let (period, after) = (self.every_s * 1_000, after.max(self.owed_from));
        let before = before.min(self.owed_until);
        let first = after.div_euclid(period).saturating_add(1).saturating_mul(period);
        std::iter::successors(Some(first), move |instant| instant.checked_add(period))
            .take_while(move |instant| *instant < before)
    }
}

/// A request that came to the target.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: i64,
    /// Which task, by its place in the list of tasks.
    pub(crate) task: usize,
    pub(crate) instant: i64,
    pub(crate) run: String,
    /// The node that sent it.
    pub(crate) node: usize,
}

/// What the history says about an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It was sent and answered well.
    Success,
    /// It failed, was skipped or missed: nobody need have seen a request.
    Told,
    /// Nothing yet.
    Open,
    Missing,
    Doubled,
    /// No trigger names it, or a stretch counts wrongly.
    Unnamed,
}

/// What the history says about the instants from the first to the last.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) task: usize,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) word: Word,
}

/// Whose shards a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// Those of one node.
    Node(usize),
    /// Every shard.
    All,
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The calm stretch begins.
    pub(crate) begin: i64,
    /// The fault begins.
    pub(crate) fault: i64,
    /// The fault is over: healed, woken, started again.
    pub(crate) relief: i64,
    /// Instants before it are judged.
    pub(crate) end: i64,
}

/// Everything about one scene.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) times: Times,
    pub(crate) hit: Hit,
    /// Catch-ups are counted from the end of the fault: nobody could fire while it lasted.
    pub(crate) counts_from_relief: bool,
    /// Whether everything fired on time again before the scene was ended.
    pub(crate) is_recovered: bool,
    pub(crate) tasks: &'a [Task],
    /// All that came, in the order of arrival; those of earlier scenes, too.
    pub(crate) arrivals: &'a [Arrival],
    /// Of the instants from `begin` to `end`.
    pub(crate) outcomes: &'a [Outcome],
    /// The runs whose record says that they were sent again.
    pub(crate) redelivered: &'a HashSet<String>,
}
