//! Has a request answered, and writes its audit record before the answer goes out.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use log::error;
use tokio::time::Instant;
use warp::reply::Response;

use super::bound::Sort;
use super::rules::{Ended, Failure, Purpose, Verdict, verdict};
use super::trail::{About, Trail};
use crate::api::reply::{ApiError, into_reply};
use crate::api::{Api, Services};
use crate::journal::{Audit, AuditOutcome, audit_record};
use crate::model::{Identity, Record};

/// How long an answer waits until the record of its change is safe. What takes longer is written as soon as it can be: the change is
/// done, and an error would say that it is not.
const SAFE_WITHIN: Duration = Duration::from_secs(5);

/// Has a request answered. A change goes on to its end, with its record, if the client goes away.
pub(in crate::api) async fn attend<F>(api: Api, trail: Option<Arc<Trail>>, answer: F) -> Response
where
    F: Future<Output = Response> + Send + 'static,
{
    let Some(trail) = trail else { return answer.await };
    let goes_on = trail.purpose == Purpose::Change && !trail.is_with_change();
    let whole = async move {
        let reply = answer.await;
        note(&api, &trail, &reply).await;
        reply
    };
    if !goes_on {
        return whole.await;
    }
    let broke_off = || into_reply(Err(ApiError::BrokeOff("the request broke off".to_owned())));
    tokio::spawn(whole).await.unwrap_or_else(|_| broke_off())
}

async fn note(api: &Api, trail: &Trail, reply: &Response) {
    let ended = Ended {
        purpose: trail.purpose,
        is_elsewhere: trail.asked_by().is_written() || trail.about().is_passed_on,
        is_known: trail.is_known,
        status: reply.status(),
        failure: reply.extensions().get::<Failure>(),
    };
    // Before the service is ready there is nothing to be changed, and nobody to write it.
    let (Some(verdict), Some(services)) = (verdict(&ended), api.services.get()) else { return };
    let is_refusal = matches!(verdict.outcome, AuditOutcome::Refused | AuditOutcome::Failed);
    let status = is_refusal.then(|| reply.status().as_u16());
    match verdict.sort {
        Some(sort) => write_some(api, services, sort, |unlogged| record(services, trail, &verdict, status, unlogged)),
        None => write(services, record(services, trail, &verdict, status, 0)).await,
    }
}

fn record(services: &Services, trail: &Trail, verdict: &Verdict, status: Option<u16>, unlogged: u64) -> Record {
    let about = trail.about();
    let About { identity, object, after, .. } = &*about;
    let is_done = matches!(verdict.outcome, AuditOutcome::Done);
    let audit = Audit {
        identity: identity.as_ref(),
        object: object.as_ref().map(|(object, name)| (*object, name.as_str())),
        outcome: verdict.outcome,
        answer: (status, verdict.why.as_deref()),
        before: None,
        after: after.as_deref().filter(|_| is_done),
        unlogged,
    };
    audit_record(trail.asked_by(), &audit, services.catalog.now())
}

/// Writes the record of a change that is done.
async fn write(services: &Services, record: Record) {
    let written = tokio::time::timeout(SAFE_WITHIN, async {
        services.journal.settle(record).await?;
        services.journal.secure().await
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(stopped)) => error!("an audit record is lost: {stopped}"),
        Err(_) => error!("an audit record is not safe yet, as the store is slow or away: it waits in memory"),
    }
}

/// Writes a record if its sort has not too many. Nobody waits for it.
fn write_some(api: &Api, services: &Services, sort: Sort, record: impl FnOnce(u64) -> Record) {
    let bounds = || api.audit_bounds.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(unlogged) = bounds().take(sort, Instant::now()) else { return };
    if !services.journal.try_record(record(unlogged)) {
        bounds().give_back(sort, unlogged);
    }
}

/// A line among many was not carried out, as it may not be.
pub(in crate::api) fn line_refused(api: &Api, trail: &Trail, identity: Option<&Identity>, error: &ApiError) {
    let Failure { outcome, why, .. } = Failure::of(error);
    let Some(services) = api.services.get() else { return };
    write_some(api, services, Sort::Known, |unlogged| {
        let answer = (None, why.as_deref());
        let audit = Audit { identity, answer, unlogged, ..Audit::ended(outcome) };
        audit_record(trail.asked_by(), &audit, services.catalog.now())
    });
}
