//! Writing tasks, marks, results, pauses and leases as they stood in another store.

use super::bulk::{self, Op, Write, Written};
use super::client::unavailable;
use super::leases::LeaseDocument;
use super::task_document::{RevisionDocument, TASK, TaskDocument, past_id, task_id};
use super::{Inner, query};
use crate::model::{Lease, Pauses, Shard};
use crate::store::transfer::{Mark, ResultPiece, StoredRevision};
use crate::store::{RegisterName, Registered, StoreError};

const WRITING: &str = "writing what another store held";
/// Who holds leases that were written as they stood elsewhere.
const OWNER: &str = "migrate";

impl Inner {
    pub(super) async fn restore_revisions(&self, items: &[StoredRevision]) -> Result<(), StoreError> {
        self.restore_all(items.iter().map(|item| self.revision_write(item)).collect()).await
    }

    fn revision_write(&self, StoredRevision { revision, is_newest }: &StoredRevision) -> Write {
        let identity = &revision.task.identity;
        let changed_at = revision.in_force_until.unwrap_or(revision.in_force_from);
        let document = RevisionDocument::of(revision);
        let past = TaskDocument::past(identity, changed_at, document);
        let (id, document) = match is_newest {
            true => {
                let in_force = revision.in_force_until.is_none();
                (task_id(identity), TaskDocument { kind: TASK.into(), in_force, ..past })
            }
            false => (past_id(identity, revision.number), past),
        };
        Write { index: self.names.tasks.clone(), id, op: Op::Index, source: document.to_bytes() }
    }

    /// A mark that is there goes on hiding what it hides.
    pub(super) async fn restore_marks(&self, marks: &[Mark]) -> Result<(), StoreError> {
        let known = self.cleared_seqs(marks.iter().filter_map(|mark| mark.identity.as_ref())).await?;
        let write = |mark: &Mark| {
            let identity = mark.identity.as_ref();
            let known = identity.and_then(|identity| known.get(identity)).copied().unwrap_or_default();
            let cleared_seq = if mark.hides { self.next_seq() } else { known };
            let through = mark.through.millis();
            self.mark_write(identity.map_or("", |it| it.as_str()), query::Mark { through, cleared_seq })
        };
        self.restore_all(marks.iter().map(write).collect()).await
    }

    pub(super) async fn restore_leases(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let write = |lease: &Lease| {
            let lease = LeaseDocument {
                shard: lease.shard.index(),
                owner: OWNER.to_owned(),
                epoch: lease.epoch.0,
                claimed_through: lease.claimed_through.millis(),
                settled_through: lease.settled_through.millis(),
            };
            self.lease_write(&lease, Op::Index)
        };
        self.restore_all(leases.iter().map(write).collect()).await?;
        Shard::all().for_each(|shard| self.leases.forget(shard));
        Ok(())
    }

    pub(super) async fn restore_pieces(&self, pieces: &[ResultPiece]) -> Result<(), StoreError> {
        let write = |piece: &ResultPiece| self.piece_write(piece.run, piece.number, &piece.bytes);
        self.write_pieces(pieces.iter().map(write).collect()).await
    }

    pub(super) async fn restore_pauses(&self, pauses: &[Pauses]) -> Result<(), StoreError> {
        self.restore_all(pauses.iter().map(|pauses| self.pauses_write(pauses, Op::Index)).collect()).await
    }

    pub(super) async fn restore_registers(&self, registers: &[(RegisterName, Registered)]) -> Result<(), StoreError> {
        let write = |(name, stands): &(RegisterName, Registered)| self.register_write(*name, stands, Op::Index);
        self.restore_all(registers.iter().map(write).collect()).await
    }

    async fn restore_all(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let written = bulk::send(&self.client, WRITING, self.refreshes_at_once, &writes).await?;
        match written.into_iter().find(|written| !matches!(written, Written::Done(_))) {
            Some(Written::Later(why) | Written::Refused(why)) => Err(unavailable(WRITING, why)),
            Some(Written::Conflict | Written::Done(_)) => Err(unavailable(WRITING, "another process writes, too")),
            None => Ok(()),
        }
    }
}
