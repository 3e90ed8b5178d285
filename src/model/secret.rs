//! Secrets: their names, which stand in requests, and their values, which stand nowhere.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox};
use subtle::ConstantTimeEq;

/// The name of a secret, as it stands in `${secret:NAME}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

/// Why a text names no secret. The text continues a sentence that begins with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "names no secret, expected 1 to {} letters, digits, `_`, `-` or `.`, the first a letter, a digit or `_`",
    SecretName::LEN_MAX
)]
pub struct SecretNameError;

impl SecretName {
    /// The longest name, in bytes. Longer ones are refused.
    pub const LEN_MAX: usize = 64;

    /// Accepts ASCII letters, digits, `_`, `-` and `.`; a sign other than `_` may not be the first, as paths hold names.
    pub fn parse(text: &str) -> Result<Self, SecretNameError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if begins_well && text.len() <= Self::LEN_MAX && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(SecretNameError)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a secret. Cheap to clone; no text shows it, and its memory is wiped when the last clone is dropped.
#[derive(Clone)]
pub struct SecretText(Arc<SecretBox<str>>);

impl SecretText {
    /// The longest value, in bytes. Whoever brings a longer one is refused.
    pub const LEN_MAX: usize = 64 * 1024;

    /// This text. Whoever has it wipes its own copy.
    pub fn new(text: &str) -> Self {
        Self(Arc::new(SecretBox::new(text.into())))
    }

    /// The value, for the request that goes out and for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl Eq for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}

/// The secrets that one request is filled in with.
#[derive(Clone, Debug, Default)]
pub struct SecretTexts(Vec<(SecretName, SecretText)>);

impl SecretTexts {
    /// For a request that names none.
    pub fn none() -> &'static Self {
        static NONE: SecretTexts = SecretTexts(Vec::new());
        &NONE
    }

    /// The value of the secret with this name, if the request names it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.as_str() == name).map(|(_, text)| text.expose())
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &SecretText> {
        self.0.iter().map(|(_, text)| text)
    }
}

impl FromIterator<(SecretName, SecretText)> for SecretTexts {
    fn from_iter<I: IntoIterator<Item = (SecretName, SecretText)>>(texts: I) -> Self {
        Self(texts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_leads_nowhere() {
        let longest = "x".repeat(64);
        for name in ["a", "DB_PASSWORD", "api-key.v2", "9", "_x", &longest] {
            assert_eq!(SecretName::parse(name).unwrap().as_str(), name);
        }
        let too_long = "x".repeat(65);
        for text in ["", ".", "..", "..data", "-a", "a b", "a/b", "é", "a}", "a\n", &too_long] {
            assert!(SecretName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_shows_a_value() {
        let texts = SecretTexts::from_iter([(SecretName::parse("a").unwrap(), SecretText::new("hunter2"))]);

        assert_eq!(texts.get("a"), Some("hunter2"));
        assert_eq!(texts.get("b"), None);
        assert!(!format!("{texts:?} {texts:#?}").contains("hunter2"));
        assert_eq!(SecretText::new("hunter2"), SecretText::new("hunter2"));
        assert_ne!(SecretText::new("hunter2"), SecretText::new("hunter3"));
    }
}
