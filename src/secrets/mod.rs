//! What is secret, and where it comes from: the environment, files of a folder, the encrypted part of the store, in this order.
//!
//! Everything is in memory, so that [`Secrets::get`] costs a request next to nothing; a loop looks what has changed. Values leave this
//! room for the requests that name them, and for nothing else.

mod dumps;
mod error;
mod folder;
mod handle;
mod keys;
mod sealed;
mod settings;
mod vault;
mod watching;

#[cfg(test)]
mod tests;

pub use self::dumps::refuse_core_dumps;
pub use self::error::{ChangeError, KeyFileError, SecretError, SecretProblem};
pub use self::handle::{Listed, Secrets, Source};
pub use self::keys::{KeyRing, new_key};
pub use self::settings::Settings;
pub use self::vault::{SECRETS_MAX, TOTAL_BYTES_MAX};
