//! Which issuer is trusted, and what its claims mean here.

use std::time::Duration;

use url::{Host, Url};

use crate::access::role::Role;

/// How many values of the claim of roles may mean something. More are a mistake.
const ROLES_MAX: usize = 100;

/// An issuer of tokens that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// What stands in `iss`, letter by letter.
    pub issuer: Box<str>,
    /// What has to stand in `aud`.
    pub audience: Box<str>,
    /// Where its keys are; `None`: it tells that itself.
    pub jwks_url: Option<Url>,
    /// The claim that names who asks.
    pub name_claim: Box<str>,
    /// The claim with the values that mean a role.
    pub role_claim: Box<str>,
    /// What they mean.
    pub roles: TokenRoles,
    /// The claim with the prefixes of tasks; `None`: every task.
    pub prefixes_claim: Option<Box<str>>,
    /// How often the issuer is asked.
    pub pace: Pace,
}

/// How often an issuer is asked for its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long keys are not asked for again, if the issuer does not say.
    pub good_for: Duration,
    /// How long at least and at most, whatever it says.
    pub good_for_range: (Duration, Duration),
    /// After how long it is asked again if it could not be reached.
    pub retry_after: Duration,
    /// How long after the last time a token with an unknown key makes it be asked again.
    pub look_again_after: Duration,
    /// For how long keys count after they were fetched, while the issuer is away.
    pub kept_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            good_for: minutes(10),
            good_for_range: (minutes(1), minutes(60)),
            retry_after: Duration::from_secs(10),
            look_again_after: minutes(1),
            kept_max: minutes(24 * 60),
        }
    }
}

/// Whether keys may be fetched from there: over TLS, or from this machine. Whoever can change them on their way can make any token.
pub fn is_fit_for_keys(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    is_bare && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
}

/// What values of a claim mean.
pub type TokenRoles = Box<[(Box<str>, Role)]>;

/// What is wrong in a list of roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesMistake {
    /// Which of them, from 1.
    pub position: usize,
    /// What stands there.
    pub given: String,
    /// What was expected.
    pub expected: &'static str,
}

/// Reads what values of a claim mean: `ops=operate, admins=admin`. A value may hold `=`, and no comma.
pub fn parse_roles(text: &str) -> Result<TokenRoles, Vec<RolesMistake>> {
    let given = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let (mut roles, mut mistakes) = (Vec::<(Box<str>, Role)>::new(), Vec::new());
    for (place, pair) in given.enumerate() {
        let read = pair.rsplit_once('=').and_then(|(value, role)| Some((value.trim(), Role::parse(role.trim())?)));
        let expected = match read {
            None | Some(("", _)) => "a value of the claim, `=`, and one of read, operate, write, admin",
            Some((value, _)) if roles.iter().any(|(other, _)| **other == *value) => "each value once",
            Some(_) if place >= ROLES_MAX => "at most 100 values",
            Some((value, role)) => {
                roles.push((value.into(), role));
                continue;
            }
        };
        mistakes.push(RolesMistake { position: place + 1, given: pair.to_owned(), expected });
    }
    if mistakes.is_empty() { Ok(roles.into()) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        let is_fit = |url: &str| is_fit_for_keys(&url.parse().unwrap());

        for url in [
            "https://id.example/keys",
            "https://10.0.0.7:8443/a?b=c",
            "http://127.0.0.1:9/k",
            "http://[::1]/",
            "http://LOCALHOST/",
        ] {
            assert!(is_fit(url), "{url}");
        }
        for url in [
            "http://id.example/keys",
            "http://10.0.0.7/",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "ftp://127.0.0.1/",
            "https://user:pass@id.example/",
            "https://id.example/#keys",
            "data:,{}",
        ] {
            assert!(!is_fit(url), "{url}");
        }
    }

    #[test]
    fn values_of_a_claim_mean_roles_and_every_mistake_is_told_with_its_place() {
        let role = |value: &str, role| (Box::from(value), role);

        let read = parse_roles(" ops = operate,cn=admins=admin,, team a=read").unwrap();

        assert_eq!(*read, [role("ops", Role::Operate), role("cn=admins", Role::Admin), role("team a", Role::Read)]);
        assert_eq!(*parse_roles("").unwrap(), []);
        let mistakes = parse_roles("ops,ops=root,=read,a=read,a=write").unwrap_err();
        let told: Vec<(usize, &str)> = mistakes.iter().map(|it| (it.position, it.given.as_str())).collect();
        assert_eq!(told, [(1, "ops"), (2, "ops=root"), (3, "=read"), (5, "a=write")]);
        assert_eq!(mistakes[3].expected, "each value once");
        let many: Vec<String> = (0..101).map(|number| format!("v{number}=read")).collect();
        assert_eq!(parse_roles(&many.join(",")).unwrap_err()[0].position, 101);
    }
}
