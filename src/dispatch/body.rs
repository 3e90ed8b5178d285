//! How the body of an entry becomes the body of a request. The rules are the contract's (`docs/entries.md`).

use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::model::{JsonText, RunId, StringKind};

/// A request body and the content type that it brings, where the entry names none or must be completed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EncodedBody {
    pub(super) bytes: Vec<u8>,
    /// Takes the place of the entry's own content type.
    pub(super) content_type: Option<String>,
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
const TEXT: &str = "text/plain; charset=utf-8";

/// Encodes a body for the content type that the entry's headers give, if any. `kind` is that of the string that the entry gives.
pub(super) fn encode(
    body: Option<&JsonText>,
    kind: Option<StringKind>,
    given_type: Option<&str>,
    run_id: RunId,
) -> EncodedBody {
    let Some(text) = body.map(JsonText::as_str).filter(|text| !matches!(*text, "{}" | "[]" | "\"\"")) else {
        return EncodedBody::default();
    };
    let media_type = given_type.map(|given| given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match serde_json::from_str::<Value>(text) {
        Ok(Value::String(string)) => encode_string(string, kind.unwrap_or(StringKind::Text), media_type.as_deref()),
        Ok(Value::Object(fields)) if media_type.as_deref() == Some(FORM) => as_is(form(&fields).into_bytes()),
        Ok(Value::Object(fields)) if media_type.as_deref() == Some(MULTIPART) => multipart(&fields, run_id),
        // Deeper than the JSON reader goes: it can only be sent as it is.
        Ok(_) | Err(_) => json(text, given_type.is_some()),
    }
}

fn as_is(bytes: Vec<u8>) -> EncodedBody {
    EncodedBody { bytes, content_type: None }
}

fn json(text: &str, type_is_given: bool) -> EncodedBody {
    let content_type = (!type_is_given).then(|| JSON.to_owned());
    EncodedBody { bytes: text.as_bytes().to_vec(), content_type }
}

fn encode_string(string: String, kind: StringKind, media_type: Option<&str>) -> EncodedBody {
    match (media_type, kind) {
        (Some(JSON), StringKind::Form | StringKind::Text) => as_is(Value::String(string).to_string().into_bytes()),
        (Some(_), _) => as_is(string.into_bytes()),
        (None, StringKind::Json) => json(&string, false),
        (None, StringKind::Form) => typed(string, FORM),
        (None, StringKind::Text) => typed(string, TEXT),
    }
}

fn typed(string: String, content_type: &str) -> EncodedBody {
    EncodedBody { bytes: string.into_bytes(), content_type: Some(content_type.to_owned()) }
}

/// Fields in the order of their names; an array repeats its field.
fn form(fields: &Map<String, Value>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs(fields) {
        form.append_pair(name, &value);
    }
    form.finish()
}

fn pairs(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, String)> {
    fields.iter().flat_map(|(name, value)| {
        let values = match value {
            Value::Array(values) => values.iter().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
        };
        values.into_iter().map(move |value| (name.as_str(), plain_text(value)))
    })
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// What RFC 7578 and browsers escape in a field's name.
const IN_FIELD_NAME: &AsciiSet = &percent_encoding::CONTROLS.add(b'"');

fn multipart(fields: &Map<String, Value>, run_id: RunId) -> EncodedBody {
    // A run's boundary: random enough not to stand in a field, the same for each attempt.
    let boundary = format!("run-{run_id}");
    let mut body = String::new();
    for (name, value) in pairs(fields) {
        let name = utf8_percent_encode(name, IN_FIELD_NAME);
        body.push_str(&format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    EncodedBody { bytes: body.into_bytes(), content_type: Some(format!("{MULTIPART}; boundary={boundary}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::model::{EntryName, Identity, Timestamp};

    fn encoded(body: &str, given_type: Option<&str>) -> (String, Option<String>) {
        let raw: &RawValue = serde_json::from_str(body).unwrap();
        let (identity, entry) = (Identity::parse("i").unwrap(), EntryName::parse("e").unwrap());
        let run_id = RunId::planned(&identity, &entry, Timestamp::EPOCH);
        let body = JsonText::from_raw(raw);
        let encoded = encode(body.as_ref(), body.as_ref().and_then(StringKind::of_body), given_type, run_id);
        (String::from_utf8(encoded.bytes).unwrap(), encoded.content_type)
    }

    #[test]
    fn only_what_needs_no_encoding_is_taken_for_a_form() {
        let is_taken_for = |string: &str| encoded(&serde_json::to_string(string).unwrap(), None).1.unwrap();

        for form in ["a=1", "a=1&b=2", "a=", "a=%20+x", "a.b[0]=c:d"] {
            assert_eq!(is_taken_for(form), FORM, "{form}");
        }
        for text in ["a", "=1", "a=1&", "a=1&b", "a=%zz", "a=b c", "a=é", "a=1\n"] {
            assert_eq!(is_taken_for(text), TEXT, "{text}");
        }
    }

    #[test]
    fn form_fields_are_escaped_and_arrays_repeat_their_field() {
        let body = r#"{"b":["x y",null,{"c":1}],"a&":"=é","t":true}"#;

        let (text, content_type) = encoded(body, Some("Application/X-WWW-Form-Urlencoded; charset=utf-8"));

        assert_eq!(text, "a%26=%3D%C3%A9&b=x+y&b=&b=%7B%22c%22%3A1%7D&t=true");
        assert_eq!(content_type, None);
    }

    #[test]
    fn the_name_of_a_part_cannot_break_out_of_its_header() {
        let (text, _) = encoded("{\"a\\\"\\r\\nX: y\":\"1\"}", Some(MULTIPART));

        assert!(text.contains("name=\"a%22%0D%0AX: y\"\r\n\r\n1\r\n"), "{text}");
    }

    #[test]
    fn a_body_deeper_than_the_reader_goes_is_sent_as_it_is() {
        let deep = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));

        assert_eq!(encoded(&deep, None), (deep.clone(), Some(JSON.to_owned())));
    }
}
