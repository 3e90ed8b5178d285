//! `/metrics`: what is counted and measured, as Prometheus reads it.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use warp::Filter;
use warp::reply::Response;

use super::gate::Asker;
use super::reply::{ApiError, into_reply};
use super::{Api, Services, with};
use crate::cluster::{Member, Reason, View};
use crate::model::Shard;
use crate::observe::metrics::{
    ApiState, ClusterState, EngineState, Form, JournalState, MemberState, Page, RequestMetrics, State, StoreMetrics,
};

const PATH: &str = "/metrics";

/// What is counted at the front, also before anything else is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) requests: RequestMetrics,
    pub(super) store: StoreMetrics,
}

/// Whether a path is that of the metrics: these may be open to all.
pub(super) fn is_meant(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// The route of this file.
pub(super) fn route(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let asker = warp::ext::optional::<Asker>();
    let route = warp::path!("metrics").and(warp::get()).and(asker).and(warp::header::headers_cloned()).and(with(api));
    route.then(|asker, headers, api| async move { into_reply(answer(asker, &headers, &api).await) })
}

async fn answer(asker: Option<Asker>, headers: &HeaderMap, api: &Api) -> Result<Response, ApiError> {
    match asker {
        // How much there is in all tells of the tasks of others.
        Some(Asker { caller, .. }) => caller.check_all_tasks("reading metrics")?,
        None if api.settings.metrics_open => {}
        None => return Err(ApiError::Unauthorized("metrics need a key".to_owned())),
    }
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let form = Form::accepted(&accept.join(","));
    let (requests, store) = (api.counted.requests.clone(), api.counted.store.clone());
    let state = api.services.get().map(|services| {
        (services.journal.metrics().clone(), services.dispatch.metrics().clone(), state(api, services))
    });
    // It reads files of the system.
    let writing = tokio::task::spawn_blocking(move || {
        let page = Page::new(&requests, &store);
        match state {
            Some((outcomes, attempts, state)) => page.with(&outcomes, &attempts, &state).text(form),
            // Nothing is loaded yet: the store may be away.
            None => page.text(form),
        }
    });
    let mut reply = Response::new(writing.await.expect("writing metrics does not panic").into());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// How things stand now.
fn state(api: &Api, services: &Services) -> State {
    let under_way_max = api.settings.requests_max;
    State {
        engine: engine(services),
        dispatch: services.dispatch.state(),
        journal: journal(services),
        api: ApiState { under_way: under_way_max.saturating_sub(api.places.available_permits()), under_way_max },
        shards: services.engine.status().shards(),
        cluster: cluster(services),
    }
}

fn engine(services: &Services) -> EngineState {
    let status = services.engine.status();
    EngineState {
        tasks: services.catalog.len(),
        entries: status.entries(),
        handed_out: status.fires(),
        is_claiming: status.is_claiming(),
        plannings_overdue: status.plannings_overdue(),
        planned_at_s: seconds(status.asked_to_plan_at().millis()),
        clock_behind_s: status.clock_behind_s(),
        clock_has_leapt: status.clock_has_leapt(),
    }
}

fn journal(services: &Services) -> JournalState {
    let (journal, status) = (&services.journal, services.journal.status());
    JournalState {
        waiting: journal.waiting(),
        waiting_max: journal.waiting_max(),
        lag: journal.lag(),
        spilled: status.spilled(),
        spilled_bytes: status.spilled_bytes(),
        spill_bytes_max: status.spill_bytes_max(),
        dropped: status.dropped(),
        is_full: status.is_full(),
        unsettled: journal.unsettled().count(),
    }
}

fn cluster(services: &Services) -> ClusterState {
    let Some(keeper) = &services.cluster else {
        return ClusterState { owned: Shard::COUNT, acting: Shard::COUNT, ..ClusterState::default() };
    };
    let view = keeper.view().borrow().clone();
    let (elapsed, membership) = (keeper.elapsed(), &view.membership);
    let member = |member: &Member| MemberState {
        url: member.url.to_string(),
        is_leaving: member.is_leaving,
        owned: membership.owned_by(member.id).count(),
        silent_s: view.signs.age(member.id, elapsed).map(|age| age.as_secs_f64()),
        ahead_s: ahead_s(&view, member),
    };
    ClusterState {
        members: membership.members().iter().map(member).collect(),
        owned: membership.owned_by(view.me).count(),
        acting: view.acting.len(),
        without_owner: Shard::all().filter(|shard| membership.owner(*shard).is_none()).count(),
        handed_over: view.handed_over,
        changes: Reason::ALL.into_iter().map(|reason| (reason.as_str(), view.changed[reason as usize])).collect(),
        lease_left_s: Some(services.tenure.left().as_secs_f64()),
    }
}

/// How far the clock of a member is ahead of ours, and within how much that is known.
fn ahead_s(view: &View, member: &Member) -> Option<(f64, f64)> {
    let (ahead_ms, within_ms) = if view.is_me(member) { (0, 0) } else { view.signs.ahead_ms(member.id)? };
    Some((seconds(ahead_ms), seconds(i64::try_from(within_ms).unwrap_or(i64::MAX))))
}

#[expect(clippy::cast_precision_loss, reason = "every millisecond of 285,000 years is exact")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}
