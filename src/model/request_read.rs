//! Reads requests: of entries, and of their callbacks.

use http::Method;
use serde_json::value::RawValue;

use super::object::{Mistakes, Object, string, word};
use super::{Header, JsonText, Request, TargetUrl, template};

/// The methods that a request may have.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

impl Request {
    /// Reads `method`, `url`, `headers` and `body`.
    pub fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let method = match members.get("method") {
            Some(raw) => method(raw, &members.path_of("method"), mistakes),
            None => Some(Method::POST),
        };
        let url = url(members, mistakes);
        let headers = members.get("headers").map(|raw| headers(raw, members.path_of("headers"), mistakes));
        let body = members.get("body").and_then(JsonText::from_raw);
        if let Some(body) = &body {
            template::warn_of_unknown(body.as_str(), &members.path_of("body"), mistakes);
            warn_of_body(method.as_ref(), body, &members.path_of("body"), mistakes);
        }
        Some(Self { method: method?, url: url?, headers, body })
    }
}

fn method(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Method> {
    let known = |text: &str| Method::from_bytes(text.as_bytes()).ok().filter(|_| METHODS.contains(&text));
    word(raw, path, known, &METHODS, mistakes)
}

fn warn_of_body(method: Option<&Method>, body: &JsonText, path: &str, mistakes: &mut Mistakes) {
    let is_empty = matches!(body.as_str(), "{}" | "[]" | "\"\"");
    if let Some(method @ (&Method::GET | &Method::HEAD)) = method
        && !is_empty
    {
        mistakes.warn(path, format_args!("is sent as given, though few targets look at the body of a {method}"));
    }
}

fn url(members: &Object<'_>, mistakes: &mut Mistakes) -> Option<TargetUrl> {
    let (text, path) = (members.string("url", mistakes)?, members.path_of("url"));
    if !template::check_url(&text, &path, mistakes) {
        return None;
    }
    template::warn_of_unknown(&text, &path, mistakes);
    TargetUrl::parse(&text).map_err(|error| mistakes.add(&path, error)).ok()
}

fn headers(raw: &RawValue, path: String, mistakes: &mut Mistakes) -> Box<[Header]> {
    let Some(members) = Object::read(raw, path, mistakes) else { return Box::default() };
    let paths: Vec<String> = members.keys().map(|key| members.path_of(key)).collect();
    let mut read = |((name, raw), path): ((String, &RawValue), String)| {
        let value = string(raw, &path, mistakes)?;
        template::warn_of_unknown(&value, &path, mistakes);
        Header::parse(&name, &value).map_err(|error| mistakes.add(&path, error)).ok()
    };
    members.into_members().into_iter().zip(paths).filter_map(&mut read).collect()
}
