//! What stands in a path and in a query: percent-encoded, and told exactly where it is wrong.

use percent_encoding::percent_decode_str;
use warp::Filter;

use super::reply::ApiError;

/// How much of a wrong text is shown, in characters.
const SHOWN_MAX: usize = 60;

/// A part of a path or a query as it was meant. `what` names it.
pub(super) fn decode(what: &str, text: &str) -> Result<String, ApiError> {
    if let Some(wrong) = wrong_escape(text) {
        let text = format!("{what}: `{}` is no percent-encoding, expected % and two hexadecimal digits", shown(wrong));
        return Err(ApiError::Unclear(text));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(ApiError::Unclear(format!("{what}: `{}` is no percent-encoded UTF-8", shown(text)))),
    }
}

/// The first `%` that does not begin an escape, with what stands behind it.
fn wrong_escape(text: &str) -> Option<&str> {
    let is_escape = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let (at, _) = text.match_indices('%').find(|&(at, _)| !is_escape(at))?;
    // A sign of several bytes may stand behind the `%`.
    let rest = &text[at..];
    Some(rest.char_indices().nth(3).map_or(rest, |(end, _)| &rest[..end]))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// The parameters of a query, each given once.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query. A name that is not among `known` is refused: what is not understood would be thought to hold.
    pub(super) fn read(text: &str, known: &[&str]) -> Result<Self, ApiError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let part = |text: &str| decode("query", &text.replace('+', " "));
            let (name, value) = (part(name)?, part(value)?);
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                let text = format!("query: `{}` is not known, expected one of {known}", shown(&name));
                return Err(ApiError::Unclear(text));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(ApiError::Unclear(format!("query: `{name}` is given twice")));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within a range.
    pub(super) fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(ApiError::Unclear(format!("{name}: is `{}`, expected {expected}", shown(text))))
            }
        }
    }

    /// One of some words.
    pub(super) fn word<'w>(&self, name: &str, words: &[&'w str]) -> Result<Option<&'w str>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Some(word)),
            None => {
                let expected = words.join(", ");
                Err(ApiError::Unclear(format!("{name}: is `{}`, expected one of {expected}", shown(text))))
            }
        }
    }
}

/// Gives the query of a request as it stands in the URL; empty if there is none.
pub(super) fn query() -> impl Filter<Extract = (String,), Error = std::convert::Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_escape_is_told_with_what_stands_there() {
        assert_eq!(decode("identity", "a%2Fb%20%C3%A9+").unwrap(), "a/b é+");
        for (text, wrong) in [("a%zz", "%zz"), ("%", "%"), ("%2", "%2"), ("x%é12", "%é1"), ("%%41", "%%4")] {
            let refusal = refusal(decode("identity", text));
            assert!(refusal.starts_with(&format!("identity: `{wrong}` is no percent-encoding")), "{refusal}");
        }
        assert_eq!(refusal(decode("identity", "%FF")), "identity: `%FF` is no percent-encoded UTF-8");
    }

    #[test]
    fn parameters_are_known_given_once_and_within_their_range() {
        let read = |text: &str| Query::read(text, &["limit", "identity"]);

        let query = read("identity=a%26b+c&limit=7&").unwrap();
        assert_eq!((query.get("identity"), query.number("limit", 1..=9).unwrap()), (Some("a&b c"), Some(7)));
        assert_eq!(read("").unwrap().number("limit", 1..=9).unwrap(), None);
        assert_eq!(refusal(read("limt=1")), "query: `limt` is not known, expected one of limit, identity");
        assert_eq!(refusal(read("limit=1&limit=2")), "query: `limit` is given twice");
        for text in ["10", "0", "-1", "", "1e1", "99999999999999999999"] {
            let refusal = refusal(read(&format!("limit={text}")).unwrap().number("limit", 1..=9));
            assert_eq!(refusal, format!("limit: is `{text}`, expected a whole number from 1 to 9"));
        }
        assert_eq!(refusal(query.word("identity", &["a", "b"])), "identity: is `a&b c`, expected one of a, b");
    }

    proptest! {
        #[test]
        fn every_text_comes_back_as_it_was_encoded(text in "\\PC{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode("identity", &encoded).unwrap(), text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[%0-9a-fé=&+\u{0}]{0,12}|\\PC{0,12}") {
            let _ = decode("identity", &text);
            let _ = Query::read(&text, &["a"]);
        }
    }
}
