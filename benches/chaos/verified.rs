//! What `schedule-service verify` says about the instants of a range.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use super::judge::{Outcome, Word};

const VERIFY_MAX: Duration = Duration::from_secs(300);

/// Runs the program, whose store is named by its environment. Of tasks that are not known by their names nothing is told.
pub(crate) async fn verify(
    mut program: Command,
    places: &HashMap<&str, usize>,
    (from, to): (i64, i64),
) -> Result<Vec<Outcome>> {
    program
        .args(["verify", "--json", "--from", &date(from)?, "--to", &date(to)?])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(VERIFY_MAX, program.output()).await.context("`verify` does not end")??;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let Some((lines, summary)) = out.trim_end().rsplit_once('\n').or(Some(("", out.trim_end()))) else {
        bail!("{err}")
    };
    if !summary.contains(r#""instants":"#) {
        bail!("`verify` broke off ({}): {err}", output.status);
    }
    let mut found = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        // A task that was put for another scene, and whose life is over.
        let Some(&task) = places.get(text("identity")) else { continue };
        let word = match text("verdict") {
            "success" => Word::Success,
            "open" => Word::Open,
            "missing" => Word::Missing,
            "doubled" => Word::Doubled,
            "unnamed" | "miscounted" => Word::Unnamed,
            _ => Word::Told,
        };
        found.push(Outcome { task, first: millis(text("first"))?, last: millis(text("last"))?, word });
    }
    Ok(found)
}

fn date(millis: i64) -> Result<String> {
    let date = chrono::DateTime::from_timestamp_millis(millis).context("a date")?;
    Ok(date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn millis(text: &str) -> Result<i64> {
    let date = chrono::DateTime::parse_from_rfc3339(text).with_context(|| format!("`verify` says `{text}`"))?;
    Ok(date.timestamp_millis())
}
