//! A request that is ready, but for what the moment decides at which it goes. Pure.

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::OutgoingRequest;
use super::signing::Signer;
use super::tokens::Token;
use crate::model::{Auth, Credentials, Fire, OAuth2Client, Timestamp};

/// A request, and what it is signed with.
#[derive(Debug)]
pub(super) struct Prepared {
    request: OutgoingRequest,
    signer: Option<Signer>,
    client: Option<Box<OAuth2Client>>,
}

impl Prepared {
    /// Attempt number `attempt` of the run of a fire. The error says why it cannot be sent.
    pub(super) fn of(fire: &Fire, attempt: u32) -> Result<Self, String> {
        let mut request = OutgoingRequest::of(fire, attempt).map_err(|error| error.to_string())?;
        let Credentials { sign, auth } = fire.credentials().cloned().unwrap_or_default();
        let signer = sign.map(|sign| Signer::new(&sign, fire.run_id())).transpose();
        let signer = signer.map_err(|error| format!("cannot be signed: {error}"))?;
        let value = auth.as_ref().map(|auth| auth.authorization()).transpose();
        if let Some(value) = value.map_err(|error| format!("cannot be sent: {error}"))?.flatten() {
            request.headers.insert(AUTHORIZATION, sensitive(value));
        }
        let client = match auth.map(|auth| *auth) {
            Some(Auth::OAuth2(client)) => Some(client),
            Some(Auth::Basic { .. } | Auth::Bearer { .. }) | None => None,
        };
        Ok(Self { request, signer, client })
    }

    /// Who has to ask for a token before it goes.
    pub(super) fn client(&self) -> Option<&OAuth2Client> {
        self.client.as_deref()
    }

    /// The same with this token.
    pub(super) fn show(&mut self, token: &Token) {
        self.request.headers.insert(AUTHORIZATION, sensitive(token.authorization()));
    }

    /// As it goes out at this moment.
    pub(super) fn go(self, at: Timestamp) -> OutgoingRequest {
        let Self { mut request, signer, client: _ } = self;
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
