//! `schedule-service export`: writes the tasks of a running service into a file, many files, or to the standard output.

mod target;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use self::target::Target;
use super::client::{Ours, Service, ServiceArgs, block_on};
use super::files::FileFormat;
use crate::cli::progress::Progress;

/// What to export, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The file to write, or a folder: one that is there, or a name without an end; it gets a file for each task
    /// [default: standard output]
    #[arg(short, long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// How it is written [default: as the name of the file says, or yaml]
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Only tasks whose identities begin so
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Exit code 1 when a task cannot be written in this format.
pub(super) fn run(args: &ExportArgs, ours: &Ours, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let service = args.service.service(ours)?;
    block_on(export(args, &service, output))?
}

async fn export(args: &ExportArgs, service: &Service, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    // Nothing is made before the service has answered.
    let mut lines = service.export(&args.prefix, false).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut target = Target::open(args.output.as_deref(), args.format, output)?;
    let (progress, mut count, mut failed) = (Progress::counting(), 0_u64, 0_u64);
    loop {
        let line = lines.next().await.map_err(|error| anyhow::anyhow!("{error}"));
        let Some(line) = line.context("the export broke off, what was written is not whole")? else { break };
        let task = std::str::from_utf8(&line).context("the service wrote a line that is no UTF-8")?;
        match target.put(task)? {
            Ok(()) => count += 1,
            Err(text) => {
                eprintln!("failed: {text}");
                failed += 1;
            }
        }
        progress.step();
    }
    target.end()?;
    drop(progress);
    if args.output.is_some() {
        eprintln!("{count} task{} exported", if count == 1 { "" } else { "s" });
    }
    if failed > 0 {
        eprintln!("{failed} could not be written, --format ndjson takes everything");
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
