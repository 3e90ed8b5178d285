//! A task as it was given, on its way to our service.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

/// One task as `/lists` or a file gave it.
pub(in crate::cli) struct Task<'a> {
    pub(in crate::cli) identity: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Task<'a> {
    pub(in crate::cli) fn parse(raw: &'a RawValue) -> serde_json::Result<Self> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())?;
        let identity = members.get("identity").map_or("\"\"", |raw| raw.get());
        Ok(Self { identity: serde_json::from_str(identity)?, members })
    }

    /// The body of its put, with a switch and a revision if they are given. Nothing else is left out or rewritten: what is odd is for the reader of `/put` to tell.
    pub(in crate::cli) fn to_put(&self, start: Option<bool>, revision: Option<u64>) -> Bytes {
        let switch = start.map(|on| to_raw_value(&on).expect("a switch can be written as JSON"));
        let revision = revision.map(|number| to_raw_value(&number).expect("a number can be written as JSON"));
        let mut members = self.members.clone();
        // One that stands in a file is that of another time or place.
        members.remove("revision");
        if let Some(revision) = &revision {
            members.insert("revision".to_owned(), revision);
        }
        if let Some(switch) = &switch {
            members.insert("start".to_owned(), switch);
        }
        serde_json::to_vec(&members).expect("JSON can be written again").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_passed_on_as_it_is_but_the_switch() {
        let given = r#"{"time_zone":"UTC","start":true,"identity":"a\u0026b","entries":{"e":{"body":1.50}},"odd":[ ],"revision":7}"#;
        let raw: &RawValue = serde_json::from_str(given).unwrap();

        let task = Task::parse(raw).unwrap();

        assert_eq!(task.identity, "a&b");
        let expected =
            r#"{"entries":{"e":{"body":1.50}},"identity":"a\u0026b","odd":[ ],"start":false,"time_zone":"UTC"}"#;
        assert_eq!(task.to_put(Some(false), None), expected);
        let conditional = expected.replace(r#""start":false"#, r#""revision":3,"start":true"#);
        assert_eq!(task.to_put(None, Some(3)), conditional);
        assert_eq!(task.to_put(None, None), expected.replace("false", "true"));
    }
}
