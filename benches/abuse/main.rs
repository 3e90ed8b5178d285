//! Ill-treats the service on loopback while it fires, and judges what came of it. `scripts/abuse` runs it.

#![expect(clippy::print_stdout, reason = "its table is its output")]

#[path = "../chaos/dice.rs"]
mod dice;
mod fires;
mod fuzz;
// Fires are judged as those of a cluster are; what is said there of nodes and goals is not asked for.
#[path = "../chaos/judge/mod.rs"]
#[expect(dead_code, unused_imports, reason = "it has a table of its own")]
mod judge;
mod options;
mod play;
#[path = "../chaos/recording.rs"]
mod recording;
mod ruling;
mod scenes;
mod service;
mod stage;
mod target;
#[path = "../chaos/verified.rs"]
mod verified;
mod visitor;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use self::options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    // Only this process asks for one: nobody can have installed another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match std::env::args().nth(1).as_deref() {
        Some("target") => target::serve().await.map(|()| true),
        _ => all().await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("abuse: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept.
async fn all() -> Result<bool> {
    let options = Options::read()?;
    let (mut interrupt, mut end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        kept = play::play(&options) => kept,
        // What was started ends as it is dropped.
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = end.recv() => anyhow::bail!("terminated"),
    }
}
