//! Templates: `{{identity}}` and others in a request, filled in when a run is sent.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use url::Url;

use super::object::Mistakes;
use super::{Header, JsonText, Request, RequestError, RunId, TargetUrl, Timestamp, nearest_name};

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
}

/// How much longer templates may make a header value, in bytes. Where they would make it longer the run fails.
const HEADER_GROWTH_MAX: usize = 16 * 1024;
/// How much longer templates may make a body, in bytes. Where they would make it longer the run fails.
const BODY_GROWTH_MAX: usize = 4 * 1024 * 1024;
/// The longest name that is looked at, in bytes. What is longer is text.
const NAME_LEN_MAX: usize = 32;
/// All but what RFC 3986 never reserves.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

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
    fn get(&self, name: Name) -> Cow<'_, str> {
        match name {
            Name::Identity => self.identity.into(),
            Name::Entry => self.entry.into(),
            Name::RunId => self.run_id.to_string().into(),
            Name::FireTime => self.fire_time.to_string().into(),
            Name::Attempt => self.attempt.to_string().into(),
            Name::Args => self.args.into(),
        }
    }
}

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Known(Name),
    /// A template with a name that is not known: it stays as it is.
    Unknown {
        whole: &'t str,
        name: &'t str,
    },
}

/// Takes a text apart. What is filled in is never looked at again.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = match rest.find("{{") {
            Some(0) => template(rest).unwrap_or_else(|| (Part::Text(&rest[..1]), &rest[1..])),
            found => {
                rest.split_at_checked(found.unwrap_or(rest.len())).map(|(text, after)| (Part::Text(text), after))?
            }
        };
        rest = after;
        Some(part)
    })
}

/// The template at the start of a text, and what follows it.
fn template(text: &str) -> Option<(Part<'_>, &str)> {
    let inside = text.strip_prefix("{{")?.trim_start_matches(' ');
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (name, after) = inside.split_at(inside.find(|letter| !is_name(letter)).unwrap_or(inside.len()));
    let after = after.trim_start_matches(' ').strip_prefix("}}")?;
    let whole = &text[..text.len() - after.len()];
    match Name::parse(name) {
        Some(name) => Some((Part::Known(name), after)),
        None if (1..=NAME_LEN_MAX).contains(&name.len()) => Some((Part::Unknown { whole, name }, after)),
        None => None,
    }
}

/// Whether there is anything to fill in.
fn has_templates(text: &str) -> bool {
    text.contains("{{") && parts(text).any(|part| matches!(part, Part::Known(_)))
}

/// Fills a text in. `None`: it would be longer than `max` bytes.
fn fill<'v>(text: &str, max: usize, value: impl Fn(Name) -> Cow<'v, str>) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) | Part::Unknown { whole: text, .. } => filled.push_str(text),
            Part::Known(name) => filled.push_str(&value(name)),
        }
        if filled.len() > max {
            return None;
        }
    }
    Some(filled)
}

impl Request {
    /// This request with its templates filled in.
    pub fn filled_in(&self, values: &TemplateValues<'_>) -> Result<Cow<'_, Self>, TemplateError> {
        let in_headers = |headers: &[Header]| headers.iter().any(|header| has_templates(header.value()));
        let (in_url, in_headers) = (has_templates(self.url.as_str()), self.headers.as_deref().is_some_and(in_headers));
        let body = self.body.as_ref().filter(|body| has_templates(body.as_str()));
        if !in_url && !in_headers && body.is_none() {
            return Ok(Cow::Borrowed(self));
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
            let max = body.as_str().len() + BODY_GROWTH_MAX;
            let filled = fill_json(body.as_str(), max, values).filter(|filled| filled.len() <= max);
            let filled = filled.ok_or(TemplateError::TooLong { part: "body", max })?;
            request.body = serde_json::from_str::<&RawValue>(&filled).ok().and_then(JsonText::from_raw);
        }
        Ok(Cow::Owned(request))
    }
}

fn fill_url(text: &str, values: &TemplateValues<'_>) -> Result<TargetUrl, TemplateError> {
    let too_long = TemplateError::TooLong { part: "URL", max: TargetUrl::LEN_MAX };
    let encoded = |name| utf8_percent_encode(&values.get(name), IN_URL).to_string().into();
    let filled = TargetUrl::parse(&fill(text, TargetUrl::LEN_MAX, encoded).ok_or(too_long)?)?;
    // Dots cannot be encoded so that they lose their meaning: a value such as `..` would step out of its place.
    let harmless = fill(text, TargetUrl::LEN_MAX * 2, |_| "x".into()).and_then(|text| Url::parse(&text).ok());
    let is_alike = |harmless: Url| {
        let filled = filled.to_url();
        let segments = |url: &Url| url.path().split('/').count();
        is_same_server(&filled, &harmless) && segments(&filled) == segments(&harmless)
    };
    if harmless.is_some_and(is_alike) { Ok(filled) } else { Err(TemplateError::LeadsElsewhere) }
}

fn is_same_server(one: &Url, other: &Url) -> bool {
    one[..url::Position::BeforePath] == other[..url::Position::BeforePath]
}

fn fill_header(header: &Header, values: &TemplateValues<'_>) -> Result<Header, TemplateError> {
    if !has_templates(header.value()) {
        return Ok(header.clone());
    }
    // A line break in a value would begin another header.
    let is_allowed = |letter: &char| *letter == '\t' || !letter.is_ascii_control();
    let stripped = |name| values.get(name).chars().filter(is_allowed).collect::<String>().into();
    let max = header.value().len() + HEADER_GROWTH_MAX;
    let filled = fill(header.value(), max, stripped).ok_or(TemplateError::TooLong { part: "header", max })?;
    Ok(Header::parse(header.name(), &filled)?)
}

/// Fills a JSON text in. In JSON a template can only stand within a string.
fn fill_json(text: &str, max: usize, values: &TemplateValues<'_>) -> Option<String> {
    let Ok(string) = serde_json::from_str::<String>(text) else {
        return fill(text, max, |name| in_json_string(&values.get(name)).into());
    };
    // A string is sent as what it holds: then that is what must stay whole.
    let filled = match StringKind::of(&string) {
        StringKind::Json => fill(&string, max, |name| in_json_string(&values.get(name)).into()),
        StringKind::Form => {
            fill(&string, max, |name| utf8_percent_encode(&values.get(name), IN_URL).to_string().into())
        }
        StringKind::Text => fill(&string, max, |name| values.get(name)),
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
        let value = |name| if name == Name::Attempt { "1" } else { "x" };
        match fill(string, usize::MAX, |name| value(name).into()) {
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

/// Refuses templates in the part of a URL that says which server is asked, and by whom.
pub(super) fn check_url(text: &str, path: &str, mistakes: &mut Mistakes) -> bool {
    if !has_templates(text) {
        return true;
    }
    let filled =
        |with: &'static str| fill(text, text.len() + 1, |_| with.into()).and_then(|text| Url::parse(&text).ok());
    let is_kept = match (filled("1"), filled("2")) {
        (Some(one), Some(other)) => is_same_server(&one, &other),
        // It is no URL, whatever is filled in or not: that is told elsewhere.
        (None, None) => Url::parse(text).is_err(),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !is_kept {
        mistakes.add(path, "has a template in its scheme, user, host or port, expected it in the path or the query");
    }
    is_kept
}

/// Warns of templates in a text that stay as they are.
pub(super) fn warn_of_unknown(text: &str, path: &str, mistakes: &mut Mistakes) {
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

#[cfg(test)]
mod tests;
