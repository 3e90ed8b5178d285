//! What became of each task, counted and told.

use std::io::Write;

use serde::Serialize;

/// What became of one task.
pub(super) struct Outcome {
    pub(super) identity: String,
    pub(super) fate: Fate,
    pub(super) warnings: Vec<String>,
}

pub(super) enum Fate {
    /// The dry run found nothing to refuse.
    Acceptable,
    /// Put, and read back the same.
    Verified,
    /// Put, but not seen to be the same.
    Differs(String),
    /// The service does not take it as it is.
    Refused(String),
    /// The old service does not give it.
    Unreadable(String),
    /// Where the tasks come from, it is not, or no longer.
    Gone,
}

/// The report. With `--format json` it is written as it stands here.
#[derive(Serialize)]
pub(super) struct Report {
    from: String,
    to: String,
    dry_run: bool,
    ok: bool,
    /// How many tasks there are to take.
    pub(super) found: usize,
    taken: usize,
    verified: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptable: Option<usize>,
    refused: Vec<Reason>,
    failed: Vec<Reason>,
    gone: Vec<String>,
    /// Those that the import did not come to.
    left: usize,
    warnings: Vec<Warned>,
    /// Why the import ended before its time.
    stopped: Option<String>,
    /// Why a task is gone.
    #[serde(skip)]
    why_gone: &'static str,
}

#[derive(Serialize)]
struct Reason {
    identity: String,
    reason: String,
}

#[derive(Serialize)]
struct Warned {
    identity: String,
    warnings: Vec<String>,
}

impl Report {
    pub(super) fn new((from, why_gone): (String, &'static str), to: String, dry_run: bool) -> Self {
        Self {
            from,
            to,
            dry_run,
            ok: false,
            found: 0,
            taken: 0,
            verified: 0,
            acceptable: dry_run.then_some(0),
            refused: Vec::new(),
            failed: Vec::new(),
            gone: Vec::new(),
            left: 0,
            warnings: Vec::new(),
            stopped: None,
            why_gone,
        }
    }

    pub(super) fn note(&mut self, Outcome { identity, fate, warnings }: Outcome) {
        if !warnings.is_empty() {
            self.warnings.push(Warned { identity: identity.clone(), warnings });
        }
        match fate {
            Fate::Acceptable => self.acceptable = self.acceptable.map(|count| count + 1),
            Fate::Verified => {
                self.taken += 1;
                self.verified += 1;
            }
            Fate::Differs(reason) => {
                self.taken += 1;
                self.failed.push(Reason { identity, reason });
            }
            Fate::Refused(reason) => self.refused.push(Reason { identity, reason }),
            Fate::Unreadable(reason) => self.failed.push(Reason { identity, reason }),
            Fate::Gone => self.gone.push(identity),
        }
    }

    /// Says how it ended. `true` when every task that was found was taken and verified, or would be taken.
    pub(super) fn end(&mut self, stopped: Option<String>) -> bool {
        let done = self.acceptable.unwrap_or(self.verified);
        self.left = self.found.saturating_sub(done + self.refused.len() + self.failed.len() + self.gone.len());
        self.ok = stopped.is_none() && done == self.found;
        self.stopped = stopped;
        // They came in the order in which the service answered.
        self.refused.sort_by(|a, b| a.identity.cmp(&b.identity));
        self.failed.sort_by(|a, b| a.identity.cmp(&b.identity));
        self.warnings.sort_by(|a, b| a.identity.cmp(&b.identity));
        self.ok
    }

    pub(super) fn write_json(&self, output: &mut impl Write) -> std::io::Result<()> {
        serde_json::to_writer(&mut *output, self)?;
        writeln!(output)
    }

    pub(super) fn write_text(&self, output: &mut impl Write) -> std::io::Result<()> {
        for Warned { identity, warnings } in &self.warnings {
            lines(output, "warning", identity, warnings.iter().map(String::as_str))?;
        }
        for Reason { identity, reason } in &self.refused {
            lines(output, "refused", identity, reason.lines())?;
        }
        for Reason { identity, reason } in &self.failed {
            lines(output, "failed ", identity, reason.lines())?;
        }
        for identity in &self.gone {
            lines(output, "gone   ", identity, [self.why_gone])?;
        }
        let done = match self.acceptable {
            Some(acceptable) => format!("dry run, nothing was put: {acceptable} would be taken"),
            None => format!("{} taken, {} verified", self.taken, self.verified),
        };
        let (refused, failed, gone) = (self.refused.len(), self.failed.len(), self.gone.len());
        let left = if self.left == 0 { String::new() } else { format!(", {} not come to", self.left) };
        let (from, to, found) = (&self.from, &self.to, self.found);
        writeln!(output, "{from} to {to}, of {found}: {done}, {refused} refused, {failed} failed, {gone} gone{left}")
    }
}

/// A task and what is to be said of it, in lines that nothing in them can break.
fn lines<'a>(
    output: &mut impl Write,
    word: &str,
    identity: &str,
    texts: impl IntoIterator<Item = &'a str>,
) -> std::io::Result<()> {
    writeln!(output, "{word}  {identity:?}")?;
    for text in texts {
        let shown: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        writeln!(output, "           {shown}")?;
    }
    Ok(())
}
