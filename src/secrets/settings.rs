use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::{SecretName, SecretText};

/// Where secrets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Those that the environment gives, as it was at the start.
    pub environment: BTreeMap<SecretName, SecretText>,
    /// The folder that holds a file for each secret.
    pub folder: Option<PathBuf>,
    /// The file of the keys by which the store's secrets are encrypted.
    pub key_file: Option<PathBuf>,
    /// Whether the system may write the memory of a process that crashes into a file.
    pub core_dumps: bool,
}
