//! Runs that failed for good: listed, run again, or taken off the list.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::{Value, json};
use warp::Filter;
use warp::reply::Response;

use super::asked::{Asked, post};
use super::caller::Caller;
use super::dealing::{Deed, deal};
use super::jobs::RunView;
use super::jobs::dates::{self, Bound};
use super::operations::name_of;
use super::parts::Zones;
use super::reply::{self, ApiError};
use super::routing::{Belongs, place};
use super::wire::{Understood, understand};
use super::{Api, Services};
use crate::catalog::{DEAD_LETTERS_MAX, Dealt, Letter};
use crate::model::object::{Mistakes, Object, boolean, integer};
use crate::model::{EntryName, Identity, RunId, TimeZone};
use crate::store::RunQuery;

const EXAMPLE: &str = r#"{"identity":"backup","entry":"nightly"}"#;
/// How many are listed if it is not said, and at most.
const LISTED: (usize, usize) = (100, 1_000);

/// The routes of this file.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let of_letters = |path| warp::path("dead-letters").and(warp::path(path));
    post(warp::path("dead-letters"), api, place_of_list, list)
        .or(post(of_letters("rerun"), api, place_of_deed, rerun))
        .unify()
        .or(post(of_letters("discard"), api, place_of_deed, discard))
        .unify()
}

/// Dead letters of one task are with its owner, those of all with all.
fn place_of_list(_services: &Services, asked: &mut Asked) -> Belongs {
    place::named(&asked.body).map_or(Belongs::Everywhere, Belongs::Read)
}

fn place_of_deed(_services: &Services, asked: &mut Asked) -> Belongs {
    place::named(&asked.body).map_or(Belongs::Everywhere, Belongs::Change)
}

/// Which dead letters are to be dealt with.
#[derive(Debug)]
enum Choice {
    One(Letter),
    Those(RunQuery),
}

/// Gives the zone of a task, if there is one.
type ZoneOf<'a> = &'a dyn Fn(&Identity) -> Option<TimeZone>;

fn listing(bytes: &[u8], zone_of: ZoneOf<'_>) -> Understood<RunQuery> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&["identity", "entry", "from", "to", "all", "limit", "skip"], mistakes);
        is_all(&body, mistakes);
        let query = filter(&body, zone_of, mistakes);
        let limit = number(&body, "limit", LISTED, mistakes)?;
        let skip = match body.get("skip") {
            Some(raw) => usize::try_from(integer(raw, "skip", 0..=i64::from(u32::MAX), mistakes)?).ok()?,
            None => 0,
        };
        Some(RunQuery { skip, limit, ..query })
    })
}

fn choice(bytes: &[u8], zone_of: ZoneOf<'_>) -> Understood<Choice> {
    understand(|mistakes| {
        let body = Object::read_body(bytes, EXAMPLE, mistakes)?;
        body.refuse_unknown(&["run_id", "identity", "entry", "from", "to", "all", "limit"], mistakes);
        let query = filter(&body, zone_of, mistakes);
        let limit = number(&body, "limit", (DEAD_LETTERS_MAX, DEAD_LETTERS_MAX), mistakes);
        let is_all = is_all(&body, mistakes);
        if body.get("run_id").is_some() {
            let run = name_of(&body, "run_id", |text| RunId::parse(text).ok_or(NO_RUN), mistakes);
            if body.get("identity").is_none() {
                mistakes.add("identity", "is missing, expected the task of the run");
            }
            return Some(Choice::One((query.identity?, run?)));
        }
        if !is_all && query.identity.is_none() && query.since.is_none() && query.until.is_none() {
            mistakes.add("body", "says nothing of which, expected run_id, identity, from, to, or \"all\":true");
        }
        Some(Choice::Those(RunQuery { limit: limit?, ..query }))
    })
}

const NO_RUN: &str = "is no UUID, expected the id of a run";

/// Task, entry and dates. Dates without an offset are in the zone of the task.
fn filter(body: &Object<'_>, zone_of: ZoneOf<'_>, mistakes: &mut Mistakes) -> RunQuery {
    let is_given = |key: &str| body.get(key).is_some();
    let identity = is_given("identity").then(|| name_of(body, "identity", Identity::parse, mistakes)).flatten();
    let entry = is_given("entry").then(|| name_of(body, "entry", EntryName::parse, mistakes)).flatten();
    let zone = identity.as_ref().and_then(zone_of).unwrap_or(TimeZone::UTC);
    let mut bound = |key: &str, bound| {
        let read = |text: &str| {
            dates::read(text, zone, bound).ok_or_else(|| format!("is no date, expected {}", dates::EXPECTED))
        };
        is_given(key).then(|| name_of(body, key, read, mistakes)).flatten()
    };
    let (since, until) = (bound("from", Bound::From), bound("to", Bound::To));
    RunQuery { identity, entry, dead_letters: true, since, until, ..RunQuery::default() }
}

fn is_all(body: &Object<'_>, mistakes: &mut Mistakes) -> bool {
    body.get("all").and_then(|raw| boolean(raw, "all", mistakes)).unwrap_or_default()
}

fn number(body: &Object<'_>, key: &str, (default, max): (usize, usize), mistakes: &mut Mistakes) -> Option<usize> {
    let range: RangeInclusive<i64> = 1..=i64::try_from(max).unwrap_or(i64::MAX);
    match body.get(key) {
        Some(raw) => usize::try_from(integer(raw, key, range, mistakes)?).ok(),
        None => Some(default),
    }
}

fn zone_of(services: &Services) -> impl Fn(&Identity) -> Option<TimeZone> {
    |identity| services.catalog.get(identity).map(|revision| revision.task.time_zone)
}

/// `/dead-letters`: runs that failed for good.
async fn list(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let query = listing(&body, &zone_of(&services))?.value;
    let query = RunQuery { prefixes: caller.prefixes().clone(), ..query };
    let found = services.catalog.runs(query).await?;
    let zones = Zones::of_tasks(&services, found.records.iter().map(|record| &record.identity)).await?;
    let zone_of = |identity: &Identity| zones.get(identity.as_str()).copied().unwrap_or(TimeZone::UTC);
    let view = |record| RunView::new(record, zone_of(&record.identity));
    let runs: Vec<_> = found.records.iter().map(view).collect();
    let relation = if found.total_is_lower_bound { "gte" } else { "eq" };
    Ok(reply::data(json!({ "total": { "value": found.total, "relation": relation }, "runs": runs })))
}

/// `/dead-letters/rerun`: runs one, those of a filter, or all again.
async fn rerun(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let choice = choice(&body, &zone_of(&services))?.value;
    let dealt = deal(&services, letters(&services, &choice, &caller).await?, Deed::Rerun, &caller).await;
    told(&choice, &dealt)?;
    note(&caller, &dealt);
    let run = |(run, again): &(RunId, Option<RunId>)| json!({ "run_id": run.to_string(), "rerun_as": again.map(|again| again.to_string()) });
    let reruns: Vec<Value> = dealt.done.iter().map(run).collect();
    Ok(reply::data(json!({ "reruns": reruns, "left": left(&dealt) })))
}

/// `/dead-letters/discard`: takes them off the list; their records stay.
async fn discard(services: Services, body: Bytes, caller: Caller) -> Result<Response, ApiError> {
    let choice = choice(&body, &zone_of(&services))?.value;
    let dealt = deal(&services, letters(&services, &choice, &caller).await?, Deed::Discard, &caller).await;
    told(&choice, &dealt)?;
    note(&caller, &dealt);
    Ok(reply::data(json!({ "discarded": dealt.done.len(), "left": left(&dealt) })))
}

async fn letters(services: &Services, choice: &Choice, caller: &Caller) -> Result<Vec<Letter>, ApiError> {
    match choice {
        Choice::One(letter) => {
            caller.check_task(&letter.0)?;
            Ok(vec![letter.clone()])
        }
        Choice::Those(query) => {
            let query = RunQuery { prefixes: caller.prefixes().clone(), ..query.clone() };
            Ok(services.catalog.dead_letters(&query).await?)
        }
    }
}

/// Who names one is told that it is none.
fn told(choice: &Choice, dealt: &Dealt) -> Result<(), ApiError> {
    let is_none = matches!(choice, Choice::One(_)) && dealt.done.is_empty() && dealt.left.is_empty();
    if is_none { Err(ApiError::Refused("run_id: is no dead letter".to_owned())) } else { Ok(()) }
}

/// How many of them its record names. The records of the runs say of each who dealt with it.
const NAMED_MAX: usize = 100;

fn note(caller: &Caller, dealt: &Dealt) {
    if let Some(trail) = caller.trail() {
        let runs: Vec<String> = dealt.done.iter().take(NAMED_MAX).map(|(run, _)| run.to_string()).collect();
        trail.of("dead_letters", "");
        trail.is_now(&json!({ "done": dealt.done.len(), "left": dealt.left.len(), "runs": runs }));
    }
}

fn left(dealt: &Dealt) -> Vec<Value> {
    let one = |(run, reason): &(RunId, std::sync::Arc<str>)| json!({ "run_id": run.to_string(), "reason": &**reason });
    dealt.left.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokyo(identity: &Identity) -> Option<TimeZone> {
        (identity.as_str() == "tokyo").then(|| TimeZone::parse("Asia/Tokyo").unwrap())
    }

    fn refused(body: &str) -> String {
        choice(body.as_bytes(), &tokyo).err().unwrap().0
    }

    #[test]
    fn all_dead_letters_are_chosen_by_true_and_by_nothing_else() {
        assert!(choice(br#"{"all":true}"#, &tokyo).is_ok());

        assert!(refused(r#"{"all":false}"#).starts_with("body: says nothing of which"));
        assert!(refused(r#"{"identity":"a","all":{}}"#).starts_with("all: is an object, expected true or false"));
    }

    #[test]
    fn a_choice_keeps_to_its_limit_and_has_no_skip() {
        let Choice::Those(query) = choice(br#"{"all":true,"limit":1}"#, &tokyo).unwrap().value else { panic!() };
        assert_eq!((query.limit, query.skip), (1, 0));
        let Choice::Those(query) = choice(br#"{"all":true}"#, &tokyo).unwrap().value else { panic!() };
        assert_eq!(query.limit, DEAD_LETTERS_MAX);

        assert!(refused(r#"{"all":true,"skip":1}"#).starts_with("skip: is not known"));
        assert!(refused(r#"{"all":true,"limit":10001}"#).ends_with("expected a whole number from 1 to 10000"));
        assert!(refused(r#"{"run_id":"019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f"}"#).starts_with("identity: is missing"));
    }

    #[test]
    fn a_listing_of_dead_letters_knows_no_run_id() {
        let refused = listing(br#"{"run_id":"019a9f1d-6d80-8a3c-9f52-3a7b0c5d1e2f"}"#, &tokyo).err().unwrap().0;

        assert!(refused.starts_with("run_id: is not known"), "{refused}");
    }

    #[test]
    fn dates_are_in_the_zone_of_the_task_or_in_utc() {
        let since = |body: &str| {
            let query = listing(body.as_bytes(), &tokyo).unwrap().value;
            query.since.unwrap().to_string()
        };

        assert_eq!(since(r#"{"identity":"tokyo","from":"20260101"}"#), "2025-12-31T15:00:00.000Z");
        assert_eq!(since(r#"{"identity":"gone","from":"20260101"}"#), "2026-01-01T00:00:00.000Z");
        assert_eq!(since(r#"{"from":"20260101"}"#), "2026-01-01T00:00:00.000Z");
    }
}
