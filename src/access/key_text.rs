//! The text of a key, `sk_<id>_<secret>`, and what is kept of it.
//!
//! The secret is 256 bits that the system made up, so nobody finds it by trying, however fast a try is: SHA-256 of it is all that is
//! kept. A slow hash is for passwords, which people choose; here it would only cost time at each request, and hand whoever sends
//! wrong keys a lever on the processor.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

const PREFIX: &str = "sk_";
/// How long an id is, in hexadecimal digits.
const ID_LEN: usize = 16;
/// How long a secret is, in hexadecimal digits: four bits each.
const SECRET_LEN: usize = 64;
/// How long a key is.
pub const KEY_LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN;

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// By which a key is found. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// Reads an id; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == ID_LEN && text.bytes().all(is_digit)).then(|| Self(text.into()))
    }

    pub(super) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(hex(&random::<{ ID_LEN / 2 }>()?).into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key whole, as it is given out once. No text but [`KeyText::reveal`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    id: KeyId,
    secret: Box<str>,
}

impl KeyText {
    /// Makes a key for an id.
    pub(super) fn generate(id: KeyId) -> Result<Self, NoRandomness> {
        Ok(Self { id, secret: hex(&random::<{ SECRET_LEN / 2 }>()?).into() })
    }

    /// Reads a key; `None`: it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_secret = secret.len() == SECRET_LEN && secret.bytes().all(is_digit);
        is_secret.then_some(())?;
        Some(Self { id: KeyId::parse(id)?, secret: secret.into() })
    }

    /// By which it is found.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The text that its owner keeps.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret)
    }

    pub(super) fn hash(&self) -> SecretHash {
        SecretHash::of(self.secret.as_bytes())
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({}, ***)", self.id)
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// One that no secret has.
    pub(super) const NOBODY: Self = Self([0; 32]);

    /// Of a secret.
    pub fn of(secret: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(hash)
    }

    /// Whether it is the same. How long that takes tells nothing of where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(super) fn write(&self) -> String {
        hex(&self.0)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(hash))
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(***)")
    }
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|value| char::from(DIGITS[usize::from(value)])).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key() -> KeyText {
        KeyText::generate(KeyId::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_key_is_read_as_it_was_given_out_and_each_is_another_one() {
        let keys: Vec<KeyText> = (0..100).map(|_| key()).collect();

        for key in &keys {
            let text = key.reveal();
            assert_eq!((text.len(), KeyText::parse(&text).as_ref()), (KEY_LEN, Some(key)));
            assert!(KeyText::parse(&text).unwrap().hash().is(&key.hash()));
        }
        let secrets: BTreeSet<&str> = keys.iter().map(|key| &*key.secret).collect();
        let ids: BTreeSet<&KeyId> = keys.iter().map(KeyText::id).collect();
        assert_eq!((secrets.len(), ids.len()), (100, 100));
    }

    #[test]
    fn the_hash_is_sha_256_and_comes_back_as_it_was_written() {
        let hash = SecretHash::of(b"abc");

        assert_eq!(hash.write(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(SecretHash::read(&hash.write()).unwrap().is(&hash));
        assert!(!hash.is(&SecretHash::of(b"abd")));
        for wrong in ["", "ba", &"g".repeat(64), &"é".repeat(32), &hash.write()[1..]] {
            assert!(SecretHash::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let key = key();

        let shown = format!("{key:?} {:?}", key.hash());

        assert!(!shown.contains(&*key.secret) && !shown.contains(&key.hash().write()), "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_a_key_or_none_and_a_key_is_written_as_it_was_read(text in "(sk_)?[0-9a-fA-F_é]{0,90}") {
            if let Some(key) = KeyText::parse(&text) {
                prop_assert_eq!(key.reveal(), text);
            }
        }

        #[test]
        fn a_key_with_one_sign_changed_is_another_one_or_none(place in 0..KEY_LEN, sign in "[ -~]") {
            let key = key();
            let mut text = key.reveal();
            text.replace_range(place..=place, &sign);
            if let Some(other) = KeyText::parse(&text) {
                let is_same = other.id() == key.id() && other.hash().is(&key.hash());
                prop_assert_eq!(is_same, text == key.reveal());
            }
        }
    }
}
