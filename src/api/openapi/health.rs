//! Whether the service is alive, and whether it can do its work.

use http::Method;
use utoipa::openapi::tag::Tag;

use super::document;
use super::operation::{Needs, Operation};
use crate::api::health::{Alive, Process, Readiness};

const TAG: &str = "health";

pub(super) fn tag() -> Tag {
    document::tag(TAG, "For load balancers and supervisors.")
}

pub(super) fn operations() -> Vec<Operation> {
    let operation = |path, id, summary| {
        Operation::new(Method::GET, path, Needs::Nothing, id, TAG, summary).shared(&[(405, "OtherMethod")])
    };
    vec![
        operation("/ping", "ping", "Tells that the server is alive")
            .also_at(&["/api/ping"])
            .answer::<Alive>(200, "It is alive"),
        operation("/healthz", "getHealth", "Tells that the process runs, and its version")
            .description("It says nothing about what the process depends on: a restart would not mend that.")
            .answer::<Process>(200, "It runs"),
        operation("/readyz", "getReadiness", "Tells whether the service can do its work")
            .description("The agenda is loaded, the store reachable, the leases are held, the clock shows no time that has passed and records are written.")
            .answer::<Readiness>(200, "It can")
            .answer::<Readiness>(503, "It cannot: the checks name the problems"),
    ]
}
