//! `schedule-service next`: what an expression says, and when it fires.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use crate::model::cron::CronExpr;
use crate::model::{TimeZone, Timestamp};

/// How many instants can be asked for.
const COUNT_MAX: u32 = 10_000;
/// The longest line of a batch, in bytes. A longer one is answered with an error.
const LINE_MAX: u64 = 64 * 1024;
/// How far ahead days with a change of the clocks are looked for.
const REMARKS_AHEAD: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 60 * 60);

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct NextArgs {
    /// The expression, for example "0 30 2 * * MON-FRI"
    #[arg(value_name = "EXPR", required_unless_present = "batch")]
    expr: Option<String>,
    /// The zone it is read in
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: TimeZone,
    /// Only instants later than this (RFC 3339) [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = super::instant)]
    after: Option<Timestamp>,
    /// How many instants
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: u32,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Read lines {"expr","zone","after","count"} from standard input, write {"next":[…]} or {"error":…} for each
    #[arg(long, conflicts_with_all = ["expr", "json"])]
    batch: bool,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::parse(name).map_err(|error| error.to_string())
}

/// Exit code 1 when the expression cannot be read.
pub(super) fn run(
    args: &NextArgs,
    now: Timestamp,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    if args.batch {
        batch(now, input, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = args.expr.as_deref().unwrap_or_default();
    let expr = CronExpr::parse(text).map_err(|error| anyhow::anyhow!("`{}` {error}", text.escape_debug()))?;
    let after = args.after.unwrap_or(now);
    let preview = Preview::new(text, &expr, args.zone, after, args.count);
    if args.json {
        serde_json::to_writer(&mut *output, &preview)?;
        writeln!(output)?;
    } else {
        preview.write(output)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Preview<'a> {
    expr: &'a str,
    zone: &'static str,
    after: String,
    description: String,
    next: Vec<String>,
    remarks: Vec<String>,
    #[serde(skip)]
    weekdays: Vec<String>,
}

impl<'a> Preview<'a> {
    fn new(text: &'a str, expr: &CronExpr, zone: TimeZone, after: Timestamp, count: u32) -> Self {
        let effective = expr.zone().unwrap_or(zone);
        let instants = instants(expr, zone, after, count);
        Self {
            expr: text,
            zone: effective.name(),
            after: after.rfc3339_in(zone),
            description: expr.describe(),
            // In the zone that was asked for, as a task shows its dates; a prefix only says how the fields are read.
            next: instants.iter().map(|instant| instant.rfc3339_in(zone)).collect(),
            remarks: expr.dst_remarks(zone, after, after.plus(REMARKS_AHEAD)),
            weekdays: instants.iter().map(|&instant| weekday(instant, zone)).collect(),
        }
    }

    fn write(&self, output: &mut impl Write) -> std::io::Result<()> {
        writeln!(output, "{}, in {}", self.description, self.zone)?;
        for (instant, weekday) in self.next.iter().zip(&self.weekdays) {
            writeln!(output, "  {instant}  {weekday}")?;
        }
        if self.next.is_empty() {
            writeln!(output, "  never again")?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(output, "{remark}"))
    }
}

fn instants(expr: &CronExpr, zone: TimeZone, after: Timestamp, count: u32) -> Vec<Timestamp> {
    let ticks = expr.ticks(zone, after);
    std::iter::successors(ticks.next(after), |&last| ticks.next(last)).take(count as usize).collect()
}

fn weekday(instant: Timestamp, zone: TimeZone) -> String {
    let date = DateTime::<Utc>::from_timestamp_millis(instant.millis());
    date.map(|date| date.with_timezone(&zone.tz()).weekday().to_string()).unwrap_or_default()
}

#[derive(Deserialize)]
struct Question {
    expr: String,
    zone: Option<String>,
    after: Option<String>,
    count: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Next(Vec<String>),
    Error(String),
}

fn batch(now: Timestamp, input: &mut impl BufRead, output: &mut impl Write) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while read_line(input, &mut line)? {
        let answer = answer(&line, now).map_or_else(Answer::Error, Answer::Next);
        serde_json::to_writer(&mut *output, &answer)?;
        writeln!(output)?;
    }
    Ok(())
}

/// Reads a line without its end, as far as [`LINE_MAX`]; what is longer is read over.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    if std::io::Read::take(&mut *input, LINE_MAX + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > LINE_MAX {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}

fn answer(line: &[u8], now: Timestamp) -> Result<Vec<String>, String> {
    if line.len() as u64 > LINE_MAX {
        return Err(format!("the line is longer than {LINE_MAX} bytes"));
    }
    let question: Question = serde_json::from_slice(line).map_err(|error| {
        format!("the line is not understood ({error}), expected {{\"expr\",\"zone\",\"after\",\"count\"}}")
    })?;
    let zone = zone(question.zone.as_deref().unwrap_or("UTC"))?;
    let after =
        question.after.as_deref().map_or(Ok(now), |text| super::instant(text).map_err(|why| format!("after {why}")))?;
    let count = question.count.unwrap_or(5);
    if count > COUNT_MAX {
        return Err(format!("count is {count}, expected at most {COUNT_MAX}"));
    }
    let expr = CronExpr::parse(&question.expr).map_err(|error| error.to_string())?;
    Ok(instants(&expr, zone, after, count).into_iter().map(|instant| instant.rfc3339_in(zone)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(lines: &str) -> String {
        let (mut input, mut output) = (lines.as_bytes(), Vec::new());
        batch(Timestamp::EPOCH, &mut input, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_batch_answers_each_line_with_instants_or_an_error() {
        let lines = concat!(
            r#"{"expr":"0 0 12 * * *","zone":"Asia/Tokyo","after":"2026-01-01T00:00:00Z","count":1}"#,
            "\nrubbish\n",
            r#"{"expr":"* * *","count":1}"#,
            "\n",
            r#"{"expr":"@hourly","count":1}"#,
        );

        let answers = answers(lines);

        let lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines[0], r#"{"next":["2026-01-01T12:00:00+09:00"]}"#);
        assert!(lines[1].starts_with(r#"{"error":"the line is not understood"#), "{}", lines[1]);
        assert!(lines[2].starts_with(r#"{"error":"has 3 fields"#), "{}", lines[2]);
        assert_eq!(lines[3], r#"{"next":["1970-01-01T01:00:00Z"]}"#);
    }

    #[test]
    fn a_line_that_is_too_long_is_answered_and_the_next_one_is_read() {
        let long = format!("\"{}\"\n{}\n", "x".repeat(200_000), r#"{"expr":"@hourly","count":1}"#);

        let answers = answers(&long);

        let lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], r#"{"error":"the line is longer than 65536 bytes"}"#);
    }

    #[test]
    fn a_preview_tells_the_rule_the_instants_and_the_days_of_change() {
        let expr = CronExpr::parse("0 30 2 * * *").unwrap();
        let zone = TimeZone::parse("Europe/Berlin").unwrap();
        let after = Timestamp::parse_rfc3339("2026-03-28T12:00:00Z").unwrap();
        let mut output = Vec::new();

        Preview::new("0 30 2 * * *", &expr, zone, after, 1).write(&mut output).unwrap();

        let expected = "at 02:30:00, in Europe/Berlin\n  2026-03-29T03:00:00+02:00  Sun\n\
            2026-03-29: 02:30:00 does not exist in Europe/Berlin, fires at 03:00:00 instead\n\
            2026-10-25: 02:30:00 comes twice in Europe/Berlin, fires the first time only\n\
            2027-03-28: 02:30:00 does not exist in Europe/Berlin, fires at 03:00:00 instead\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
