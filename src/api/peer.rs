//! What nodes tell each other beside the requests that they pass on. A client's word for it counts for nothing.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Api;
use super::audit::Origin;
use super::caller::{Caller, name_in};
use super::reply::ApiError;
use crate::access::Role;
use crate::cluster::{KEY_HEADER, header_text};
use crate::model::{Prefixes, RunId};

/// Who asked the node that asks this one.
const CALLER: HeaderName = HeaderName::from_static("schedule-cluster-caller");
/// What that one may do. A node that asks for itself, or of a version that knew no roles, says none: it may do everything.
const ROLE: HeaderName = HeaderName::from_static("schedule-cluster-role");
/// To which tasks: percent-encoded, separated by commas. Without it, to all.
const PREFIXES: HeaderName = HeaderName::from_static("schedule-cluster-prefixes");
/// The address that one asks from, and by what it is known.
const FROM: HeaderName = HeaderName::from_static("schedule-cluster-from");
const SOURCE: HeaderName = HeaderName::from_static("schedule-cluster-source");
/// How many tasks there may be of these. Without it, as many as are put.
const TASKS_MAX: HeaderName = HeaderName::from_static("schedule-cluster-tasks-max");
/// The name that was chosen for what is made.
const CHOSEN: HeaderName = HeaderName::from_static("schedule-cluster-id");

/// Another node that asks.
#[derive(Debug)]
pub(super) struct Peer {
    /// For whom it asks.
    pub(super) caller: Caller,
    /// The name that it chose for what is made.
    pub(super) chosen: Option<RunId>,
}

impl Peer {
    /// The node that asks; `None`: somebody else asks. Who shows a wrong key is refused.
    pub(super) fn of(api: &Api, headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut keys = headers.get_all(KEY_HEADER).iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let peers = api.services.get().map(|services| &services.peers);
        match peers {
            // It cannot be known yet who asks.
            None => Err(ApiError::Elsewhere),
            Some(peers) if keys.next().is_none() && peers.trusts(key.as_bytes()) => Self::told(headers).map(Some),
            Some(_) => Err(ApiError::Stranger),
        }
    }

    /// The same where nobody else may ask.
    pub(super) fn only(api: &Api, headers: &HeaderMap) -> Result<Self, ApiError> {
        Self::of(api, headers)?.ok_or(ApiError::Stranger)
    }

    fn told(headers: &HeaderMap) -> Result<Self, ApiError> {
        let chosen = headers.get(CHOSEN).and_then(|value| value.to_str().ok()).and_then(RunId::parse);
        let role = match headers.get(ROLE) {
            None => Some(Role::Admin),
            Some(word) => word.to_str().ok().and_then(Role::parse),
        };
        let prefixes = match headers.get(PREFIXES) {
            None => Some(Prefixes::all()),
            Some(value) => read_prefixes(value),
        };
        let tasks_max = match headers.get(TASKS_MAX) {
            None => Some(None),
            Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).map(Some),
        };
        // What is not understood could be a narrower right.
        let not_understood = || ApiError::Unclear("what another node says of the caller is not understood".to_owned());
        let ((role, prefixes), tasks_max) = role.zip(prefixes).zip(tasks_max).ok_or_else(not_understood)?;
        let from = headers.get(FROM).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let origin = Origin { from, source: name_in(headers, &SOURCE).unwrap_or_default().into() };
        let caller = Caller::of_node(name_in(headers, &CALLER), role, prefixes);
        Ok(Self { caller: caller.with_tasks_max(tasks_max).coming_as(origin), chosen })
    }

    /// As headers.
    pub(super) fn tell(caller: &Caller, chosen: Option<RunId>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ROLE, HeaderValue::from_static(caller.role().as_str()));
        if caller.is_limited() {
            headers.insert(PREFIXES, write_prefixes(caller.prefixes()));
        }
        if let Some(max) = caller.tasks_max() {
            headers.insert(TASKS_MAX, max.into());
        }
        if let Some(name) = header_text(caller.name()).filter(|_| caller.is_known()) {
            headers.insert(CALLER, name);
        }
        let Origin { from, source } = caller.origin();
        if let Some(from) = from.and_then(|from| header_text(&from.to_string())) {
            headers.insert(FROM, from);
        }
        if let Some(source) = header_text(source).filter(|_| !source.is_empty()) {
            headers.insert(SOURCE, source);
        }
        if let Some(chosen) = chosen.and_then(|chosen| header_text(&chosen.to_string())) {
            headers.insert(CHOSEN, chosen);
        }
        headers
    }
}

fn write_prefixes(prefixes: &Prefixes) -> HeaderValue {
    let texts: Vec<String> =
        prefixes.iter().map(|prefix| utf8_percent_encode(prefix, NON_ALPHANUMERIC).to_string()).collect();
    HeaderValue::from_str(&texts.join(",")).expect("what is percent-encoded may stand in a header")
}

fn read_prefixes(value: &HeaderValue) -> Option<Prefixes> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let texts: Option<Vec<String>> = value.to_str().ok()?.split(',').map(decoded).collect();
    Prefixes::parse(&texts?).ok().filter(|prefixes| !prefixes.are_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_may_do_comes_to_the_next_node_as_it_is() {
        for texts in [&[][..], &["a/"], &["a,b", "é%2c\u{0}\u{7f}", " "]] {
            for (role, tasks_max) in Role::ALL.into_iter().zip([None, Some(1), Some(u64::MAX), None]) {
                let origin =
                    Origin { from: Some("2001:db8::7".parse().unwrap()), source: "key 0123456789abcdef".into() };
                let caller = Caller::of_node(Some("ci"), role, Prefixes::parse(texts).unwrap());
                let caller = caller.with_tasks_max(tasks_max).coming_as(origin);

                let told = Peer::told(&Peer::tell(&caller, None)).unwrap();

                assert_eq!(told.caller, caller);
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_never_taken_for_more() {
        for (name, value) in
            [(ROLE, "root"), (ROLE, ""), (PREFIXES, ""), (PREFIXES, "a,,b"), (PREFIXES, "%ff"), (TASKS_MAX, "-1")]
        {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);

            assert!(matches!(Peer::told(&headers), Err(ApiError::Unclear(_))), "{value}");
        }
        assert_eq!(Peer::told(&HeaderMap::new()).unwrap().caller.role(), Role::Admin);
    }
}
