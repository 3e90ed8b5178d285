//! The front door: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use schedule_service::cli;

fn main() -> ExitCode {
    match cli::run(cli::Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("schedule-service: {error:#}");
            cli::exit_code(&error)
        }
    }
}
