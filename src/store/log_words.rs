//! The words of a log document: what a text search looks into, the same for every store.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

/// How much of a message and of a response is looked into, in bytes. What stands behind it is not found.
pub(super) const TEXT_MAX: usize = 16 * 1024;

/// Words that must all occur, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Words(BTreeSet<Box<str>>);

/// Why words are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// The text is too long.
    #[error("is {len} bytes long, expected at most {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest text allowed, in bytes.
        max: usize,
    },
    /// The text has too many words.
    #[error("has {count} words, expected at most {max}")]
    TooMany {
        /// How many it has.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
}

impl Words {
    /// The longest text that is taken, in bytes. A longer one is refused.
    pub const LEN_MAX: usize = 1024;
    /// How many words a text may have. More are refused.
    pub const COUNT_MAX: usize = 32;

    /// Takes a text apart: a word is as many letters and digits as stand together.
    pub fn parse(text: &str) -> Result<Self, WordsError> {
        if text.len() > Self::LEN_MAX {
            return Err(WordsError::TooLong { len: text.len(), max: Self::LEN_MAX });
        }
        let count = words_of(text).count();
        if count > Self::COUNT_MAX {
            return Err(WordsError::TooMany { count, max: Self::COUNT_MAX });
        }
        Ok(Self(words_of(text).map(|word| lower_case(word).collect::<String>().into()).collect()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each word once, in lower case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|word| &**word)
    }

    /// Whether every word occurs in any of the texts, as a whole word.
    pub(super) fn occur_in<'a>(&self, texts: impl IntoIterator<Item = Cow<'a, str>>) -> bool {
        let mut missing: Vec<&str> = self.iter().collect();
        for text in texts {
            for found in words_of(&text) {
                missing.retain(|word| !lower_case(found).eq(word.chars()));
                if missing.is_empty() {
                    return true;
                }
            }
        }
        missing.is_empty()
    }
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Char by char, as Elasticsearch does: `str::to_lowercase` writes the last sigma of a word in another way.
fn lower_case(word: &str) -> impl Iterator<Item = char> {
    word.chars().flat_map(char::to_lowercase)
}

/// What a search looks at in a log document. Other members may be of any form.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Looked<'a> {
    /// The entry.
    #[serde(borrow)]
    pub(super) key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    pub(super) status: Option<i64>,
    pub(super) lateness_ms: Option<i64>,
    pub(super) duration_ms: Option<i64>,
    #[serde(borrow)]
    pub(super) policy: Option<&'a RawValue>,
}

impl<'a> Looked<'a> {
    /// Looks at a log document; at one that cannot be read there is nothing to see.
    pub(super) fn at(source: &'a str) -> Self {
        serde_json::from_str(source).unwrap_or_default()
    }

    /// The texts in which words are looked for.
    pub(super) fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let url = self.url.as_deref().map(Cow::Borrowed);
        url.into_iter().chain(self.message.and_then(text)).chain(self.response.and_then(text))
    }

    /// All its words, with one blank between: whatever takes them apart again finds the same ones.
    pub(super) fn all_words(&self) -> Option<String> {
        let mut all = String::new();
        for text in self.texts() {
            for word in words_of(&text) {
                if !all.is_empty() {
                    all.push(' ');
                }
                all.push_str(word);
            }
        }
        (!all.is_empty()).then_some(all)
    }
}

/// A text as it is, any other JSON as it is written, without its escapes.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let written = value.get();
    if written == "null" {
        return None;
    }
    if written.starts_with('"')
        && let Ok(mut text) = serde_json::from_str::<String>(written)
    {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        return Some(Cow::Owned(text));
    }
    Some(without_escapes(&written[..written.floor_char_boundary(TEXT_MAX)]))
}

/// `\n` before a word would become a part of it, and so would `\u003c`.
fn without_escapes(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escaped)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('u') => {
                let (decoded, after) = code_point(escaped);
                plain.push(decoded);
                rest = after;
                continue;
            }
            Some('b' | 'f' | 'n' | 'r' | 't') => plain.push(' '),
            Some(same) => plain.push(same),
            None => {}
        }
        rest = chars.as_str();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Reads `u003c`, or the two halves of a pair, and gives what follows. What is cut off or no character is a blank.
fn code_point(escaped: &str) -> (char, &str) {
    let unit = |text: &str| text.get(1..5).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let Some(first) = unit(escaped) else { return (' ', &escaped[1..]) };
    let after = &escaped[5..];
    let second = after.strip_prefix('\\').filter(|next| next.starts_with('u')).and_then(unit);
    match (char::decode_utf16([first]).next(), second) {
        (Some(Ok(char)), _) => (char, after),
        (_, Some(second)) => match char::decode_utf16([first, second]).next() {
            Some(Ok(char)) => (char, &after[6..]),
            _ => (' ', after),
        },
        (_, None) => (' ', after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query: &str, source: &str) -> bool {
        Words::parse(query).unwrap().occur_in(Looked::at(source).texts())
    }

    #[test]
    fn every_word_must_occur_whole_and_in_any_case_in_message_url_or_response() {
        let source = r#"{"url":"https://api.Example.com/v1/backup","message":["Dial tcp: no route"],
            "response":{"error":"disk_full","code":507},"body":"hidden","key":"entry"}"#;

        for found in ["", "example", "EXAMPLE.com backup", "no-route", "507 DISK", "full error v1"] {
            assert!(finds(found, source), "{found}");
        }
        for missing in ["exam", "backups", "hidden", "entry", "disk empty", "50"] {
            assert!(!finds(missing, source), "{missing}");
        }
    }

    #[test]
    fn words_of_every_script_are_compared_in_lower_case() {
        assert!(finds("ÄRGER οδόσ", r#"{"message":"ärger","response":"ΟΔΌΣ"}"#));
        assert!(finds("中文", r#"{"response":"(中文)"}"#) && !finds("中", r#"{"response":"中文"}"#));
    }

    #[test]
    fn escapes_of_json_are_no_part_of_a_word() {
        let source =
            r#"{"response":{"a":"one\ntwo\u003cthree\u003e \u00e9t\u00e9 \ud835\udfd9 \ud800x \"four\" five\\six"}}"#;

        for found in ["one", "two", "three", "été", "\u{1d7d9}", "x", "four", "five", "six"] {
            assert!(finds(found, source), "{found}");
        }
        assert!(!finds("ntwo", source) && !finds("u003cthree", source));
    }

    #[test]
    fn a_response_is_looked_into_as_far_as_it_is_said() {
        let long = "ä".repeat(TEXT_MAX);
        let source = format!(r#"{{"response":"near {long} far"}}"#);
        let json = format!(r#"{{"response":["near","{long}","far"]}}"#);

        assert!(finds("near", &source) && !finds("far", &source));
        assert!(finds("near", &json) && !finds("far", &json));
    }

    #[test]
    fn an_escape_that_is_cut_off_is_no_danger() {
        let escaped = r"\u00e9\ud835\udfd9\n";

        for end in 0..=escaped.len() {
            without_escapes(&escaped[..end]);
        }
        assert_eq!(without_escapes("a\\"), "a");
        assert_eq!(without_escapes("\\u00é9 b"), " 00é9 b");
    }

    #[test]
    fn too_much_text_and_too_many_words_are_refused() {
        assert_eq!(Words::parse(&"x".repeat(1025)), Err(WordsError::TooLong { len: 1025, max: 1024 }));
        assert_eq!(Words::parse(&"x ".repeat(33)), Err(WordsError::TooMany { count: 33, max: 32 }));
        assert_eq!(Words::parse("b A b").unwrap().iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(Words::parse(" -- ").unwrap().is_empty());
    }

    #[test]
    fn all_words_of_a_document_stand_apart() {
        let source = r#"{"url":"http://a.b/c","message":["d-e"],"response":{"f":[1.5,null]}}"#;

        assert_eq!(Looked::at(source).all_words().as_deref(), Some("http a b c d e f 1 5 null"));
        assert_eq!(Looked::at(r#"{"response":null}"#).all_words(), None);
        assert_eq!(Looked::at("no JSON").all_words(), None);
    }
}
