//! What an entry sends: checked once, here, so that nobody has to check it again.

use std::borrow::Cow;
use std::ops::Range;

use http::{HeaderName, HeaderValue, Method};
use serde_json::value::RawValue;
use url::Url;

use super::template::is_reference;

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
    /// The URL holds a character that no text of it may hold.
    #[error("holds the control character `{shown}`, expected it percent-encoded or left out")]
    UrlControl {
        /// The character, escaped.
        shown: String,
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
        // A parser of URLs passes over some of them: what is sent would be another text than what is shown.
        if let Some(control) = text.chars().find(|letter| letter.is_control()) {
            return Err(RequestError::UrlControl { shown: control.escape_default().to_string() });
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

    /// Scheme, host and port, without user and password, the same however they were typed: what limits per host go by. Computed
    /// when it is asked for, as a million entries may hold a URL and few of them run at once.
    pub fn origin(&self) -> String {
        self.to_url().origin().ascii_serialization()
    }

    /// The text as it was given, its password masked. A password that only names a secret is none.
    pub fn masked(&self) -> Cow<'_, str> {
        let place = self.password_place().filter(|place| !is_reference(&self.0[place.clone()]));
        place.map_or(Cow::Borrowed(&self.0), |place| self.with(place, MASK).into())
    }

    /// The password as it was given, if there is one.
    pub(super) fn password(&self) -> Option<&str> {
        self.password_place().map(|place| &self.0[place])
    }

    /// The same with another password, as it is written in a URL. `None`: there is no password, or it would be too long.
    pub(super) fn with_password(&self, password: &str) -> Option<Self> {
        self.password_place().and_then(|place| Self::parse(&self.with(place, password)).ok())
    }

    fn with(&self, place: Range<usize>, text: &str) -> String {
        format!("{}{text}{}", &self.0[..place.start], &self.0[place.end..])
    }

    /// Where the password stands.
    fn password_place(&self) -> Option<Range<usize>> {
        // As a URL parser takes them: any number of slashes of either kind, and what it ignores between them.
        let after_scheme = self.0.find(':')? + 1;
        let is_slash = |letter| matches!(letter, '/' | '\\' | '\t' | '\n' | '\r');
        let start = after_scheme + self.0[after_scheme..].find(|letter| !is_slash(letter))?;
        let authority = &self.0[start..];
        let authority = &authority[..authority.find(['/', '\\', '?', '#']).unwrap_or(authority.len())];
        let user_end = authority.rfind('@')?;
        let password = authority[..user_end].find(':')? + 1;
        Some(start + password..start + user_end)
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

    /// The same name with the value of another one.
    pub(super) fn with_value_of(&self, other: &Self) -> Self {
        Self { name: self.name.clone(), value: other.value.clone() }
    }

    /// Whether the name is one that usually carries a credential.
    pub fn is_credential(&self) -> bool {
        Self::is_credential_name(&self.name)
    }

    /// The same of any name, in whatever case.
    pub fn is_credential_name(name: &str) -> bool {
        const WORDS: [&str; 8] = ["auth", "key", "keys", "jwt", "pass", "passwd", "pwd", "sig"];
        /// They mean the same wherever they stand in a word, as in `X-AuthToken`.
        const PARTS: [&str; 9] =
            ["apikey", "authoriz", "authentic", "cookie", "credential", "password", "secret", "signature", "token"];
        /// What has such a key opens nothing.
        const NAMED_BY_KEY: [&str; 6] = ["idempotency", "cache", "surrogate", "partition", "routing", "dedup"];
        let name = name.to_ascii_lowercase();
        if PARTS.iter().any(|part| name.contains(part)) {
            return true;
        }
        let words: Vec<&str> = name.split(['-', '_', '.']).collect();
        let is_secret = |(place, word): (usize, &&str)| {
            let before = place.checked_sub(1).map(|before| words[before]);
            WORDS.contains(word) && !(word.starts_with("key") && before.is_some_and(|it| NAMED_BY_KEY.contains(&it)))
        };
        words.iter().enumerate().any(is_secret)
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
    use proptest::prelude::*;

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
        let origin = |text: &str| TargetUrl::parse(text).unwrap().origin();

        assert_eq!(origin("https://example.com:8443/a/b?c"), "https://example.com:8443");
        assert_eq!(origin("http://example.com?x@y"), "http://example.com");
        assert_eq!(origin("http://user:secret@example.com/a@b"), "http://example.com");
        assert_eq!(origin("https://user@example.com"), "https://example.com");
        assert_eq!(origin("http://[::1]:81"), "http://[::1]:81");
    }

    #[test]
    fn the_same_host_is_the_same_origin_however_it_is_typed() {
        for text in ["http://a.example", "http://A.Example/", "HTTP://a.example:80/x", "http:\\\\u:p@a.example?y"] {
            assert_eq!(TargetUrl::parse(text).unwrap().origin(), "http://a.example", "{text}");
        }
    }

    #[test]
    fn the_password_in_a_url_is_masked_and_nothing_else() {
        let masked = |text: &str| TargetUrl::parse(text).unwrap().masked().into_owned();

        assert_eq!(
            masked("https://ann:s3:cr@t@example.com/{{entry}}?a=b:c@d"),
            "https://ann:***@example.com/{{entry}}?a=b:c@d"
        );
        assert_eq!(masked("http:\\\\ann:secret@h\\x"), "http:\\\\ann:***@h\\x");
        assert_eq!(masked("http:ann:secret@h"), "http:ann:***@h");
        assert_eq!(masked("http://:secret@h"), "http://:***@h");
        for plain in
            ["http://u:${secret:a}@h/", "http://h:80/a:b@c", "http://ann@h/", "http://h?u:p@x", "http://h#u:p@x"]
        {
            assert_eq!(masked(plain), plain);
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
        let is_credential = |name: &&str| Header::parse(name, "v").unwrap().is_credential();

        let credentials = [
            "Authorization",
            "Proxy-Authorization",
            "COOKIE",
            "Set-Cookie",
            "X-Api-Key",
            "apikey",
            "x-auth-token",
            "X-AuthToken",
            "X-Hub-Signature",
            "X-Auth-Key",
            "X-Auth",
            "Ocp-Apim-Subscription-Key",
            "x-functions-key",
            "X_Access_Key",
            "X-Access-Token",
            "Authentication",
            "X-Credentials",
            "X-Client-Secret",
            "X-Password",
            "Key",
        ];
        let others = [
            "Content-Type",
            "Idempotency-Key",
            "X-Idempotency-Key",
            "Cache-Key",
            "X-Author",
            "X-Keyboard",
            "X-Monkey",
            "Host",
            "X-Design",
            "X-Authority",
        ];
        assert_eq!(credentials.iter().filter(|name| !is_credential(name)).collect::<Vec<_>>(), [&""; 0]);
        assert_eq!(others.iter().filter(|name| is_credential(name)).collect::<Vec<_>>(), [&""; 0]);
    }

    #[test]
    fn json_keeps_its_numbers_strings_and_order() {
        let given = "{ \"z\" : 1.50 ,\n\t\"a\": [ \"x  \\\" y\", 12345678901234567890123 ], \"\\\\\" : { } }";
        let raw: &RawValue = serde_json::from_str(given).unwrap();

        let text = JsonText::from_raw(raw).unwrap();

        assert_eq!(text.as_str(), "{\"z\":1.50,\"a\":[\"x  \\\" y\",12345678901234567890123],\"\\\\\":{}}");
        assert_eq!(JsonText::from_raw(serde_json::from_str("null").unwrap()), None);
    }

    proptest! {
        #[test]
        fn however_a_url_is_typed_its_password_is_masked_and_the_rest_stays(
            url in "(https?|HTTP):[/\\\\\t]{0,3}[a-z:@]{0,6}@?[a-z.]{1,6}(:81)?[/?#\\\\]?[a-z:@/]{0,8}"
        ) {
            let Ok(target) = TargetUrl::parse(&url) else { return Ok(()) };
            let (mut given, mut masked) = (target.to_url(), Url::parse(&target.masked()).unwrap());
            prop_assert!(given.password().is_none() || masked.password() == Some(MASK), "{masked}");
            given.set_password(None).unwrap();
            masked.set_password(None).unwrap();
            prop_assert_eq!(given, masked);
        }
    }
}
