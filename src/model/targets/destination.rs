//! Where one request goes, as rules look at it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

/// Scheme, host and port of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub(super) is_https: bool,
    pub(super) host: DestinationHost,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DestinationHost {
    /// In lower case, without the dot that may stand at its end.
    Name(Box<str>),
    Address(IpAddr),
}

impl Destination {
    /// Of a URL as it is parsed: each way to write an address is the same address there. `None`: it is neither `http` nor `https`, or
    /// has no host.
    pub fn of(url: &Url) -> Option<Self> {
        let is_https = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => DestinationHost::Name(normal_name(name)),
            Host::Ipv4(address) => DestinationHost::Address(address.into()),
            Host::Ipv6(address) => DestinationHost::Address(address.into()),
        };
        Some(Self { is_https, host, port: url.port_or_known_default()? })
    }

    /// The address that stands in the URL itself. `None`: a name stands there.
    pub fn literal(&self) -> Option<IpAddr> {
        match self.host {
            DestinationHost::Address(address) => Some(address),
            DestinationHost::Name(_) => None,
        }
    }

    /// Whether its host is this name.
    pub fn is_host(&self, name: &str) -> bool {
        matches!(&self.host, DestinationHost::Name(host) if *host == normal_name(name))
    }

    /// The address that is known without asking anybody: that of a name which stands for the machine itself (RFC 6761).
    pub(super) fn known_address(&self) -> Option<IpAddr> {
        match &self.host {
            DestinationHost::Address(address) => Some(*address),
            DestinationHost::Name(name) => {
                let is_local = **name == *"localhost" || name.ends_with(".localhost");
                is_local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
        }
    }
}

/// A name as rules compare it.
pub(super) fn normal_name(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

/// The host, as a refusal names it.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            DestinationHost::Name(name) => f.write_str(name),
            DestinationHost::Address(address) => address.fmt(f),
        }
    }
}
