//! How the body of an answer stands in a record, so that it can be given back to the byte.

use serde_json::value::{RawValue, to_raw_value};

/// The longest white space around a JSON text that a record keeps, in bytes, before and after it. With more, the body is kept
/// as it is, beside the record.
const SPACE_MAX: usize = 256;

/// A body in the form in which a record keeps it. JSON stands there as JSON, and what was around it apart; anything else as text.
pub(super) struct Response<'a> {
    pub(super) value: Box<RawValue>,
    pub(super) lead: &'a str,
    pub(super) trail: &'a str,
}

impl<'a> Response<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        match json_of(bytes) {
            Some((lead, value, trail)) => Self { value: value.to_owned(), lead, trail },
            None => {
                let text = String::from_utf8_lossy(bytes);
                Self { value: to_raw_value(&text).expect("a string can be written as JSON"), lead: "", trail: "" }
            }
        }
    }
}

/// Whether a record alone can give this body back to the byte.
pub fn fits_record(bytes: &[u8]) -> bool {
    match json_of(bytes) {
        Some((lead, _, trail)) => lead.len() <= SPACE_MAX && trail.len() <= SPACE_MAX,
        None => std::str::from_utf8(bytes).is_ok(),
    }
}

/// The JSON that a body is, with the white space before and after it.
fn json_of(bytes: &[u8]) -> Option<(&str, &RawValue, &str)> {
    let value: &RawValue = serde_json::from_slice(bytes).ok()?;
    let text = std::str::from_utf8(bytes).ok()?;
    let lead = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
    let end = lead + value.get().len();
    Some((&text[..lead], value, &text[end..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a reader of the record does it: a text stands there as a JSON string, which is longer than the text.
    fn given_back(response: &Response<'_>, size: usize) -> Vec<u8> {
        let as_json = [response.lead, response.value.get(), response.trail].concat();
        match serde_json::from_str::<String>(response.value.get()) {
            Ok(text) if as_json.len() != size => text.into_bytes(),
            Ok(_) | Err(_) => as_json.into_bytes(),
        }
    }

    #[track_caller]
    fn assert_comes_back(bytes: &[u8]) {
        assert!(fits_record(bytes));
        assert_eq!(given_back(&Response::of(bytes), bytes.len()), bytes, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn json_texts_and_nothing_come_back_to_the_byte() {
        for text in [
            "",
            " ",
            "ok",
            "{\"a\": [1.50, 1e400]}\n",
            "\r\n \"quoted\" ",
            "\"ok\"",
            "null",
            " 12 ",
            "{\"a\":1} x",
            "\"\\ud800\"",
            "é\u{0}\u{7f}",
            "\"",
        ] {
            assert_comes_back(text.as_bytes());
        }
    }

    #[test]
    fn bytes_and_much_white_space_do_not_fit() {
        assert!(!fits_record(b"\xff\xfe"));
        assert!(!fits_record(b"\"\xff\""));
        assert!(!fits_record(&[&[b' '; SPACE_MAX + 1][..], b"1"].concat()));
        assert!(fits_record(&[b' '; 10 * SPACE_MAX]), "white space alone is a text");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,30}|[ \\r\\n]{0,3}[\"\\\\a0{}]{0,8}[ \\r\\n]{0,3}") {
            assert_comes_back(text.as_bytes());
        }

        #[test]
        fn any_json_comes_back(number: f64, text in "\\PC{0,10}", lead in "[ \\t\\r\\n]{0,5}", trail in "[ \\t\\r\\n]{0,5}") {
            let value = serde_json::json!({ "n": number, "t": [text] });
            assert_comes_back(format!("{lead}{value:#}{trail}").as_bytes());
        }
    }
}
