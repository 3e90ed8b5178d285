//! Whether a request comes from a web page of somebody else. A browser sends what any page wants, so whoever is known by nothing but
//! being on this machine must not be a page that is shown on it.

use std::net::IpAddr;

use http::uri::Authority;
use url::Url;

/// Why a request without a key is refused; `None`: it is not. `host`: what it is addressed to; `is_on_loopback`: only programs on
/// this machine can reach the service.
pub fn foreign(origin: Option<&[u8]>, host: Option<&str>, is_on_loopback: bool) -> Option<String> {
    let host = host.map(str::trim).filter(|host| !host.is_empty());
    let authority = host.and_then(|host| host.parse::<Authority>().ok()).filter(|it| !it.as_str().contains('@'));
    if is_on_loopback && host.is_some() && !authority.as_ref().is_some_and(|it| is_loopback(it.host())) {
        return Some(format!(
            "without a key only requests to localhost or a loopback address are taken, and this one is to {}: a name that leads here \
             may be that of a web page (DNS rebinding); ask by a loopback address, or send a key",
            shown(host.unwrap_or_default().as_bytes())
        ));
    }
    let origin = origin?;
    let is_own = std::str::from_utf8(origin).ok().zip(authority).is_some_and(|(origin, host)| is_same(origin, &host));
    (!is_own).then(|| {
        let origin = shown(origin);
        format!("without a key no request of a page from elsewhere is taken, and this one is of {origin}; send a key")
    })
}

/// Whether host and port are the same. A port that is not told is that of the scheme.
fn is_same(origin: &str, host: &Authority) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    let default = match origin.scheme() {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = origin.port().unwrap_or(default);
    let is_same_host = origin.host_str().is_some_and(|name| name.eq_ignore_ascii_case(host.host()));
    is_same_host && host.port_u16().unwrap_or(default) == port
}

fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_address = |address: IpAddr| address.to_canonical().is_loopback();
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_address)
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    format!("`{}`", text.chars().take(80).flat_map(char::escape_debug).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(origin: Option<&str>, host: Option<&str>, is_on_loopback: bool) -> bool {
        foreign(origin.map(str::as_bytes), host, is_on_loopback).is_some()
    }

    #[test]
    fn a_page_is_at_home_where_the_request_goes_to_and_nowhere_else() {
        for (origin, host) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://LOCALHOST:3000", "localhost:3000"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("https://jobs.example", "jobs.example"),
            ("https://jobs.example", "jobs.example:443"),
            ("http://jobs.example:80", "jobs.example"),
        ] {
            assert!(!is_foreign(Some(origin), Some(host), false), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:3000"),
            ("http://127.0.0.1:8080", "127.0.0.1:3000"),
            ("http://localhost:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000@evil.example", "127.0.0.1:3000"),
            ("https://jobs.example", "jobs.example:80"),
            ("null", "127.0.0.1:3000"),
            ("", "127.0.0.1:3000"),
            ("file://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000", ""),
            ("http://127.0.0.1:3000", "x@127.0.0.1:3000"),
        ] {
            assert!(is_foreign(Some(origin), Some(host), false), "{origin} {host}");
        }
        assert!(is_foreign(Some("http://127.0.0.1:3000"), None, false));
    }

    #[test]
    fn on_a_loopback_address_only_its_own_names_are_answered() {
        for host in [
            "localhost",
            "localhost:3000",
            "LocalHost.:3000",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(!is_foreign(None, Some(host), true), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "a b",
            "x@localhost",
        ] {
            assert!(is_foreign(None, Some(host), true), "{host}");
            assert!(!is_foreign(None, Some(host), false), "{host}");
        }
        // HTTP/1.0 needs no host, and no browser leaves it out.
        assert!(!is_foreign(None, None, true));
        assert!(is_foreign(Some("http://evil.example:3000"), Some("evil.example:3000"), true), "rebinding");
    }

    #[test]
    fn the_refusal_says_what_was_sent_and_what_to_do() {
        let text = foreign(Some(b"http://evil.example"), Some("127.0.0.1:3000"), true).unwrap();

        assert!(text.contains("`http://evil.example`") && text.contains("send a key"), "{text}");
    }
}
