//! Whether the service is alive, and whether it can do its work.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use super::{Api, reply};
use crate::journal::Journal;
use crate::observe::with_causes;

/// The server is alive.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    #[schema(value_type = String, example = "OK")]
    status: &'static str,
}

/// `/ping`: the server is alive.
pub(super) fn ping() -> Response {
    reply::json(StatusCode::OK, &Alive { status: "OK" })
}

/// The process runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Process {
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
}

/// `/healthz`: the process runs. It says nothing about what the process depends on: a restart would not mend that.
pub(super) fn healthz() -> Response {
    reply::json(StatusCode::OK, &Process { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether the service can do its work, and what keeps it.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether all checks are passed.
    ready: bool,
    checks: Vec<Check>,
}

/// Something that the service needs.
#[derive(Serialize, ToSchema)]
struct Check {
    #[schema(example = "store")]
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What is wrong, if something is.
    #[schema(value_type = String)]
    problem: Option<String>,
}

impl Check {
    fn new(name: &'static str, problem: Option<String>) -> Self {
        Self { name, ok: problem.is_none(), problem }
    }
}

fn journal_problem(journal: &Journal) -> Option<String> {
    let (status, waiting) = (journal.status(), journal.waiting());
    let (spilled, dropped) = (status.spilled(), status.dropped());
    if status.is_full() {
        return Some(format!("{spilled} records wait on the disk, there is no room for more, nothing is fired"));
    }
    let why = status.problem()?;
    let lost = if dropped > 0 { format!(", {dropped} were dropped for want of room") } else { String::new() };
    Some(format!("{waiting} records wait in memory, {spilled} on the disk{lost}: {why}"))
}

/// `/readyz`: the store is reachable, the leases are held, this node takes part among the others, the agenda is loaded, the clock is not behind, records are written.
pub(super) async fn readyz(api: &Api) -> Response {
    let mut checks = Vec::new();
    match api.services.get() {
        None => checks.push(Check::new("agenda", Some(api.loading()))),
        Some(services) => {
            checks.push(Check::new("agenda", None));
            let store = services.store.check().await.err().map(|error| with_causes(&error));
            checks.push(Check::new("store", store));
            let status = services.engine.status();
            let fenced = status.is_fenced().then(|| "another process has taken the leases".to_owned());
            let claiming = (!status.is_claiming()).then(|| "windows cannot be claimed, see the log".to_owned());
            checks.push(Check::new("leases", fenced.or(claiming)));
            if let Some(keeper) = &services.cluster {
                checks.push(Check::new("cluster", keeper.view().borrow().problem().map(str::to_owned)));
            }
            checks.push(Check::new("clock", status.clock_problem().map(|problem| problem.to_string())));
            checks.push(Check::new("journal", journal_problem(&services.journal)));
        }
    }
    if api.is_draining() {
        checks.push(Check::new("running", Some("the service is going down".to_owned())));
    }
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &Readiness { ready, checks })
}
