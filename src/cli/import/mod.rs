//! `schedule-service import`: takes tasks over from a running mirrored service, which is only read, or from files.

mod compare;
mod destination;
mod origin;
mod report;
mod source;
mod takeover;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgAction;

use self::origin::{FileTasks, Origin};
use self::source::Source;
use super::client::{Address, KeyArgs, Ours, Service, Typed, address};
use super::files::Tasks;
use super::{Format, UsageError};
use crate::model::Timestamp;

/// What to take over, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// Files of tasks, or folders of such: .yaml, .yml, .json, .ndjson, .jsonl; - is the standard input
    #[arg(value_name = "FILE", required_unless_present = "url")]
    files: Vec<PathBuf>,
    /// The running service to take from, in place of files; it is only read. User and password may stand in it
    #[arg(long, value_name = "URL", value_parser = Typed::keep, conflicts_with = "files")]
    url: Option<Typed>,
    /// The running service to put to [default: host and port of the configuration]
    #[arg(long, visible_alias = "server", value_name = "URL", value_parser = Typed::keep)]
    to: Option<Typed>,
    /// Put nothing, only say what would be refused
    #[arg(long)]
    dry_run: bool,
    /// Only these tasks
    #[arg(long, value_name = "IDENTITY", num_args = 1..)]
    only: Vec<String>,
    /// Switch every task on or off [default: as the file says; as the old service says, which is always on]
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    start: Option<bool>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    key: KeyArgs,
}

/// Exit code 1 when a task was not taken, or does not read back as it was put.
pub(super) fn run(args: &ImportArgs, ours: &Ours, now: Timestamp, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let from = args.url.as_ref().map(Typed::parse).transpose().map_err(|text| UsageError(format!("--url {text}")))?;
    let to = match &args.to {
        // Nobody is asked, so it may say anything.
        None if args.dry_run => Address::of(&ours.api),
        typed => address("--to", typed.as_ref(), ours)?,
    };
    if from.as_ref().is_some_and(|from| from.is_same_place(&to)) {
        return Err(UsageError(format!("--url and --to are the same service, {to}")).into());
    }
    let (name, origin) = match from {
        Some(from) => (from.to_string(), Origin::Service(Source::new(Service::at(from, ours, None)?))),
        None => {
            let tasks = Tasks::read(&args.files, now);
            let name = format!("{} file{}", tasks.files, if tasks.files == 1 { "" } else { "s" });
            (name, Origin::Files(FileTasks::new(tasks.without_mistakes()?)))
        }
    };
    takeover::run(args, (name, origin), (to, args.key.read()?), ours, output)
}
