//! A text of credentials: as it was given, or with its secrets filled in.

use secrecy::zeroize::Zeroizing;

use super::auth::LEN_MAX;
use crate::model::object::Mistakes;
use crate::model::template::{self, TemplateError};
use crate::model::{MASK, SecretTexts};

/// Wiped when it is dropped: what is filled in is a secret.
pub(super) type Text = Zeroizing<Box<str>>;

pub(super) fn text(text: &str) -> Text {
    Zeroizing::new(text.into())
}

/// Whether a text cannot be judged as it is: it names a secret, or is the mask of what is stored.
pub(super) fn is_judged_later(text: &str) -> bool {
    text == MASK || (text.len() <= LEN_MAX && template::secret_names(text).next().is_some())
}

/// Warns of what looks like a reference to a secret and is none.
pub(super) fn warn(text: &str, path: &str, mistakes: &mut Mistakes) {
    template::warn_of_no_secret(text, path, mistakes);
}

/// The same text with its secrets filled in.
pub(super) fn filled_in(given: &str, secrets: &SecretTexts) -> Result<Text, TemplateError> {
    let filled = Zeroizing::new(template::fill_secrets(given, "credential", LEN_MAX, secrets)?);
    Ok(text(&filled))
}
