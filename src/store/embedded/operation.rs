//! What the writer can be asked, and how each request is carried out within a transaction.

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::folder::unavailable;
use super::{audit, history, prune, results, statements, transfer};
use crate::model::{Claim, Epoch, Identity, Lease, Pauses, Record, RunId, ShardSet, Timestamp};
use crate::store::transfer::Items;
use crate::store::{AuditRetention, Change, Pruned, RegisterName, Registered, Retention, StoreError};

/// Where the result goes, once it is durable.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to the writer.
pub(super) enum Operation {
    Change(Box<Change>, Answer<u64>),
    Defer(Identity, Epoch, Option<u64>, Timestamp, Answer<()>),
    Append(Vec<Record>, Answer<()>),
    Take(ShardSet, String, Answer<Vec<Lease>>),
    Claim(Vec<Claim>, Answer<()>),
    Release(Vec<Claim>, Answer<()>),
    Clear(Identity, Timestamp, Answer<()>),
    Prune(Retention, Timestamp, Answer<Pruned>),
    PruneAudit(AuditRetention, Answer<Pruned>),
    ForgetRevisions(Timestamp, Answer<u64>),
    SetPauses(Pauses, Answer<bool>),
    SetRegister(RegisterName, Registered, Answer<bool>),
    PutPiece(RunId, u32, Bytes, Answer<()>),
    /// The results before an instant, and the oldest while there are more than so many bytes; so many pieces at most.
    PruneResults(Timestamp, u64, usize, Answer<Pruned>),
    Restore(Items, Answer<()>),
    /// The last one: the writer ends after it.
    Close(Answer<()>),
}

/// Gives a result to who asked for it; the error takes its place if the commit failed.
pub(super) type Reply = Box<dyn FnOnce(Option<StoreError>) + Send>;

impl Operation {
    /// Long ones: at most one of them goes into a transaction, or a few pieces, so that a put never waits behind many.
    pub(super) fn is_bulk(&self) -> bool {
        match self {
            // What a change notes is its log document and its audit record.
            Self::Append(records, _) => records.len() > 2,
            Self::Prune(..)
            | Self::PruneAudit(..)
            | Self::ForgetRevisions(..)
            | Self::PutPiece(..)
            | Self::PruneResults(..)
            | Self::Restore(..) => true,
            Self::Change(..)
            | Self::Defer(..)
            | Self::SetPauses(..)
            | Self::Clear(..)
            | Self::SetRegister(..)
            | Self::Take(..)
            | Self::Claim(..)
            | Self::Release(..)
            | Self::Close(_) => false,
        }
    }

    /// A piece of a result.
    pub(super) fn is_piece(&self) -> bool {
        matches!(self, Self::PutPiece(..))
    }

    /// Answers that nothing was done.
    pub(super) fn refuse(self, why: &str) {
        let error = unavailable("writing to the disk", why.to_owned());
        // Who asked may have gone: then nobody needs to know.
        match self {
            Self::Change(_, answer) => drop(answer.send(Err(error))),
            Self::ForgetRevisions(_, answer) => drop(answer.send(Err(error))),
            Self::Take(_, _, answer) => drop(answer.send(Err(error))),
            Self::SetPauses(_, answer) | Self::SetRegister(_, _, answer) => drop(answer.send(Err(error))),
            Self::Prune(_, _, answer) | Self::PruneAudit(_, answer) | Self::PruneResults(_, _, _, answer) => {
                drop(answer.send(Err(error)));
            }
            Self::Append(_, answer)
            | Self::Defer(_, _, _, _, answer)
            | Self::PutPiece(_, _, _, answer)
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
            Self::Defer(identity, epoch, known, since, answer) => {
                let defer = |database: &_| statements::defer(database, &identity, epoch, known, since);
                reply(answer, whole(database, defer))
            }
            Self::Append(records, answer) => {
                reply(answer, whole(database, |database| history::append(database, &records)))
            }
            Self::Take(shards, owner, answer) => {
                reply(answer, whole(database, |database| statements::take(database, shards, &owner)))
            }
            Self::Claim(claims, answer) => {
                reply(answer, whole(database, |database| statements::claim(database, &claims)))
            }
            Self::Release(claims, answer) => {
                reply(answer, whole(database, |database| statements::release(database, &claims)))
            }
            Self::Clear(identity, at, answer) => {
                reply(answer, whole(database, |database| history::clear(database, &identity, at)))
            }
            Self::Prune(retention, settled_through, answer) => {
                let prune = |database: &_| prune::prune(database, retention, settled_through);
                reply(answer, whole(database, prune))
            }
            Self::PruneAudit(retention, answer) => {
                reply(answer, whole(database, |database| audit::prune(database, retention)))
            }
            Self::Restore(items, answer) => {
                reply(answer, whole(database, |database| transfer::restore(database, &items)))
            }
            Self::SetPauses(pauses, answer) => {
                reply(answer, whole(database, |database| statements::set_pauses(database, &pauses)))
            }
            Self::SetRegister(name, next, answer) => {
                reply(answer, whole(database, |database| statements::set_register(database, name, &next)))
            }
            Self::PutPiece(run, number, bytes, answer) => {
                reply(answer, whole(database, |database| results::put_piece(database, run, number, &bytes)))
            }
            Self::PruneResults(before, bytes_max, step_max, answer) => {
                let prune = |database: &_| results::prune(database, before, bytes_max, step_max);
                reply(answer, whole(database, prune))
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
