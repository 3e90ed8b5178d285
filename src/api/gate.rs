//! The gate that every request passes before its route: who sends it, and may it be answered? What an operation needs stands in its
//! description, and what has none is served to nobody but other nodes.

use std::sync::Arc;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, StatusCode};
use warp::Filter;
use warp::reply::Response;

use super::audit::{Origin, Trail, Wanted};
use super::caller::Caller;
use super::listener::Connection;
use super::openapi::{self, Needs};
use super::peer::Peer;
use super::reply::ApiError;
use super::{Api, told};
use crate::access::{Refused, Shown};
use crate::model::RunId;

/// Who asks, as the gate has found out. A request without one reaches no handler that needs it.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) caller: Caller,
    /// Another node sends it: it has looked for the owner, and does so again if this is not the one.
    pub(super) is_peer: bool,
    /// The name of what is made, if it was chosen to find the owner.
    pub(super) chosen: Option<RunId>,
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
pub(super) fn passage<B>(api: &Api, request: &mut Request<B>) -> Passage {
    let (method, path) = (request.method(), request.uri().path());
    let Some((Needs::Role(needed), operation)) = openapi::document().listed.operation(method, path) else {
        return Passage::default();
    };
    let wanted = Wanted { method, path, operation, needed };
    let settings = api.settings.audit;
    let trail =
        |name, origin: &Origin| settings.is_enabled.then(|| Arc::new(Trail::new(name, origin, wanted, settings)));
    match found(api, request) {
        Ok(mut asker) => {
            let trail = trail(Some(asker.caller.shared()), asker.caller.origin());
            if let Err(error) = asker.caller.check_role(needed) {
                return Passage { refusal: Some(refused(method, path, error)), trail };
            }
            if let Some(trail) = &trail {
                asker.caller = asker.caller.followed(trail.clone());
            }
            request.extensions_mut().insert(asker);
            Passage { refusal: None, trail }
        }
        Err(error) => {
            let from = Some(connection_of(request).address.ip());
            let trail = trail(None, &Origin { from, source: "nothing".into() });
            Passage { refusal: Some(refused(method, path, error)), trail }
        }
    }
}

fn connection_of<B>(request: &Request<B>) -> Connection {
    request.extensions().get::<Connection>().cloned().unwrap_or_else(Connection::none)
}

fn found<B>(api: &Api, request: &Request<B>) -> Result<Asker, ApiError> {
    let connection = connection_of(request);
    let address = connection.address.ip();
    let headers = request.headers();
    Ok(match Peer::of(api, headers)? {
        Some(Peer { caller, chosen }) => Asker { caller, is_peer: true, chosen },
        None => {
            let grant = api.access.admit(Shown { address, uri: request.uri(), headers });
            let grant = grant.map_err(|refused| error_of(api, refused))?;
            let caller =
                Caller::new(grant, headers, api.settings.remote_user_header.as_ref(), connection.client.as_ref());
            Asker { caller: caller.coming_from(address), is_peer: false, chosen: None }
        }
    })
}

fn error_of(api: &Api, refused: Refused) -> ApiError {
    let text = refused.to_string();
    match refused {
        Refused::NoKey | Refused::WrongKey(_) => ApiError::Unauthorized(text),
        Refused::TooManyTries(wait) => ApiError::TooManyTries { text, wait },
        Refused::Foreign(_) => ApiError::Forbidden(text),
        Refused::NotReady => ApiError::Busy(api.loading()),
    }
}

/// The answer in the words of the path's family.
fn refused(method: &http::Method, path: &str, error: ApiError) -> Response {
    let wait = match &error {
        ApiError::TooManyTries { wait, .. } => Some(wait.as_secs() + 1),
        _ => None,
    };
    let mut reply = told(method, path, error);
    if reply.status() == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = wait {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply
}
