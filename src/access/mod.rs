//! Decides who may do what: by keys that are kept in the store, by the admin key of the configuration, by tokens of an issuer, or by
//! clients' certificates. Knows HTTP's headers, but no routes: which role a route needs is said where it is described.

mod bucket;
mod certificate;
mod grant;
mod handle;
mod keeping;
mod key;
mod key_list;
mod key_text;
mod oidc;
mod origin;
mod pacing;
mod role;
mod settings;
mod shown;
mod tries;

pub use self::certificate::{CertificateMistake, CertificateName, CertificateRule, NameKind, parse_certificate_rules};
pub use self::grant::{ADMIN, ANONYMOUS, CERTIFICATE_PREFIX, Grant, Source, TOKEN_PREFIX};
pub use self::handle::{Access, Refused};
pub use self::key::{Key, KeyLimits, LISTED_FOR, REQUESTS_PER_SECOND_MAX, Standing, TASKS_MAX_MAX};
pub use self::key_list::{KEYS_MAX, KeyError, KeyList, KeyListError, NAME_MAX, NewKey, Wrong};
pub use self::key_text::{KEY_LEN, KeyId, KeyText, NoRandomness, SecretHash};
pub use self::oidc::{
    FetchError, Fetched, HttpKeySource, KeySource, OidcSettings, Pace, RolesMistake, TokenError, TokenRoles,
    is_fit_for_keys, is_token, issuer_client, parse_roles,
};
pub use self::origin::foreign;
pub use self::pacing::{TooOften, Turns};
pub use self::role::Role;
pub use self::settings::{OpenToAll, Settings};
pub use self::shown::{API_KEY, Shown};

#[cfg(test)]
#[path = "../../tests/it/support/signer.rs"]
pub(crate) mod signer;
#[cfg(test)]
mod tests;
