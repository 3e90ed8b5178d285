//! `schedule-service apply`: makes a running service hold the tasks that files say.

mod carry_out;
mod diff;
mod plan;
mod show;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use self::plan::{Plan, Planning};
use self::show::Show;
use super::UsageError;
use super::client::{CallError, Ours, Service, ServiceArgs, block_on};
use super::files::{FileTask, Tasks};
use crate::model::Timestamp;

/// Exit code of a dry run that found something to do.
const EXIT_DIFFERENT: u8 = 3;

/// What to apply, and where.
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// Files of tasks, or folders of such: .yaml, .yml, .json, .ndjson, .jsonl; - is the standard input
    #[arg(short, long = "file", value_name = "FILE|DIR", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Delete the tasks that stand in no file
    #[arg(long)]
    prune: bool,
    /// Delete only tasks whose identities begin so
    #[arg(long, value_name = "PREFIX", requires = "prune")]
    prefix: Option<String>,
    /// Change nothing, only show what would be changed; exit code 3 if there is anything
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Exit code 1 when something is wrong in the files, which changes nothing, or when a change was not made.
pub(super) fn run(args: &ApplyArgs, ours: &Ours, now: Timestamp, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let (address, key) = args.service.read(ours)?;
    let files = Tasks::read(&args.files, now).without_mistakes()?;
    for warning in &files.warnings {
        eprintln!("warning: {warning}");
    }
    if files.tasks.is_empty() && args.prune {
        let text = "the files hold no task: with --prune all tasks would be deleted, which is surely not meant";
        return Err(UsageError(text.to_owned()).into());
    }
    let service = Service::at(address, ours, key)?;
    let applying = Applying { args, files: &files, service: &service, body_max: ours.api.body_max, now };
    block_on(applying.apply(output))?.map_err(|error| match error {
        ApplyError::Call(error) => anyhow::anyhow!("{error}").context("apply stopped, and can be run again"),
        ApplyError::Output(error) => error.into(),
    })
}

/// Why it ended before its time.
enum ApplyError {
    Call(CallError),
    Output(std::io::Error),
}

impl From<CallError> for ApplyError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<std::io::Error> for ApplyError {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

struct Applying<'a> {
    args: &'a ApplyArgs,
    files: &'a Tasks,
    service: &'a Service,
    /// The largest body that a service takes, by our configuration.
    body_max: usize,
    now: Timestamp,
}

impl<'a> Applying<'a> {
    async fn apply(&self, output: &mut impl Write) -> Result<ExitCode, ApplyError> {
        let plan = self.compare().await?;
        let mut show = Show::new(output, is_coloured());
        for step in &plan.steps {
            show.step(step)?;
        }
        if self.args.dry_run {
            return Ok(self.look_out(&plan, &mut show)?);
        }
        // What is going to be done is seen before it is done.
        show.flush()?;
        let done = carry_out::carry_out(self.service, &plan.steps).await?;
        for failure in &done.failures {
            show.failure(failure)?;
        }
        show.end(&plan, &done)?;
        match done.stopped {
            Some(text) => Err(CallError::Failed(text).into()),
            None if done.failures.is_empty() => Ok(ExitCode::SUCCESS),
            None => Ok(ExitCode::FAILURE),
        }
    }

    /// Holds the files against what the service has.
    async fn compare(&self) -> Result<Plan<'a>, CallError> {
        let prune = self.args.prune.then(|| self.args.prefix.as_deref().unwrap_or_default());
        let mut planning = Planning::new(&self.files.tasks, prune);
        let mut lines = self.service.export("", true).await?;
        while let Some(line) = lines.next().await? {
            planning.note(&line, self.now).map_err(|text| self.service.failed("/export", text))?;
        }
        Ok(planning.end())
    }

    fn look_out(&self, plan: &Plan<'_>, show: &mut Show<'_, impl Write>) -> std::io::Result<ExitCode> {
        let failures = carry_out::too_large(&plan.steps, self.body_max, self.now);
        for failure in &failures {
            show.failure(failure)?;
        }
        show.outlook(plan, failures.len())?;
        Ok(match (failures.is_empty(), plan.steps.is_empty()) {
            (false, _) => ExitCode::FAILURE,
            (true, true) => ExitCode::SUCCESS,
            (true, false) => ExitCode::from(EXIT_DIFFERENT),
        })
    }
}

/// Colours are for who watches and has not said otherwise (<https://no-color.org>).
fn is_coloured() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}
