//! A task in the words of the old service, on its way to ours.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

/// One task as `/lists` gave it.
pub(super) struct Task<'a> {
    pub(super) identity: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Task<'a> {
    pub(super) fn parse(raw: &'a RawValue) -> serde_json::Result<Self> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())?;
        let identity = members.get("identity").map_or("\"\"", |raw| raw.get());
        Ok(Self { identity: serde_json::from_str(identity)?, members })
    }

    /// The body of its put. Nothing is left out or rewritten: what is odd is for the reader of `/put` to tell.
    pub(super) fn to_put(&self, start: Option<bool>) -> Bytes {
        let switch = start.map(|on| to_raw_value(&on).expect("a switch can be written as JSON"));
        let mut members = self.members.clone();
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
        let given = r#"{"time_zone":"UTC","start":true,"identity":"a\u0026b","entries":{"e":{"body":1.50}},"odd":[ ]}"#;
        let raw: &RawValue = serde_json::from_str(given).unwrap();

        let task = Task::parse(raw).unwrap();

        assert_eq!(task.identity, "a&b");
        let expected =
            r#"{"entries":{"e":{"body":1.50}},"identity":"a\u0026b","odd":[ ],"start":false,"time_zone":"UTC"}"#;
        assert_eq!(task.to_put(Some(false)), expected);
        assert_eq!(task.to_put(None), expected.replace("false", "true"));
    }
}
