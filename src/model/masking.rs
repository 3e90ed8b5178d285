//! Which headers carry credentials, and what is shown in their place.

use std::sync::Arc;

use super::template::is_reference;
use super::{Header, MASK};

/// Which headers are masked where credentials must not be seen: in records, and for those who may only read. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masking {
    /// Names in small letters, beside those that usually carry a credential.
    masked: Arc<[Box<str>]>,
    /// Names in small letters that carry none, whatever they look like.
    shown: Arc<[Box<str>]>,
}

impl Masking {
    /// The usual rule, but for these names, in whatever letters.
    pub fn new(masked: &[String], shown: &[String]) -> Self {
        let names = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
        Self { masked: names(masked), shown: names(shown) }
    }

    /// Whether a header carries a credential, going by its name.
    pub fn covers(&self, header: &Header) -> bool {
        let is_among = |names: &[Box<str>]| names.iter().any(|name| name.eq_ignore_ascii_case(header.name()));
        is_among(&self.masked) || (header.is_credential() && !is_among(&self.shown))
    }

    /// The value of a header as it may be seen. What only names a secret is none.
    pub fn shown<'h>(&self, header: &'h Header) -> &'h str {
        let value = header.value();
        if self.covers(header) && !is_reference(without_scheme(value)) { MASK } else { value }
    }
}

/// A value without the word that says what kind of credential follows.
fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, rest)) if ["bearer", "basic"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest,
        Some(_) | None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        Header::parse(name, value).unwrap()
    }

    #[test]
    fn credentials_are_masked_and_what_names_a_secret_is_shown() {
        let masking = Masking::default();
        let shown = |name: &str, value: &str| masking.shown(&header(name, value)).to_owned();

        assert_eq!(shown("Authorization", "Bearer abc"), MASK);
        assert_eq!(shown("X-Trace", "Bearer abc"), "Bearer abc");
        for reference in ["${secret:a}", "Bearer ${secret:a}", "basic ${secret:a-b.c}"] {
            assert_eq!(shown("Authorization", reference), reference);
        }
        for mixed in
            ["${secret:a}x", "key ${secret:a}", "${secret:a}${secret:b}", "Bearer abc${secret:a}", "${secret:}"]
        {
            assert_eq!(shown("Authorization", mixed), MASK, "{mixed}");
        }
    }

    #[test]
    fn further_names_are_masked_and_others_shown_if_the_configuration_says_so() {
        let masking = Masking::new(&["X-Customer".to_owned()], &["X-PUBLIC-KEY".to_owned()]);

        assert_eq!(masking.shown(&header("x-customer", "1")), MASK);
        assert_eq!(masking.shown(&header("X-Public-Key", "1")), "1");
        assert_eq!(masking.shown(&header("X-Other-Key", "1")), MASK);
    }
}
