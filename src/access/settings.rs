use std::net::IpAddr;
use std::sync::Arc;

use super::certificate::CertificateRule;
use super::key_text::SecretHash;
use super::oidc::OidcSettings;
use super::role::Role;

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is kept of the admin key of the configuration; `None`: there is none.
    pub admin_key: Option<SecretHash>,
    /// Whether who shows no key may do everything, also where there are keys.
    pub allow_anonymous: bool,
    /// How many wrong keys an address may show within a minute. Above it the admin key is not looked at.
    pub failed_tries_per_min: u32,
    /// The issuer whose tokens are taken; `None`: none are.
    pub oidc: Option<OidcSettings>,
    /// What clients' certificates allow; without any rule: nothing.
    pub certificates: Arc<[CertificateRule]>,
    /// How many requests a key that says nothing itself, the admin key, and an address without a key may send a second; 0: as many as
    /// they like.
    pub requests_per_key_per_second: u32,
    /// How many tasks there may be of those that a key is for, if the key says nothing itself; 0: as many as are put.
    pub tasks_per_key_max: u64,
}

impl Settings {
    /// Whether who shows nothing is refused, also where no key was ever made.
    pub(super) fn is_closed(&self) -> bool {
        self.admin_key.is_some() || self.oidc.is_some() || !self.certificates.is_empty()
    }

    /// Whether somebody may do everything who has no key that was made.
    pub(super) fn has_other_admin(&self) -> bool {
        let is_admin = |oidc: &OidcSettings| oidc.roles.iter().any(|(_, role)| *role == Role::Admin);
        self.admin_key.is_some()
            || self.allow_anonymous
            || self.oidc.as_ref().is_some_and(is_admin)
            || self.certificates.iter().any(CertificateRule::allows_everything)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            admin_key: None,
            allow_anonymous: false,
            failed_tries_per_min: 30,
            oidc: None,
            certificates: Arc::default(),
            requests_per_key_per_second: 0,
            tasks_per_key_max: 0,
        }
    }
}

/// The service would be open to whoever reaches it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[server] host is {host}, so others than this machine reach the service, and nobody would need a key: set [access] admin_key \
     (SCHEDULE__ACCESS__ADMIN_KEY, 32 characters or more), or make a key while it listens on a loopback address \
     (`schedule-service key create`), or name an issuer of tokens ([access] oidc_issuer), or say [access] allow_anonymous = true to let everybody who reaches it do everything"
)]
pub struct OpenToAll {
    /// The address to listen on.
    pub host: IpAddr,
}

/// Whether a service may be started.
pub(super) fn check_start(settings: &Settings, host: IpAddr, has_valid_key: bool) -> Result<(), OpenToAll> {
    let is_closed = settings.is_closed() || has_valid_key;
    let is_fine = host.to_canonical().is_loopback() || is_closed || settings.allow_anonymous;
    if is_fine { Ok(()) } else { Err(OpenToAll { host }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::certificate::parse_certificate_rules;
    use crate::access::oidc::{Pace, parse_roles};

    #[test]
    fn what_others_reach_needs_a_key_or_the_word_that_it_needs_none() {
        let host = |text: &str| text.parse::<IpAddr>().unwrap();
        let open = Settings::default();
        let with_key = Settings { admin_key: Some(SecretHash::of(b"x")), ..open.clone() };
        let anonymous = Settings { allow_anonymous: true, ..open.clone() };
        let with_certificates = Settings { certificates: rules("cn:ann=read"), ..open.clone() };
        let with_issuer = Settings { oidc: Some(issuer("ops=read")), ..open.clone() };

        for loopback in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(check_start(&open, host(loopback), false), Ok(()), "{loopback}");
        }
        for wide in ["0.0.0.0", "::", "192.0.2.7", "2001:db8::1"] {
            let refused = check_start(&open, host(wide), false).unwrap_err().to_string();
            for way_out in [wide, "admin_key", "key create", "allow_anonymous"] {
                assert!(refused.contains(way_out), "{refused}");
            }
            assert_eq!(check_start(&with_key, host(wide), false), Ok(()));
            assert_eq!(check_start(&anonymous, host(wide), false), Ok(()));
            assert_eq!(check_start(&open, host(wide), true), Ok(()));
            assert_eq!(check_start(&with_certificates, host(wide), false), Ok(()));
            assert_eq!(check_start(&with_issuer, host(wide), false), Ok(()));
        }
    }

    #[test]
    fn somebody_else_than_a_key_may_do_everything_only_if_it_is_said_so() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.has_other_admin()
        };

        assert!(!with(|_| ()));
        assert!(with(|settings| settings.allow_anonymous = true));
        assert!(!with(|settings| settings.oidc = Some(issuer("ops=write"))));
        assert!(with(|settings| settings.oidc = Some(issuer("ops=write,root=admin"))));
        assert!(!with(|settings| settings.certificates = rules("cn:ann=admin:team/")));
        assert!(with(|settings| settings.certificates = rules("cn:ann=admin")));
    }

    fn rules(text: &str) -> Arc<[CertificateRule]> {
        parse_certificate_rules(text).unwrap()
    }

    fn issuer(roles: &str) -> OidcSettings {
        OidcSettings {
            issuer: "https://id.example".into(),
            audience: "schedule".into(),
            jwks_url: None,
            name_claim: "sub".into(),
            role_claim: "roles".into(),
            roles: parse_roles(roles).unwrap(),
            prefixes_claim: None,
            pace: Pace::default(),
        }
    }
}
