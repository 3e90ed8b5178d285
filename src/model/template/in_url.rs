//! URLs with slots: what is filled in must not lead elsewhere.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::parts::{Slot, fill, has_slots};
use super::{TemplateError, TemplateValues};
use crate::model::TargetUrl;
use crate::model::object::Mistakes;

/// All but what RFC 3986 never reserves.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// As it stands in a URL, or in a form.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_URL).to_string()
}

pub(super) fn fill_url(text: &str, values: &TemplateValues<'_>) -> Result<TargetUrl, TemplateError> {
    let too_long = TemplateError::TooLong { part: "URL", max: TargetUrl::LEN_MAX };
    let filled = |slot: Slot<'_>| Cow::from(encoded(&values.get(slot)));
    let url = TargetUrl::parse(&fill(text, TargetUrl::LEN_MAX, filled).ok_or(too_long)?)?;
    // Dots cannot be encoded so that they lose their meaning: a value such as `..` would step out of its place.
    let harmless = parsed(text, |_| "x".into());
    // User and password may be secrets. Templates are never a part of them.
    let by_secrets = parsed(text, |slot| match slot {
        Slot::Value(_) => "x".into(),
        Slot::Secret(_) => filled(slot),
    });
    let (sent, segments) = (url.to_url(), |url: &Url| url.path().split('/').count());
    let stays = harmless.is_some_and(|url| is_same_host(&sent, &url) && segments(&sent) == segments(&url))
        && by_secrets.is_some_and(|url| is_same_server(&sent, &url));
    if stays { Ok(url) } else { Err(TemplateError::LeadsElsewhere) }
}

fn parsed<'v>(text: &str, value: impl Fn(Slot<'_>) -> Cow<'v, str>) -> Option<Url> {
    fill(text, TargetUrl::LEN_MAX * 2, value).and_then(|text| Url::parse(&text).ok())
}

/// Whether the same server is asked, by the same user.
pub(super) fn is_same_server(one: &Url, other: &Url) -> bool {
    one[..Position::BeforePath] == other[..Position::BeforePath]
}

/// Whether the same server is asked, by whomever.
fn is_same_host(one: &Url, other: &Url) -> bool {
    let place = |url: &Url| (url.scheme().to_owned(), url.host().map(|host| host.to_owned()), url.port());
    place(one) == place(other)
}

/// Refuses templates in the part of a URL that says which server is asked, and by whom, and secrets in what says which server.
pub(in crate::model) fn check_url(text: &str, path: &str, mistakes: &mut Mistakes) -> bool {
    if !has_slots(text) {
        return true;
    }
    let with = |value: &'static str, secret: &'static str| {
        parsed(text, |slot| match slot {
            Slot::Value(_) => value.into(),
            Slot::Secret(_) => secret.into(),
        })
    };
    let is_kept = |one: Option<Url>, other: Option<Url>, is_same: fn(&Url, &Url) -> bool| match (one, other) {
        (Some(one), Some(other)) => is_same(&one, &other),
        // It is no URL, whatever is filled in or not: that is told elsewhere.
        (None, None) => Url::parse(text).is_err(),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !is_kept(with("1", "1"), with("2", "1"), is_same_server) {
        mistakes.add(path, "has a template in its scheme, user, host or port, expected it in the path or the query");
        return false;
    }
    if !is_kept(with("1", "1"), with("1", "2"), is_same_host) {
        let expected = "expected it as user or password, in the path or in the query";
        mistakes.add(path, format_args!("has a secret in its scheme, host or port, {expected}"));
        return false;
    }
    true
}
