//! What a client may do that has shown a certificate, which was verified: rules of the configuration by the names in it.

use std::sync::Arc;

use super::grant::{CERTIFICATE_PREFIX, Grant, Source};
use super::role::Role;
use crate::model::Prefixes;

/// How many rules there may be. More are a mistake.
const RULES_MAX: usize = 200;
/// Between the prefixes of a rule.
const BETWEEN_PREFIXES: char = '|';

/// Of which kind a name in a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// The common name of the subject.
    CommonName,
    /// An alternative name: of a host.
    Dns,
    /// An alternative name: an address of the web, such as `spiffe://…`.
    Uri,
    /// An alternative name: an address of mail.
    Email,
}

impl NameKind {
    const ALL: [Self; 4] = [Self::CommonName, Self::Dns, Self::Uri, Self::Email];

    fn as_str(self) -> &'static str {
        match self {
            Self::CommonName => "cn",
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
        }
    }
}

/// A name in a certificate. Two of different kinds are never the same: an authority may look at one more closely than at the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    kind: NameKind,
    text: Box<str>,
}

impl CertificateName {
    /// The longest one, in bytes. A longer one opens nothing.
    pub const LEN_MAX: usize = 200;

    /// Accepts 1 to [`Self::LEN_MAX`] bytes without control characters. Names of hosts are the same in small and large letters.
    pub fn parse(kind: NameKind, text: &str) -> Option<Self> {
        let text = text.trim();
        let is_name = (1..=Self::LEN_MAX).contains(&text.len()) && !text.contains(char::is_control);
        let text = if kind == NameKind::Dns { text.to_ascii_lowercase() } else { text.to_owned() };
        is_name.then(|| Self { kind, text: text.into() })
    }

    /// Of a text such as `cn:ann` or `uri:spiffe://a/b`.
    fn read(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let kind = NameKind::ALL.into_iter().find(|it| it.as_str() == kind.trim())?;
        Self::parse(kind, name)
    }
}

/// What whoever has a certificate with a name may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    name: CertificateName,
    role: Role,
    prefixes: Prefixes,
}

/// What is wrong in a list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateMistake {
    /// Which of them, from 1.
    pub position: usize,
    /// What stands there.
    pub given: String,
    /// What was expected.
    pub expected: String,
}

/// Reads rules: `cn:ann=write, dns:ci.example=operate:team-a/|team-b/`.
pub fn parse_certificate_rules(text: &str) -> Result<Arc<[CertificateRule]>, Vec<CertificateMistake>> {
    let given = text.split(',').map(str::trim).filter(|rule| !rule.is_empty());
    let (mut rules, mut mistakes) = (Vec::<CertificateRule>::new(), Vec::new());
    for (place, given) in given.enumerate() {
        let expected = match CertificateRule::parse(given) {
            Ok(rule) if rules.iter().any(|other| other.name == rule.name) => "each name once".to_owned(),
            Ok(_) if place >= RULES_MAX => format!("at most {RULES_MAX} rules"),
            Ok(rule) => {
                rules.push(rule);
                continue;
            }
            Err(expected) => expected,
        };
        mistakes.push(CertificateMistake { position: place + 1, given: given.to_owned(), expected });
    }
    if mistakes.is_empty() { Ok(rules.into()) } else { Err(mistakes) }
}

impl CertificateRule {
    fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "cn:, dns:, uri: or email: and a name, then `=` and one of read, operate, write, admin, then perhaps `:` and \
            prefixes with `|` between them";
        // A name may hold `=`, and so may a prefix: what follows the right one is a role.
        let parts = text.match_indices('=').find_map(|(at, _)| {
            let (role, prefixes) = match text[at + 1..].split_once(':') {
                Some((role, prefixes)) => (role, Some(prefixes)),
                None => (&text[at + 1..], None),
            };
            Some((&text[..at], Role::parse(role.trim())?, prefixes))
        });
        let (name, role, prefixes) = parts.ok_or(EXPECTED)?;
        let name = CertificateName::read(name.trim()).ok_or(EXPECTED)?;
        let prefixes: Vec<&str> = prefixes.iter().flat_map(|all| all.split(BETWEEN_PREFIXES)).map(str::trim).collect();
        let prefixes = Prefixes::parse(&prefixes).map_err(|error| format!("prefixes that fit: it {error}"))?;
        Ok(Self { name, role, prefixes })
    }

    /// Whether it allows everything.
    pub(super) fn allows_everything(&self) -> bool {
        self.role == Role::Admin && self.prefixes.are_all()
    }
}

/// What the first rule allows that one of the names of a certificate fits; `None`: no rule fits.
pub(super) fn grant_of(names: &[CertificateName], rules: &[CertificateRule]) -> Option<Grant> {
    let rule = rules.iter().find(|rule| names.contains(&rule.name))?;
    let name = format!("{CERTIFICATE_PREFIX}{}", rule.name.text);
    Some(Grant { name: name.into(), role: rule.role, prefixes: rule.prefixes.clone(), source: Source::Certificate })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(kind: NameKind, text: &str) -> CertificateName {
        CertificateName::parse(kind, text).unwrap()
    }

    fn found(rules: &str, names: &[CertificateName]) -> Option<(String, Role, Vec<String>)> {
        let grant = grant_of(names, &parse_certificate_rules(rules).unwrap())?;
        assert_eq!(grant.source, Source::Certificate);
        Some((grant.name.to_string(), grant.role, grant.prefixes.to_texts()))
    }

    #[test]
    fn the_first_rule_that_fits_a_name_of_the_same_kind_says_what_is_allowed() {
        let rules = "cn:ann=write, uri:spiffe://a/b=c?=operate:team-a/ | x=y:z, dns:CI.example=admin";
        let ann = name(NameKind::CommonName, "ann");
        let spiffe = name(NameKind::Uri, "spiffe://a/b=c?");

        assert_eq!(found(rules, std::slice::from_ref(&ann)), Some(("cert:ann".into(), Role::Write, vec![])));
        let limited = Some(("cert:spiffe://a/b=c?".into(), Role::Operate, vec!["team-a/".into(), "x=y:z".into()]));
        assert_eq!(found(rules, std::slice::from_ref(&spiffe)), limited);
        assert_eq!(found(rules, &[spiffe, ann]), Some(("cert:ann".into(), Role::Write, vec![])), "the first rule");
        assert_eq!(found(rules, &[name(NameKind::Dns, "ci.EXAMPLE")]).unwrap().1, Role::Admin);
        for other in [
            name(NameKind::Dns, "ann"),
            name(NameKind::Email, "ann"),
            name(NameKind::CommonName, "Ann"),
            name(NameKind::CommonName, "ann2"),
            name(NameKind::CommonName, "ci.example"),
        ] {
            assert_eq!(found(rules, std::slice::from_ref(&other)), None, "{other:?}");
        }
        assert_eq!(found(rules, &[]), None);
        assert_eq!(found("", &[name(NameKind::CommonName, "ann")]), None);
    }

    #[test]
    fn every_mistake_in_the_rules_is_told_with_its_place_and_none_of_them_gives_a_right() {
        let mistakes = parse_certificate_rules(
            "ann=write,cn:ann,cn:=read,cn:ann=root,cn:b=read:a||b,cn:c=read,cn:c=admin,ip:1.2.3.4=read",
        );
        let mistakes = mistakes.unwrap_err();

        let told: Vec<(usize, &str)> = mistakes.iter().map(|it| (it.position, it.given.as_str())).collect();
        let expected = [
            (1, "ann=write"),
            (2, "cn:ann"),
            (3, "cn:=read"),
            (4, "cn:ann=root"),
            (5, "cn:b=read:a||b"),
            (7, "cn:c=admin"),
            (8, "ip:1.2.3.4=read"),
        ];
        assert_eq!(told, expected);
        assert!(mistakes[4].expected.contains("holds an empty text"), "{mistakes:?}");
        assert!(parse_certificate_rules("cn:a=read:").is_err(), "no prefix is not every task");
        let many: Vec<String> = (0..201).map(|number| format!("cn:{number}=read")).collect();
        assert_eq!(parse_certificate_rules(&many.join(",")).unwrap_err()[0].position, 201);
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_record_is_none() {
        for text in ["", " ", "a\nb", "a\u{0}", &"x".repeat(201)] {
            assert_eq!(CertificateName::parse(NameKind::CommonName, text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[=:,|a-c éadmin]{0,40}|.{0,60}") {
            let _ = parse_certificate_rules(&text);
        }
    }
}
