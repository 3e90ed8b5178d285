//! A request that is ready, but for what the moment decides at which it goes. Pure.

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::OutgoingRequest;
use super::signing::Signer;
use crate::model::{Credentials, Fire, Timestamp};

/// A request, and what it is signed with.
#[derive(Debug)]
pub(super) struct Prepared {
    request: OutgoingRequest,
    signer: Option<Signer>,
}

impl Prepared {
    /// Attempt number `attempt` of the run of a fire. The error says why it cannot be sent.
    pub(super) fn of(fire: &Fire, attempt: u32) -> Result<Self, String> {
        let mut request = OutgoingRequest::of(fire, attempt).map_err(|error| error.to_string())?;
        let Credentials { sign, auth } = fire.credentials().cloned().unwrap_or_default();
        let signer = sign.map(|sign| Signer::new(&sign, fire.run_id())).transpose();
        let signer = signer.map_err(|error| format!("cannot be signed: {error}"))?;
        if let Some(auth) = auth {
            let value = auth.authorization().map_err(|error| format!("cannot be sent: {error}"))?;
            request.headers.insert(AUTHORIZATION, sensitive(value));
        }
        Ok(Self { request, signer })
    }

    /// As it goes out at this moment.
    pub(super) fn go(self, at: Timestamp) -> OutgoingRequest {
        let Self { mut request, signer } = self;
        if let Some(signer) = signer {
            signer.sign(&mut request, at);
        }
        request
    }
}

/// A value that no log of the client shows.
fn sensitive(value: String) -> HeaderValue {
    let mut value = HeaderValue::try_from(value).expect("what was checked has no control characters");
    value.set_sensitive(true);
    value
}
