//! `schedule-service check-config`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::config;

pub(super) fn run(file: Option<&Path>, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    for line in config::effective(file, std::env::vars_os())? {
        writeln!(output, "{line}")?;
    }
    writeln!(output, "ok")?;
    Ok(ExitCode::SUCCESS)
}
