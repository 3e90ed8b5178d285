//! What the document says of keys: how they are sent, which role an operation needs, and what is answered without it.

use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ComponentsBuilder, Header, Ref, RefOr, Response, Schema};

use super::operation::{Needs, Schemas, reference};
use super::words::Challenge;
use crate::api::{jobs, one_shot};

pub(super) const NO_KEY: &str = "A key or a token is needed, or the one that was sent is not valid";
pub(super) const NOT_ALLOWED: &str = "The key or the token has not the role that is needed or is for other tasks, or a web page from elsewhere asks without one";
pub(super) const TOO_MANY: &str = "The key, or the address of who shows none, sends more requests a second than allowed (`[limits] requests_per_key_per_second`, or the \
     key's own `requests_per_second`), or too many wrong keys came from this address (`[access] failed_tries_per_min`)";

/// The two ways to send a key, by their names in the document.
const BEARER: &str = "bearer";
const API_KEY: &str = "apiKey";
/// The extension that names the role.
const ROLE: &str = "x-required-role";

/// Says what an operation needs.
pub(super) fn tell(described: &mut Operation, needs: Needs, path: &str) {
    let Needs::Role(role) = needs else { return };
    let role = role.as_str();
    let before = described.description.take().map(|before| format!("{before}\n\n")).unwrap_or_default();
    described.description = Some(format!("{before}Needs the role `{role}`."));
    described.extensions.get_or_insert_default().insert(ROLE.to_owned(), role.into());
    let ways = [BEARER, API_KEY].map(|way| SecurityRequirement::new(way, [] as [&str; 0]));
    described.security = Some(ways.into());
    let family = if jobs::is_below(path) {
        "Job"
    } else if one_shot::is_below(path) {
        "OneShot"
    } else {
        ""
    };
    for (status, name) in [("401", "NoKey"), ("403", "NotAllowed"), ("429", "TooMany")] {
        let response = Ref::from_response_name(format!("{family}{name}"));
        described.responses.responses.insert(status.to_owned(), RefOr::Ref(response));
    }
}

/// Adds the ways to send a key.
pub(super) fn schemes(components: ComponentsBuilder) -> ComponentsBuilder {
    let text = "A key as `schedule-service key create` or `POST /keys` gave it, or the admin key of the configuration";
    let of_token =
        format!("{text}; or a token (JWT) of the issuer that the configuration names (`[access] oidc_issuer`)");
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(of_token)).build();
    let header = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", text));
    components
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .security_scheme(API_KEY, SecurityScheme::ApiKey(header))
}

/// The header that says how a key is sent.
pub(super) fn challenge(schemas: &mut Schemas) -> RefOr<Schema> {
    reference::<Challenge>(schemas)
}

/// An answer with it.
pub(super) fn challenged(response: ResponseBuilder, challenge: &RefOr<Schema>) -> Response {
    response.header("WWW-Authenticate", Header::new(challenge.clone())).build()
}
