//! The section `[access]`: who may do what.

use std::ops::RangeInclusive;

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::node_settings::Reader;
use crate::access::{
    CertificateRule, OidcSettings, Pace, SecretHash, Settings, TokenRoles, is_fit_for_keys, is_token,
    parse_certificate_rules, parse_roles,
};
use crate::api::TlsSettings;

const SECTION: &str = "access";
/// The shortest and the longest admin key, in bytes. It travels in a header.
const KEY_LEN: RangeInclusive<usize> = 32..=1_024;

/// What means nothing without an issuer.
const OF_ISSUER: [&str; 5] = ["oidc_audience", "oidc_jwks_url", "oidc_ca_file", "oidc_roles", "oidc_prefixes_claim"];

impl Reader<'_> {
    /// `tls`: how the listener speaks TLS, if it does.
    pub(super) fn access(&mut self, tls: Option<&TlsSettings>) -> Settings {
        Settings {
            admin_key: self.admin_key(),
            allow_anonymous: self.text(SECTION, "allow_anonymous") == "true",
            failed_tries_per_min: u32::try_from(self.number(SECTION, "failed_tries_per_min")).unwrap_or(u32::MAX),
            oidc: self.oidc(),
            certificates: self.certificates(tls),
            requests_per_key_per_second: self.requests_per_key_per_second(),
            tasks_per_key_max: self.tasks_per_key_max(),
        }
    }

    /// The file of authorities by which the issuer's server is certified.
    pub(super) fn oidc_ca_file(&mut self) -> Option<PathBuf> {
        let path = self.text(SECTION, "oidc_ca_file");
        (!path.is_empty()).then(|| path.into())
    }

    /// `None`: no tokens are taken.
    fn oidc(&mut self) -> Option<OidcSettings> {
        let issuer = self.text(SECTION, "oidc_issuer");
        if issuer.is_empty() {
            for name in OF_ISSUER {
                if !self.text(SECTION, name).is_empty() {
                    self.wrong(SECTION, name, "nothing while oidc_issuer is empty: no token is taken then");
                }
            }
            return None;
        }
        let is_fit = |url: &Url| is_fit_for_keys(url) && url.query().is_none();
        if !Url::parse(&issuer).is_ok_and(|url| is_fit(&url)) {
            let expected =
                "a URL with https, or http on a loopback address, such as https://id.example.com/realms/ours";
            self.wrong(SECTION, "oidc_issuer", expected);
        }
        let audience = self.text(SECTION, "oidc_audience");
        if audience.is_empty() {
            self.wrong(SECTION, "oidc_audience", "what the issuer writes into tokens that are for this service");
        }
        let prefixes_claim = self.text(SECTION, "oidc_prefixes_claim");
        Some(OidcSettings {
            issuer: issuer.into(),
            audience: audience.into(),
            jwks_url: self.jwks_url(),
            name_claim: self.text(SECTION, "oidc_name_claim").into(),
            role_claim: self.text(SECTION, "oidc_role_claim").into(),
            roles: self.oidc_roles(),
            prefixes_claim: (!prefixes_claim.is_empty()).then(|| prefixes_claim.into()),
            pace: Pace::default(),
        })
    }

    fn jwks_url(&mut self) -> Option<Url> {
        let text = self.text(SECTION, "oidc_jwks_url");
        let url = Url::parse(&text).ok().filter(is_fit_for_keys);
        if url.is_none() && !text.is_empty() {
            self.wrong(SECTION, "oidc_jwks_url", "a URL with https, or http on a loopback address, without a password");
        }
        url
    }

    fn oidc_roles(&mut self) -> TokenRoles {
        let roles = parse_roles(&self.text(SECTION, "oidc_roles")).unwrap_or_else(|mistakes| {
            for mistake in mistakes {
                self.wrong_item(SECTION, "oidc_roles", mistake.position, &mistake.given, mistake.expected);
            }
            Box::default()
        });
        if self.text(SECTION, "oidc_roles").is_empty() {
            self.wrong(
                SECTION,
                "oidc_roles",
                "values of the claim and what they mean, such as ops=operate: no token would open",
            );
        }
        roles
    }

    fn certificates(&mut self, tls: Option<&TlsSettings>) -> Arc<[CertificateRule]> {
        let rules = parse_certificate_rules(&self.text(SECTION, "certificate_roles")).unwrap_or_else(|mistakes| {
            for mistake in mistakes {
                self.wrong_item(SECTION, "certificate_roles", mistake.position, &mistake.given, &mistake.expected);
            }
            Arc::default()
        });
        if !rules.is_empty() && tls.is_none_or(|tls| tls.client_ca_file.is_none()) {
            let expected = "nothing while [tls] client_ca_file is empty: nobody is asked for a certificate then";
            self.wrong(SECTION, "certificate_roles", expected);
        }
        rules
    }

    /// What is kept of it: nothing later on needs the key itself.
    fn admin_key(&mut self) -> Option<SecretHash> {
        let key = self.text(SECTION, "admin_key");
        if key.is_empty() {
            return None;
        }
        if !KEY_LEN.contains(&key.len()) || !key.chars().all(|c| c.is_ascii_graphic()) {
            let (min, max) = (KEY_LEN.start(), KEY_LEN.end());
            let expected = format!("{min} to {max} letters, digits or signs of ASCII, without blanks");
            self.wrong(SECTION, "admin_key", &expected);
        }
        if is_token(key.as_bytes()) && !self.text(SECTION, "oidc_issuer").is_empty() {
            let expected =
                "no three parts with dots between them while oidc_issuer is set: it would be taken for a token";
            self.wrong(SECTION, "admin_key", expected);
        }
        Some(SecretHash::of(key.as_bytes()))
    }
}
