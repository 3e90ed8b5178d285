//! What the writer can be asked, and how each request is carried out within a transaction.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::folder::unavailable;
use super::{statements, transfer};
use crate::model::{Claim, Identity, Lease, Record, Timestamp};
use crate::store::transfer::Items;
use crate::store::{Change, Pruned, Retention, StoreError};

/// Where the result goes, once it is durable.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to the writer.
pub(super) enum Operation {
    Change(Box<Change>, Answer<u64>),
    Append(Vec<Record>, Answer<()>),
    TakeAll(String, Answer<Vec<Lease>>),
    Claim(Vec<Claim>, Answer<()>),
    Release(Vec<Claim>, Answer<()>),
    Clear(Identity, Timestamp, Answer<()>),
    Prune(Retention, Timestamp, Answer<Pruned>),
    ForgetRevisions(Timestamp, Answer<u64>),
    Restore(Items, Answer<()>),
    /// The last one: the writer ends after it.
    Close(Answer<()>),
}

/// Gives a result to who asked for it; the error takes its place if the commit failed.
pub(super) type Reply = Box<dyn FnOnce(Option<StoreError>) + Send>;

impl Operation {
    /// Long ones: at most one of them goes into a transaction, so that a put never waits behind many.
    pub(super) fn is_bulk(&self) -> bool {
        match self {
            Self::Append(records, _) => records.len() > 1,
            Self::Prune(..) | Self::ForgetRevisions(..) | Self::Restore(..) => true,
            Self::Change(..)
            | Self::Clear(..)
            | Self::TakeAll(..)
            | Self::Claim(..)
            | Self::Release(..)
            | Self::Close(_) => false,
        }
    }

    /// Answers that nothing was done.
    pub(super) fn refuse(self, why: &str) {
        let error = unavailable("writing to the disk", why.to_owned());
        // Who asked may have gone: then nobody needs to know.
        match self {
            Self::Change(_, answer) => drop(answer.send(Err(error))),
            Self::ForgetRevisions(_, answer) => drop(answer.send(Err(error))),
            Self::TakeAll(_, answer) => drop(answer.send(Err(error))),
            Self::Prune(_, _, answer) => drop(answer.send(Err(error))),
            Self::Append(_, answer)
            | Self::Claim(_, answer)
            | Self::Release(_, answer)
            | Self::Clear(_, _, answer)
            | Self::Restore(_, answer)
            | Self::Close(answer) => drop(answer.send(Err(error))),
        }
    }

    /// Carries the request out within the open transaction, whole or not at all.
    pub(super) fn carry_out(self, database: &Connection) -> Reply {
        match self {
            Self::Change(change, answer) => {
                reply(answer, whole(database, |database| statements::change(database, &change)))
            }
            Self::Append(records, answer) => {
                reply(answer, whole(database, |database| statements::append(database, &records)))
            }
            Self::TakeAll(owner, answer) => {
                reply(answer, whole(database, |database| statements::take_all(database, &owner)))
            }
            Self::Claim(claims, answer) => {
                reply(answer, whole(database, |database| statements::claim(database, &claims)))
            }
            Self::Release(claims, answer) => {
                reply(answer, whole(database, |database| statements::release(database, &claims)))
            }
            Self::Clear(identity, at, answer) => {
                reply(answer, whole(database, |database| statements::clear(database, &identity, at)))
            }
            Self::Prune(retention, settled_through, answer) => {
                let prune = |database: &_| statements::prune(database, retention, settled_through);
                reply(answer, whole(database, prune))
            }
            Self::Restore(items, answer) => {
                reply(answer, whole(database, |database| transfer::restore(database, &items)))
            }
            Self::Close(answer) => reply(answer, Ok(())),
            Self::ForgetRevisions(before, answer) => {
                reply(answer, whole(database, |database| statements::forget_revisions(database, before)))
            }
        }
    }
}

/// One request in a savepoint: what it did is undone if it fails, and the others of its transaction stand.
fn whole<T>(database: &Connection, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mark = |sql: &str| database.execute_batch(sql).map_err(|error| unavailable("writing", error));
    mark("SAVEPOINT request")?;
    let result = work(database);
    if result.is_err() {
        mark("ROLLBACK TO request")?;
    }
    mark("RELEASE request")?;
    result
}

fn reply<T: Send + 'static>(answer: Answer<T>, result: Result<T, StoreError>) -> Reply {
    Box::new(move |failed| {
        let result = match failed {
            Some(error) => result.and(Err(error)),
            None => result,
        };
        // Who asked may have gone: it is written all the same.
        let _ = answer.send(result);
    })
}
