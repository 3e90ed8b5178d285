//! Who asks: the user that a trusted proxy names in a header, or nobody in particular.

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName};

/// The longest name of a user, in bytes. Whoever has a longer one is not named.
const NAME_MAX: usize = 256;

/// Who asks. What is changed or asked for bears this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller(Arc<str>);

impl Caller {
    /// Nobody who is known by a name.
    pub(super) fn anonymous() -> Self {
        static ANONYMOUS: LazyLock<Arc<str>> = LazyLock::new(|| "anonymous".into());
        Self(ANONYMOUS.clone())
    }

    /// Somebody with a name that another node has found good.
    pub(super) fn named(name: &str) -> Self {
        if is_name(name) { Self(name.into()) } else { Self::anonymous() }
    }

    /// Whether it is known by a name.
    pub(super) fn is_known(&self) -> bool {
        *self != Self::anonymous()
    }

    /// Whether it is shown credentials as they are: who may put a task gets back what was put, so that it can be put again. Others
    /// see a mask in their place.
    #[expect(clippy::unused_self, reason = "nothing tells callers apart yet: everybody may put")]
    pub(super) fn sees_credentials(&self) -> bool {
        true
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// Its name, for what keeps it.
    pub(super) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// Whom the header names. Two values are no name: one of them may be what the client itself sent.
    pub(super) fn of(headers: &HeaderMap, header: Option<&HeaderName>) -> Self {
        let Some(header) = header else { return Self::anonymous() };
        let mut values = headers.get_all(header).iter();
        let (value, more) = (values.next(), values.next());
        let name = value.filter(|_| more.is_none()).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        match name.map(str::trim).filter(|name| is_name(name)) {
            Some(name) => Self(name.into()),
            None => Self::anonymous(),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_MAX && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn named(values: &[&[u8]]) -> String {
        let header = HeaderName::from_static("x-remote-user");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&header, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(Caller::of(&headers, None).name(), "anonymous");
        Caller::of(&headers, Some(&header)).name().to_owned()
    }

    #[test]
    fn the_header_names_the_caller_if_it_is_one_visible_text() {
        let long = "x".repeat(257);

        assert_eq!(named(&[b" ada "]), "ada");
        assert_eq!(named(&["Zoë, 2nd".as_bytes()]), "Zoë, 2nd");
        assert_eq!(named(&[]), "anonymous");
        assert_eq!(named(&[b"a", b"b"]), "anonymous");
        for value in [&b""[..], b" ", b"a\tb", b"\xff", long.as_bytes()] {
            assert_eq!(named(&[value]), "anonymous", "{value:?}");
        }
    }
}
