//! How pauses are written into a store. Their version stands beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BoxError;
use crate::model::{Lifted, Pause, PauseScope, Pauses, Timestamp};

#[derive(Serialize, Deserialize)]
struct PausesDocument<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    all: Option<PauseDocument<'a>>,
    #[serde(borrow)]
    tags: BTreeMap<Cow<'a, str>, PauseDocument<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    lifted: Vec<LiftedDocument<'a>>,
}

#[derive(Serialize, Deserialize)]
struct LiftedDocument<'a> {
    /// None: of all firing.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    tag: Option<Cow<'a, str>>,
    until: i64,
    #[serde(borrow)]
    pause: PauseDocument<'a>,
}

#[derive(Serialize, Deserialize)]
struct PauseDocument<'a> {
    since: i64,
    #[serde(borrow)]
    by: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'a, str>>,
}

/// Writes what is paused.
pub fn write(pauses: &Pauses) -> String {
    fn written(pause: &Pause) -> PauseDocument<'_> {
        let note = pause.note.as_deref().map(Cow::Borrowed);
        PauseDocument { since: pause.since.millis(), by: (&*pause.by).into(), note }
    }
    let tags = pauses.tags.iter().map(|(tag, pause)| (Cow::Borrowed(&**tag), written(pause))).collect();
    let lifted = pauses.lifted.iter().map(|lifted| LiftedDocument {
        tag: lifted.tag().map(Cow::Borrowed),
        until: lifted.until.millis(),
        pause: written(&lifted.pause),
    });
    let document = PausesDocument { all: pauses.all.as_ref().map(written), tags, lifted: lifted.collect() };
    serde_json::to_string(&document).expect("strings and numbers can be written as JSON")
}

/// Reads what [`write()`] wrote.
pub fn read(version: u64, text: &str) -> Result<Pauses, BoxError> {
    fn pause(document: PauseDocument<'_>) -> Pause {
        let since = Timestamp::from_millis(document.since);
        Pause { since, by: document.by.into(), note: document.note.map(Into::into) }
    }
    let document: PausesDocument<'_> = serde_json::from_str(text)?;
    let tags = document.tags.into_iter().map(|(tag, paused)| (tag.into(), pause(paused))).collect();
    let lifted = document.lifted.into_iter().map(|LiftedDocument { tag, until, pause: lifted }| Lifted {
        scope: tag.map_or(PauseScope::All, |tag| PauseScope::Tag(tag.into())),
        pause: pause(lifted),
        until: Timestamp::from_millis(until),
    });
    Ok(Pauses { version, all: document.all.map(pause), tags, lifted: lifted.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_anything_else_is_an_error() {
        let pause = |note: Option<&str>| Pause {
            since: Timestamp::from_millis(-5),
            by: "\"é\n".into(),
            note: note.map(Into::into),
        };
        let tags = [("a\u{0}".into(), pause(Some(""))), ("b".into(), pause(None))].into();
        let all = [None, Some(pause(Some("why")))];

        for pauses in all.map(|all| Pauses { version: 7, all, tags: Clone::clone(&tags), lifted: Vec::new() }) {
            let [all, tag] = [PauseScope::All, PauseScope::Tag("b".into())];
            let until = Timestamp::from_millis(9);
            let lifted = pauses.without(&all, until).without(&tag, until);
            assert_eq!(read(lifted.version, &write(&lifted)).unwrap(), lifted);
            assert_eq!(read(7, &write(&pauses)).unwrap(), pauses);
        }
        assert!(read(1, "{}").is_err() && read(1, r#"{"tags":{"a":{"since":"now","by":""}}}"#).is_err());
    }
}
