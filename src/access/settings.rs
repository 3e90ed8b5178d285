use std::net::IpAddr;

use super::key_text::SecretHash;

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is kept of the admin key of the configuration; `None`: there is none.
    pub admin_key: Option<SecretHash>,
    /// Whether who shows no key may do everything, also where there are keys.
    pub allow_anonymous: bool,
    /// How many wrong keys an address may show within a minute. Above it the admin key is not looked at.
    pub failed_tries_per_min: u32,
    /// How many requests a key that says nothing itself, the admin key, and an address without a key may send a second; 0: as many as
    /// they like.
    pub requests_per_key_per_second: u32,
    /// How many tasks there may be of those that a key is for, if the key says nothing itself; 0: as many as are put.
    pub tasks_per_key_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            admin_key: None,
            allow_anonymous: false,
            failed_tries_per_min: 30,
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
     (`schedule-service key create`), or say [access] allow_anonymous = true to let everybody who reaches it do everything"
)]
pub struct OpenToAll {
    /// The address to listen on.
    pub host: IpAddr,
}

/// Whether a service may be started.
pub(super) fn check_start(settings: &Settings, host: IpAddr, has_valid_key: bool) -> Result<(), OpenToAll> {
    let is_closed = settings.admin_key.is_some() || has_valid_key;
    let is_fine = host.to_canonical().is_loopback() || is_closed || settings.allow_anonymous;
    if is_fine { Ok(()) } else { Err(OpenToAll { host }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_reach_needs_a_key_or_the_word_that_it_needs_none() {
        let host = |text: &str| text.parse::<IpAddr>().unwrap();
        let open = Settings::default();
        let with_key = Settings { admin_key: Some(SecretHash::of(b"x")), ..open.clone() };
        let anonymous = Settings { allow_anonymous: true, ..open.clone() };

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
        }
    }
}
