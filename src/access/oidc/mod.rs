//! Decides what a token of an OpenID Connect issuer allows. The rules are plain functions: text to token, keys of the issuer, claims to
//! grant. Beside them one loop fetches the keys and one request does it.
//!
//! | file | |
//! |---|---|
//! | `token.rs` | a text taken apart: three parts, its algorithm, the key that it names |
//! | `algorithm.rs`, `key_set.rs` | how a token may be signed; the keys that the issuer publishes, and whether one of them has signed |
//! | `claims.rs` | what stands in a token, whether it counts now and here, and what it allows |
//! | `refusal.rs` | why a token does not open |
//! | `issuer.rs` | the handle, and the loop that keeps the keys |
//! | `fetching.rs` | asks the issuer for them |

mod algorithm;
mod claims;
mod fetching;
mod issuer;
mod key_set;
mod refusal;
mod settings;
mod token;

pub use self::fetching::{HttpKeySource, issuer_client};
pub use self::issuer::{FetchError, Fetched, KeySource};
pub use self::refusal::TokenError;
pub use self::settings::{OidcSettings, Pace, RolesMistake, TokenRoles, is_fit_for_keys, parse_roles};

pub(super) use self::issuer::Issuer;
pub(super) use self::refusal::Unfit;
pub use self::token::is_token;

#[cfg(test)]
mod tests;
