//! Dead letters are dealt with by the owners of their tasks.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use warp::Filter;
use warp::reply::Response;

use super::caller::Caller;
use super::parts::{ask_json, internal, read};
use super::reply::{self, ApiError};
use super::routing::nobody;
use super::{Api, Services};
use crate::access::Role;
use crate::catalog::{CatalogError, Dealt, Letter};
use crate::cluster::{AskError, Member, MemberId, Overdue, Owner};
use crate::model::{Identity, Prefixes, RunId, Shard};

/// How many letters go to another node together.
const TOGETHER: usize = 500;
const PATH: &str = "/cluster/dead-letters";

/// What is done with dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Deed {
    Rerun,
    Discard,
}

/// Has each letter dealt with by the owner of its task. What became of them stands in the order of the letters.
pub(super) async fn deal(services: &Services, letters: Vec<Letter>, deed: Deed, by: &Caller) -> Dealt {
    if services.peers.is_alone() {
        return here(services, &letters, deed, by).await;
    }
    let place: HashMap<RunId, usize> = letters.iter().enumerate().map(|(place, (_, run))| (*run, place)).collect();
    let (mut dealt, mut left, mut search) = (Dealt::default(), letters, services.peers.search());
    loop {
        left = once(services, left, deed, by, &mut dealt).await;
        if left.is_empty() {
            break;
        }
        if let Err(Overdue) = search.again().await {
            leave(&mut dealt, &left, &nobody());
            break;
        }
    }
    dealt.done.sort_by_key(|(run, _)| place.get(run));
    dealt.left.sort_by_key(|(run, _)| place.get(run));
    dealt
}

/// Gives the letters of which nothing was done, as their owner is another one by now.
async fn once(services: &Services, letters: Vec<Letter>, deed: Deed, by: &Caller, dealt: &mut Dealt) -> Vec<Letter> {
    let (mut ours, mut left) = (Vec::new(), Vec::new());
    let mut theirs: HashMap<MemberId, (Member, Vec<Letter>)> = HashMap::new();
    for letter in letters {
        let shard = Shard::of(&letter.0);
        match services.peers.owner(shard) {
            Owner::Here if services.catalog.shards().contains(shard) => ours.push(letter),
            Owner::At(member) => {
                let known = theirs.entry(member.id).or_insert_with(|| (member, Vec::new()));
                known.1.push(letter);
            }
            Owner::Here | Owner::Nobody => left.push(letter),
        }
    }
    let there = theirs.into_values().map(|(member, letters)| async move {
        let mut sum = (Dealt::default(), Vec::new());
        for some in letters.chunks(TOGETHER) {
            let (dealt, left) = there(services, &member, some, deed, by).await;
            add(&mut sum.0, dealt);
            sum.1.extend(left);
        }
        sum
    });
    let (here, there) = futures_util::join!(here(services, &ours, deed, by), join_all(there));
    add(dealt, here);
    for (more, moved) in there {
        add(dealt, more);
        left.extend(moved);
    }
    left
}

fn add(dealt: &mut Dealt, more: Dealt) {
    dealt.done.extend(more.done);
    dealt.left.extend(more.left);
}

fn leave(dealt: &mut Dealt, letters: &[Letter], why: &dyn std::fmt::Display) {
    let why: Arc<str> = why.to_string().into();
    dealt.left.extend(letters.iter().map(|(_, run)| (*run, why.clone())));
}

async fn here(services: &Services, letters: &[Letter], deed: Deed, by: &Caller) -> Dealt {
    match deed {
        Deed::Rerun => services.catalog.rerun_dead_letters(letters, by.name()).await,
        Deed::Discard => services.catalog.discard_dead_letters(letters, by.name()).await,
    }
}

#[derive(Serialize, Deserialize)]
struct Asking {
    deed: Deed,
    /// Who asks, if that is known.
    by: Option<String>,
    letters: Vec<(String, String)>,
}

/// What became of letters, in the words of nodes. Those that are in no list were none any more.
#[derive(Serialize, Deserialize)]
struct Told {
    done: Vec<(String, Option<String>)>,
    left: Vec<(String, String)>,
    elsewhere: Vec<(String, String)>,
}

/// What another node did with some letters, and those that it does not own.
async fn there(
    services: &Services,
    member: &Member,
    letters: &[Letter],
    deed: Deed,
    by: &Caller,
) -> (Dealt, Vec<Letter>) {
    let named = letters.iter().map(|(identity, run)| (identity.as_str().to_owned(), run.to_string()));
    let by = by.is_known().then(|| by.name().to_owned());
    let asking = Asking { deed, by, letters: named.collect() };
    let mut dealt = Dealt::default();
    match ask_json::<Told>(services, member, PATH, &asking).await {
        Ok(Some(told)) => {
            let run = |text: &str| RunId::parse(text);
            let again = |again: Option<String>| again.as_deref().and_then(run);
            dealt.done = told.done.into_iter().filter_map(|(of, by)| Some((run(&of)?, again(by)))).collect();
            dealt.left = told.left.into_iter().filter_map(|(of, why)| Some((run(&of)?, why.into()))).collect();
            (dealt, told.elsewhere.iter().filter_map(letter).collect())
        }
        Ok(None) | Err(AskError::NotSent(_)) => (dealt, letters.to_vec()),
        Err(AskError::BrokeOff(_)) => {
            leave(&mut dealt, letters, &CatalogError::BrokeOff);
            (dealt, Vec::new())
        }
        Err(error) => {
            leave(&mut dealt, letters, &error);
            (dealt, Vec::new())
        }
    }
}

fn letter((identity, run): &(String, String)) -> Option<Letter> {
    Some((Identity::parse(identity).ok()?, RunId::parse(run)?))
}

/// The route by which other nodes send dead letters.
pub(super) fn routes(api: &Api) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let path = warp::path!("cluster" / "dead-letters").map(String::new);
    internal(path, api, |services, _, body, _| async move {
        let Asking { deed, by, letters } = read(&body)?;
        // The node that sends them has looked at what the caller may do.
        let by = Caller::of_node(by.as_deref(), Role::Admin, Prefixes::all());
        let letters: Option<Vec<Letter>> = letters.iter().map(letter).collect();
        let letters = letters.ok_or_else(|| ApiError::Unreadable("a letter has no name".to_owned()))?;
        let is_ours = |(identity, _): &Letter| services.acts_for(Shard::of(identity));
        let (ours, elsewhere): (Vec<Letter>, Vec<Letter>) = letters.into_iter().partition(is_ours);
        let Dealt { done, left } = here(&services, &ours, deed, &by).await;
        let told = Told {
            done: done.into_iter().map(|(run, again)| (run.to_string(), again.map(|run| run.to_string()))).collect(),
            left: left.into_iter().map(|(run, why)| (run.to_string(), why.to_string())).collect(),
            elsewhere: elsewhere.iter().map(|(of, run)| (of.as_str().to_owned(), run.to_string())).collect(),
        };
        Ok(reply::json(StatusCode::OK, &told))
    })
}
