//! Who asks: by a key, as the user that a trusted proxy names in a header, or as nobody in particular.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::listener::ClientName;
use super::reply::ApiError;
use crate::access::{ANONYMOUS, Grant, Role, Source};
use crate::model::{Identity, Prefixes};

/// The longest name of a user, in bytes. Whoever has a longer one is not named.
const NAME_MAX: usize = 256;

/// Who asks, and what is allowed. What is changed or asked for bears this name. The number is how many tasks there may be of those that
/// it knows of, if they are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller(Arc<Grant>, Option<u64>);

impl Caller {
    /// Nobody who is known by a name, and who may do everything.
    #[cfg(test)]
    pub(super) fn anonymous() -> Self {
        Self(Arc::new(Grant::anonymous()), None)
    }

    /// Somebody for whom another node asks. It has found out what is allowed, and that the name is good.
    pub(super) fn of_node(name: Option<&str>, role: Role, prefixes: Prefixes) -> Self {
        let name = name.filter(|name| is_name(name)).unwrap_or(ANONYMOUS);
        Self(Arc::new(Grant { name: name.into(), role, prefixes, source: Source::Node }), None)
    }

    /// The same who may have so many tasks.
    pub(super) fn with_tasks_max(self, tasks_max: Option<u64>) -> Self {
        Self(self.0, tasks_max)
    }

    /// How many tasks there may be of those that it knows of; `None`: as many as are put.
    pub(super) fn tasks_max(&self) -> Option<u64> {
        self.1
    }

    /// Somebody with a grant. The header counts where nobody needs a key, and for a proxy that holds the admin key: whoever has a key
    /// of their own, a token, or a certificate that allows something has its name. Without such a header, who shows no key has the name in the certificate of the client.
    pub(super) fn new(
        grant: Grant,
        headers: &HeaderMap,
        header: Option<&HeaderName>,
        client: Option<&ClientName>,
    ) -> Self {
        let named = match (&grant.source, header) {
            (Source::Nothing | Source::AdminKey, Some(header)) => name_in(headers, header),
            (Source::Nothing, None) => client.map(ClientName::as_str),
            (Source::AdminKey, None) | (Source::Key(_) | Source::Token | Source::Certificate | Source::Node, _) => None,
        };
        let grant = match named {
            Some(name) => Grant { name: name.into(), ..grant },
            None => grant,
        };
        Self(Arc::new(grant), None)
    }

    /// Whether it is known by a name.
    pub(super) fn is_known(&self) -> bool {
        &*self.0.name != ANONYMOUS
    }

    /// Whether it is shown credentials as they are: who may put a task gets back what was put, so that it can be put again. Others
    /// see a mask in their place.
    pub(super) fn sees_credentials(&self) -> bool {
        self.0.role >= Role::Write
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name, for what keeps it.
    pub(super) fn shared(&self) -> Arc<str> {
        self.0.name.clone()
    }

    /// What is allowed.
    pub(super) fn role(&self) -> Role {
        self.0.role
    }

    /// The tasks that it knows of.
    pub(super) fn prefixes(&self) -> &Prefixes {
        &self.0.prefixes
    }

    /// Whether there are tasks that it does not know of.
    pub(super) fn is_limited(&self) -> bool {
        !self.0.prefixes.are_all()
    }

    /// Refuses one without a role.
    pub(super) fn check_role(&self, needed: Role) -> Result<(), ApiError> {
        self.0.lacks(needed).map_or(Ok(()), |text| Err(ApiError::Forbidden(text)))
    }

    /// Refuses one that does not know of a task.
    pub(super) fn check_task(&self, identity: &Identity) -> Result<(), ApiError> {
        self.0.leaves_out(identity).map_or(Ok(()), |text| Err(ApiError::Forbidden(text)))
    }

    /// Refuses one that does not know of all tasks. `what` begins the sentence.
    pub(super) fn check_all_tasks(&self, what: &str) -> Result<(), ApiError> {
        self.0.is_limited_for(what).map_or(Ok(()), |text| Err(ApiError::Forbidden(text)))
    }
}

/// Whom a header names. Two values are no name: one of them may be what the client itself sent.
pub(super) fn name_in<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(header).iter();
    let (value, more) = (values.next(), values.next());
    let name = value.filter(|_| more.is_none()).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    name.map(str::trim).filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_MAX && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::access::KeyId;

    fn named_by(source: Source, values: &[&[u8]]) -> String {
        let header = HeaderName::from_static("x-remote-user");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&header, HeaderValue::from_bytes(value).unwrap());
        }
        let grant = Grant { source, ..Grant::anonymous() };
        assert_eq!(Caller::new(grant.clone(), &headers, None, None).name(), "anonymous");
        Caller::new(grant, &headers, Some(&header), None).name().to_owned()
    }

    #[test]
    fn the_header_names_the_caller_if_it_is_one_visible_text() {
        let long = "x".repeat(257);
        let named = |values: &[&[u8]]| named_by(Source::Nothing, values);

        assert_eq!(named(&[b" ada "]), "ada");
        assert_eq!(named(&["Zoë, 2nd".as_bytes()]), "Zoë, 2nd");
        assert_eq!(named(&[]), "anonymous");
        assert_eq!(named(&[b"a", b"b"]), "anonymous");
        for value in [&b""[..], b" ", b"a\tb", b"\xff", long.as_bytes()] {
            assert_eq!(named(&[value]), "anonymous", "{value:?}");
        }
    }

    #[test]
    fn the_header_does_not_rename_who_has_a_key_but_a_proxy_with_the_admin_key_may_name_its_users() {
        let key = KeyId::parse("0123456789abcdef").unwrap();

        assert_eq!(named_by(Source::Key(key), &[b"mallory"]), "anonymous");
        for source in [Source::Node, Source::Token, Source::Certificate] {
            assert_eq!(named_by(source, &[b"mallory"]), "anonymous");
        }
        assert_eq!(named_by(Source::AdminKey, &[b"ada"]), "ada");
    }
}
