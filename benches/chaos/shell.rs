//! Other programs: run to their end, or signalled. What fails says which command it was and what it printed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Longer, and the machine is beyond use.
const RUN_MAX: Duration = Duration::from_secs(60);

/// Runs a command to its end and gives what it printed.
pub(crate) async fn run(mut command: Command) -> Result<String> {
    let words = words(&command);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(RUN_MAX, output)
        .await
        .with_context(|| format!("`{words}` did not end within {} s", RUN_MAX.as_secs()))?
        .with_context(|| format!("`{words}` could not be started"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("`{words}` failed ({}): {}", output.status, format!("{out}{err}").trim());
    }
    Ok(out.into_owned())
}

/// A program and its arguments in one line.
pub(crate) async fn run_line(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().context("an empty command")?);
    command.args(words);
    run(command).await
}

pub(crate) fn words(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Sends a signal, by its name, to a process that was started here.
pub(crate) async fn signal(pid: u32, name: &str) -> Result<()> {
    run_line(&format!("kill -s {name} {pid}")).await.map(drop)
}

/// Processor time that a process has used so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // A hundred ticks a second on every Linux that this runs on.
    Ok(Duration::from_millis(ticks * 10))
}

/// Whether it has ended: it is gone, or nobody has asked how it ended yet.
pub(crate) fn is_gone(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status.lines().any(|line| line.starts_with("State:\tZ")),
        Err(_) => true,
    }
}

/// The last lines of a log.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Asks again and again until something is so.
pub(crate) async fn until(what: &str, within: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(50);
    let deadline = tokio::time::Instant::now() + within;
    while !is_so().await {
        if tokio::time::Instant::now() > deadline {
            bail!("{what}: not within {} s", within.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
