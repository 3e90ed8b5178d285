//! Counts and checksums of what a store holds: the same for the same things, in whatever order and store they stand.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::transfer::{Items, Mark, ResultPiece, StoredRevision};
use super::{RegisterName, Registered, document, pause_document};
use crate::model::{EntryName, Lease, Pauses, Record, Timestamp};

/// What a store may have to write otherwise: what clients and targets brought, and the reason.
const ADAPTABLE: [&str; 7] = ["header", "body", "response", "before", "after", "parked", "parked_source"];
/// In how many sums the whole documents of records are added up: 8 MiB of memory.
const SUMS: usize = 1 << 20;

/// A count and a checksum. Checksums are added, so that no order matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The sum of the items' checksums.
    pub checksum: u64,
}

impl Tally {
    /// Counts items in. Of a record everything counts but what a store may have to write otherwise.
    pub fn add(&mut self, items: &Items) {
        match items {
            Items::Revisions(items) => items.iter().for_each(|item| self.add_one(of_revision(item))),
            Items::Marks(items) => items.iter().for_each(|item| self.add_one(of_mark(item))),
            Items::Records(items) => items.iter().for_each(|item| self.add_one(of_record(item))),
            Items::Results(items) => items.iter().for_each(|item| self.add_one(of_piece(item))),
            Items::Pauses(items) => items.iter().for_each(|item| self.add_one(of_pauses(item))),
            Items::Registers(items) => items.iter().for_each(|(name, stands)| self.add_one(of_register(*name, stands))),
            Items::Leases(items) => items.iter().for_each(|item| self.add_one(of_lease(item))),
        }
    }

    fn add_one(&mut self, checksum: u64) {
        self.count += 1;
        self.checksum = self.checksum.wrapping_add(checksum);
    }
}

/// Counts the records that stand in two stores with different documents.
pub struct Adapted {
    sums: Vec<u64>,
}

impl Default for Adapted {
    fn default() -> Self {
        Self { sums: vec![0; SUMS] }
    }
}

impl Adapted {
    /// Takes in what one store holds.
    pub fn add(&mut self, items: &Items) {
        self.each(items, u64::wrapping_add);
    }

    /// Takes out what the other holds.
    pub fn subtract(&mut self, items: &Items) {
        self.each(items, u64::wrapping_sub);
    }

    fn each(&mut self, items: &Items, change: impl Fn(u64, u64) -> u64) {
        let Items::Records(records) = items else { return };
        for record in records {
            let name = xxh64(record.id.as_bytes(), 0);
            let sum = &mut self.sums[name as usize % SUMS];
            *sum = change(*sum, of_text(&record.source, name));
        }
    }

    /// How many differ; two that share one of the sums count as one. It means something only where both stores hold the
    /// same records.
    pub fn count(&self) -> u64 {
        self.sums.iter().filter(|sum| **sum != 0).count() as u64
    }
}

/// Fields one after the other, each with its length, so that no two sequences run into the same bytes.
#[derive(Default)]
struct Fields(Xxh64);

impl Fields {
    fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    fn instant(self, instant: Timestamp) -> Self {
        self.number(instant.millis().cast_unsigned())
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn optional(self, text: Option<&str>) -> Self {
        self.number(u64::from(text.is_some())).text(text.unwrap_or_default())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn end(self) -> u64 {
        self.0.digest()
    }
}

fn of_revision(StoredRevision { revision, is_newest }: &StoredRevision) -> u64 {
    let until = revision.in_force_until;
    Fields::default()
        .text(revision.task.identity.as_str())
        .number(revision.number)
        .number(u64::from(revision.enabled))
        .number(u64::from(*is_newest))
        .instant(revision.put_at)
        .instant(revision.in_force_from)
        .number(u64::from(until.is_some()))
        .instant(until.unwrap_or_default())
        .text(&document::write(&revision.task))
        .optional(revision.by.as_deref())
        .optional(revision.note.as_deref())
        .end()
}

/// Whether records wait to be deleted is not of the mark but of the store.
fn of_mark(mark: &Mark) -> u64 {
    let identity = mark.identity.as_ref().map_or("", |identity| identity.as_str());
    Fields::default().text(identity).instant(mark.through).end()
}

fn of_piece(piece: &ResultPiece) -> u64 {
    Fields::default().text(&piece.run.to_string()).number(piece.number.into()).bytes(&piece.bytes).end()
}

fn of_pauses(pauses: &Pauses) -> u64 {
    Fields::default().number(pauses.version).text(&pause_document::write(pauses)).end()
}

fn of_register(name: RegisterName, stands: &Registered) -> u64 {
    Fields::default().text(name.as_str()).number(stands.version).text(&stands.text).end()
}

fn of_lease(lease: &Lease) -> u64 {
    Fields::default()
        .number(lease.shard.index() as u64)
        .number(lease.epoch.0)
        .instant(lease.claimed_through)
        .instant(lease.settled_through)
        .end()
}

fn of_record(record: &Record) -> u64 {
    let fields = Fields::default()
        .text(&record.id.to_string())
        .text(record.identity.as_str())
        .text(record.kind.as_str())
        .instant(record.time);
    let fields = match &record.settled {
        Some(settled) => fields
            .text(settled.entry.as_str())
            .instant(settled.stretch.first)
            .instant(settled.stretch.last)
            .number(settled.stretch.count),
        None => fields,
    };
    let fields = match &record.run {
        Some(run) => fields
            .text(run.entry.as_ref().map_or("", EntryName::as_str))
            .number(run.phase.into())
            .number(u64::from(run.is_dead_letter)),
        None => fields,
    };
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(&record.source).unwrap_or_default();
    let ours = members.iter().filter(|(name, _)| !ADAPTABLE.contains(&&***name));
    ours.fold(fields, |fields, (name, value)| fields.text(name).number(of_text(value.get(), 0))).end()
}

/// A JSON text. Between tokens a line break is as good as a space, and some stores write it so; within a string there is none.
fn of_text(text: &str, seed: u64) -> u64 {
    let is_break = |byte: u8| matches!(byte, b'\n' | b'\r');
    if !text.bytes().any(is_break) {
        return xxh64(text.as_bytes(), seed);
    }
    let line: Vec<u8> = text.bytes().map(|byte| if is_break(byte) { b' ' } else { byte }).collect();
    xxh64(&line, seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RecordId, RecordKind};

    fn records(sources: &[&str]) -> Items {
        let record = |(number, source): (usize, &&str)| Record {
            id: RecordId::from_bytes([u8::try_from(number).unwrap(); 16]),
            identity: crate::model::Identity::parse("t").unwrap(),
            kind: RecordKind::Success,
            settled: None,
            run: None,
            time: Timestamp::from_millis(7),
            source: (*source).into(),
        };
        Items::Records(sources.iter().enumerate().map(record).collect())
    }

    fn tally(items: &Items) -> Tally {
        let mut tally = Tally::default();
        tally.add(items);
        tally
    }

    fn adapted(one: &Items, other: &Items) -> u64 {
        let mut adapted = Adapted::default();
        adapted.add(one);
        adapted.subtract(other);
        adapted.count()
    }

    #[test]
    fn no_order_and_no_line_break_between_tokens_makes_a_difference() {
        let one = records(&["{\"url\":\"a\",\"body\":[1,\n2]}", "{\"url\":\"b\"}"]);
        let mut other = records(&["{\"url\":\"a\",\"body\":[1, 2]}", "{\"url\":\"b\"}"]);
        if let Items::Records(records) = &mut other {
            records.reverse();
        }

        assert_eq!(tally(&one), tally(&other));
        assert_eq!((tally(&one).count, adapted(&one, &other)), (2, 0));
    }

    #[test]
    fn what_others_brought_may_be_adapted_and_what_is_ours_may_not() {
        let given = records(&[r#"{"url":"a","body":{"x":1,"x":2},"status":200}"#, r#"{"url":"b"}"#]);
        let as_text = records(&[r#"{"body":"{\"x\":1,\"x\":2}","status":200,"url":"a"}"#, r#"{"url":"b"}"#]);
        let parked = records(&[r#"{"status":200,"url":"a","parked":"why","parked_source":"{}"}"#, r#"{"url":"b"}"#]);
        let wrong = records(&[r#"{"body":"{\"x\":1,\"x\":2}","status":500,"url":"a"}"#, r#"{"url":"b"}"#]);

        assert_eq!((tally(&as_text), adapted(&given, &as_text)), (tally(&given), 1));
        assert_eq!((tally(&parked), adapted(&given, &parked)), (tally(&given), 1));
        assert_ne!(tally(&wrong), tally(&given));
    }
}
