//! What is refused before any route sees it: heads that are too large, and requests that two servers could understand in two ways.
//!
//! hyper refuses before this what is no HTTP: wrong lengths and chunks, folded headers, blanks before a colon, letters that HTTP forbids.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Uri, Version};

use crate::api::Settings;
use crate::api::reply::ApiError;

/// What a request says once, or not at all. Of two values one server would take the first and another one the last.
const ONCE: [HeaderName; 5] = [HOST, CONTENT_TYPE, CONTENT_ENCODING, EXPECT, AUTHORIZATION];

/// Whether a request may go on to the routes.
pub(super) fn check<B>(request: &Request<B>, settings: &Settings) -> Result<(), ApiError> {
    check_sizes(request, settings)?;
    check_target(request.method(), request.uri())?;
    let headers = request.headers();
    if let Some(name) = ONCE.iter().find(|&name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(ApiError::Unclear(format!("{name}: is given twice, expected it once")));
    }
    if request.version() == Version::HTTP_11 && !headers.contains_key(HOST) {
        return Err(ApiError::Unclear("host: is missing, which HTTP/1.1 forbids".to_owned()));
    }
    check_framing(headers)
}

fn check_sizes<B>(request: &Request<B>, settings: &Settings) -> Result<(), ApiError> {
    let target = request.uri().to_string();
    if target.len() > settings.url_max {
        return Err(ApiError::UrlTooLong { len: target.len(), max: settings.url_max });
    }
    let headers = request.headers();
    if headers.len() > settings.headers_max {
        let (count, max) = (headers.len(), settings.headers_max);
        return Err(ApiError::HeadTooLarge(format!(
            "the request has {count} headers, expected at most {max} ([server] max_headers)"
        )));
    }
    let size = head_size(request.method(), &target, headers);
    if size > settings.head_max {
        let max = settings.head_max;
        return Err(ApiError::HeadTooLarge(format!(
            "the head of the request is {size} bytes long, expected at most {max} ([server] max_header_bytes)"
        )));
    }
    Ok(())
}

/// The size of a head as it is in HTTP/1.1 without needless blanks, with the empty line at its end.
fn head_size(method: &Method, target: &str, headers: &HeaderMap) -> usize {
    let request_line = method.as_str().len() + 1 + target.len() + " HTTP/1.1\r\n".len();
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + ": ".len() + value.len() + "\r\n".len());
    request_line + lines.sum::<usize>() + "\r\n".len()
}

/// This is no proxy: what is asked for is a path. With a server before it (`GET http://host/path`) it is one, too.
fn check_target(method: &Method, target: &Uri) -> Result<(), ApiError> {
    let is_asterisk = target.path() == "*" && *method == Method::OPTIONS;
    if *method == Method::CONNECT || !(is_asterisk || target.path().starts_with('/')) {
        return Err(ApiError::Unclear("the target is no path: this is no proxy".to_owned()));
    }
    Ok(())
}

fn check_framing(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (!coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some())
    {
        return Err(ApiError::Unclear("transfer-encoding: is not understood, expected `chunked` or none".to_owned()));
    }
    match headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(ApiError::Expectation),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(version: Version, target: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
        let mut request = Request::builder().method("POST").uri(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let refused = check(&request.body(()).unwrap(), &Settings::default()).err()?;
        Some((refused.status().as_u16(), refused.to_string()))
    }

    #[test]
    fn what_two_servers_could_understand_in_two_ways_is_refused() {
        let host = ("host", "a");
        let cases: [(&[(&str, &str)], u16); 10] = [
            (&[], 400),
            (&[host, ("host", "b")], 400),
            (&[host, ("content-encoding", "gzip"), ("content-encoding", "gzip")], 400),
            (&[host, ("content-type", "text/plain"), ("content-type", "application/json")], 400),
            (&[host, ("authorization", "Bearer a"), ("authorization", "Bearer b")], 400),
            (&[host, ("transfer-encoding", "chunked, chunked")], 400),
            (&[host, ("transfer-encoding", "gzip, chunked")], 400),
            (&[host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
            (&[host, ("expect", "200-ok")], 417),
            (&[host, ("expect", "100-continue"), ("expect", "100-continue")], 400),
        ];
        for (headers, status) in cases {
            assert_eq!(
                refusal(Version::HTTP_11, "/put", headers).map(|(status, _)| status),
                Some(status),
                "{headers:?}"
            );
        }
        for headers in [&[host][..], &[host, ("expect", "100-Continue")], &[host, ("transfer-encoding", "Chunked")]] {
            assert_eq!(refusal(Version::HTTP_11, "/put", headers), None, "{headers:?}");
        }
        assert_eq!(refusal(Version::HTTP_10, "/put", &[]), None);
        assert_eq!(refusal(Version::HTTP_2, "http://a/put", &[]), None);
    }

    #[test]
    fn a_target_is_a_path_with_or_without_a_server_before_it() {
        let asked = |method: Method, target: &str| check_target(&method, &target.parse().unwrap()).is_ok();

        assert!(asked(Method::GET, "/ping") && asked(Method::GET, "http://elsewhere/ping"));
        assert!(asked(Method::OPTIONS, "*") && !asked(Method::GET, "*"));
        assert!(!asked(Method::CONNECT, "127.0.0.1:22") && !asked(Method::GET, "127.0.0.1:22"));
    }

    #[test]
    fn a_head_may_be_as_large_as_the_limit_and_not_a_byte_larger() {
        let settings = Settings { head_max: 100, headers_max: 2, url_max: 20, ..Settings::default() };
        let asked = |target: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method("GET").uri(target).version(Version::HTTP_11);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            check(&request.body(()).unwrap(), &settings).map_err(|error| error.status().as_u16())
        };
        let rest = 100 - "GET / HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n".len();

        assert_eq!(asked("/", &[("host", "a"), ("x", &"x".repeat(rest))]), Ok(()));
        assert_eq!(asked("/", &[("host", "a"), ("x", &"x".repeat(rest + 1))]), Err(431));
        assert_eq!(asked("/", &[("host", "a"), ("x", ""), ("y", "")]), Err(431));
        assert_eq!(asked(&format!("/{}", "x".repeat(19)), &[("host", "a")]), Ok(()));
        assert_eq!(asked(&format!("/{}", "x".repeat(20)), &[("host", "a")]), Err(414));
    }
}
