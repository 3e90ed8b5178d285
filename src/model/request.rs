//! What an entry sends: checked once, here, so that nobody has to check it again.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method};
use serde_json::value::RawValue;
use url::Url;

/// What stands in place of a credential.
pub const MASK: &str = "***";

/// Why part of a request is refused. The text continues a sentence that begins with the part's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The URL is longer than the limit.
    #[error("is {len} bytes long, expected at most {max}")]
    UrlTooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest URL allowed, in bytes.
        max: usize,
    },
    /// The URL cannot be read.
    #[error("is not a URL ({reason}), expected one such as `https://example.com/path`")]
    UrlUnreadable {
        /// What the URL parser says.
        reason: String,
    },
    /// The URL is neither http nor https.
    #[error("has the scheme `{scheme}`, expected `http` or `https`")]
    UrlScheme {
        /// The scheme given.
        scheme: String,
    },
    /// HTTP forbids this header name.
    #[error("is not a header name, expected letters, digits and `-`")]
    HeaderName,
    /// HTTP forbids this header value.
    #[error("holds a character that HTTP forbids in a header value")]
    HeaderValue,
}

/// An `http` or `https` URL with a host, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl(Box<str>);

impl TargetUrl {
    /// The longest URL, in bytes. Longer ones are refused.
    pub const LEN_MAX: usize = 8 * 1024;

    /// Accepts absolute `http` and `https` URLs.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        if text.len() > Self::LEN_MAX {
            return Err(RequestError::UrlTooLong { len: text.len(), max: Self::LEN_MAX });
        }
        let url = Url::parse(text).map_err(|error| RequestError::UrlUnreadable { reason: error.to_string() })?;
        match url.scheme() {
            "http" | "https" => Ok(Self(text.into())),
            scheme => Err(RequestError::UrlScheme { scheme: scheme.chars().take(32).collect() }),
        }
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without a password, where it is shown to others than those who gave it.
    pub fn masked(&self) -> Cow<'_, str> {
        if !self.0.contains('@') {
            return Cow::Borrowed(&self.0);
        }
        let mut url = self.to_url();
        if url.password().is_some() && url.set_password(Some(MASK)).is_ok() {
            return Cow::Owned(url.into());
        }
        Cow::Borrowed(&self.0)
    }

    /// Scheme, host and port as they were given, without user and password: what limits per host go by.
    pub fn origin(&self) -> &str {
        let (scheme_end, text) = (self.0.find("://").map_or(0, |at| at + 3), &*self.0);
        let end = text[scheme_end..].find(['/', '?', '#', '\\']).map_or(text.len(), |at| scheme_end + at);
        match text[scheme_end..end].rfind('@') {
            Some(at) => &text[scheme_end + at + 1..end],
            None => &text[..end],
        }
    }

    /// The parsed form, in which odd characters are percent-encoded.
    pub fn to_url(&self) -> Url {
        Url::parse(&self.0).expect("was parsed when it was made")
    }
}

/// One request header as it was given. HTTP allows both its name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: Box<str>,
    value: Box<str>,
}

impl Header {
    /// Accepts what HTTP allows.
    pub fn parse(name: &str, value: &str) -> Result<Self, RequestError> {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| RequestError::HeaderName)?;
        HeaderValue::from_bytes(value.as_bytes()).map_err(|_| RequestError::HeaderValue)?;
        Ok(Self { name: name.into(), value: value.into() })
    }

    /// The name in the letters it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value. It may be a credential: never log it.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the name is one that usually carries a credential.
    pub fn is_credential(&self) -> bool {
        const NAMES: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
        const PARTS: [&str; 6] = ["api-key", "apikey", "token", "secret", "password", "signature"];
        let name = self.name.to_ascii_lowercase();
        NAMES.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
    }
}

/// A JSON text without insignificant white space. Numbers and the order of keys stay as they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// Takes over a text that is known to be JSON. `null` becomes `None`.
    pub fn from_raw(raw: &RawValue) -> Option<Self> {
        match raw.get() {
            "null" => None,
            text => Some(Self(without_white_space(text).into())),
        }
    }

    /// The text for a place in another JSON text.
    pub fn as_raw(&self) -> &RawValue {
        serde_json::from_str(&self.0).expect("a JsonText is JSON")
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Drops what stands between the tokens of a JSON text.
fn without_white_space(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in text.chars() {
        if !in_string && matches!(letter, ' ' | '\t' | '\r' | '\n') {
            continue;
        }
        kept.push(letter);
        match letter {
            '"' if !escaped => in_string = !in_string,
            '\\' if in_string && !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    kept
}

/// The request of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where it goes.
    pub url: TargetUrl,
    /// Its own headers, in the order given; `None` is told apart from an empty list, as clients put back what they got.
    pub headers: Option<Box<[Header]>>,
    /// Its body; `None` is JSON `null`.
    pub body: Option<JsonText>,
}

impl Request {
    /// A POST without headers and body.
    pub fn post(url: TargetUrl) -> Self {
        Self { method: Method::POST, url, headers: None, body: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_with_a_host_are_targets() {
        assert_eq!(
            TargetUrl::parse("http://127.0.0.1:9/a b?x#y").unwrap().to_url().as_str(),
            "http://127.0.0.1:9/a%20b?x#y"
        );
        for text in
            ["ftp://127.0.0.1/x", "mailto:a@b", "file:///etc/hostname", "http://", "127.0.0.1:9399/ok", "/x", ""]
        {
            assert!(TargetUrl::parse(text).is_err(), "{text}");
        }
        let long = format!("http://a/{}", "x".repeat(TargetUrl::LEN_MAX));
        assert_eq!(TargetUrl::parse(&long).unwrap_err().to_string(), "is 8201 bytes long, expected at most 8192");
    }

    #[test]
    fn the_origin_of_a_url_is_its_scheme_host_and_port() {
        let origin = |text: &str| TargetUrl::parse(text).unwrap().origin().to_owned();

        assert_eq!(origin("https://example.com:8443/a/b?c"), "https://example.com:8443");
        assert_eq!(origin("http://example.com?x@y"), "http://example.com");
        assert_eq!(origin("http://user:secret@example.com/a@b"), "example.com");
        assert_eq!(origin("http://[::1]:80"), "http://[::1]:80");
    }

    #[test]
    fn a_url_is_masked_where_it_holds_a_password() {
        let masked = |text: &str| TargetUrl::parse(text).unwrap().masked().into_owned();

        assert_eq!(masked("http://user:secret@example.com:81/a b?c=@"), "http://user:***@example.com:81/a%20b?c=@");
        assert_eq!(masked("http:user:sec@ret@example.com"), "http://user:***@example.com/");
        for text in ["http://user@example.com/x:y@z", "http://example.com/user:secret@x y", "http://a/b c"] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn headers_that_http_forbids_are_refused() {
        assert!(Header::parse("X-A", "1, é").is_ok());
        assert_eq!(Header::parse("a b", "1"), Err(RequestError::HeaderName));
        assert_eq!(Header::parse("", "1"), Err(RequestError::HeaderName));
        assert_eq!(Header::parse("a", "1\r\nX: y"), Err(RequestError::HeaderValue));
    }

    #[test]
    fn headers_that_carry_credentials_are_known_by_name() {
        for name in ["Authorization", "COOKIE", "X-Api-Key", "x-auth-token", "X-Hub-Signature"] {
            assert!(Header::parse(name, "v").unwrap().is_credential(), "{name}");
        }
        assert!(!Header::parse("Content-Type", "v").unwrap().is_credential());
    }

    #[test]
    fn json_keeps_its_numbers_strings_and_order() {
        let given = "{ \"z\" : 1.50 ,\n\t\"a\": [ \"x  \\\" y\", 12345678901234567890123 ], \"\\\\\" : { } }";
        let raw: &RawValue = serde_json::from_str(given).unwrap();

        let text = JsonText::from_raw(raw).unwrap();

        assert_eq!(text.as_str(), "{\"z\":1.50,\"a\":[\"x  \\\" y\",12345678901234567890123],\"\\\\\":{}}");
        assert_eq!(JsonText::from_raw(serde_json::from_str("null").unwrap()), None);
    }
}
