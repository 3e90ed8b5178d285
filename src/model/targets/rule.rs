//! One rule of `[targets]`: whom it names.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;

use super::AddressClass;
use super::address::carried;
use super::destination::{Destination, DestinationHost, normal_name};

/// Why a rule cannot be read. The text continues a sentence that begins with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is `{given}`, expected {expected}")]
pub struct RuleMistake {
    /// Which one of its list, from 1.
    pub position: usize,
    /// The rule as it was given.
    pub given: String,
    /// What was expected.
    pub expected: String,
}

/// Names hosts or addresses, all of their ports or some, over one scheme or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    text: Box<str>,
    is_https: Option<bool>,
    subject: Subject,
    ports: Option<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    /// The host of the URL is this one.
    Name(Box<str>),
    /// It ends with this, which begins with a point.
    Below(Box<str>),
    /// The address that is connected to is one of these.
    Network(IpNet),
    Group(Group),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Private,
    Loopback,
    LinkLocal,
    All,
}

const GROUPS: [(&str, Group); 4] =
    [("private", Group::Private), ("loopback", Group::Loopback), ("link_local", Group::LinkLocal), ("all", Group::All)];
/// A host whose name differs from a word of ours in no more letters is taken for a mistyped word.
const LETTERS_WRONG_MAX: usize = 2;
const EXPECTED: &str = "a host (hooks.example.com, *.example.com), an address, a CIDR (10.0.0.0/8, [fd00::]/8) or one of private, \
                        loopback, link_local, all; before it http:// or https://, behind it :port or :from-to, where needed";

impl Rule {
    /// Reads a rule. The error is what was expected.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (is_https, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(true), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(false), rest),
            Some(_) => return Err("http:// or https:// before a host, an address or a CIDR".to_owned()),
            None => (None, text),
        };
        let (subject, ports) = split_ports(rest).ok_or(EXPECTED)?;
        let ports = ports.map(parse_ports).transpose()?;
        Ok(Self { text: text.into(), is_https, subject: parse_subject(subject)?, ports })
    }

    /// As it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of the scheme and the port.
    fn covers(&self, to: &Destination) -> bool {
        self.is_https.is_none_or(|is_https| is_https == to.is_https)
            && self.ports.is_none_or(|(from, through)| (from..=through).contains(&to.port))
    }

    /// Whether it names the host by its name, or whatever it is.
    pub(super) fn names(&self, to: &Destination) -> bool {
        let is_named = match (&self.subject, &to.host) {
            (Subject::Group(Group::All), _) => true,
            (Subject::Name(name), DestinationHost::Name(host)) => name == host,
            (Subject::Below(end), DestinationHost::Name(host)) => host.len() > end.len() && host.ends_with(&**end),
            (Subject::Name(_) | Subject::Below(_), DestinationHost::Address(_)) => false,
            (Subject::Network(_) | Subject::Group(Group::Private | Group::Loopback | Group::LinkLocal), _) => false,
        };
        is_named && self.covers(to)
    }

    /// Whether it may name an address of a host, whichever that has.
    pub(super) fn may_name_an_address(&self, to: &Destination) -> bool {
        matches!(self.subject, Subject::Network(_) | Subject::Group(_)) && self.covers(to)
    }

    /// Whether it opens an address that carries none. A word opens no metadata service: that takes its address, or all.
    pub(super) fn opens(&self, to: &Destination, address: IpAddr) -> bool {
        self.names(to) || (self.holds(address, true) && self.covers(to))
    }

    /// Whether it closes an address: that itself, or one that it carries.
    pub(super) fn closes(&self, to: &Destination, address: IpAddr) -> bool {
        let holds = |address| self.holds(address, false);
        self.names(to) || ((holds(address) || carried(address).any(holds)) && self.covers(to))
    }

    fn holds(&self, address: IpAddr, opening: bool) -> bool {
        match &self.subject {
            Subject::Name(_) | Subject::Below(_) => false,
            Subject::Network(network) => network.contains(&address),
            Subject::Group(group) => group.holds(address, opening),
        }
    }
}

impl Group {
    fn holds(self, address: IpAddr, opening: bool) -> bool {
        let class = AddressClass::of(address);
        let is_metadata = class == Some(AddressClass::Metadata);
        match self {
            Self::All => true,
            Self::Private => class == Some(AddressClass::Private) || (!opening && is_metadata),
            Self::Loopback => class == Some(AddressClass::Loopback),
            Self::LinkLocal => class == Some(AddressClass::LinkLocal) || (!opening && is_metadata),
        }
    }
}

/// The subject of a rule, and what stands behind its last colon. `None`: its brackets do not fit.
fn split_ports(text: &str) -> Option<(&str, Option<&str>)> {
    let searched = match text.strip_prefix('[') {
        Some(_) => text.find(']')?,
        // More than one colon: an address of IPv6 without brackets, which has no port.
        None if text.matches(':').count() > 1 => return Some((text, None)),
        None => 0,
    };
    Some(match text[searched..].find(':') {
        Some(colon) => (&text[..searched + colon], Some(&text[searched + colon + 1..])),
        None => (text, None),
    })
}

fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    let (from, through) = text.split_once('-').unwrap_or((text, text));
    let port =
        |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0 && text.bytes().all(|b| b.is_ascii_digit()));
    match (port(from), port(through)) {
        (Some(from), Some(through)) if from <= through => Ok((from, through)),
        _ => Err("a port from 1 to 65535 behind the colon, or two of them such as 8000-8999".to_owned()),
    }
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    if let Some(&(_, group)) = GROUPS.iter().find(|(word, _)| *word == text) {
        return Ok(Subject::Group(group));
    }
    if text.contains('/') {
        return parse_network(text).map(Subject::Network);
    }
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = unbracketed.parse::<IpAddr>() {
        return Ok(Subject::Network(normal_network(address.into())));
    }
    match text.strip_prefix("*.") {
        Some(end) => parse_name(end).map(|name| Subject::Below(format!(".{name}").into())),
        None => parse_name(text).map(Subject::Name),
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let plain = text.replacen('[', "", 1).replacen(']', "", 1);
    let network: IpNet = plain.parse().map_err(|_| EXPECTED.to_owned())?;
    if network.trunc() != network {
        return Err(format!("`{}`, whose further bits are zero, or the address alone", network.trunc()));
    }
    Ok(normal_network(network))
}

/// A network of addresses that are written as IPv6 and mean IPv4.
fn normal_network(network: IpNet) -> IpNet {
    let IpNet::V6(given) = network else { return network };
    let mapped = given.addr().to_ipv4_mapped().filter(|_| given.prefix_len() >= 96);
    mapped.and_then(|address| IpNet::new(address.into(), given.prefix_len() - 96).ok()).unwrap_or(network)
}

fn parse_name(text: &str) -> Result<Box<str>, String> {
    let is_odd = |letter: char| matches!(letter, '*' | '%' | '@' | '[' | ']') || letter.is_whitespace();
    let name = match Host::parse(text) {
        Ok(Host::Domain(name)) if !text.contains(is_odd) => normal_name(&name),
        // Decimal and octal forms too: whoever reads the rule should see the address.
        Ok(Host::Ipv4(address)) => return Err(format!("`{address}`, if that address is meant")),
        Ok(_) | Err(_) => return Err(EXPECTED.to_owned()),
    };
    if name.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    // A word that is nearly one of ours would silently be the name of a host. Short words are near to too many.
    let is_near = |word: &&str| word.len() > 3 && strsim::damerau_levenshtein(word, &name) <= LETTERS_WRONG_MAX;
    match GROUPS.map(|(word, _)| word).into_iter().find(is_near) {
        Some(near) if !text.ends_with('.') => Err(format!("`{near}`; a host of that name is written `{name}.`")),
        Some(_) | None => Ok(name),
    }
}
