//! Keeps secrets out of what is recorded: a target may send back what it was sent.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use memchr::memmem::Finder;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::zeroize::Zeroizing;
use url::form_urlencoded;

use super::OutgoingRequest;
use super::attempt::{Answer, AnswerBody, TransportError};
use crate::model::{MASK, SecretTexts};

/// The shortest value that is looked for, in bytes. A shorter one stands in many texts by chance.
const LEN_MIN: usize = 6;
/// How much waits at least until it is looked through, in bytes, so that small chunks cost no more than large ones.
const LOOK_AT_LEAST: usize = 4 * 1024;

/// Masks the secrets that were filled into one request, in each form in which they may come back. Without secrets it does nothing.
#[derive(Clone, Default)]
pub(super) struct Scrub(Option<Arc<Forms>>);

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrub({MASK})")
    }
}

/// Texts that must not be shown.
struct Forms {
    texts: Vec<Zeroizing<Vec<u8>>>,
    longest: usize,
}

impl Scrub {
    /// For the answer to a request that was filled in with these.
    pub(super) fn of(secrets: &SecretTexts, request: &OutgoingRequest) -> Self {
        let mut texts = Vec::new();
        for secret in secrets.iter() {
            add_forms(secret.expose(), &mut texts);
        }
        if texts.is_empty() {
            return Self(None);
        }
        // As the client writes user and password of the URL.
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let (user, password) = (request.url.username(), request.url.password().unwrap_or_default());
        if !user.is_empty() || !password.is_empty() {
            let both = Zeroizing::new([&decoded(user)[..], b":", &decoded(password)[..]].concat());
            texts.push(Zeroizing::new(STANDARD.encode(&both[..]).into_bytes()));
        }
        // A secret that is user and password in Base64 may come back as it is meant.
        for value in request.headers.get_all(AUTHORIZATION) {
            if let Some(password) = password_of(value) {
                add_forms(&password, &mut texts);
            }
        }
        Self::looking_for(texts)
    }

    /// The same that masks these texts, too.
    pub(super) fn and<'t>(self, further: impl IntoIterator<Item = &'t str>) -> Self {
        let mut texts = Vec::new();
        further.into_iter().for_each(|text| add_forms(text, &mut texts));
        match self.0 {
            _ if texts.is_empty() => self,
            Some(forms) => Self::looking_for(forms.texts.iter().cloned().chain(texts).collect()),
            None => Self::looking_for(texts),
        }
    }

    fn looking_for(mut texts: Vec<Zeroizing<Vec<u8>>>) -> Self {
        texts.retain(|text| text.len() >= LEN_MIN);
        // Most secrets look the same in most forms.
        texts.sort_unstable_by(|one, other| one[..].cmp(&other[..]));
        texts.dedup();
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or_default();
        Self(Some(Arc::new(Forms { texts, longest })))
    }

    /// The same answer without secrets.
    pub(super) fn answer(&self, mut answer: Answer) -> Answer {
        let Some(forms) = &self.0 else { return answer };
        if let Some(value) = answer.headers.get_mut(CONTENT_TYPE)
            && let Ok(text) = value.to_str()
        {
            *value = HeaderValue::from_str(&self.text(text.to_owned())).unwrap_or(HeaderValue::from_static(MASK));
        }
        Answer { body: body(answer.body, forms.clone()), ..answer }
    }

    /// The same text without secrets.
    pub(super) fn text(&self, text: String) -> String {
        let Some(forms) = &self.0 else { return text };
        let (mut stream, mut clean) = (Scrubbing::new(forms.clone()), Vec::new());
        stream.take(text.as_bytes(), &mut clean);
        stream.finish(&mut clean);
        String::from_utf8_lossy(&clean).into_owned()
    }
}

/// Adds the forms in which a secret may come back. One that is too short has none.
fn add_forms(secret: &str, texts: &mut Vec<Zeroizing<Vec<u8>>>) {
    if secret.len() < LEN_MIN {
        return;
    }
    const UNRESERVED: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let percent = utf8_percent_encode(secret, UNRESERVED).to_string();
    let json = serde_json::to_string(secret).expect("a string can be written as JSON");
    let forms = [
        secret.to_owned(),
        small_escapes(&percent),
        percent,
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        json[1..json.len() - 1].replace('/', "\\/"),
        json_in_ascii(secret),
        json[1..json.len() - 1].to_owned(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    texts.extend(forms.into_iter().map(|form| Zeroizing::new(form.into_bytes())));
}

/// The same with escapes in small letters.
fn small_escapes(percent: &str) -> String {
    let mut left = 0;
    let small = |letter: char| {
        left = if letter == '%' { 2 } else { i32::max(left - 1, -1) };
        if left >= 0 && letter != '%' { letter.to_ascii_lowercase() } else { letter }
    };
    percent.chars().map(small).collect()
}

/// As writers of JSON put it that keep to ASCII.
fn json_in_ascii(secret: &str) -> String {
    let json = serde_json::to_string(secret).expect("a string can be written as JSON");
    let mut text = String::with_capacity(json.len());
    for letter in json[1..json.len() - 1].chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

/// The password within `Basic …`.
fn password_of(value: &HeaderValue) -> Option<Zeroizing<String>> {
    let value = std::str::from_utf8(value.as_bytes()).ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?);
    let (_, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

fn body(body: AnswerBody, forms: Arc<Forms>) -> AnswerBody {
    let state = (Some(body), Scrubbing::new(forms));
    let next = |(mut body, mut scrubbing): (Option<AnswerBody>, Scrubbing)| async move {
        let mut clean = Vec::new();
        loop {
            match body.as_mut()?.next().await {
                Some(Ok(chunk)) => scrubbing.take(&chunk, &mut clean),
                Some(Err(error)) => return Some((Err(error), (body, scrubbing))),
                None => {
                    scrubbing.finish(&mut clean);
                    body = None;
                }
            }
            if !clean.is_empty() {
                return Some((Ok::<_, TransportError>(Bytes::from(clean)), (body, scrubbing)));
            }
        }
    };
    Box::pin(stream::unfold(state, next))
}

/// Masks texts in bytes that come bit by bit. Never holds more than some KiB, or thrice the longest text.
struct Scrubbing {
    forms: Arc<Forms>,
    held: Vec<u8>,
    /// How much of what is held belongs to a text whose mask was given already.
    covered: usize,
}

impl Scrubbing {
    fn new(forms: Arc<Forms>) -> Self {
        Self { forms, held: Vec::new(), covered: 0 }
    }

    fn take(&mut self, chunk: &[u8], clean: &mut Vec<u8>) {
        // In parts, so that a large chunk is not held twice.
        let enough = LOOK_AT_LEAST.max(2 * self.forms.longest);
        for part in chunk.chunks(enough) {
            self.held.extend_from_slice(part);
            if self.held.len() >= enough {
                // What begins later may go on in the next chunk.
                let decided = self.held.len() - (self.forms.longest - 1);
                self.give(decided, clean);
            }
        }
    }

    fn finish(&mut self, clean: &mut Vec<u8>) {
        self.give(self.held.len(), clean);
    }

    /// Gives what is decided. Texts that overlap have one mask.
    fn give(&mut self, decided: usize, clean: &mut Vec<u8>) {
        let mut plain_from = self.covered;
        for (start, end) in self.found(decided) {
            if start >= plain_from {
                clean.extend_from_slice(&self.held[plain_from..start]);
                clean.extend_from_slice(MASK.as_bytes());
            }
            plain_from = plain_from.max(end);
        }
        if plain_from < decided {
            clean.extend_from_slice(&self.held[plain_from..decided]);
        }
        self.covered = plain_from.saturating_sub(decided);
        self.held.drain(..decided);
    }

    /// Where texts begin that are decided, and where they end, in the order of their beginnings.
    fn found(&self, decided: usize) -> Vec<(usize, usize)> {
        let places = |text: &Zeroizing<Vec<u8>>| {
            let len = text.len();
            let finder = Finder::new(&text[..]);
            let starts = finder.find_iter(&self.held).take_while(|start| *start < decided);
            starts.map(|start| (start, start + len)).collect::<Vec<_>>()
        };
        let mut found: Vec<(usize, usize)> = self.forms.texts.iter().flat_map(places).collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests;
