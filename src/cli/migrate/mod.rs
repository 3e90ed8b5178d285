//! `schedule-service migrate`: copies everything of a stopped service from one store to the other.

mod compare;
mod copy;
mod course;
mod progress;
mod report;
mod sides;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;

use self::sides::Stores;
use super::{Format, UsageError};
use crate::config::NodeSettings;

/// What to copy, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// The store to copy; it is only read
    #[arg(long, value_enum)]
    from: StoreName,
    /// The store to write; it has to be empty
    #[arg(long, value_enum)]
    to: StoreName,
    /// Begin anew and write over a store that is not empty: what has the same name is replaced, all else stays
    #[arg(long, conflicts_with = "verify_only")]
    force: bool,
    /// Copy nothing, only hold the two stores against each other
    #[arg(long)]
    verify_only: bool,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The stores that a configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreName {
    /// The one in the node's folder
    Embedded,
    /// The one in the cluster of the configuration
    Elasticsearch,
}

/// Exit code 1 when the stores differ.
pub(super) fn run(args: &MigrateArgs, settings: &NodeSettings, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    if args.from == args.to {
        return Err(UsageError("--from and --to are the same store".to_owned()).into());
    }
    let Some(cluster) = &settings.elasticsearch else {
        let text = "one of the two stores is Elasticsearch, so set [elasticsearch] hosts or cloud_id";
        return Err(UsageError(text.to_owned()).into());
    };
    // Only the first call of a process installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let stores = Stores { folder: &settings.store.path, cluster };
    let report = runtime.block_on(course::run(args, stores))?;
    let written = match args.format {
        Format::Text => report.write_text(output),
        Format::Json => report.write_json(output),
    };
    // Who reads the report may have seen enough: the verdict counts all the same.
    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    match report.differences() {
        None => Ok(ExitCode::SUCCESS),
        Some(differences) => bail!("the stores differ: {differences}"),
    }
}
