//! A line of a spill file: a checksum, and the record as JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::model::{EntryName, Identity, Record, RecordId, RecordKind, Settled, Stretch, Timestamp};

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
    Some(Record {
        id: RecordId::parse(&line.id)?,
        identity: Identity::parse(&line.identity).ok()?,
        kind: RecordKind::parse(&line.kind)?,
        settled: match settled {
            Some(settled) => Some(settled?),
            None => None,
        },
        time: Timestamp::from_millis(line.time),
        source: line.source.into(),
    })
}
