//! What a token says, whether it counts now and here, and what it allows. Pure: the signature was found good before.

use std::time::Duration;

use serde_json::Value;

use super::key_set::KeySet;
use super::refusal::{TokenError, Unfit};
use super::settings::OidcSettings;
use super::token::{Token, object};
use crate::access::grant::{Grant, Source, TOKEN_PREFIX};
use crate::access::role::Role;
use crate::model::object::Object;
use crate::model::{Prefixes, Timestamp};

/// How far the clock of the issuer may be from ours.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
/// The longest name of somebody, in bytes. Whoever has a longer one is not let in: cut, it could be the name of somebody else.
const NAME_MAX: usize = 200;
/// In the claim of prefixes: every task.
const EVERY_TASK: &str = "*";
/// Claims whose values are words in one text (RFC 8693, section 4.2; `scp` is how some issuers call it).
const LISTS_OF_WORDS: [&str; 2] = ["scope", "scp"];

/// What a token allows.
pub(super) fn judge(text: &[u8], keys: &KeySet, settings: &OidcSettings, now: Timestamp) -> Result<Grant, Unfit> {
    let token = Token::read(text)?;
    keys.check(token.algorithm, token.key_id.as_deref(), token.signed, &token.signature)?;
    let claims = object(&token.claims)?;
    check_place(&claims, settings)?;
    check_time(&claims, now)?;
    grant(&claims, settings)
}

/// Whether it is of the issuer that is trusted, and for this service.
fn check_place(claims: &Object<'_>, settings: &OidcSettings) -> Result<(), TokenError> {
    if find(claims, "iss") != Some(Value::from(&*settings.issuer)) {
        return Err(TokenError::OtherIssuer);
    }
    let audiences = texts(find(claims, "aud")).unwrap_or_default();
    let is_meant = audiences.iter().any(|audience| **audience == *settings.audience);
    is_meant.then_some(()).ok_or(TokenError::OtherAudience)
}

/// Whether it counts at this moment.
fn check_time(claims: &Object<'_>, now: Timestamp) -> Result<(), TokenError> {
    let ends_at = date(claims, "exp")?.ok_or(TokenError::Endless)?;
    if now >= ends_at.plus(LEEWAY) {
        return Err(TokenError::Expired);
    }
    let has_come = |name| Ok(date(claims, name)?.is_none_or(|begins_at| begins_at.minus(LEEWAY) <= now));
    if !has_come("nbf")? {
        return Err(TokenError::NotYet);
    }
    if !has_come("iat")? {
        return Err(TokenError::FromTheFuture);
    }
    Ok(())
}

/// What the claims allow. What is missing allows nothing.
fn grant(claims: &Object<'_>, settings: &OidcSettings) -> Result<Grant, Unfit> {
    let name = name(claims, &settings.name_claim)?;
    let role = role(claims, settings)?;
    let prefixes = match &settings.prefixes_claim {
        None => Prefixes::all(),
        Some(claim) => prefixes(claims, claim)?,
    };
    Ok(Grant { name: format!("{TOKEN_PREFIX}{name}").into(), role, prefixes, source: Source::Token })
}

fn name(claims: &Object<'_>, claim: &str) -> Result<String, Unfit> {
    let name = find(claims, claim).and_then(|value| value.as_str().map(|name| name.trim().to_owned()));
    let is_fit = |name: &String| (1..=NAME_MAX).contains(&name.len()) && !name.contains(char::is_control);
    name.filter(is_fit).ok_or_else(|| {
        let expected = format!("expected a text of 1 to {NAME_MAX} bytes without control characters");
        Unfit::Unmapped(format!("this token names nobody in its claim `{claim}`, {expected}"))
    })
}

/// The highest of the roles that its values mean.
fn role(claims: &Object<'_>, settings: &OidcSettings) -> Result<Role, Unfit> {
    let claim = &*settings.role_claim;
    let mut given = texts(find(claims, claim)).unwrap_or_default();
    if LISTS_OF_WORDS.contains(&claim) {
        given = given.iter().flat_map(|words| words.split(' ')).map(str::to_owned).collect();
    }
    let meant = settings.roles.iter().filter(|(value, _)| given.iter().any(|given| **given == **value));
    meant.map(|(_, role)| *role).max().ok_or_else(|| {
        Unfit::Unmapped(format!(
            "this token gives no role here: its claim `{claim}` holds no value of [access] oidc_roles"
        ))
    })
}

fn prefixes(claims: &Object<'_>, claim: &str) -> Result<Prefixes, Unfit> {
    let unmapped = |why: String| Unfit::Unmapped(format!("this token gives no tasks: its claim `{claim}` {why}"));
    let given = texts(find(claims, claim)).filter(|given| !given.is_empty());
    let given = given.ok_or_else(|| {
        unmapped(format!(
            "is missing, empty or no text, expected beginnings of identities, or `{EVERY_TASK}` for every task"
        ))
    })?;
    if given.iter().any(|prefix| prefix == EVERY_TASK) {
        return Ok(Prefixes::all());
    }
    Prefixes::parse(&given).map_err(|error| unmapped(error.to_string()))
}

/// A claim by its name; or, where there is none of that name, what a path of names leads to: `realm_access.roles`.
fn find(claims: &Object<'_>, name: &str) -> Option<Value> {
    let value = |name: &str| serde_json::from_str::<Value>(claims.get(name)?.get()).ok();
    let walked = || {
        let (first, path) = name.split_once('.')?;
        path.split('.').try_fold(value(first)?, |mut value, name| value.get_mut(name).map(Value::take))
    };
    value(name).or_else(walked)
}

/// A text, or an array of nothing but texts.
fn texts(value: Option<Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(text) => Some(vec![text]),
        Value::Array(values) => {
            let text = |value| if let Value::String(text) = value { Some(text) } else { None };
            values.into_iter().map(text).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A date in seconds since 1970, which may have a fraction.
fn date(claims: &Object<'_>, name: &str) -> Result<Option<Timestamp>, TokenError> {
    const MILLIS_MAX: f64 = 1e15;
    let Some(value) = find(claims, name) else { return Ok(None) };
    let millis = value.as_f64().map(|seconds| (seconds * 1_000.0).floor());
    let is_date = |millis: &f64| (0.0..MILLIS_MAX).contains(millis);
    match millis.filter(is_date) {
        #[expect(clippy::cast_possible_truncation, reason = "it is within the range")]
        Some(millis) => Ok(Some(Timestamp::from_millis(millis as i64))),
        None => Err(TokenError::Form("`exp`, `nbf` or `iat` is no date in seconds since 1970")),
    }
}
