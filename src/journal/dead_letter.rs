//! Dead letters that somebody has dealt with: the record stays, and says what was done.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::documents::json;
use crate::model::{Record, RunId, RunState};

/// What was done about a run that had failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy<'a> {
    /// It was run again, under this name.
    RerunAs(RunId),
    /// It was taken off the list, by somebody.
    DiscardedBy(&'a str),
}

/// The record of a dead letter, as it stands when somebody has dealt with it. `None`: it is none, or cannot be read.
pub fn dealt_with(record: &Record, remedy: Remedy<'_>) -> Option<Record> {
    let run = record.run.as_ref().filter(|_| record.is_dead_letter())?;
    let (name, value) = match remedy {
        Remedy::RerunAs(run_id) => ("rerun_as", to_raw_value(&run_id.to_string()).ok()?),
        Remedy::DiscardedBy(by) => ("discarded_by", to_raw_value(by).ok()?),
    };
    let mut members: Members<'_> = serde_json::from_str(&record.source).ok()?;
    members.0.retain(|(known, _)| known != "dead_letter" && known != name);
    members.0.push((name.to_owned(), &value));
    let run = RunState { phase: run.phase + 1, is_dead_letter: false, ..run.clone() };
    Some(Record { source: json(&members), run: Some(run), ..record.clone() })
}

/// The record of a dead letter, as it stands when nothing was done about it after all: it takes the place of what
/// [`dealt_with`] made of it, if that was written. `None`: it is no dead letter.
pub fn put_back(letter: &Record) -> Option<Record> {
    let run = letter.run.as_ref().filter(|_| letter.is_dead_letter())?;
    Some(Record { run: Some(RunState { phase: run.phase + 2, ..run.clone() }), ..letter.clone() })
}

/// The members of an object, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryName, Identity, RecordKind, Timestamp};

    fn dead_letter() -> Record {
        let (identity, entry) = (Identity::parse("t").unwrap(), EntryName::parse("e").unwrap());
        let source = r#"{"type":"error","body":{"dead_letter":true},"dead_letter":true,"message":["503"]}"#.into();
        Record {
            id: RunId::planned(&identity, &entry, Timestamp::EPOCH).into(),
            identity,
            kind: RecordKind::Error,
            settled: None,
            run: Some(RunState { is_dead_letter: true, ..RunState::ended(entry) }),
            time: Timestamp::EPOCH,
            source,
        }
    }

    #[test]
    fn it_says_what_was_done_and_is_no_dead_letter_any_more() {
        let run_id = RunId::asked(Timestamp::EPOCH);

        let again = dealt_with(&dead_letter(), Remedy::RerunAs(run_id)).unwrap();
        let discarded = dealt_with(&dead_letter(), Remedy::DiscardedBy("ada")).unwrap();

        let rest = r#"{"type":"error","body":{"dead_letter":true},"message":["503"],"#;
        assert_eq!(&*again.source, format!(r#"{rest}"rerun_as":"{run_id}"}}"#));
        assert_eq!(&*discarded.source, format!(r#"{rest}"discarded_by":"ada"}}"#));
        for record in [again, discarded] {
            let run = record.run.clone().unwrap();
            assert!(run.phase > RunState::ENDED && !run.is_dead_letter);
            assert_eq!(dealt_with(&record, Remedy::DiscardedBy("bob")), None);
        }
    }

    #[test]
    fn what_is_put_back_is_the_letter_as_it_was_and_later_than_what_was_done() {
        let again = dealt_with(&dead_letter(), Remedy::RerunAs(RunId::asked(Timestamp::EPOCH))).unwrap();

        let back = put_back(&dead_letter()).unwrap();

        assert!(back.is_dead_letter() && back.phase() > again.phase());
        assert_eq!(back.source, dead_letter().source);
        assert_eq!(put_back(&again), None);
    }
}
