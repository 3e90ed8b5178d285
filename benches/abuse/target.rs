//! The recording target in a process of its own, so that it notes when requests came and not when this program had time.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use super::recording;

/// Serves until its standard input ends, which it does with the process that started it.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    tokio::select! { () = recording::serve(listener) => {}, _ = ended => {} }
    // What waits for the standard input in another thread would hold this up.
    std::process::exit(0)
}

/// A running target.
pub(crate) struct Target {
    /// Address and port.
    pub(crate) address: String,
    child: Child,
}

impl Target {
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child =
            command.arg("target").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the target")?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut address)?;
        Ok(Self { address: address.trim().to_owned(), child })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It ends by itself when its input does; this only hurries.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
