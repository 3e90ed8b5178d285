//! The names of jobs and runs in a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::model::{EntryName, Identity, RunId};

/// What stands in a part of an id as it is: RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names a job: `identity:entry`, each part percent-encoded.
pub(super) fn write(identity: &Identity, entry: &EntryName) -> String {
    let encoded = |text| utf8_percent_encode(text, ENCODED);
    format!("{}:{}", encoded(identity.as_str()), encoded(entry.as_str()))
}

/// Reads a job's id as it stands in a path, also where a client has encoded the whole id once more. The error says what
/// was expected.
pub(super) fn read(segment: &str) -> Result<(Identity, EntryName), String> {
    const EXPECTED: &str = "`identity:entry`, each part percent-encoded, as the listing gives it";
    let once = match segment.contains(':') {
        true => segment.to_owned(),
        false => decode(segment).ok_or(EXPECTED)?,
    };
    let (identity, entry) = once.split_once(':').filter(|(_, entry)| !entry.contains(':')).ok_or(EXPECTED)?;
    let part = |text| decode(text).ok_or_else(|| EXPECTED.to_owned());
    let identity = Identity::parse(&part(identity)?).map_err(|error| format!("{EXPECTED}: the identity {error}"))?;
    let entry = EntryName::parse(&part(entry)?).map_err(|error| format!("{EXPECTED}: the entry {error}"))?;
    Ok((identity, entry))
}

/// Reads the name of a run.
pub(super) fn read_run(segment: &str) -> Option<RunId> {
    decode(segment).and_then(|text| RunId::parse(&text))
}

/// Decodes a part of a path: every `%` begins an escape, and the bytes are UTF-8.
fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let escapes = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'%');
    if !escapes.clone().all(|(at, _)| digit_at(at + 1) && digit_at(at + 2)) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_id_of_a_job_is_read_as_it_is_written_also_when_it_is_encoded_once_more(
            identity in "\\PC{1,20}", entry in "[:/%. a-z\u{0}é]{1,20}"
        ) {
            let (identity, entry) = (Identity::parse(&identity).unwrap(), EntryName::parse(&entry).unwrap());

            let id = write(&identity, &entry);
            let again = utf8_percent_encode(&id, NON_ALPHANUMERIC).to_string();

            prop_assert_eq!(read(&id), Ok((identity.clone(), entry.clone())));
            prop_assert_eq!(read(&again), Ok((identity, entry)));
        }

        #[test]
        fn no_segment_is_too_odd_to_be_answered(segment in "\\PC{0,40}") {
            let _ = (read(&segment), read_run(&segment));
        }
    }

    #[test]
    fn what_is_no_id_says_what_was_expected() {
        for segment in ["", "a", ":", "a:", ":b", "a:b:c", "%zz:b", "%ff:b", "a%3"] {
            let expected = read(segment).unwrap_err();
            assert!(expected.starts_with("`identity:entry`"), "{segment}: {expected}");
        }
        assert_eq!(read_run("nothing"), None);
    }
}
