//! `schedule-service serve`.

use std::process::ExitCode;

use crate::clock::{Clock, SystemClock};
use crate::config::NodeSettings;
use crate::node;
use crate::observe;

pub(super) fn run(settings: NodeSettings) -> anyhow::Result<ExitCode> {
    observe::init(&settings.log, || SystemClock.now());
    node::serve(settings)?;
    Ok(ExitCode::SUCCESS)
}
