//! Why a request may not go somewhere.

use std::fmt;
use std::net::IpAddr;

use super::{AddressClass, Destination};

/// Why a request may not go somewhere. The text is for records and answers: it names the rule, or what opens the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The host of the URL.
    pub(super) host: Box<str>,
    /// The address; `None`: its name was enough.
    pub(super) address: Option<IpAddr>,
    pub(super) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A rule of `deny_targets`.
    Denied(Box<str>),
    /// No rule of `allow_targets`, and `allow_only` is set.
    NotAllowed,
    /// What the address is, or the one that it carries.
    Class { carried: Option<IpAddr>, class: AddressClass },
}

impl Refusal {
    pub(super) fn new(to: &Destination, address: Option<IpAddr>, why: Why) -> Self {
        Self { host: to.to_string().into(), address, why }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        // What stands in the URL is not said twice.
        let resolved = self.address.map(|address| address.to_string()).filter(|address| **address != *self.host);
        if let Some(address) = &resolved {
            write!(f, " is {address}, which")?;
        }
        match &self.why {
            Why::Denied(rule) => write!(f, " is denied by the rule `{rule}` of [targets] deny_targets"),
            Why::NotAllowed => f.write_str(" is named by no rule of [targets] allow_targets, and allow_only is set"),
            Why::Class { carried, class } => {
                if let Some(carried) = carried {
                    write!(f, " carries {carried}, which")?;
                }
                write!(f, " is {} ([targets] allow_targets opens it)", class.as_str())
            }
        }
    }
}

impl std::error::Error for Refusal {}
