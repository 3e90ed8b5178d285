//! The names in a client's certificate.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::access::{CertificateName, NameKind};
use crate::api::listener::connection::ClientName;

/// The subject's common name, or else the first alternative name that is one; beside it all by which the client may be allowed
/// something. The certificate has been verified.
pub(super) fn of(der: &[u8]) -> Option<ClientName> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut common_names = certificate.subject().iter_common_name();
    let common_name = common_names.next().map(|name| name.as_str().ok());
    if common_names.next().is_some() {
        // Of two names nobody knows which one is meant.
        return None;
    }
    let alternative = certificate.subject_alternative_name().ok()?;
    let alternative = alternative.map_or(&[][..], |names| &names.value.general_names);
    let common = common_name.flatten().and_then(|name| CertificateName::parse(NameKind::CommonName, name));
    let all = common.into_iter().chain(alternative.iter().filter_map(named)).collect();
    match common_name {
        Some(name) => ClientName::parse(name?, all),
        None => ClientName::parse(&alternative.iter().find_map(text)?, all),
    }
}

/// An alternative name by which a client may be allowed something. An address is none: it is borrowed.
fn named(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(text) => CertificateName::parse(NameKind::Dns, text),
        GeneralName::URI(text) => CertificateName::parse(NameKind::Uri, text),
        GeneralName::RFC822Name(text) => CertificateName::parse(NameKind::Email, text),
        _ => None,
    }
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn client(common_names: &[&str], alternative: Vec<SanType>) -> Option<ClientName> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = alternative;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        of(certificate.der())
    }

    fn name(common_names: &[&str], alternative: Vec<SanType>) -> Option<String> {
        client(common_names, alternative).map(|client| client.as_str().to_owned())
    }

    #[test]
    fn every_name_by_which_a_client_may_be_allowed_something_is_known_with_its_kind() {
        let dns = SanType::DnsName("CI.example".try_into().unwrap());
        let uri = SanType::URI("spiffe://a/b".try_into().unwrap());
        let ip = SanType::IpAddress("192.0.2.7".parse().unwrap());

        let ann = client(&["ann"], vec![dns, uri, ip]).unwrap();

        let expected = [(NameKind::CommonName, "ann"), (NameKind::Dns, "ci.example"), (NameKind::Uri, "spiffe://a/b")];
        let expected = expected.map(|(kind, text)| CertificateName::parse(kind, text).unwrap());
        assert_eq!(ann.in_certificate(), expected);
    }

    #[test]
    fn a_client_has_the_common_name_of_its_subject_or_else_its_first_alternative_name() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let ip = SanType::IpAddress("192.0.2.7".parse().unwrap());

        assert_eq!(name(&["ann"], vec![dns("other")]).as_deref(), Some("ann"));
        assert_eq!(name(&[], vec![dns("a.example"), ip.clone()]).as_deref(), Some("a.example"));
        assert_eq!(name(&[], vec![ip]).as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn a_certificate_without_a_name_that_can_be_used_has_none() {
        assert_eq!(name(&[], Vec::new()), None);
        assert_eq!(name(&["a\nb"], Vec::new()), None);
        assert_eq!(name(&[&"x".repeat(257)], Vec::new()), None);
        assert_eq!(of(b"no certificate"), None);
    }
}
