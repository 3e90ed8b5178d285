//! `schedule-service verify`: holds a past range of instants against the history.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::UsageError;
use crate::catalog::verify::{Finding, Range, Verdict, verify};
use crate::clock::SystemClock;
use crate::config::NodeSettings;
use crate::model::{RecordKind, Timestamp};
use crate::store::elastic::Elastic;
use crate::store::embedded::Embedded;
use crate::store::{Store, StoreError};

/// What to verify.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// First instant of the range (RFC 3339, for example 2026-03-29T00:00:00Z)
    #[arg(long, value_name = "INSTANT", value_parser = super::instant)]
    from: Timestamp,
    /// Last instant of the range [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = super::instant)]
    to: Option<Timestamp>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Only what is missing, doubled or otherwise wrong, and the summary
    #[arg(long)]
    problems: bool,
}

/// Lists every instant of the range with its outcome. Exit code 1 when one has none, more than one, or is unnamed.
pub(super) fn run(
    args: &VerifyArgs,
    settings: &NodeSettings,
    now: Timestamp,
    output: &mut (impl Write + Send),
) -> anyhow::Result<ExitCode> {
    let range = Range { from: args.from, to: args.to.unwrap_or(now) };
    if range.to < range.from {
        return Err(UsageError(format!("--to {} is before --from {}", range.to, range.from)).into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = Report { args, output, counts: BTreeMap::new(), broken: 0, failed: None };
    runtime.block_on(async {
        let store = open_read_only(settings).await.context("cannot open the store")?;
        verify(store.as_ref(), range, &mut |finding| report.tell(&finding)).await?;
        anyhow::Ok(())
    })?;
    report.end(range)
}

/// The store that the configuration names, beside a service that may use it.
async fn open_read_only(settings: &NodeSettings) -> Result<Box<dyn Store>, StoreError> {
    Ok(match &settings.elasticsearch {
        Some(cluster) => Box::new(Elastic::open_read_only(cluster, Arc::new(SystemClock)).await?),
        None => Box::new(Embedded::open_read_only(&settings.store.path)?),
    })
}

struct Report<'a, W> {
    args: &'a VerifyArgs,
    output: &'a mut W,
    counts: BTreeMap<&'static str, u64>,
    broken: u64,
    failed: Option<std::io::Error>,
}

#[derive(Serialize)]
struct Line<'a> {
    identity: &'a str,
    entry: &'a str,
    first: String,
    last: String,
    count: u64,
    verdict: &'static str,
}

#[derive(Serialize)]
struct Summary<'a> {
    from: String,
    to: String,
    ok: bool,
    instants: &'a BTreeMap<&'static str, u64>,
}

impl<W: Write> Report<'_, W> {
    fn tell(&mut self, finding: &Finding) {
        *self.counts.entry(word(finding.verdict)).or_default() += finding.count;
        let is_broken = finding.verdict.is_broken();
        self.broken += u64::from(is_broken);
        if (is_broken || !self.args.problems) && self.failed.is_none() {
            self.failed = self.write(finding).err();
        }
    }

    fn write(&mut self, finding: &Finding) -> std::io::Result<()> {
        let (identity, entry) = (finding.identity.as_str(), finding.entry.as_str());
        let (first, last) = (finding.first.to_string(), finding.last.to_string());
        let (count, verdict) = (finding.count, word(finding.verdict));
        if self.args.json {
            let line = Line { identity, entry, first, last, count, verdict };
            serde_json::to_writer(&mut *self.output, &line)?;
            return writeln!(self.output);
        }
        let when = if finding.first == finding.last { first } else { format!("{first} to {last} ({count} instants)") };
        let verdict = if finding.verdict.is_broken() { verdict.to_uppercase() } else { verdict.to_owned() };
        writeln!(self.output, "{when}  {verdict:<8}  {identity:?} {entry:?}")
    }

    fn end(mut self, range: Range) -> anyhow::Result<ExitCode> {
        if self.failed.is_none() {
            self.failed = self.summarize(range).err();
        }
        match self.failed {
            // The reader has seen enough: the verdict counts all the same.
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write"),
            Some(_) | None => Ok(if self.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        }
    }

    fn summarize(&mut self, range: Range) -> std::io::Result<()> {
        let (from, to, ok) = (range.from.to_string(), range.to.to_string(), self.broken == 0);
        if self.args.json {
            serde_json::to_writer(&mut *self.output, &Summary { from, to, ok, instants: &self.counts })?;
            return writeln!(self.output);
        }
        let counts: Vec<String> = self.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let counts = if counts.is_empty() { "no instants".to_owned() } else { counts.join(", ") };
        let verdict =
            if ok { "every instant has exactly one outcome" } else { "NOT every instant has exactly one outcome" };
        writeln!(self.output, "{from} to {to}: {counts}; {verdict}")
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Settled(kind) => RecordKind::as_str(kind),
        Verdict::Open => "open",
        Verdict::Missing => "missing",
        Verdict::Doubled => "doubled",
        Verdict::Unnamed(_) => "unnamed",
        Verdict::Miscounted(_) => "miscounted",
    }
}
