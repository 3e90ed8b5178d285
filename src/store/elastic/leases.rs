//! Leases: one document for each shard, written by compare-and-set.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written};
use super::client::unavailable;
use crate::model::{Claim, Epoch, Lease, Shard, Timestamp};
use crate::store::StoreError;

/// How often a take-over that met another is tried again.
const TRIES_MAX: usize = 10;
const DOING_CLAIM: &str = "writing claims";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseDocument {
    pub(super) shard: usize,
    pub(super) owner: String,
    pub(super) epoch: u64,
    pub(super) claimed_through: i64,
    pub(super) settled_through: i64,
}

impl LeaseDocument {
    fn to_lease(&self) -> Lease {
        Lease {
            shard: Shard::at(self.shard),
            epoch: Epoch(self.epoch),
            claimed_through: Timestamp::from_millis(self.claimed_through),
            settled_through: Timestamp::from_millis(self.settled_through),
        }
    }
}

/// The leases as this store has seen them last.
#[derive(Debug, Default)]
pub(super) struct LeaseCache {
    seen: Mutex<Vec<Option<(Seen, LeaseDocument)>>>,
}

impl LeaseCache {
    fn get(&self, shard: Shard) -> Option<(Seen, LeaseDocument)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(shard.index()).cloned().flatten()
    }

    /// It is read before the next claim.
    pub(super) fn forget(&self, shard: Shard) {
        self.set(shard.index(), None);
    }

    fn set(&self, shard: usize, lease: Option<(Seen, LeaseDocument)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.resize(Shard::COUNT, None);
        seen[shard] = lease;
    }
}

pub(super) fn lease_id(shard: usize) -> String {
    format!("shard:{shard}")
}

/// How far a claim may move what is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moves {
    /// Ahead only.
    Ahead,
    /// `claimed_through` to where the holder really was.
    ToWhereItWas,
}

impl Inner {
    /// Makes `owner` the holder of every shard.
    pub(super) async fn take_all_leases(&self, owner: &str) -> Result<Vec<Lease>, StoreError> {
        const DOING: &str = "taking the leases";
        for _ in 0..TRIES_MAX {
            let known = self.read_leases().await?;
            let mut taken = Vec::with_capacity(Shard::COUNT);
            let mut writes = Vec::with_capacity(Shard::COUNT);
            for (shard, known) in known.into_iter().enumerate() {
                let (op, before) = match known {
                    Some((seen, before)) => (Op::Replace(seen), Some(before)),
                    None => (Op::Create, None),
                };
                let next = LeaseDocument {
                    shard,
                    owner: owner.to_owned(),
                    epoch: before.as_ref().map_or(1, |before| before.epoch + 1),
                    claimed_through: before.as_ref().map_or(0, |before| before.claimed_through),
                    settled_through: before.as_ref().map_or(0, |before| before.settled_through),
                };
                writes.push(self.lease_write(&next, op));
                taken.push(next);
            }
            let written = self.shared.write(DOING, writes).await?;
            if let Some(later) = bulk::first_failure(&written) {
                return Err(unavailable(DOING, later));
            }
            if written.contains(&Written::Conflict) {
                continue;
            }
            self.note_leases(&taken, &written);
            return Ok(taken.iter().map(LeaseDocument::to_lease).collect());
        }
        Err(StoreError::Refused("another process takes the leases at the same time".to_owned()))
    }

    /// All leases, if they were ever taken.
    pub(super) async fn all_leases(&self) -> Result<Vec<Lease>, StoreError> {
        let known = self.read_leases().await?;
        Ok(known.into_iter().flatten().map(|(_, lease)| lease.to_lease()).collect())
    }

    async fn read_leases(&self) -> Result<Vec<Option<(Seen, LeaseDocument)>>, StoreError> {
        let ids = (0..Shard::COUNT).map(|shard| (&*self.names.leases, lease_id(shard)));
        bulk::get_many(&self.client, "reading the leases", ids).await
    }

    pub(super) fn lease_write(&self, lease: &LeaseDocument, op: Op) -> Write {
        let source = serde_json::to_vec(lease).expect("a lease can be written as JSON").into();
        Write { index: self.names.leases.clone(), id: lease_id(lease.shard), op, source }
    }

    fn note_leases(&self, leases: &[LeaseDocument], written: &[Written]) {
        for (lease, written) in leases.iter().zip(written) {
            let seen = match written {
                Written::Done(Some(seen)) => Some((*seen, lease.clone())),
                // Not known any more: it is read before the next claim.
                Written::Done(None) | Written::Conflict | Written::Refused(_) | Written::Later(_) => None,
            };
            self.leases.set(lease.shard, seen);
        }
    }

    /// Moves leases of this holder.
    pub(super) async fn move_leases(&self, claims: &[Claim], moves: Moves) -> Result<(), StoreError> {
        for _ in 0..TRIES_MAX {
            let held = self.held_leases(claims).await?;
            if self.try_move(claims, &held, moves).await? {
                return Ok(());
            }
            // A document is not as it was seen: by another holder, which the next look shows, or by a write of our own whose
            // answer was lost.
        }
        Err(unavailable(DOING_CLAIM, "leases change faster than they are read"))
    }

    async fn try_move(
        &self,
        claims: &[Claim],
        held: &[(Seen, LeaseDocument)],
        moves: Moves,
    ) -> Result<bool, StoreError> {
        let next: Vec<LeaseDocument> =
            claims.iter().zip(held).map(|(claim, (_, held))| self.moved(claim, held, moves)).collect();
        let writes =
            next.iter().zip(held).map(|(next, (seen, _))| self.lease_write(next, Op::Replace(*seen))).collect();
        match self.shared.write(DOING_CLAIM, writes).await {
            Ok(written) => {
                self.note_leases(&next, &written);
                match bulk::first_failure(&written) {
                    Some(later) => Err(unavailable(DOING_CLAIM, later)),
                    None => Ok(!written.contains(&Written::Conflict)),
                }
            }
            Err(error) => {
                // Some may have moved: what is stored is read before the next claim.
                claims.iter().for_each(|claim| self.leases.forget(claim.shard));
                Err(error)
            }
        }
    }

    /// The leases that are claimed, if all of them are still held with the epoch of the claim.
    async fn held_leases(&self, claims: &[Claim]) -> Result<Vec<(Seen, LeaseDocument)>, StoreError> {
        if claims.iter().any(|claim| self.leases.get(claim.shard).is_none()) {
            for (shard, lease) in self.read_leases().await?.into_iter().enumerate() {
                self.leases.set(shard, lease);
            }
        }
        let held = |claim: &Claim| {
            let lease = self.leases.get(claim.shard).filter(|(_, lease)| lease.epoch == claim.epoch.0);
            lease.ok_or(StoreError::Fenced { shard: claim.shard, ours: claim.epoch })
        };
        claims.iter().map(held).collect()
    }

    fn moved(&self, claim: &Claim, held: &LeaseDocument, moves: Moves) -> LeaseDocument {
        let settled_through = self.outbox.settled_through(claim.shard, claim.settled_through).millis();
        let claimed_through = match moves {
            Moves::Ahead => held.claimed_through.max(claim.through.millis()),
            Moves::ToWhereItWas => claim.through.millis(),
        };
        LeaseDocument { claimed_through, settled_through: held.settled_through.max(settled_through), ..held.clone() }
    }
}
