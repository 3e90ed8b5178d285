//! What each command that asks a running service takes: where that is, and with what key.

use std::future::Future;

use anyhow::Context;

use super::{Address, KeyArgs, Ours, Service, ServiceKey, Typed, address};
use crate::cli::UsageError;

/// Which service is asked.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServiceArgs {
    /// The running service; user and password may stand in it [default: host and port of the configuration]
    #[arg(long, value_name = "URL", value_parser = Typed::keep, global = true)]
    server: Option<Typed>,
    #[command(flatten)]
    key: KeyArgs,
}

impl ServiceArgs {
    /// Where it is, and what it is shown.
    pub(in crate::cli) fn read(&self, ours: &Ours) -> Result<(Address, Option<ServiceKey>), UsageError> {
        Ok((address("--server", self.server.as_ref(), ours)?, self.key.read()?))
    }

    /// The service. Nothing is connected yet.
    pub(in crate::cli) fn service(&self, ours: &Ours) -> anyhow::Result<Service> {
        let (address, key) = self.read(ours)?;
        Service::at(address, ours, key)
    }
}

/// Does what asks a service, on a runtime of its own.
pub(in crate::cli) fn block_on<T>(asking: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    Ok(runtime.block_on(asking))
}
