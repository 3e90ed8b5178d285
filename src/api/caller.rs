//! Who asks: by a key, as the user that a trusted proxy names in a header, or as nobody in particular.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::audit::{Origin, Trail};
use super::listener::ClientName;
use super::reply::ApiError;
use crate::access::{ANONYMOUS, Grant, Role, Source};
use crate::journal::AskedBy;
use crate::model::{Identity, Prefixes};

/// The longest name of a user, in bytes. Whoever has a longer one is not named.
const NAME_MAX: usize = 256;

/// Who asks, and what is allowed. What is changed or asked for bears this name.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    grant: Arc<Grant>,
    /// How many tasks there may be of those that it knows of, if they are counted.
    tasks_max: Option<u64>,
    origin: Origin,
    /// What its audit record will say; `None`: there is none.
    trail: Option<Arc<Trail>>,
}

/// Two are the same whatever they ask for.
impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.grant == other.grant && self.tasks_max == other.tasks_max && self.origin == other.origin
    }
}

impl Eq for Caller {}

impl Caller {
    /// Nobody who is known by a name, and who may do everything.
    #[cfg(test)]
    pub(super) fn anonymous() -> Self {
        Self::of_grant(Grant::anonymous(), Origin::default())
    }

    /// Somebody for whom another node asks. It has found out what is allowed, and that the name is good.
    pub(super) fn of_node(name: Option<&str>, role: Role, prefixes: Prefixes) -> Self {
        let name = name.filter(|name| is_name(name)).unwrap_or(ANONYMOUS);
        Self::of_grant(Grant { name: name.into(), role, prefixes, source: Source::Node }, Origin::default())
    }

    fn of_grant(grant: Grant, origin: Origin) -> Self {
        Self { grant: Arc::new(grant), tasks_max: None, origin, trail: None }
    }

    /// The same who may have so many tasks.
    pub(super) fn with_tasks_max(self, tasks_max: Option<u64>) -> Self {
        Self { tasks_max, ..self }
    }

    /// How many tasks there may be of those that it knows of; `None`: as many as are put.
    pub(super) fn tasks_max(&self) -> Option<u64> {
        self.tasks_max
    }

    /// The same, coming from an address.
    pub(super) fn coming_from(mut self, from: IpAddr) -> Self {
        self.origin.from = Some(from);
        self
    }

    /// The same, of which another node knows where it comes from.
    pub(super) fn coming_as(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The same, of whose request a record is kept.
    pub(super) fn followed(self, trail: Arc<Trail>) -> Self {
        Self { trail: Some(trail), ..self }
    }

    /// Where it comes from.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is noted of its request.
    pub(super) fn trail(&self) -> Option<&Arc<Trail>> {
        self.trail.as_ref()
    }

    /// For what writes an audit record together with a change.
    pub(super) fn asked_by(&self) -> Option<Arc<AskedBy>> {
        self.trail.as_ref().map(|trail| trail.asked_by().clone())
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
        let origin = Origin { from: None, source: source_of(&grant.source, named.and(header).is_some(), named).into() };
        let grant = match named {
            Some(name) => Grant { name: name.into(), ..grant },
            None => grant,
        };
        Self::of_grant(grant, origin)
    }

    /// Whether it is known by a name.
    pub(super) fn is_known(&self) -> bool {
        &*self.grant.name != ANONYMOUS
    }

    /// Whether it is shown credentials as they are: who may put a task gets back what was put, so that it can be put again. Others
    /// see a mask in their place.
    pub(super) fn sees_credentials(&self) -> bool {
        self.grant.role >= Role::Write
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.grant.name
    }

    /// Its name, for what keeps it.
    pub(super) fn shared(&self) -> Arc<str> {
        self.grant.name.clone()
    }

    /// What is allowed.
    pub(super) fn role(&self) -> Role {
        self.grant.role
    }

    /// The tasks that it knows of.
    pub(super) fn prefixes(&self) -> &Prefixes {
        &self.grant.prefixes
    }

    /// Whether there are tasks that it does not know of.
    pub(super) fn is_limited(&self) -> bool {
        !self.grant.prefixes.are_all()
    }

    /// Refuses one without a role.
    pub(super) fn check_role(&self, needed: Role) -> Result<(), ApiError> {
        self.grant.lacks(needed).map_or(Ok(()), |text| Err(ApiError::Forbidden(text)))
    }

    /// Refuses one that does not know of a task.
    pub(super) fn check_task(&self, identity: &Identity) -> Result<(), ApiError> {
        self.grant.leaves_out(identity).map_or(Ok(()), |text| Err(ApiError::Forbidden(text)))
    }

    /// Refuses one that does not know of all tasks. `what` begins the sentence.
    pub(super) fn check_all_tasks(&self, what: &str) -> Result<(), ApiError> {
        self.grant.is_limited_for(what).map_or(Ok(()), |text| Err(ApiError::Forbidden(text)))
    }
}

/// By what somebody is known, in words.
fn source_of(source: &Source, is_in_header: bool, named: Option<&str>) -> String {
    let by = match source {
        Source::Key(id) => return format!("key {}", id.as_str()),
        Source::AdminKey => "admin_key",
        Source::Token => "token",
        Source::Node => "node",
        Source::Certificate => "certificate",
        Source::Nothing if named.is_some() && !is_in_header => "certificate",
        Source::Nothing => "nothing",
    };
    if is_in_header { format!("{by}, user_header") } else { by.to_owned() }
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

    #[test]
    fn it_is_told_by_what_somebody_is_known() {
        let key = Source::Key(KeyId::parse("0123456789abcdef").unwrap());

        assert_eq!(source_of(&key, false, None), "key 0123456789abcdef");
        assert_eq!(source_of(&Source::AdminKey, false, None), "admin_key");
        assert_eq!(source_of(&Source::Token, false, None), "token");
        assert_eq!(source_of(&Source::Certificate, false, None), "certificate");
        assert_eq!(source_of(&Source::AdminKey, true, Some("ada")), "admin_key, user_header");
        assert_eq!(source_of(&Source::Nothing, true, Some("ada")), "nothing, user_header");
        assert_eq!(source_of(&Source::Nothing, false, Some("ada")), "certificate");
        assert_eq!(source_of(&Source::Nothing, false, None), "nothing");
    }
}
