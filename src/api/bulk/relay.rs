//! Lines go to the nodes that own their tasks: here, or several together to another one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use warp::Filter;
use warp::reply::Response;

use super::wish::{Outcome, Wish};
use crate::access::Role;
use crate::api::audit::{Origin, Trail};
use crate::api::caller::Caller;
use crate::api::parts::{ask_json, covered, internal, read};
use crate::api::reply::{self, ApiError};
use crate::api::routing::{cannot_ask, nobody};
use crate::api::{Api, Services};
use crate::catalog::CatalogError;
use crate::cluster::{AskError, Member, MemberId, Overdue, Owner};
use crate::model::Shard;

/// How many lines go to another node together, and how many such requests are on their way to it at once.
const LINES_TOGETHER: usize = 128;
const AT_ONCE: usize = 4;
/// How many lines wait to go to a node. No more than this are in work.
const WAITING_MAX: usize = super::LINES_MAX;
const PATH: &str = "/cluster/lines";

/// Has lines carried out where they belong. Cheap to clone.
#[derive(Clone)]
pub(super) struct Relay {
    services: Services,
    caller: Caller,
    nodes: Arc<Mutex<HashMap<MemberId, mpsc::Sender<Sent>>>>,
}

/// A line on its way to another node.
struct Sent {
    text: Bytes,
    told: oneshot::Sender<Told>,
}

/// What became of it.
enum Told {
    Ended(Outcome),
    /// Nothing was done: its node is another one by now, or could not be reached.
    Again,
}

impl Relay {
    pub(super) fn new(services: Services, caller: Caller) -> Self {
        Self { services, caller, nodes: Arc::default() }
    }

    /// Has a line carried out by the owner of its task, whoever that is by then.
    pub(super) async fn carry_out(&self, wish: Wish, text: Bytes) -> Outcome {
        let services = &self.services;
        if services.peers.is_alone() {
            return wish.carry_out(services, &self.caller).await;
        }
        let (shard, mut wish, mut search) = (Shard::of(wish.identity()), Some(wish), services.peers.search());
        loop {
            match services.peers.owner(shard) {
                Owner::Here if services.catalog.shards().contains(shard) => {
                    let again = || Wish::read(&text, &self.caller, services);
                    let outcome = match wish.take().map_or_else(again, Ok) {
                        Ok(wish) => wish.carry_out(services, &self.caller).await,
                        Err(misunderstood) => (Err(misunderstood.into()), Vec::new()),
                    };
                    if !matches!(outcome, (Err(ApiError::Elsewhere), _)) {
                        return outcome;
                    }
                }
                Owner::At(member) => {
                    if let Told::Ended(outcome) = self.send(member, text.clone()).await {
                        return outcome;
                    }
                }
                Owner::Here | Owner::Nobody => {}
            }
            if let Err(Overdue) = search.again().await {
                return (Err(nobody()), Vec::new());
            }
        }
    }

    async fn send(&self, member: Member, text: Bytes) -> Told {
        let (told, answer) = oneshot::channel();
        if self.way_to(member).send(Sent { text, told }).await.is_err() {
            return Told::Again;
        }
        // Whoever took it says something in any case.
        answer.await.unwrap_or_else(|_| Told::Ended(broke_off()))
    }

    fn way_to(&self, member: Member) -> mpsc::Sender<Sent> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || {
            let (way, lines) = mpsc::channel(WAITING_MAX);
            tokio::spawn(lead(self.services.clone(), self.caller.clone(), member.clone(), lines));
            way
        };
        nodes.entry(member.id).or_insert_with(open).clone()
    }
}

fn broke_off() -> Outcome {
    (Err(ApiError::quietly(CatalogError::BrokeOff)), Vec::new())
}

/// Sends what waits for a node, until nobody can send more.
async fn lead(services: Services, caller: Caller, member: Member, mut lines: mpsc::Receiver<Sent>) {
    let (places, member) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(member));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let mut together = Vec::new();
        if lines.recv_many(&mut together, LINES_TOGETHER).await == 0 {
            return;
        }
        let (services, caller, member) = (services.clone(), caller.clone(), member.clone());
        tokio::spawn(async move {
            let (texts, waiting): (Vec<Bytes>, Vec<_>) = together.into_iter().map(|it| (it.text, it.told)).unzip();
            let all = carried_out(&services, &caller, &member, &texts).await;
            for (told, outcome) in waiting.into_iter().zip(all) {
                // A request that was given up waits for nothing.
                let _ = told.send(outcome);
            }
            drop(place);
        });
    }
}

/// What another node did with lines, in their order.
async fn carried_out(services: &Services, caller: &Caller, member: &Member, texts: &[Bytes]) -> Vec<Told> {
    let lines = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let Origin { from, source } = caller.origin();
    let audit = caller.trail().map(|_| AuditedFor { from: *from, source: source.to_string() });
    let by = caller.is_known().then(|| caller.name().to_owned());
    let (covered, tasks_max) = (caller.prefixes().to_texts(), caller.tasks_max());
    let asking = Asking { by, audit, covered, tasks_max, lines };
    let each = |told: fn() -> Told| texts.iter().map(|_| told()).collect();
    match ask_json::<Vec<LineTold>>(services, member, PATH, &asking).await {
        Ok(Some(told)) if told.len() == texts.len() => told.into_iter().map(Told::from).collect(),
        Ok(Some(_)) | Err(AskError::BrokeOff(_)) => each(|| Told::Ended(broke_off())),
        Ok(None) | Err(AskError::NotSent(_)) => each(|| Told::Again),
        Err(error) => texts.iter().map(|_| Told::Ended((Err(cannot_ask(&error)), Vec::new()))).collect(),
    }
}

#[derive(Serialize, Deserialize)]
struct Asking {
    /// Who asks, if that is known.
    by: Option<String>,
    /// What the audit records of the lines say of that one; `None`: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audit: Option<AuditedFor>,
    /// The tasks that it knows of.
    #[serde(default)]
    covered: Vec<String>,
    /// How many there may be of these.
    #[serde(default)]
    tasks_max: Option<u64>,
    lines: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct AuditedFor {
    from: Option<IpAddr>,
    source: String,
}

/// How a line ended, in the words of nodes.
#[derive(Serialize, Deserialize)]
struct LineTold {
    how: How,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum How {
    Done(Option<u64>),
    Outdated { text: String, current: u64 },
    Refused(String),
    Failed(String),
    Elsewhere,
}

impl From<LineTold> for Told {
    fn from(LineTold { how, warnings }: LineTold) -> Self {
        let result = match how {
            How::Done(revision) => Ok(revision),
            How::Outdated { text, current } => Err(ApiError::Outdated { text, current }),
            How::Refused(text) => Err(ApiError::Refused(text)),
            How::Failed(text) => Err(ApiError::Failed(text)),
            How::Elsewhere => return Self::Again,
        };
        Self::Ended((result, warnings))
    }
}

impl From<Outcome> for LineTold {
    fn from((result, warnings): Outcome) -> Self {
        let how = match result {
            Ok(revision) => How::Done(revision),
            Err(ApiError::Elsewhere) => How::Elsewhere,
            Err(ApiError::Outdated { text, current }) => How::Outdated { text, current },
            Err(ApiError::Failed(text)) => How::Failed(text),
            Err(error) => How::Refused(error.to_string()),
        };
        Self { how, warnings }
    }
}

/// The route by which other nodes send lines.
pub(in crate::api) fn lines_of_peers(
    api: &Api,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let path = warp::path!("cluster" / "lines").map(String::new);
    internal(path, api, |services, _, body, _| async move {
        let Asking { by, audit, covered: texts, tasks_max, lines } = read(&body)?;
        // The node that sends them has looked at what the caller may do.
        let mut caller = Caller::of_node(by.as_deref(), Role::Admin, covered(&texts)?).with_tasks_max(tasks_max);
        if let Some(AuditedFor { from, source }) = audit {
            let origin = Origin { from, source: source.into() };
            let trail = Trail::of_lines(caller.shared(), &origin);
            caller = caller.followed(Arc::new(trail));
        }
        let each = stream::iter(lines).map(|line| here(&services, &caller, line));
        let told: Vec<LineTold> = each.buffered(LINES_TOGETHER).collect().await;
        Ok(reply::json(StatusCode::OK, &told))
    })
}

/// A line that another node sent.
async fn here(services: &Services, caller: &Caller, line: String) -> LineTold {
    let wish = match Wish::read(line.as_bytes(), caller, services) {
        Ok(wish) => wish,
        Err(misunderstood) => return LineTold::from((Err(misunderstood.into()), Vec::new())),
    };
    if !services.acts_for(Shard::of(wish.identity())) {
        return LineTold::from((Err(ApiError::Elsewhere), Vec::new()));
    }
    wish.carry_out(services, caller).await.into()
}
