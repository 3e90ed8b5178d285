//! What nodes tell each other beside the requests that they pass on. A client's word for it counts for nothing.

use http::{HeaderMap, HeaderName};

use super::Api;
use super::caller::Caller;
use super::reply::ApiError;
use crate::cluster::{KEY_HEADER, header_text};
use crate::model::RunId;

/// Who asked the node that asks this one.
const CALLER: HeaderName = HeaderName::from_static("schedule-cluster-caller");
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
            Some(peers) if keys.next().is_none() && peers.trusts(key.as_bytes()) => Ok(Some(Self::told(headers))),
            Some(_) => Err(ApiError::Stranger),
        }
    }

    /// The same where nobody else may ask.
    pub(super) fn only(api: &Api, headers: &HeaderMap) -> Result<Self, ApiError> {
        Self::of(api, headers)?.ok_or(ApiError::Stranger)
    }

    fn told(headers: &HeaderMap) -> Self {
        let chosen = headers.get(CHOSEN).and_then(|value| value.to_str().ok()).and_then(RunId::parse);
        Self { caller: Caller::of(headers, Some(&CALLER)), chosen }
    }

    /// As headers.
    pub(super) fn tell(caller: &Caller, chosen: Option<RunId>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(name) = header_text(caller.name()).filter(|_| caller.is_known()) {
            headers.insert(CALLER, name);
        }
        if let Some(chosen) = chosen.and_then(|chosen| header_text(&chosen.to_string())) {
            headers.insert(CHOSEN, chosen);
        }
        headers
    }
}
