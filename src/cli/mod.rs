//! The front door: reads the command line and calls the rooms.

mod apply;
mod check;
mod client;
mod cluster;
mod export;
mod files;
mod import;
mod key;
mod migrate;
mod next;
mod progress;
mod secret;
mod serve;
mod task;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use self::client::Ours;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, ConfigError, NodeSettings};
use crate::model::Timestamp;

/// Exit code for a wrong command line or configuration.
const EXIT_USAGE: u8 = 2;

/// Fires HTTP requests on time and records exactly one outcome for every instant.
#[derive(Debug, Parser)]
#[command(
    name = "schedule-service",
    version,
    after_help = "Exit codes: 0 done; 1 failed, or `verify` found an instant without exactly one outcome, or `next` \
                  could not read an expression, or `import` did not take and verify every task, or `apply` found a mistake \
                  in a file or could not make every change, or `export` could not write every task, or `migrate` \
                  found the stores to differ; 2 wrong command line or configuration; 3 `apply --dry-run` found \
                  something to change."
)]
pub struct Command {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Configuration file [default: config.ini, if there is one]
    #[arg(long, value_name = "PATH", env = "SCHEDULE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Authorities of certificates to trust besides the public ones, for services at https:// (PEM)
    #[arg(long, value_name = "PATH", env = "SCHEDULE_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until SIGTERM or SIGINT (the default)
    Serve,
    /// Read the configuration and say what is in force, or every mistake
    CheckConfig,
    /// Say what a cron expression means and when it fires
    Next(next::NextArgs),
    /// Hold a past range of instants against the history
    Verify(verify::VerifyArgs),
    /// Make a running service hold the tasks that files say
    ///
    /// Tasks that are the same stay as they are, so that applying again changes nothing.
    Apply(apply::ApplyArgs),
    /// Write the tasks of a running service into files
    Export(export::ExportArgs),
    /// Take tasks over from a running mirrored service, or from files, into this one
    Import(import::ImportArgs),
    /// Copy everything of a stopped service from one store to the other, and hold both against each other
    ///
    /// No service may run on either store: the one on the embedded store is found by its lock, one on Elasticsearch only by
    /// what it writes meanwhile. Ended at any moment it can be run again, and goes on where it was.
    Migrate(migrate::MigrateArgs),
    /// Show the nodes that share a store, or have one give its shards to the others
    Cluster(cluster::ClusterArgs),
    /// Make, show, rotate or revoke the keys of a running service
    Key(key::KeyCommand),
    /// Keep secrets in the store of a running service, or make a key to encrypt them by
    Secret(secret::SecretArgs),
}

/// How a command reports.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

/// The command line cannot be followed, which only showed when it was put to use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Runs a command.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let file = command.config.as_deref();
    let ours = || load(file).map(|settings| Ours { api: settings.api, ca_file: command.ca_file.clone() });
    let mut output = std::io::BufWriter::new(std::io::stdout());
    let ended = match command.verb {
        None | Some(Verb::Serve) => serve::run(load(file)?),
        Some(Verb::Next(args)) => {
            or_seen_enough(next::run(&args, SystemClock.now(), &mut std::io::stdin().lock(), &mut output))
        }
        Some(Verb::CheckConfig) => or_seen_enough(check::run(file, &mut output)),
        Some(Verb::Verify(args)) => verify::run(&args, &load(file)?, SystemClock.now(), &mut output),
        Some(Verb::Apply(args)) => apply::run(&args, &ours()?, SystemClock.now(), &mut output),
        Some(Verb::Export(args)) => or_seen_enough(export::run(&args, &ours()?, &mut output)),
        Some(Verb::Import(args)) => import::run(&args, &ours()?, SystemClock.now(), &mut output),
        Some(Verb::Cluster(args)) => or_seen_enough(cluster::run(&args, &ours()?, &mut output)),
        Some(Verb::Key(args)) => key::run(&args, &ours()?, &mut output),
        Some(Verb::Secret(args)) => or_seen_enough(secret::run(&args, ours, &mut output)),
        Some(Verb::Migrate(args)) => migrate::run(&args, &load(file)?, &mut output),
    };
    output.flush().or_else(ignore_broken_pipe)?;
    ended
}

/// The exit code for an error that a command ended with.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.is::<ConfigError>() || error.is::<UsageError>();
    if is_usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

fn load(file: Option<&Path>) -> Result<NodeSettings, ConfigError> {
    config::load(file, std::env::vars_os())
}

/// An instant on the command line.
fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| "is no RFC 3339 instant, expected one such as 2026-03-29T00:00:00Z".to_owned())
}

/// Who reads the output may have seen enough: that is no failure of a command that only shows.
fn or_seen_enough(ended: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let is_broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        let plain = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let in_json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        plain.or(in_json) == Some(std::io::ErrorKind::BrokenPipe)
    };
    match ended {
        Err(error) if error.chain().any(is_broken_pipe) => Ok(ExitCode::SUCCESS),
        Ok(_) | Err(_) => ended,
    }
}

/// Who reads the output may have seen enough.
fn ignore_broken_pipe(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
