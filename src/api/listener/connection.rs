//! From where a request comes.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::access::CertificateName;

/// The longest name in a client's certificate, in bytes. A client with a longer one is not let in.
pub(super) const NAME_MAX: usize = 256;

/// The connection that a request came over. Every request carries it as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Connection {
    /// The other end: the client, or a proxy before it.
    pub(in crate::api) address: SocketAddr,
    /// The name in its certificate, which was verified; `None`: it showed none.
    pub(in crate::api) client: Option<ClientName>,
}

impl Connection {
    /// Of a request that came over no socket.
    pub(in crate::api) fn none() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), client: None }
    }

    /// The name of the client, or nothing: for the log.
    pub(in crate::api) fn client_name(&self) -> &str {
        self.client.as_ref().map_or("", ClientName::as_str)
    }
}

/// The subject's common name in a certificate, or else its first alternative name.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::api) struct ClientName {
    name: Arc<str>,
    all: Arc<[CertificateName]>,
}

impl ClientName {
    /// Accepts 1 to [`NAME_MAX`] bytes without control characters. `all`: those by which it may be allowed something.
    pub(super) fn parse(text: &str, all: Vec<CertificateName>) -> Option<Self> {
        let is_name = !text.trim().is_empty() && text.len() <= NAME_MAX && !text.contains(char::is_control);
        is_name.then(|| Self { name: text.into(), all: all.into() })
    }

    /// The name as it stands in the certificate.
    pub(in crate::api) fn as_str(&self) -> &str {
        &self.name
    }

    /// All names in the certificate by which it may be allowed something.
    pub(in crate::api) fn in_certificate(&self) -> &[CertificateName] {
        &self.all
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.name)
    }
}
