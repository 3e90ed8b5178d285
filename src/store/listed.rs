//! What a listing of runs leaves out of their documents: a page must not be as large as all the bodies of its runs.

use serde::Serializer;
use serde_json::value::RawValue;

use crate::model::Record;
use crate::model::object::{Mistakes, Object};

/// What may be large, and what no listing shows. The last is where Elasticsearch did not take a document as it was.
pub(super) const LEFT_OUT: [&str; 4] = ["header", "body", "response", "parked_source"];

/// A record as a listing gives it.
pub(super) fn listed(record: Record) -> Record {
    let source = without(&record.source);
    Record { source: source.unwrap_or(record.source), ..record }
}

/// The same document without them; `None`: it has none, or cannot be read.
fn without(source: &str) -> Option<Box<str>> {
    let raw: &RawValue = serde_json::from_str(source).ok()?;
    let mut members = Object::read(raw, String::new(), &mut Mistakes::default())?.into_members();
    let count = members.len();
    members.retain(|(key, _)| !LEFT_OUT.contains(&key.as_str()));
    if members.len() == count {
        return None;
    }
    let mut text = Vec::new();
    serde_json::Serializer::new(&mut text).collect_map(members).ok()?;
    String::from_utf8(text).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_document_stays_as_it_was() {
        let source =
            r#"{"type":"error","header":{"a":"b"},"body":{"body":1},"n":1.50,"response":null,"message":["body"]}"#;

        assert_eq!(without(source).as_deref(), Some(r#"{"type":"error","n":1.50,"message":["body"]}"#));
        assert_eq!(without(r#"{"type":"error", "message":[]}"#), None);
        assert_eq!(without("[1]"), None);
    }
}
