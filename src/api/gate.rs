//! The gate that every request passes before its route: who sends it, and may it be answered? What an operation needs stands in its
//! description, and what has none is served to nobody but other nodes.

use std::sync::Arc;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use warp::Filter;
use warp::reply::Response;

use super::audit::{Origin, Trail, Wanted};
use super::caller::Caller;
use super::listener::{ClientName, Connection};
use super::openapi::{self, Needs, Taken};
use super::peer::Peer;
use super::reply::ApiError;
use super::{Api, metrics, told};
use crate::access::{Refused, Role, Shown, Turns};
use crate::model::RunId;

/// How a key or a token is shown, and what was wrong with one (RFC 6750).
const BEARER: &str = "Bearer";
const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// Who asks, as the gate has found out. A request without one reaches no handler that needs it.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) caller: Caller,
    /// Another node sends it: it has looked for the owner, and does so again if this is not the one.
    pub(super) is_peer: bool,
    /// The name of what is made, if it was chosen to find the owner.
    pub(super) chosen: Option<RunId>,
    /// From what its further requests are taken, where one holds many.
    pub(super) turns: Turns,
}

/// Who asks.
pub(super) fn asker() -> impl Filter<Extract = (Asker,), Error = warp::Rejection> + Copy {
    warp::ext::get::<Asker>()
}

/// How a request goes on from the gate.
#[derive(Default)]
pub(super) struct Passage {
    /// What it is answered, if it does not pass.
    pub(super) refusal: Option<Response>,
    /// What is noted of it.
    pub(super) trail: Option<Arc<Trail>>,
}

/// Lets a request pass, with who asks; or gives what it is answered in place of that.
pub(super) async fn passage<B>(api: &Api, request: &mut Request<B>) -> Passage {
    let (method, path) = (request.method(), request.uri().path());
    let (operation, needed) = match openapi::document().listed.taken(method, path) {
        Some(Taken { needs: Needs::Role(_), .. }) if api.settings.metrics_open && metrics::is_meant(path) => {
            return Passage::default();
        }
        Some(Taken { id, needs: Needs::Role(role) }) => (id, role),
        Some(Taken { needs: Needs::Nothing, .. }) | None => return Passage::default(),
    };
    let connection = request.extensions().get::<Connection>().cloned().unwrap_or_else(Connection::none);
    let settings = api.settings.audit;
    let trail = |name, origin: &Origin| {
        let wanted = Wanted { method, path, operation, needed };
        settings.is_enabled.then(|| Arc::new(Trail::new(name, origin, wanted, settings)))
    };
    let mut asker = match found(api, &connection, request.uri(), request.headers()).await {
        Ok(asker) => asker,
        Err(error) => {
            let origin = Origin { from: Some(connection.address.ip()), source: "nothing".into() };
            return Passage { refusal: Some(refused(method, path, error)), trail: trail(None, &origin) };
        }
    };
    let trail = trail(Some(asker.caller.shared()), asker.caller.origin());
    if let Err(error) = check(api, &asker, needed) {
        return Passage { refusal: Some(refused(method, path, error)), trail };
    }
    if let Some(trail) = &trail {
        asker.caller = asker.caller.followed(trail.clone());
    }
    request.extensions_mut().insert(asker);
    Passage { refusal: None, trail }
}

async fn found(api: &Api, connection: &Connection, uri: &Uri, headers: &HeaderMap) -> Result<Asker, ApiError> {
    Ok(match Peer::of(api, headers)? {
        Some(Peer { caller, chosen }) => Asker { caller, is_peer: true, chosen, turns: Turns::default() },
        None => {
            let (client, address) = (connection.client.as_ref(), connection.address.ip());
            let certificate = client.map(ClientName::in_certificate).unwrap_or_default();
            let grant = api.access.admit(Shown { address, uri, headers, certificate }).await;
            let grant = grant.map_err(|refused| error_of(api, refused))?;
            let turns = api.access.turns(&grant, address);
            let tasks_max = api.access.tasks_max(&grant.source);
            let caller = Caller::new(grant, headers, api.settings.remote_user_header.as_ref(), client);
            let caller = caller.with_tasks_max(tasks_max).coming_from(address);
            Asker { caller, is_peer: false, chosen: None, turns }
        }
    })
}

/// Whether who asks may, and may now.
fn check(api: &Api, asker: &Asker, needed: Role) -> Result<(), ApiError> {
    api.access
        .take_turn(&asker.turns)
        .map_err(|too_often| ApiError::TooMany { text: too_often.to_string(), wait: too_often.wait })?;
    asker.caller.check_role(needed)
}

fn error_of(api: &Api, refused: Refused) -> ApiError {
    let text = refused.to_string();
    match refused {
        Refused::NoKey | Refused::NoKeyOrToken | Refused::WrongKey(_) => ApiError::Unauthorized(text),
        Refused::WrongToken(_) => ApiError::WrongToken(text),
        Refused::TooManyTries(wait) => ApiError::TooMany { text, wait },
        Refused::Foreign(_) | Refused::NoRights(_) => ApiError::Forbidden(text),
        Refused::NoIssuer(_) => ApiError::Busy(text),
        Refused::NotReady => ApiError::Busy(api.loading()),
    }
}

/// The answer in the words of the path's family.
fn refused(method: &http::Method, path: &str, error: ApiError) -> Response {
    let wait = match &error {
        ApiError::TooMany { wait, .. } => Some(wait.as_secs() + 1),
        _ => None,
    };
    let challenge = if matches!(error, ApiError::WrongToken(_)) { INVALID_TOKEN } else { BEARER };
    let mut reply = told(method, path, error);
    if reply.status() == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = wait {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply
}
