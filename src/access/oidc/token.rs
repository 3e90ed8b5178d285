//! A text taken apart into what a token is made of. Nothing in it is believed yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use super::algorithm::Algorithm;
use super::refusal::TokenError;
use crate::model::object::{Mistakes, Object};

/// The longest token, in bytes. A longer one is refused unseen.
const TOKEN_MAX: usize = 16 * 1024;
/// The longest name of a key, in bytes. No key has a longer one.
pub(super) const KEY_ID_MAX: usize = 256;
/// What a token may say of itself (`typ`), in small letters. One of another kind is for something else: to log out, or to prove who has a key.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token (JWS in its compact form), not looked into yet.
pub(super) struct Token<'a> {
    /// How it says that it is signed.
    pub(super) algorithm: Algorithm,
    /// The key with which it says that it is signed.
    pub(super) key_id: Option<String>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
    /// What it says, in JSON.
    pub(super) claims: Vec<u8>,
}

/// Whether a text looks like a token and not like a key: three parts of Base64 for URLs between two dots. One that is not signed at all
/// has nothing behind the second dot.
pub fn is_token(text: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut parts = text.split(|byte| *byte == b'.');
    let [Some(head), Some(claims), Some(signature), None] = [(); 4].map(|()| parts.next()) else { return false };
    !head.is_empty() && !claims.is_empty() && [head, claims, signature].into_iter().flatten().all(is_letter)
}

impl<'a> Token<'a> {
    /// Takes a text apart.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, TokenError> {
        if text.len() > TOKEN_MAX {
            return Err(TokenError::Form("it is longer than 16 KiB"));
        }
        if !is_token(text) {
            return Err(TokenError::Form("it has not three parts of Base64 for URLs, separated by dots"));
        }
        let dot = text.iter().rposition(|byte| *byte == b'.').unwrap_or_default();
        let (signed, signature) = (&text[..dot], &text[dot + 1..]);
        let between = signed.iter().position(|byte| *byte == b'.').unwrap_or_default();
        let (head, claims) = (decode(&signed[..between])?, decode(&signed[between + 1..])?);
        let (algorithm, key_id) = read_head(&head)?;
        Ok(Self { algorithm, key_id, signed, signature: decode(signature)?, claims })
    }
}

/// Neither filled up with `=` nor with bits that count for nothing: each part can be written in one way only.
fn decode(part: &[u8]) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form("a part of it is no Base64 for URLs"))
}

/// A JSON object in which no name stands twice: of two values nobody knows which one somebody else would take.
pub(super) fn object(json: &[u8]) -> Result<Object<'_>, TokenError> {
    let mut mistakes = Mistakes::default();
    let object = Object::read_body(json, "{}", &mut mistakes).filter(|_| mistakes.is_empty());
    object.ok_or(TokenError::Form("a part of it is no JSON object, or a name stands in it twice"))
}

fn read_head(json: &[u8]) -> Result<(Algorithm, Option<String>), TokenError> {
    const NO_TEXT: TokenError = TokenError::Form("`alg`, `kid` or `typ` is no text");
    let head = object(json)?;
    let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).map_err(|_| NO_TEXT);
    let member = |name: &str| head.get(name).map(text).transpose();
    let algorithm = member("alg")?.ok_or(NO_TEXT)?;
    let algorithm = Algorithm::parse(&algorithm).ok_or(TokenError::Algorithm)?;
    if head.keys().any(|name| name == "crit") {
        return Err(TokenError::Form("it asks for something that is not known here (`crit`)"));
    }
    let kind = member("typ")?.map(|kind| kind.to_ascii_lowercase());
    let is_fit = |kind: &String| TYPES.contains(&kind.strip_prefix("application/").unwrap_or(kind));
    if !kind.as_ref().is_none_or(is_fit) {
        return Err(TokenError::Form("it is for something else (`typ`), expected JWT or at+jwt"));
    }
    let key_id = member("kid")?;
    if key_id.as_ref().is_some_and(|id| id.len() > KEY_ID_MAX) {
        return Err(TokenError::UnknownKey);
    }
    Ok((algorithm, key_id))
}
