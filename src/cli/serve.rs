//! `schedule-service serve`.

use std::process::ExitCode;

use crate::clock::{Clock, SystemClock};
use crate::config::NodeSettings;
use crate::node;
use crate::observe;
use crate::secrets;

pub(super) fn run(settings: NodeSettings) -> anyhow::Result<ExitCode> {
    observe::init(&settings.log, || SystemClock.now());
    if !settings.secrets.core_dumps {
        secrets::refuse_core_dumps();
    }
    node::serve(settings)?;
    Ok(ExitCode::SUCCESS)
}
