//! A running service as the commands see it: where it is, and what it answers.

mod address;
mod args;
mod key;
mod service;
mod streams;

pub(super) use self::address::{Address, Typed};
pub(super) use self::args::{ServiceArgs, block_on};
pub(super) use self::key::{KeyArgs, ServiceKey};
pub(super) use self::service::{Answer, CallError, Service};
pub(super) use self::streams::BulkAnswer;

use std::path::PathBuf;

use super::UsageError;
use crate::api;

/// What the commands know of a service without being told on their own command line.
pub(super) struct Ours {
    /// Of the configuration.
    pub(super) api: api::Settings,
    /// Authorities of certificates that are trusted besides the public ones (PEM).
    pub(super) ca_file: Option<PathBuf>,
}

/// The service that `--flag URL` names, or the one of the configuration.
pub(super) fn address(flag: &str, typed: Option<&Typed>, ours: &Ours) -> Result<Address, UsageError> {
    match typed {
        Some(typed) => typed.parse().map_err(|text| UsageError(format!("{flag} {text}"))),
        None if ours.api.port == 0 => {
            Err(UsageError(format!("[server] port is 0, so say where the service listens by {flag}")))
        }
        None => Ok(Address::of(&ours.api)),
    }
}
