//! The way of all tasks: page by page out of the old service or of files, a few at once into ours.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use futures_util::{StreamExt, stream};
use serde_json::value::RawValue;

use super::destination::Destination;
use super::origin::Origin;
use super::report::{Fate, Outcome, Report};
use super::source::Page;
use super::{Format, ImportArgs};
use crate::cli::client::{Address, CallError, Ours, Service, ServiceKey, block_on};
use crate::cli::progress::Progress;
use crate::cli::task::Task;

/// How many tasks are on their way into our service at once. Further ones wait for the next page.
const PUTS_MAX: usize = 8;

pub(super) fn run(
    args: &ImportArgs,
    (from, origin): (String, Origin),
    (to, key): (Address, Option<ServiceKey>),
    ours: &Ours,
    output: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let mut report = Report::new((from, origin.why_gone()), to.to_string(), args.dry_run);
    let destination = match args.dry_run {
        true => Destination::DryRun { body_max: ours.api.body_max },
        false => Destination::Running(Service::at(to, ours, key)?),
    };
    let stopped = block_on(take_all(args, origin, &destination, &mut report))?.err();
    let stopped = stopped.map(|error| error.to_string());
    let is_ok = report.end(stopped.clone());
    let written = match args.format {
        Format::Text => report.write_text(output),
        Format::Json => report.write_json(output),
    };
    // Who reads the report may have seen enough: the verdict counts all the same.
    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    match stopped {
        Some(text) => Err(anyhow::anyhow!("{text}").context("the import stopped, and can be run again")),
        None => Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

async fn take_all(
    args: &ImportArgs,
    mut origin: Origin,
    destination: &Destination,
    report: &mut Report,
) -> Result<(), CallError> {
    destination.check().await?;
    report.found = origin.find(&args.only).await?;
    let progress = Progress::new(report.found);
    while let Some(page) = origin.next_page().await? {
        let mut note = |outcome| {
            report.note(outcome);
            progress.step();
        };
        match page {
            Page::Tasks { asked, data } => {
                let (tasks, gone) = tasks(asked, &data).map_err(|error| origin.not_understood(&error))?;
                gone.into_iter().for_each(|identity| note(outcome(identity, Fate::Gone)));
                let taken = tasks.iter().map(|task| destination.take(task, args.start));
                let mut taken = stream::iter(taken).buffer_unordered(PUTS_MAX);
                while let Some(outcome) = taken.next().await {
                    note(outcome?);
                }
            }
            Page::Unreadable { identity, reason } => note(outcome(identity, Fate::Unreadable(reason))),
        }
    }
    Ok(())
}

/// The tasks of a page that were asked for, each once, and the identities that are not among them.
fn tasks(asked: Vec<String>, data: &[u8]) -> serde_json::Result<(Vec<Task<'_>>, BTreeSet<String>)> {
    let raws: Vec<&RawValue> = if data.is_empty() { Vec::new() } else { serde_json::from_slice(data)? };
    let mut missing: BTreeSet<String> = asked.into_iter().collect();
    let mut tasks = raws.into_iter().map(Task::parse).collect::<serde_json::Result<Vec<_>>>()?;
    tasks.retain(|task| missing.remove(&task.identity));
    Ok((tasks, missing))
}

fn outcome(identity: String, fate: Fate) -> Outcome {
    Outcome { identity, fate, warnings: Vec::new() }
}
