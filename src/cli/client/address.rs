//! Where a service is, without ever showing how one gets in.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::api;

/// A URL as it was typed. The command line's own parser would show a wrong value, which may hold a password: so it takes
/// any text, and [`Typed::parse`] complains.
#[derive(Clone)]
pub(in crate::cli) struct Typed(String);

impl Typed {
    pub(in crate::cli) fn keep(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }

    /// The text of an error continues a sentence that begins with the name of the option.
    pub(in crate::cli) fn parse(&self) -> Result<Address, String> {
        const EXPECTED: &str = "expected one such as http://127.0.0.1:3000";
        let url = Url::parse(&self.0).map_err(|error| format!("is no URL ({error}), {EXPECTED}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("is neither http nor https, {EXPECTED}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("has a part that begins with ? or #, {EXPECTED}"));
        }
        Ok(Address::new(url))
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

/// The address of a service. User and password are kept apart from the URL, so that no text can show them.
#[derive(Clone)]
pub(in crate::cli) struct Address {
    url: Url,
    credentials: Option<(String, String)>,
}

impl Address {
    fn new(mut url: Url) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        let credentials = (!user.is_empty() || !password.is_empty()).then_some((user, password));
        // Neither can fail: the URL has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Self { url, credentials }
    }

    /// Where a service with these settings is reached from its own machine.
    pub(in crate::cli) fn of(settings: &api::Settings) -> Self {
        let host = match settings.host {
            IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            host => host,
        };
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let text = format!("{scheme}://{}", SocketAddr::new(host, settings.port));
        Self::new(Url::parse(&text).expect("an address of a socket makes a URL"))
    }

    /// The URL of a path of the service, which begins with `/`.
    pub(in crate::cli) fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url
    }

    pub(in crate::cli) fn credentials(&self) -> Option<&(String, String)> {
        self.credentials.as_ref()
    }

    /// Whether it is this machine, which no proxy stands before.
    pub(in crate::cli) fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(host)) => host.is_loopback(),
            Some(Host::Ipv6(host)) => host.is_loopback(),
            None => false,
        }
    }

    /// Whether two addresses surely lead to the same service. Two names of one machine are not seen through.
    pub(in crate::cli) fn is_same_place(&self, other: &Self) -> bool {
        let is_same_host = self.url.host() == other.url.host() || (self.is_loopback() && other.is_loopback());
        is_same_host && self.url.port_or_known_default() == other.url.port_or_known_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Typed(text.to_owned()).parse().unwrap()
    }

    #[test]
    fn user_and_password_are_understood_and_never_shown() {
        let address = address("https://me:p%40ss@old.example:3000/tasks/");

        assert_eq!(address.to_string(), "https://old.example:3000/tasks");
        assert_eq!(address.at("/all").as_str(), "https://old.example:3000/tasks/all");
        assert_eq!(address.credentials(), Some(&("me".to_owned(), "p@ss".to_owned())));
        for wrong in ["ftp://me:pass@old/", "http://me:pass@old:port/", "me:pass@old", "http://me:pass@old/?x"] {
            let complaint = Typed(wrong.to_owned()).parse().err().unwrap();
            assert!(!complaint.contains("pass") && complaint.contains("expected one such as"), "{complaint}");
        }
    }

    #[test]
    fn a_service_that_listens_everywhere_is_reached_over_the_loopback() {
        let reached = |host: &str| {
            let settings = api::Settings { host: host.parse().unwrap(), port: 81, ..api::Settings::default() };
            Address::of(&settings).to_string()
        };

        assert_eq!(reached("0.0.0.0"), "http://127.0.0.1:81");
        assert_eq!(reached("::"), "http://[::1]:81");
        assert_eq!(reached("192.0.2.7"), "http://192.0.2.7:81");
        let (cert_file, key_file) = ("c.pem".into(), "k.pem".into());
        let tls = api::TlsSettings {
            cert_file,
            key_file,
            client_ca_file: None,
            client_certificate: api::ClientCertificate::Required,
            version_min: api::TlsVersion::V1_2,
            look_every: api::TlsSettings::LOOK_EVERY,
        };
        let settings = api::Settings { port: 81, tls: Some(tls), ..api::Settings::default() };
        assert_eq!(Address::of(&settings).to_string(), "https://127.0.0.1:81");
    }

    #[test]
    fn the_same_port_of_the_loopback_is_the_same_place_by_any_name() {
        assert!(address("http://localhost:3000").is_same_place(&address("http://127.0.0.1:3000/")));
        assert!(address("http://old").is_same_place(&address("http://me@old:80")));
        assert!(!address("http://old:3000").is_same_place(&address("http://127.0.0.1:3000")));
    }
}
