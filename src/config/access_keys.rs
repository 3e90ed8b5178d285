//! The keys of who may do what, and of what is noted of it.

use super::key::{Key, Kind, OPTIONAL, TEXT, key, number};

/// They stand in the middle of all.
pub(super) const WHO_MAY: &[Key] = &[
    key(
        "access",
        "admin_key",
        "",
        Kind::Secret,
        "Key that opens everything, 32 characters or more: for the first keys; empty: none",
    ),
    key(
        "access",
        "allow_anonymous",
        "false",
        Kind::Word(&["true", "false"]),
        "true: who shows no key may do everything, wherever the service listens and whatever keys there are",
    ),
    key(
        "access",
        "failed_tries_per_min",
        "30",
        number(1, 1_000_000),
        "Wrong keys that an address may show in a minute; further ones: 429",
    ),
    key(
        "access",
        "oidc_issuer",
        "",
        OPTIONAL,
        "Issuer of OpenID Connect whose tokens open, as it stands in their iss: https, or http on this machine; empty: none",
    ),
    key("access", "oidc_audience", "", OPTIONAL, "What has to stand in the aud of a token: the name of this service"),
    key(
        "access",
        "oidc_jwks_url",
        "",
        OPTIONAL,
        "Where the keys of the issuer are; empty: where its .well-known/openid-configuration says",
    ),
    key(
        "access",
        "oidc_ca_file",
        "",
        OPTIONAL,
        "File of the only authorities that the issuer's server may be certified by (PEM); empty: those of the system",
    ),
    key("access", "oidc_name_claim", "sub", TEXT, "Claim that names who asks, `by` is this name behind `oidc:`"),
    key(
        "access",
        "oidc_role_claim",
        "roles",
        TEXT,
        "Claim with values that mean a role: a text or an array of texts; realm_access.roles leads into objects",
    ),
    key(
        "access",
        "oidc_roles",
        "",
        OPTIONAL,
        "What its values mean, separated by commas, the highest counts: ops=operate, admins=admin; others open nothing",
    ),
    key(
        "access",
        "oidc_prefixes_claim",
        "",
        OPTIONAL,
        "Claim with the prefixes of tasks that a token is for, `*` for every task; empty: every token is for every task",
    ),
    key(
        "access",
        "certificate_roles",
        "",
        OPTIONAL,
        "What clients' certificates allow, separated by commas, the first that fits: cn:ann=write, uri:spiffe://a/ci=operate:team-a/",
    ),
    key(
        "audit",
        "enabled",
        "true",
        Kind::Word(&["true", "false"]),
        "Whether who changes something, and who is refused, is kept as log documents of the type audit",
    ),
    key(
        "audit",
        "reads",
        "none",
        Kind::Word(&["none", "results", "all"]),
        "Which requests that only read are kept, too: results: those that show answers of targets",
    ),
    key("audit", "retention_days", "365", number(1, 36_500), "Days that audit documents are kept"),
    key("audit", "size_max_mib", "1024", number(1, 1 << 30), "MiB of audit documents above which the oldest go"),
];
