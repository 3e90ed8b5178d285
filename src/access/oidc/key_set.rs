//! The keys that an issuer publishes (JWKS, RFC 7517), and whether one of them has signed something.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaPublicKeyComponents};
use serde::Deserialize;

use super::algorithm::{Algorithm, Family, has_signed};
use super::refusal::TokenError;
use super::token::KEY_ID_MAX;

/// How many keys an issuer may publish. A set of more is not taken.
const KEYS_MAX: usize = 100;
/// How long the modulus of a key of RSA may be, in bytes: 2,048 to 8,192 bits.
const MODULUS_LEN: std::ops::RangeInclusive<usize> = 256..=1_024;
/// The longest exponent of a key of RSA, in bytes.
const EXPONENT_LEN_MAX: usize = 8;

/// Why a text is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("what it answered is no set of keys (JSON with `keys`)")]
    Form,
    #[error("it publishes {0} keys, expected at most {KEYS_MAX}")]
    TooMany(usize),
    #[error(
        "none of the {0} keys that it publishes can be used here: for signatures, of RSA with 2048 to 8192 bits, P-256, P-384 or Ed25519"
    )]
    NoneFits(usize),
}

/// Those keys of an issuer that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeySet {
    keys: Box<[PublicKey]>,
    /// How many more there are, for other purposes or of kinds that are not known here.
    pub(super) passed_over: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct PublicKey {
    id: Option<Box<str>>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Box<[u8]>, exponent: Box<[u8]> },
    P256(Box<[u8]>),
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

#[derive(Deserialize)]
struct SetDocument {
    keys: Vec<serde_json::Value>,
}

/// A key as it is published.
#[derive(Deserialize)]
struct KeyDocument {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads what an issuer answered. Keys that are for something else are passed over.
    pub(super) fn read(json: &[u8]) -> Result<Self, KeySetError> {
        let SetDocument { keys } = serde_json::from_slice(json).map_err(|_| KeySetError::Form)?;
        let count = keys.len();
        if count > KEYS_MAX {
            return Err(KeySetError::TooMany(count));
        }
        let key = |key| serde_json::from_value::<KeyDocument>(key).ok().and_then(PublicKey::read);
        let keys: Box<[PublicKey]> = keys.into_iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoneFits(count));
        }
        Ok(Self { passed_over: count - keys.len(), keys })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether the key of this name has signed a message. A token that names none is looked at where only one key comes into question.
    pub(super) fn check(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let is_named = |key: &&PublicKey| key_id.is_none_or(|id| key.id.as_deref() == Some(id));
        let named: Vec<&PublicKey> = self.keys.iter().filter(is_named).collect();
        let fitting: Vec<&PublicKey> = named.iter().copied().filter(|key| key.is_for(algorithm)).collect();
        match (named.is_empty(), fitting.as_slice()) {
            (true, _) => Err(TokenError::UnknownKey),
            (false, []) => Err(TokenError::OtherAlgorithm),
            (false, [_, _, ..]) if key_id.is_none() => Err(TokenError::NoKeyNamed),
            (false, keys) => {
                let has_signed = keys.iter().any(|key| key.has_signed(algorithm, message, signature));
                has_signed.then_some(()).ok_or(TokenError::Signature)
            }
        }
    }
}

impl PublicKey {
    fn read(document: KeyDocument) -> Option<Self> {
        let is_for_signatures = document.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
            && document.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|it| it == "verify"));
        // A key that names an algorithm which is not taken is for that one only.
        let algorithm = match &document.alg {
            None => None,
            Some(name) => Some(Algorithm::parse(name)?),
        };
        let id = document.kid.as_deref();
        if !is_for_signatures || id.is_some_and(|id| id.len() > KEY_ID_MAX) {
            return None;
        }
        let key = Self { id: id.map(Into::into), algorithm, material: Material::read(&document)? };
        algorithm.is_none_or(|algorithm| key.is_for(algorithm)).then_some(key)
    }

    /// An algorithm is taken from a token, which anybody may have written: it counts only if the key is for it.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let fits = match (algorithm.family(), &self.material) {
            (Family::Rsa(_), Material::Rsa { .. })
            | (Family::P256, Material::P256(_))
            | (Family::P384, Material::P384(_))
            | (Family::Ed25519, Material::Ed25519(_)) => true,
            (Family::Rsa(_) | Family::P256 | Family::P384 | Family::Ed25519, _) => false,
        };
        fits && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (algorithm.family(), &self.material) {
            (Family::Rsa(parameters), Material::Rsa { modulus, exponent }) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
            }
            (Family::P256, Material::P256(point)) => has_signed(&ECDSA_P256_SHA256_FIXED, point, message, signature),
            (Family::P384, Material::P384(point)) => has_signed(&ECDSA_P384_SHA384_FIXED, point, message, signature),
            (Family::Ed25519, Material::Ed25519(point)) => has_signed(&ED25519, point, message, signature),
            (Family::Rsa(_) | Family::P256 | Family::P384 | Family::Ed25519, _) => false,
        }
    }
}

impl Material {
    fn read(document: &KeyDocument) -> Option<Self> {
        let KeyDocument { kty, crv, n, e, x, y, .. } = document;
        match (kty.as_str(), crv.as_deref()) {
            ("RSA", None) => {
                let (modulus, exponent) = (number(n.as_deref()?)?, number(e.as_deref()?)?);
                let is_fit = MODULUS_LEN.contains(&modulus.len()) && (1..=EXPONENT_LEN_MAX).contains(&exponent.len());
                is_fit.then_some(Self::Rsa { modulus, exponent })
            }
            ("EC", Some("P-256")) => point(x.as_deref()?, y.as_deref()?, 32).map(Self::P256),
            ("EC", Some("P-384")) => point(x.as_deref()?, y.as_deref()?, 48).map(Self::P384),
            ("OKP", Some("Ed25519")) => bytes(x.as_deref()?).filter(|x| x.len() == 32).map(|x| Self::Ed25519(x.into())),
            _ => None,
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A number without the zeros that some write before it.
fn number(text: &str) -> Option<Box<[u8]>> {
    let bytes = bytes(text)?;
    let begin = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[begin..].into())
}

/// A point of a curve, not compressed (SEC 1).
fn point(x: &str, y: &str, len: usize) -> Option<Box<[u8]>> {
    const NOT_COMPRESSED: u8 = 4;
    let (x, y) = (bytes(x)?, bytes(y)?);
    (x.len() == len && y.len() == len).then(|| [&[NOT_COMPRESSED], &x[..], &y].concat().into())
}
