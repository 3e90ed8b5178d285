//! `schedule-service import`: takes all tasks over from a running mirrored service. That service is only read.

mod address;
mod compare;
mod destination;
mod progress;
mod report;
mod service;
mod source;
mod takeover;
mod task;

use std::io::Write;
use std::process::ExitCode;

use clap::ArgAction;

use self::address::{Address, Typed};
use super::{Format, UsageError};
use crate::api;

/// What to take over, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The running service to take from; it is only read. User and password may stand in it
    #[arg(long, value_name = "URL", value_parser = Typed::keep)]
    url: Typed,
    /// The running service to put to [default: host and port of the configuration]
    #[arg(long, value_name = "URL", value_parser = Typed::keep)]
    to: Option<Typed>,
    /// Put nothing, only say what would be refused
    #[arg(long)]
    dry_run: bool,
    /// Only these tasks
    #[arg(long, value_name = "IDENTITY", num_args = 1..)]
    only: Vec<String>,
    /// Switch every task on or off [default: as the old service says, which is always on]
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    start: Option<bool>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Exit code 1 when a task was not taken, or does not read back as it was put.
pub(super) fn run(args: &ImportArgs, ours: &api::Settings, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let usage = |flag: &'static str| move |text: String| UsageError(format!("{flag} {text}"));
    let from = args.url.parse().map_err(usage("--url"))?;
    let to = match &args.to {
        Some(typed) => typed.parse().map_err(usage("--to"))?,
        None if ours.port == 0 && !args.dry_run => {
            return Err(UsageError("[server] port is 0, so say where the service listens by --to".to_owned()).into());
        }
        None => Address::of(ours),
    };
    if from.is_same_place(&to) {
        return Err(UsageError(format!("--url and --to are the same service, {to}")).into());
    }
    takeover::run(args, from, to, ours.body_max, output)
}
