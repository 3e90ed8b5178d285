//! Keys of Standard Webhooks (<https://www.standardwebhooks.com>).

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use serde_json::value::RawValue;

use super::text::{self, Text, is_judged_later};
use crate::model::MASK;
use crate::model::object::{Mistakes, Object, array, string};

/// What a signed request carries, beside what it would carry anyway.
pub const SIGNATURE_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

const KEYS: [&str; 1] = ["secrets"];
/// What stands before the key, if anything does.
const PREFIX: &str = "whsec_";
/// One key, or two while one takes the place of the other. More are refused.
const SECRETS: RangeInclusive<usize> = 1..=2;

/// What a request is signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Signing {
    /// One secret, or two: then it has a signature of each.
    secrets: Box<[Text]>,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.secrets.iter().map(|_| MASK)).finish()
    }
}

impl Signing {
    /// Signs with these secrets, in this order.
    pub fn new(secrets: &[&str]) -> Self {
        Self { secrets: secrets.iter().map(|&secret| text::text(secret)).collect() }
    }

    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        members.refuse_unknown(&KEYS, mistakes);
        let path = members.path_of("secrets");
        let raw = members.required("secrets", "an array of one or two signing secrets", mistakes)?;
        let items = array(raw, &path, "signing secrets", SECRETS, mistakes)?;
        let read = |(index, raw): (usize, &RawValue)| secret(raw, &format!("{path}[{index}]"), mistakes);
        Some(Self { secrets: items.into_iter().enumerate().filter_map(read).collect() })
    }

    pub(super) fn texts(&self) -> &[Text] {
        &self.secrets
    }

    pub(super) fn texts_mut(&mut self) -> &mut [Text] {
        &mut self.secrets
    }

    /// Its secrets, with and without what stands before the keys.
    pub(super) fn confidential(&self) -> impl Iterator<Item = Zeroizing<String>> {
        let both = |secret: &'_ Text| {
            let bare = secret.strip_prefix(PREFIX).unwrap_or_default();
            [Zeroizing::new((***secret).to_owned()), Zeroizing::new(bare.to_owned())]
        };
        self.secrets.iter().flat_map(both)
    }

    /// The keys, in the order of the secrets. The error says which secret is none.
    pub fn keys(&self) -> Result<Vec<SigningKey>, String> {
        let key = |(index, secret): (usize, &str)| {
            SigningKey::parse(secret).map_err(|error| format!("sign.secrets[{index}] {error}"))
        };
        self.secrets.iter().map(|secret| &***secret).enumerate().map(key).collect()
    }
}

fn secret(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Text> {
    let given = string(raw, path, mistakes)?;
    text::warn(&given, path, mistakes);
    if !is_judged_later(&given)
        && let Err(error) = SigningKey::parse(&given)
    {
        mistakes.add(path, error);
        return None;
    }
    Some(text::text(&given))
}

/// A key, as bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Zeroizing<Box<[u8]>>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Why a text is no signing secret. The text continues a sentence that begins with its place, and shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// It cannot be decoded.
    #[error("is no signing secret, expected `whsec_` and the Base64 of 24 to 64 bytes")]
    NotBase64,
    /// The key is too short to be safe, or longer than Standard Webhooks allow.
    #[error("is a signing secret of {len} bytes, expected the Base64 of 24 to 64")]
    Length {
        /// How long it is, in bytes.
        len: usize,
    },
}

impl SigningKey {
    /// How long a key is, in bytes.
    pub const LEN: RangeInclusive<usize> = 24..=64;

    /// Reads `whsec_` and Base64, or Base64 alone.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text));
        let bytes = Zeroizing::new(bytes.map_err(|_| SigningKeyError::NotBase64)?);
        if Self::LEN.contains(&bytes.len()) {
            Ok(Self(Zeroizing::new(bytes[..].into())))
        } else {
            Err(SigningKeyError::Length { len: bytes.len() })
        }
    }

    /// The key itself, for signing and for nothing else.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Signing, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        let members = Object::read(raw, "sign".to_owned(), &mut mistakes).unwrap();
        let signing = Signing::read(&members, &mut mistakes);
        signing.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.text())
    }

    fn secret_of(len: usize) -> String {
        format!("whsec_{}", STANDARD.encode(vec![7; len]))
    }

    #[test]
    fn a_secret_is_the_base64_of_24_to_64_bytes_with_or_without_its_prefix() {
        for len in [24, 25, 64] {
            let (with, without) = (secret_of(len), secret_of(len).replace("whsec_", ""));
            assert_eq!(SigningKey::parse(&with).unwrap().bytes(), vec![7; len]);
            assert_eq!(SigningKey::parse(&with), SigningKey::parse(&without));
        }
        for len in [0, 23, 65] {
            assert_eq!(SigningKey::parse(&secret_of(len)), Err(SigningKeyError::Length { len }));
        }
        let base64 = &secret_of(24)[6..];
        for text in [
            "whsec_*",
            "whsec-x",
            "${secret:a}",
            "***",
            &format!("WHSEC_{base64}"),
            &format!(" {base64}"),
            &format!("{base64}="),
        ] {
            assert_eq!(SigningKey::parse(text), Err(SigningKeyError::NotBase64), "{text}");
        }
    }

    #[test]
    fn one_or_two_secrets_are_taken_and_what_names_one_is_left_for_later() {
        let (one, other) = (secret_of(24), secret_of(32));

        assert_eq!(read(&format!(r#"{{"secrets":["{one}"]}}"#)), Ok(Signing::new(&[&one])));
        let two = read(&format!(r#"{{"secrets":["{one}","{other}"]}}"#)).unwrap();
        assert_eq!(two.keys().unwrap().iter().map(|key| key.bytes().len()).collect::<Vec<_>>(), [24, 32]);
        let named = read(r#"{"secrets":["whsec_${secret:hooks}","${secret:old}"]}"#).unwrap();
        assert!(read(r#"{"secrets":["${hooks}"]}"#).is_err() && read(r#"{"secrets":["***"]}"#).is_ok());
        let expected = "sign.secrets[0] is no signing secret, expected `whsec_` and the Base64 of 24 to 64 bytes";
        assert_eq!(named.keys().unwrap_err(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_and_shows_no_secret() {
        let short = secret_of(23);
        let told = |json: &str| read(json).unwrap_err();

        assert_eq!(told("{}"), "sign.secrets: is missing, expected an array of one or two signing secrets");
        assert_eq!(told(r#"{"secrets":[]}"#), "sign.secrets: has 0 values, expected 1 to 2");
        assert!(
            told(&format!(r#"{{"secrets":["{short}","{short}","{short}"]}}"#))
                .ends_with("has 3 values, expected 1 to 2")
        );
        let both = told(&format!(r#"{{"secrets":["{short}","s3cret"],"secret":1}}"#));
        let expected = [
            "sign.secret: is not known, did you mean `secrets`?",
            "sign.secrets[0]: is a signing secret of 23 bytes, expected the Base64 of 24 to 64",
            "sign.secrets[1]: is no signing secret, expected `whsec_` and the Base64 of 24 to 64 bytes",
        ];
        assert_eq!(both.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_debug_text_shows_a_secret() {
        let signing = Signing::new(&[&secret_of(24)]);

        assert_eq!(format!("{signing:?} {:?}", signing.keys().unwrap()), r#"["***"] [***]"#);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(whsec_)?[A-Za-z0-9+/=${}:*é -]{0,120}") {
            if let Ok(key) = SigningKey::parse(&text) {
                prop_assert!(text.ends_with(&STANDARD.encode(key.bytes())));
            }
        }
    }
}
