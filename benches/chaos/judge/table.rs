//! The table that is printed: one row for each scene, and what was reached.

use super::{Finding, Promise};

/// What a scene should reach, in milliseconds; none where nothing was promised.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Goals {
    pub(crate) silence: Option<i64>,
    pub(crate) caught_up: Option<i64>,
    pub(crate) lateness_p99: Option<i64>,
}

/// How changes were answered while the scene went on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) ok: usize,
    /// Nothing was done: ask again.
    pub(crate) refused: usize,
    /// Anything else, also no answer in time.
    pub(crate) failed: usize,
    pub(crate) slowest: i64,
}

/// A scene that was played.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scene: String,
    pub(crate) goals: Goals,
    pub(crate) answers: Answers,
    pub(crate) finding: Finding,
}

impl Row {
    /// Whether no promise was broken. A goal that was not reached breaks none.
    pub(crate) fn is_kept(&self) -> bool {
        self.finding.breaches.is_empty()
    }

    fn count(&self, promise: Promise) -> String {
        match self.finding.breaches.iter().filter(|breach| breach.promise == promise).count() {
            0 => "0".to_owned(),
            count => format!("**{count}**"),
        }
    }

    fn verdict(&self) -> String {
        let mut broken: Vec<&str> = self.finding.breaches.iter().map(|breach| name(breach.promise)).collect();
        broken.sort_unstable();
        broken.dedup();
        if !broken.is_empty() {
            return format!("**broken: {}**", broken.join(", "));
        }
        let figures = &self.finding.figures;
        let goals = [
            ("silence", self.goals.silence, Some(figures.silence)),
            ("catch-ups", self.goals.caught_up, figures.caught_up),
            ("p99", self.goals.lateness_p99, Some(figures.lateness.p99)),
        ];
        let over = goals.into_iter().filter(|(_, goal, value)| goal.zip(*value).is_some_and(|(goal, is)| is > goal));
        let over: Vec<&str> = over.map(|goal| goal.0).collect();
        if over.is_empty() { "kept".to_owned() } else { format!("kept; goal not reached: {}", over.join(", ")) }
    }

    fn cells(&self) -> [String; 14] {
        let figures = &self.finding.figures;
        let lateness = figures.lateness;
        let answers = self.answers;
        [
            self.scene.clone(),
            figures.fired.to_string(),
            self.count(Promise::NoneMissing),
            self.count(Promise::NoneDoubled),
            self.count(Promise::AllMarked),
            self.count(Promise::NoneStale),
            self.count(Promise::NoneDeleted),
            figures.resent.to_string(),
            figures.unsent.to_string(),
            with_goal(Some(figures.silence), self.goals.silence),
            with_goal(figures.caught_up, self.goals.caught_up),
            format!(
                "{} / {} / {}",
                millis(lateness.p50),
                with_goal(Some(lateness.p99), self.goals.lateness_p99),
                millis(lateness.max)
            ),
            format!("{} / {} / {}, {}", answers.ok, answers.refused, answers.failed, millis(answers.slowest)),
            self.verdict(),
        ]
    }
}

fn name(promise: Promise) -> &'static str {
    match promise {
        Promise::NoneMissing => "missing",
        Promise::NoneDoubled => "doubled",
        Promise::AllMarked => "unmarked",
        Promise::NoneStale => "stale",
        Promise::NoneDeleted => "deleted",
        Promise::NoneUnnamed => "unnamed",
        Promise::Recovery => "no recovery",
    }
}

const HEADS: [&str; 14] = [
    "scene",
    "fired",
    "missing",
    "doubled",
    "resent unmarked",
    "stale",
    "after delete",
    "resends",
    "unsent, told",
    "silence",
    "caught up after",
    "lateness p50 / p99 / max",
    "changes ok / refused / failed, slowest",
    "verdict",
];

/// All rows in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEADS.map(str::to_owned));
    text.push_str(&format!("|{}\n", "---|".repeat(HEADS.len())));
    rows.iter().for_each(|row| text.push_str(&line(&row.cells())));
    text
}

fn with_goal(value: Option<i64>, goal: Option<i64>) -> String {
    match (value, goal) {
        (None, _) => "–".to_owned(),
        (Some(value), None) => millis(value),
        (Some(value), Some(goal)) => format!("{} (≤ {})", millis(value), millis(goal)),
    }
}

fn millis(value: i64) -> String {
    if value.abs() < 1_000 { format!("{value} ms") } else { format!("{:.1} s", value as f64 / 1_000.0) }
}
