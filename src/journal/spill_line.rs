//! A line of a spill file: a checksum, and the record as JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::model::{EntryName, Record, RecordId, RecordKind, RunState, Settled, Stretch, Timestamp};

/// How long the checksum of a line is, in hexadecimal digits, with the blank behind it.
const CHECKSUM_LEN: usize = 17;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: String,
    identity: Cow<'a, str>,
    kind: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stretch: Option<(i64, i64, u64)>,
    /// Entry, phase, and whether it is a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<(Option<Cow<'a, str>>, u32, bool)>,
    time: i64,
    source: Cow<'a, str>,
}

/// Writes a record as a line.
pub(super) fn write_line(lines: &mut Vec<u8>, record: &Record) {
    let line = Line {
        id: record.id.to_string(),
        identity: record.identity.as_str().into(),
        kind: record.kind.as_str().into(),
        entry: record.settled.as_ref().map(|settled| settled.entry.as_str().into()),
        stretch: record.settled.as_ref().map(|settled| {
            let Stretch { first, last, count } = settled.stretch;
            (first.millis(), last.millis(), count)
        }),
        run: record.run.as_ref().map(|RunState { entry, phase, is_dead_letter }| {
            (entry.as_ref().map(|entry| entry.as_str().into()), *phase, *is_dead_letter)
        }),
        time: record.time.millis(),
        source: (&*record.source).into(),
    };
    let json = serde_json::to_vec(&line).expect("a record can be written as JSON");
    lines.extend_from_slice(format!("{:016x} ", xxh64(&json, 0)).as_bytes());
    lines.extend_from_slice(&json);
    lines.push(b'\n');
}

/// Reads a line; `None`: it is not as it was written.
pub(super) fn read_line(line: &[u8]) -> Option<Record> {
    let (checksum, json) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM_LEN)?;
    let checksum = u64::from_str_radix(std::str::from_utf8(checksum).ok()?.trim_end(), 16).ok()?;
    if checksum != xxh64(json, 0) {
        return None;
    }
    let line: Line<'_> = serde_json::from_slice(json).ok()?;
    let settled = line.entry.zip(line.stretch).map(|(entry, (first, last, count))| {
        let stretch = Stretch { first: Timestamp::from_millis(first), last: Timestamp::from_millis(last), count };
        Some(Settled { entry: EntryName::parse(&entry).ok()?, stretch })
    });
    let run = match line.run {
        Some((entry, phase, is_dead_letter)) => {
            let entry = entry.map(|entry| EntryName::parse(&entry)).transpose().ok()?;
            Some(RunState { entry, phase, is_dead_letter })
        }
        None => None,
    };
    let kind = RecordKind::parse(&line.kind)?;
    Some(Record {
        id: RecordId::parse(&line.id)?,
        identity: Record::identity_of(kind, &line.identity).ok()?,
        kind,
        settled: match settled {
            Some(settled) => Some(settled?),
            None => None,
        },
        run,
        time: Timestamp::from_millis(line.time),
        source: line.source.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Identity, RunId};

    fn back(record: &Record) -> Option<Record> {
        let mut line = Vec::new();
        write_line(&mut line, record);
        read_line(&line)
    }

    #[test]
    fn every_part_of_a_record_comes_back() {
        let entry = EntryName::parse("e \"é\"\n").unwrap();
        let instant = Timestamp::from_millis(1_800_000_000_123);
        let settled = Settled { entry: entry.clone(), stretch: Stretch { first: instant, last: instant, count: 1 } };
        let record = Record {
            id: RunId::asked(instant).into(),
            identity: Identity::parse("t\u{0}").unwrap(),
            kind: RecordKind::Started,
            settled: None,
            run: Some(RunState { entry: Some(entry.clone()), phase: 7, is_dead_letter: false }),
            time: instant,
            source: "{\"a\":\n1}".into(),
        };
        let dead = Some(RunState { is_dead_letter: true, ..RunState::ended(entry) });
        let planned = Record { kind: RecordKind::Error, settled: Some(settled), run: dead, ..record.clone() };
        let change = Record { kind: RecordKind::Put, run: None, ..record.clone() };
        let callback = RunState { entry: None, phase: 1, is_dead_letter: false };
        let callback = Record { run: Some(callback), settled: None, ..record.clone() };

        for record in [record, planned, change, callback] {
            assert_eq!(back(&record), Some(record));
        }
    }

    #[test]
    fn a_line_that_says_nothing_of_runs_is_read() {
        let json = r#"{"id":"00000000-0000-0000-0000-000000000001","identity":"t","kind":"success","entry":"e","stretch":[1,1,1],"time":2,"source":"{}"}"#;
        let line = format!("{:016x} {json}\n", xxh64(json.as_bytes(), 0));

        let record = read_line(line.as_bytes()).unwrap();

        assert_eq!((record.run, record.settled.map(|it| it.stretch.count)), (None, Some(1)));
    }
}
