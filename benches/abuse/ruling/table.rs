//! The table that is printed, and the same for programs.

use serde_json::{Value, json};

use super::promises::mib;
use super::{Breach, Promise, Row, Whole};

const HEADS: [&str; 9] = [
    "scene",
    "what was done",
    "fires owed",
    "lost",
    "doubled",
    "lateness p50 / p99 / max",
    "honest client: served, slowest",
    "memory at most",
    "verdict",
];

/// All rows in Markdown, and the memory before and after.
pub(crate) fn table(whole: &Whole, breaches: &[Breach]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEADS.map(str::to_owned));
    text.push_str(&format!("|{}\n", "---|".repeat(HEADS.len())));
    whole.rows.iter().for_each(|row| text.push_str(&line(&cells(row, breaches))));
    text.push_str(&format!("\nMemory: {} before, {} after.\n", mib(whole.memory_before), mib(whole.memory_after)));
    text
}

fn cells(row: &Row, breaches: &[Breach]) -> [String; 9] {
    let (fires, visits) = (&row.fires, &row.visits);
    let mut broken: Vec<&str> =
        breaches.iter().filter(|breach| breach.scene == row.scene).map(|breach| name(breach.promise)).collect();
    broken.sort_unstable();
    broken.dedup();
    [
        row.scene.clone(),
        row.what.clone(),
        fires.owed.to_string(),
        count(fires.lost.len()),
        count(fires.doubled.len()),
        format!("{} / {} / {} ms", fires.p50_ms, fires.p99_ms, fires.max_ms),
        format!("{}, {} ms", visits.served, visits.slowest.as_millis()),
        mib(row.memory_max),
        if broken.is_empty() { "kept".to_owned() } else { format!("**broken: {}**", broken.join(", ")) },
    ]
}

fn count(count: usize) -> String {
    if count == 0 { "0".to_owned() } else { format!("**{count}**") }
}

fn name(promise: Promise) -> &'static str {
    match promise {
        Promise::Alive => "alive",
        Promise::NoneLost => "lost",
        Promise::NoneDoubled => "doubled",
        Promise::OnTime => "lateness",
        Promise::Answered => "answers",
        Promise::Served => "honest client",
        Promise::Memory => "memory",
        Promise::Log => "log",
    }
}

/// All figures.
pub(crate) fn json(whole: &Whole, breaches: &[Breach]) -> Value {
    let row = |row: &Row| {
        let (fires, visits) = (&row.fires, &row.visits);
        json!({
            "scene": row.scene, "what": row.what, "seconds": (row.end - row.begin) as f64 / 1e3,
            "owed": fires.owed, "lost": fires.lost.len(), "doubled": fires.doubled.len(),
            "p50_ms": fires.p50_ms, "p99_ms": fires.p99_ms, "max_ms": fires.max_ms,
            "served": visits.served, "failed": visits.failed.len(), "slowest_ms": visits.slowest.as_millis() as u64,
            "memory_max": row.memory_max, "logged": row.logged,
        })
    };
    let breach =
        |breach: &Breach| json!({ "promise": name(breach.promise), "scene": breach.scene, "what": breach.what });
    json!({
        "scenes": whole.rows.iter().map(row).collect::<Vec<_>>(),
        "memory_before": whole.memory_before, "memory_after": whole.memory_after,
        "broken": breaches.iter().map(breach).collect::<Vec<_>>(),
    })
}
