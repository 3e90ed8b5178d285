//! What somebody was found to be allowed: the answer of this room, and all that the others need to know.

use std::sync::{Arc, LazyLock};

use super::key_text::KeyId;
use super::role::Role;
use crate::model::{Identity, Prefixes};

/// The name of whoever shows nothing.
pub const ANONYMOUS: &str = "anonymous";
/// The name of whoever shows the admin key of the configuration.
pub const ADMIN: &str = "admin";

/// With what the name of somebody begins who shows a token of the issuer, and with a certificate that a rule fits. No key has such a name.
pub const TOKEN_PREFIX: &str = "oidc:";
/// The same for a certificate.
pub const CERTIFICATE_PREFIX: &str = "cert:";

/// By what somebody was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing was shown, and nothing was needed.
    Nothing,
    /// The admin key of the configuration.
    AdminKey,
    /// A key that was made.
    Key(KeyId),
    /// A token of the issuer.
    Token,
    /// A certificate that a rule fits.
    Certificate,
    /// Another node of the cluster, which has found out itself.
    Node,
}

/// What somebody may do, and by which name it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What is changed or asked for bears this name.
    pub name: Arc<str>,
    /// What may be done.
    pub role: Role,
    /// To which tasks.
    pub prefixes: Prefixes,
    /// By what that was known.
    pub source: Source,
}

impl Grant {
    /// Nobody in particular, who may do everything.
    pub fn anonymous() -> Self {
        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| ANONYMOUS.into());
        Self::of_everything(NAME.clone(), Source::Nothing)
    }

    /// Whoever shows the admin key of the configuration.
    pub(super) fn admin() -> Self {
        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| ADMIN.into());
        Self::of_everything(NAME.clone(), Source::AdminKey)
    }

    /// Somebody who may do everything.
    pub fn of_everything(name: Arc<str>, source: Source) -> Self {
        Self { name, role: Role::Admin, prefixes: Prefixes::all(), source }
    }

    /// The text of a refusal, if it does not hold a role.
    pub fn lacks(&self, needed: Role) -> Option<String> {
        let text = || {
            let (who, role, needed) = (self.who(), self.role.as_str(), needed.as_str());
            format!("this needs the role {needed}, and {who} has the role {role}")
        };
        (self.role < needed).then(text)
    }

    /// The text of a refusal, if it does not cover a task.
    pub fn leaves_out(&self, identity: &Identity) -> Option<String> {
        (!self.prefixes.cover(identity)).then(|| {
            let prefixes = self.prefixes_text();
            format!("{} is for tasks whose identity begins with {prefixes}, this one does not", self.who())
        })
    }

    /// The text of a refusal, if it does not cover every task. `what` begins the sentence.
    pub fn is_limited_for(&self, what: &str) -> Option<String> {
        (!self.prefixes.are_all()).then(|| {
            let prefixes = self.prefixes_text();
            format!("{what} needs a key without prefixes, and `{}` is for {prefixes} only", self.name)
        })
    }

    fn who(&self) -> String {
        let is_key = !is_kept_for_others(&self.name);
        if is_key { format!("the key `{}`", self.name) } else { format!("`{}`", self.name) }
    }

    fn prefixes_text(&self) -> String {
        let texts: Vec<String> = self.prefixes.iter().map(|prefix| format!("`{}`", prefix.escape_debug())).collect();
        texts.join(" or ")
    }
}

/// Whether a name is that of somebody who has no key of their own.
pub(super) fn is_kept_for_others(name: &str) -> bool {
    name.starts_with(TOKEN_PREFIX) || name.starts_with(CERTIFICATE_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_needed_and_what_is_there() {
        let prefixes = Prefixes::parse(&["a/", "b/"]).unwrap();
        let grant = Grant { name: "ci".into(), role: Role::Operate, prefixes, source: Source::Nothing };
        let identity = |text| Identity::parse(text).unwrap();

        assert_eq!(grant.lacks(Role::Operate), None);
        assert_eq!(
            grant.lacks(Role::Write).unwrap(),
            "this needs the role write, and the key `ci` has the role operate"
        );
        assert_eq!(grant.leaves_out(&identity("b/x")), None);
        assert_eq!(
            grant.leaves_out(&identity("c/x")).unwrap(),
            "the key `ci` is for tasks whose identity begins with `a/` or `b/`, this one does not"
        );
        assert_eq!(
            grant.is_limited_for("pausing everything").unwrap(),
            "pausing everything needs a key without prefixes, and `ci` is for `a/` or `b/` only"
        );
        assert_eq!(Grant::anonymous().is_limited_for("it"), None);
        let of_token = Grant { name: "oidc:ann".into(), source: Source::Token, ..grant };
        assert_eq!(
            of_token.lacks(Role::Admin).unwrap(),
            "this needs the role admin, and `oidc:ann` has the role operate"
        );
    }
}
