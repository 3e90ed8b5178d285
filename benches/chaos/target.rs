//! The recording target: a process of its own in its namespace. It answers at once, and notes each request.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::process::Child;

use super::net::{Net, address};
use super::recording::{self, Reader};
pub(crate) use super::recording::{Note, now};
use super::shell::until;

/// The last part of its address.
const HOST: u8 = 31;
const PORT: u16 = 8080;
/// Serves until it is killed.
pub(crate) async fn serve() -> Result<()> {
    recording::serve(TcpListener::bind(("0.0.0.0", PORT)).await?).await;
    Ok(())
}

/// The target's process, and what was read from it so far.
pub(crate) struct Target {
    // Held: it ends with this.
    _child: Child,
    reader: Reader,
}

impl Target {
    pub(crate) async fn start(net: &mut Net) -> Result<Self> {
        net.add(&[HOST]).await?;
        let mut command = net.command(HOST, std::env::current_exe()?)?;
        let child = command.arg("target").stdin(Stdio::null()).kill_on_drop(true).spawn().context("the target")?;
        let mut target = Self { _child: child, reader: Reader::new(Self::base())? };
        let is_there = async || target.read_notes().await.is_ok();
        until("the target answers", Duration::from_secs(10), is_there).await?;
        Ok(target)
    }

    pub(crate) fn base() -> String {
        format!("http://{}:{PORT}", address(HOST))
    }

    /// What came since it was asked last.
    pub(crate) async fn read_notes(&mut self) -> Result<Vec<Note>> {
        self.reader.read_notes().await
    }
}
