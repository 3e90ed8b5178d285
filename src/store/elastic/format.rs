//! The format of documents. What a newer version wrote in another format is never taken for something else.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// The newest format of a lease or a task that this version knows. A document that says nothing of its format has the first.
const FORMAT: u32 = 1;

/// A document.
#[derive(Debug)]
pub(super) enum Formatted<T> {
    /// In a format that this version knows.
    Known(T),
    /// In this newer one.
    Newer(u32),
}

impl<T> Formatted<T> {
    /// The document, if its format is known.
    pub(super) fn known(self) -> Option<T> {
        match self {
            Self::Known(document) => Some(document),
            Self::Newer(_) => None,
        }
    }

    /// The document; a newer format is refused.
    pub(super) fn or_refuse(self, what: impl FnOnce() -> String) -> Result<T, StoreError> {
        match self {
            Self::Known(document) => Ok(document),
            Self::Newer(format) => Err(StoreError::Refused(format!(
                "{} was written by a newer version of this program (format {format}, this program knows {FORMAT}): \
                 update this node",
                what()
            ))),
        }
    }
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(what: impl Fn() -> String, source: &str) -> Result<Formatted<T>, StoreError> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<u32>,
    }
    let corrupt = |error: serde_json::Error| StoreError::Corrupt { what: what(), source: error.into() };
    let head: Head = serde_json::from_str(source).map_err(corrupt)?;
    match head.format {
        Some(format) if format > FORMAT => Ok(Formatted::Newer(format)),
        Some(_) | None => serde_json::from_str(source).map(Formatted::Known).map_err(corrupt),
    }
}

/// Writes a document with its format.
pub(super) fn write(document: &impl Serialize) -> Bytes {
    #[derive(Serialize)]
    struct WithFormat<'a, T> {
        format: u32,
        #[serde(flatten)]
        document: &'a T,
    }
    serde_json::to_vec(&WithFormat { format: FORMAT, document }).expect("a document can be written as JSON").into()
}
