//! A request that is ready, but for what the moment decides at which it goes.

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::OutgoingRequest;
use super::request::{Unsendable, secrets_of};
use super::scrub::Scrub;
use super::signing::Signer;
use super::tokens::Token;
use crate::model::{Auth, Credentials, Fire, OAuth2Client, TemplateGrowth, Timestamp};
use crate::secrets::Secrets;

/// A request with its secrets filled in, what it is signed with, and what keeps all that out of what is recorded.
#[derive(Debug)]
pub(super) struct Prepared {
    request: OutgoingRequest,
    signer: Option<Signer>,
    client: Option<Box<OAuth2Client>>,
    token: Option<Token>,
    scrub: Scrub,
}

/// A request as it goes out, and what is needed when its answer comes.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) request: OutgoingRequest,
    /// The token that it shows, if a server gave it one.
    pub(super) token: Option<Token>,
    pub(super) scrub: Scrub,
}

impl Prepared {
    /// Attempt number `attempt` of the run of a fire, with the secrets as they are now.
    pub(super) fn of(fire: &Fire, attempt: u32, secrets: &Secrets, growth: TemplateGrowth) -> Result<Self, Unsendable> {
        let texts = secrets_of(fire, secrets)?;
        let mut request = OutgoingRequest::of(fire, attempt, &texts, growth)?;
        let credentials = fire.credentials().map(|credentials| credentials.filled_in(&texts)).transpose()?;
        let credentials = credentials.unwrap_or_default();
        let scrub = Scrub::of(&texts, &request).and(credentials.confidential().iter().map(|text| &***text));
        let Credentials { sign, auth } = credentials;
        let unsendable = |what: &str, error: String| Unsendable::Credentials(format!("cannot be {what}: {error}"));
        let signer = sign.map(|sign| Signer::new(&sign, fire.run_id())).transpose();
        let signer = signer.map_err(|error| unsendable("signed", error))?;
        let value = auth.as_ref().map(|auth| auth.authorization()).transpose();
        if let Some(value) = value.map_err(|error| unsendable("sent", error))?.flatten() {
            request.headers.insert(AUTHORIZATION, sensitive(value));
        }
        let client = match auth.map(|auth| *auth) {
            Some(Auth::OAuth2(client)) => Some(client),
            Some(Auth::Basic { .. } | Auth::Bearer { .. }) | None => None,
        };
        Ok(Self { request, signer, client, token: None, scrub })
    }

    /// Who has to ask for a token before it goes.
    pub(super) fn client(&self) -> Option<&OAuth2Client> {
        self.client.as_deref()
    }

    /// What keeps secrets out of what is recorded.
    pub(super) fn scrub(&self) -> &Scrub {
        &self.scrub
    }

    /// The same with this token.
    pub(super) fn with(mut self, token: Token) -> Self {
        self.request.headers.insert(AUTHORIZATION, sensitive(format!("Bearer {}", token.expose())));
        self.scrub = self.scrub.and([token.expose()]);
        Self { token: Some(token), ..self }
    }

    /// As it goes out at this moment.
    pub(super) fn go(self, at: Timestamp) -> Ready {
        let Self { mut request, signer, client: _, token, scrub } = self;
        if let Some(signer) = signer {
            signer.sign(&mut request, at);
        }
        Ready { request, token, scrub }
    }
}

/// A value that no log of the client shows.
fn sensitive(value: String) -> HeaderValue {
    let mut value = HeaderValue::try_from(value).expect("what was checked has no control characters");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests;
