//! What a request shows of who sends it.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::certificate::CertificateName;

/// The header that holds a key and nothing else.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SCHEME: &str = "bearer";

/// Two keys in one request: it cannot be known which of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeveralKeys;

/// What is known of a request before anybody has looked at what it wants.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// From where it comes.
    pub address: IpAddr,
    /// What it is addressed to.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The names in the certificate of the client, which was verified; none: it showed no certificate.
    pub certificate: &'a [CertificateName],
}

impl<'a> Shown<'a> {
    /// The key that it shows, if it shows one. What stands in `Authorization` by another scheme is meant for a proxy.
    pub(super) fn key(&self) -> Result<Option<&'a [u8]>, SeveralKeys> {
        let bearers = self.headers.get_all(AUTHORIZATION).iter().filter_map(bearer);
        let keys = self.headers.get_all(API_KEY).iter().map(|value| value.as_bytes().trim_ascii());
        let mut all = bearers.chain(keys);
        let first = all.next();
        if all.all(|other| Some(other) == first) { Ok(first) } else { Err(SeveralKeys) }
    }

    /// The page that it is of, if a browser sends it.
    pub(super) fn origin(&self) -> Option<&'a [u8]> {
        let mut all = self.headers.get_all(ORIGIN).iter();
        let first = all.next()?.as_bytes();
        // A browser sends one. Of several none is believed.
        Some(if all.next().is_some() { b"several" } else { first })
    }

    /// Host and port that it is addressed to.
    pub(super) fn host(&self) -> Option<&'a str> {
        const UNKNOWN: &str = "?";
        let mut all = self.headers.get_all(HOST).iter();
        let of_header = all.next().map(|host| host.to_str().unwrap_or(UNKNOWN));
        let of_uri = self.uri.authority().map(http::uri::Authority::as_str);
        let is_one = all.next().is_none() && of_uri.zip(of_header).is_none_or(|(of_uri, host)| of_uri == host);
        if is_one { of_uri.or(of_header) } else { Some(UNKNOWN) }
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes().trim_ascii();
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME.as_bytes());
    let key = rest.trim_ascii_start();
    (is_bearer && (rest.is_empty() || key.len() < rest.len())).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(headers: &[(&'static str, &'static str)]) -> Result<Option<String>, SeveralKeys> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let (uri, address) = (Uri::from_static("/"), IpAddr::from([127, 0, 0, 1]));
        let key = Shown { address, uri: &uri, headers: &headers, certificate: &[] }.key()?;
        Ok(key.map(|key| String::from_utf8(key.to_vec()).unwrap()))
    }

    #[test]
    fn a_key_stands_in_either_header_and_twice_only_if_it_is_the_same() {
        let found = |text: &str| Ok(Some(text.to_owned()));

        assert_eq!(key_of(&[]), Ok(None));
        assert_eq!(key_of(&[("authorization", "Bearer abc")]), found("abc"));
        assert_eq!(key_of(&[("authorization", "bEaReR   abc ")]), found("abc"));
        assert_eq!(key_of(&[("x-api-key", " abc ")]), found("abc"));
        assert_eq!(key_of(&[("authorization", "Bearer abc"), ("x-api-key", "abc")]), found("abc"));
        assert_eq!(key_of(&[("authorization", "Bearer abc"), ("x-api-key", "abd")]), Err(SeveralKeys));
        assert_eq!(key_of(&[("authorization", "Basic abc"), ("x-api-key", "abd")]), found("abd"));
        assert_eq!(key_of(&[("authorization", "Basic abc")]), Ok(None));
        assert_eq!(key_of(&[("authorization", "Bearerabc")]), Ok(None));
        assert_eq!(key_of(&[("authorization", "Bearer")]), found(""));
        assert_eq!(key_of(&[("x-api-key", "")]), found(""));
    }

    #[test]
    fn a_request_that_is_addressed_to_two_hosts_is_addressed_to_none_that_is_known() {
        let host = |uri: &'static str, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            let uri = Uri::from_static(uri);
            let shown = Shown { address: IpAddr::from([127, 0, 0, 1]), uri: &uri, headers: &headers, certificate: &[] };
            shown.host().map(str::to_owned)
        };

        assert_eq!(host("/", &[]), None);
        assert_eq!(host("/", &["a:1"]).as_deref(), Some("a:1"));
        assert_eq!(host("http://a:1/", &[]).as_deref(), Some("a:1"));
        assert_eq!(host("http://a:1/", &["a:1"]).as_deref(), Some("a:1"));
        assert_eq!(host("http://a:1/", &["b:1"]).as_deref(), Some("?"));
        assert_eq!(host("/", &["a:1", "b:1"]).as_deref(), Some("?"));
    }
}
