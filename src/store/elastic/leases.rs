//! Leases: one document for each shard, written by compare-and-set.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Inner;
use super::bulk::{self, Op, Seen, Write, Written};
use super::client::unavailable;
use super::format::{self, Formatted};
use crate::model::{Claim, Epoch, Lease, Shard, ShardSet, Timestamp};
use crate::store::StoreError;

/// How often what met a write of somebody else is tried again.
const TRIES_MAX: usize = 10;
const DOING_CLAIM: &str = "writing claims";
const CHANGE_TOO_FAST: &str = "leases change faster than they are read";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseDocument {
    pub(super) shard: usize,
    pub(super) owner: String,
    pub(super) epoch: u64,
    pub(super) claimed_through: i64,
    pub(super) settled_through: i64,
}

/// A document that stands there, in whatever format.
type Stands = (Seen, Formatted<LeaseDocument>);

impl LeaseDocument {
    pub(super) fn read(shard: usize, source: &str) -> Result<Formatted<Self>, StoreError> {
        format::read(|| lease_id(shard), source)
    }

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
    /// Makes `owner` the holder of these shards. A shard that somebody else writes at the same moment is tried again alone.
    pub(super) async fn take_leases(&self, shards: ShardSet, owner: &str) -> Result<Vec<Lease>, StoreError> {
        const DOING: &str = "taking the leases";
        let (mut left, mut taken) = (shards, Vec::with_capacity(shards.len()));
        for _ in 0..TRIES_MAX {
            let (next, writes) = self.next_leases(left, owner).await?;
            let written = self.shared.write(DOING, writes).await?;
            self.note_leases(&next, &written);
            if let Some(later) = bulk::first_failure(&written) {
                return Err(unavailable(DOING, later));
            }
            let done = next.iter().zip(&written).filter(|(_, written)| matches!(written, Written::Done(_)));
            for lease in done.map(|(lease, _)| lease.to_lease()) {
                left.remove(lease.shard);
                taken.push(lease);
            }
            if left.is_empty() {
                taken.sort_by_key(|lease| lease.shard);
                return Ok(taken);
            }
        }
        Err(unavailable(DOING, CHANGE_TOO_FAST))
    }

    /// The leases of these shards as they become when `owner` takes them, and the writes that do it.
    async fn next_leases(&self, shards: ShardSet, owner: &str) -> Result<(Vec<LeaseDocument>, Vec<Write>), StoreError> {
        let (mut next, mut writes) = (Vec::with_capacity(shards.len()), Vec::with_capacity(shards.len()));
        for (shard, stands) in self.read_leases(shards).await? {
            let shard = shard.index();
            let owner = owner.to_owned();
            let (op, lease) = match stands {
                Some((seen, before)) => {
                    let before = before.or_refuse(|| lease_id(shard))?;
                    (Op::Replace(seen), LeaseDocument { owner, epoch: before.epoch + 1, ..before })
                }
                None => (Op::Create, LeaseDocument { shard, owner, epoch: 1, claimed_through: 0, settled_through: 0 }),
            };
            writes.push(self.lease_write(&lease, op));
            next.push(lease);
        }
        Ok((next, writes))
    }

    /// All leases that were ever taken.
    pub(super) async fn all_leases(&self) -> Result<Vec<Lease>, StoreError> {
        let stand = self.read_leases(ShardSet::ALL).await?.into_iter();
        let taken = stand.filter_map(|(shard, stands)| Some((shard, stands?.1)));
        taken.map(|(shard, lease)| Ok(lease.or_refuse(|| lease_id(shard.index()))?.to_lease())).collect()
    }

    /// The documents of these shards as they are now.
    async fn read_leases(&self, shards: ShardSet) -> Result<Vec<(Shard, Option<Stands>)>, StoreError> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let ids = shards.iter().map(|shard| (&*self.names.leases, lease_id(shard.index())));
        let got = bulk::get_many::<Box<RawValue>>(&self.client, "reading the leases", ids).await?;
        let read = |(shard, stands): (Shard, Option<(Seen, Box<RawValue>)>)| {
            let read = |(seen, source): (Seen, Box<RawValue>)| {
                LeaseDocument::read(shard.index(), source.get()).map(|lease| (seen, lease))
            };
            Ok((shard, stands.map(read).transpose()?))
        };
        shards.iter().zip(got).map(read).collect()
    }

    pub(super) fn lease_write(&self, lease: &LeaseDocument, op: Op) -> Write {
        let source = format::write(lease);
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
        Err(unavailable(DOING_CLAIM, CHANGE_TOO_FAST))
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
        let of_claim = |claim: &Claim, lease: &(Seen, LeaseDocument)| lease.1.epoch == claim.epoch.0;
        let seen = claims.iter().map(|claim| self.leases.get(claim.shard).filter(|lease| of_claim(claim, lease)));
        let mut held: Vec<Option<(Seen, LeaseDocument)>> = seen.collect();
        // What was seen may be older than the claim: only what stands now says that a lease is lost.
        let unsure = claims.iter().zip(&held).filter(|(_, held)| held.is_none()).map(|(claim, _)| claim.shard);
        for (shard, stands) in self.read_leases(unsure.collect()).await? {
            // One of a newer format was written by another holder.
            let lease = stands.and_then(|(seen, lease)| Some((seen, lease.known()?)));
            self.leases.set(shard.index(), lease.clone());
            for (claim, held) in claims.iter().zip(&mut held).filter(|(claim, _)| claim.shard == shard) {
                *held = lease.clone().filter(|lease| of_claim(claim, lease));
            }
        }
        let or_fenced = |(claim, held): (&Claim, Option<_>)| {
            held.ok_or(StoreError::Fenced { shard: claim.shard, ours: claim.epoch })
        };
        claims.iter().zip(held).map(or_fenced).collect()
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
