//! The secret that nodes show each other.

use std::fmt;

use http::HeaderValue;
use subtle::ConstantTimeEq;

/// What all nodes of a cluster know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey(Box<str>);

impl ClusterKey {
    /// This text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether this is it. How long that takes tells nothing of where it differs.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }

    /// As the value of a header, which no log shows.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&self.0).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_text_and_is_never_shown() {
        let key = ClusterKey::new("0123456789abcdef");

        assert!(key.is(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef0"] {
            assert!(!key.is(wrong), "{wrong:?}");
        }
        assert!(!format!("{key:?} {:?}", key.header()).contains("0123"));
    }
}
