use std::path::PathBuf;

use crate::model::SecretName;
use crate::store::StoreError;

/// Why a request cannot be filled in. The run fails with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret {name} {problem}")]
pub struct SecretError {
    /// The secret that it names.
    pub name: SecretName,
    /// What is the matter with it.
    pub problem: SecretProblem,
}

/// What is the matter with a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// There is none. Trying again mends nothing.
    #[error("is not known (looked in {looked_in})")]
    Unknown {
        /// The places, separated by commas.
        looked_in: String,
    },
    /// There may be one. It may be readable a moment later.
    #[error("cannot be read: {why}")]
    Unreadable {
        /// What stands in the way.
        why: String,
    },
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} ([secrets] key_file) {why}", path.display())]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what was expected.
    pub why: String,
}

/// Why secrets of the store were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// What was asked for cannot be done: nothing has changed. The text tells why.
    #[error("{0}")]
    Refused(String),
    /// Others change secrets at the same time: nothing has changed. Ask again.
    #[error("others change secrets at the same time, nothing was changed")]
    Busy,
    /// The store failed; the change may have been made all the same. List the secrets.
    #[error("the store failed, list the secrets to see what is stored")]
    Store(#[from] StoreError),
}
