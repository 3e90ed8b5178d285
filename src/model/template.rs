//! Templates and secrets: `{{identity}}` and others, and `${secret:NAME}` in a request, filled in when a run is sent.

mod in_url;
mod parts;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::in_url::{encoded, fill_url};
use self::parts::{Part, SECRET, Slot, fill, has_slots, joined, names, parts, references, secrets};
use super::object::Mistakes;
use super::{
    Header, JsonText, Request, RequestError, RunId, SecretName, SecretNameError, SecretTexts, Timestamp, nearest_name,
};

pub(super) use self::in_url::check_url;
pub(super) use self::parts::is_reference;

/// What a run fills in.
#[derive(Clone, Copy, Debug)]
pub struct TemplateValues<'a> {
    /// The identity of the task.
    pub identity: &'a str,
    /// The name of the entry.
    pub entry: &'a str,
    /// The run.
    pub run_id: RunId,
    /// Its instant.
    pub fire_time: Timestamp,
    /// The number of the attempt.
    pub attempt: u32,
    /// The words that whoever asked for the run gave; empty for planned runs.
    pub args: &'a str,
    /// The secrets that the request names.
    pub secrets: &'a SecretTexts,
    /// How much longer it may become.
    pub growth: TemplateGrowth,
}

/// How much longer templates may make the parts of a request. Where they would make one longer the run fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateGrowth {
    /// The value of a header, in bytes.
    pub header_bytes_max: usize,
    /// The body, in bytes.
    pub body_bytes_max: usize,
}

impl Default for TemplateGrowth {
    fn default() -> Self {
        Self { header_bytes_max: 16 * 1024, body_bytes_max: 4 * 1024 * 1024 }
    }
}

/// Why a request cannot be filled in. The run fails with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It would grow too large.
    #[error("the {part} is longer than {max} bytes with its templates filled in")]
    TooLong {
        /// Which part of the request.
        part: &'static str,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// What is filled in would lead to another place, such as `..` in a path.
    #[error("the URL leads elsewhere with its templates filled in")]
    LeadsElsewhere,
    /// Something that HTTP forbids.
    #[error("the URL or a header cannot be sent with its templates filled in")]
    Forbidden(#[from] RequestError),
    /// A secret in a header with a sign that would end the header. Cut out, it would be another secret.
    #[error("secret {0} holds a control character, which HTTP forbids in a header")]
    SecretForbidden(SecretName),
    /// A secret that the values lack.
    #[error("secret {0} is not filled in")]
    SecretMissing(SecretName),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Identity,
    Entry,
    RunId,
    FireTime,
    Attempt,
    Args,
}

impl Name {
    const ALL: [(&str, Self); 6] = [
        ("identity", Self::Identity),
        ("entry", Self::Entry),
        ("run_id", Self::RunId),
        ("fire_time", Self::FireTime),
        ("attempt", Self::Attempt),
        ("args", Self::Args),
    ];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|&(_, name)| name)
    }
}

impl TemplateValues<'_> {
    fn get(&self, slot: Slot<'_>) -> Cow<'_, str> {
        match slot {
            Slot::Value(Name::Identity) => self.identity.into(),
            Slot::Value(Name::Entry) => self.entry.into(),
            Slot::Value(Name::RunId) => self.run_id.to_string().into(),
            Slot::Value(Name::FireTime) => self.fire_time.to_string().into(),
            Slot::Value(Name::Attempt) => self.attempt.to_string().into(),
            Slot::Value(Name::Args) => self.args.into(),
            Slot::Secret(name) => self.secrets.get(name).map_or_else(|| format!("{SECRET}{name}}}").into(), Cow::from),
        }
    }
}

impl Request {
    /// Whether it may name a secret: for most requests that is all the work that secrets make.
    pub fn may_name_secrets(&self) -> bool {
        let texts = self.headers.iter().flatten().map(Header::value).chain(self.body.iter().map(JsonText::as_str));
        texts.chain([self.url.as_str()]).any(|text| text.contains(SECRET))
    }

    /// The secrets that it names, each with its place in the request.
    pub fn secrets(&self) -> impl Iterator<Item = (String, SecretName)> + '_ {
        let in_header = |header: &Header| secrets(header.value()).next().is_some();
        let headers = self.headers.iter().flatten().filter(move |header| in_header(header));
        let headers = headers.map(|header| (format!("headers.{}", header.name()), header.value()));
        let body = self.body.iter().map(|body| ("body".to_owned(), body.as_str()));
        let texts = [("url".to_owned(), self.url.as_str())].into_iter().chain(headers).chain(body);
        texts.flat_map(|(place, text)| {
            let name = move |name: &str| SecretName::parse(name).ok().map(|name| (place.clone(), name));
            secrets(text).filter_map(name)
        })
    }

    /// This request with its templates and secrets filled in.
    pub fn filled_in(&self, values: &TemplateValues<'_>) -> Result<Cow<'_, Self>, TemplateError> {
        let in_headers = |headers: &[Header]| headers.iter().any(|header| has_slots(header.value()));
        let (in_url, in_headers) = (has_slots(self.url.as_str()), self.headers.as_deref().is_some_and(in_headers));
        let body = self.body.as_ref().filter(|body| has_slots(body.as_str()));
        if !in_url && !in_headers && body.is_none() {
            return Ok(Cow::Borrowed(self));
        }
        if let Some((_, missing)) = self.secrets().find(|(_, name)| values.secrets.get(name.as_str()).is_none()) {
            return Err(TemplateError::SecretMissing(missing));
        }
        let mut request = self.clone();
        if in_url {
            request.url = fill_url(self.url.as_str(), values)?;
        }
        if in_headers {
            let headers = self.headers.iter().flatten();
            request.headers = Some(headers.map(|header| fill_header(header, values)).collect::<Result<_, _>>()?);
        }
        if let Some(body) = body {
            let max = body.as_str().len() + values.growth.body_bytes_max;
            let filled = fill_json(body.as_str(), max, values).filter(|filled| filled.len() <= max);
            let filled = filled.ok_or(TemplateError::TooLong { part: "body", max })?;
            request.body = serde_json::from_str::<&RawValue>(&filled).ok().and_then(JsonText::from_raw);
        }
        Ok(Cow::Owned(request))
    }
}

/// The secrets that a text names in which nothing else is filled in, as often as they stand there.
pub(super) fn secret_names(text: &str) -> impl Iterator<Item = SecretName> + '_ {
    names(references(text)).filter_map(|name| SecretName::parse(name).ok())
}

/// A text with its secrets filled in and nothing else. `part` says what it is.
pub(super) fn fill_secrets(
    text: &str,
    part: &'static str,
    max: usize,
    secrets: &SecretTexts,
) -> Result<String, TemplateError> {
    if let Some(missing) = secret_names(text).find(|name| secrets.get(name.as_str()).is_none()) {
        return Err(TemplateError::SecretMissing(missing));
    }
    let value = |slot: Slot<'_>| match slot {
        Slot::Secret(name) => secrets.get(name).unwrap_or_default().into(),
        Slot::Value(_) => "".into(),
    };
    joined(references(text), max, value).ok_or(TemplateError::TooLong { part, max })
}

/// A line break in a value would begin another header.
fn is_allowed(letter: &char) -> bool {
    *letter == '\t' || !letter.is_ascii_control()
}

fn fill_header(header: &Header, values: &TemplateValues<'_>) -> Result<Header, TemplateError> {
    if !has_slots(header.value()) {
        return Ok(header.clone());
    }
    let is_forbidden = |name: &&str| values.get(Slot::Secret(name)).chars().any(|letter| !is_allowed(&letter));
    if let Some(name) = secrets(header.value()).find(is_forbidden).and_then(|name| SecretName::parse(name).ok()) {
        return Err(TemplateError::SecretForbidden(name));
    }
    let stripped = |slot: Slot<'_>| values.get(slot).chars().filter(is_allowed).collect::<String>().into();
    let max = header.value().len() + values.growth.header_bytes_max;
    let filled = fill(header.value(), max, stripped).ok_or(TemplateError::TooLong { part: "header", max })?;
    Ok(Header::parse(header.name(), &filled)?)
}

/// Fills a JSON text in. In JSON a template can only stand within a string.
fn fill_json(text: &str, max: usize, values: &TemplateValues<'_>) -> Option<String> {
    let Ok(string) = serde_json::from_str::<String>(text) else {
        return fill(text, max, |slot| in_json_string(&values.get(slot)).into());
    };
    // A string is sent as what it holds: then that is what must stay whole.
    let filled = match StringKind::of(&string) {
        StringKind::Json => fill(&string, max, |slot| in_json_string(&values.get(slot)).into()),
        StringKind::Form => fill(&string, max, |slot| encoded(&values.get(slot)).into()),
        StringKind::Text => fill(&string, max, |slot| values.get(slot).into_owned().into()),
    };
    filled.and_then(|filled| serde_json::to_string(&filled).ok())
}

fn in_json_string(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string can be written as JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// What a body that is a string holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringKind {
    /// A JSON text.
    Json,
    /// Fields such as `a=1&b=2`.
    Form,
    /// Anything else.
    Text,
}

impl StringKind {
    /// Of a body as its entry gives it, if it is a string.
    pub fn of_body(body: &JsonText) -> Option<Self> {
        serde_json::from_str::<String>(body.as_str()).ok().map(|string| Self::of(&string))
    }

    /// Of a string whose templates are not filled in: who asks for a run chooses values, never how they are sent.
    fn of(string: &str) -> Self {
        let value = |slot: Slot<'_>| if slot == Slot::Value(Name::Attempt) { "1" } else { "x" };
        match fill(string, usize::MAX, |slot| value(slot).into()) {
            Some(text) if serde_json::from_str::<&RawValue>(&text).is_ok() => Self::Json,
            Some(text) if is_form(&text) => Self::Form,
            Some(_) | None => Self::Text,
        }
    }
}

/// Whether a text looks like `a=1&b=2`: every part has a name and a `=`, and nothing in it needs to be encoded.
fn is_form(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+*=&%!'(),:;@/?$[]".contains(&byte);
    text.bytes().all(is_plain)
        && percent_escapes_are_whole(text.as_bytes())
        && text.split('&').all(|part| part.find('=').is_some_and(|at| at > 0))
}

fn percent_escapes_are_whole(bytes: &[u8]) -> bool {
    let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'%').all(|(at, _)| digit_at(at + 1) && digit_at(at + 2))
}

/// Warns of templates and references in a text that stay as they are.
pub(super) fn warn_of_unknown(text: &str, path: &str, mistakes: &mut Mistakes) {
    if text.contains(SECRET) {
        warn_of_nameless(parts(text), path, mistakes);
    }
    if !text.contains("{{") {
        return;
    }
    let mut told: Vec<&str> = Vec::new();
    for part in parts(text) {
        let Part::Unknown { name, .. } = part else { continue };
        if told.contains(&name) || told.len() == Name::ALL.len() {
            continue;
        }
        told.push(name);
        let hint = nearest_name(name, Name::ALL.map(|(known, _)| known)).map_or_else(
            || "it is sent as it is".to_owned(),
            |near| format!("it is sent as it is, did you mean `{{{{{near}}}}}`?"),
        );
        mistakes.warn(path, format_args!("unknown template `{{{{{name}}}}}`, {hint}"));
    }
}

/// Warns of what looks like a reference to a secret and is none, in a text in which nothing else is filled in.
pub(super) fn warn_of_no_secret(text: &str, path: &str, mistakes: &mut Mistakes) {
    warn_of_nameless(references(text), path, mistakes);
}

fn warn_of_nameless<'t>(mut parts: impl Iterator<Item = Part<'t>>, path: &str, mistakes: &mut Mistakes) {
    if parts.any(|part| matches!(part, Part::Nameless(_))) {
        let name = SecretNameError;
        mistakes.warn(path, format_args!("`{SECRET}…}}` {name}: it is sent as it is"));
    }
}

#[cfg(test)]
mod tests;
