//! Everything, as it stands.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{MemoryStore, Row, Tables};
use crate::model::{Identity, Lease, Record, RecordKind, Revision, Settled, Timestamp};
use crate::store::transfer::{Items, Kind, Mark, Page, Pages, Position, ResultPiece, StoredRevision, Transfer};
use crate::store::{RegisterName, StoreError};

/// How many items make a page.
const PAGE_MAX: usize = 7;

#[async_trait]
impl Transfer for MemoryStore {
    async fn complete(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn pages(&self, kind: Kind, after: Option<Position>) -> Pages {
        let begin = after.map_or(Ok(0), |after| after.read::<usize>());
        let items = self.read().items(kind);
        let (pages, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut begin = match begin {
                Ok(begin) => begin,
                Err(error) => return drop(pages.send(Err(error)).await),
            };
            while let Some(items) = page(&items, begin) {
                begin += items.len();
                if pages.send(Ok(Page { items, after: Position::of(begin) })).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn restore(&self, items: Items) -> Result<(), StoreError> {
        let mut tables = self.write()?;
        match items {
            Items::Revisions(items) => items.into_iter().for_each(|item| tables.restore_revision(item)),
            Items::Marks(marks) => marks.into_iter().for_each(|mark| tables.restore_mark(mark)),
            Items::Records(records) => records.into_iter().for_each(|record| tables.restore_record(record)),
            Items::Results(pieces) => {
                tables.pieces.extend(pieces.into_iter().map(|it| ((it.run, it.number), it.bytes)))
            }
            Items::Pauses(pauses) => tables.pauses = pauses.into_iter().next_back().unwrap_or_default(),
            Items::Registers(registers) => tables.registers.extend(registers),
            Items::Leases(leases) => leases.into_iter().for_each(|lease| tables.restore_lease(lease)),
        }
        Ok(())
    }

    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        Ok(self.read().items(kind).len() as u64)
    }

    async fn count_foreign(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// A page that begins at this item.
fn page(items: &Items, begin: usize) -> Option<Items> {
    fn cut<T: Clone>(items: &[T], begin: usize) -> Vec<T> {
        items.iter().skip(begin).take(PAGE_MAX).cloned().collect()
    }
    let page = match items {
        Items::Revisions(items) => Items::Revisions(cut(items, begin)),
        Items::Marks(items) => Items::Marks(cut(items, begin)),
        Items::Records(items) => Items::Records(cut(items, begin)),
        Items::Results(items) => Items::Results(cut(items, begin)),
        Items::Pauses(items) => Items::Pauses(cut(items, begin)),
        Items::Registers(items) => Items::Registers(cut(items, begin)),
        Items::Leases(items) => Items::Leases(cut(items, begin)),
    };
    (!page.is_empty()).then_some(page)
}

impl Tables {
    fn items(&self, kind: Kind) -> Items {
        let settled_through = self.leases.values().map(|lease| lease.settled_through).min().unwrap_or_default();
        let may_be_asked_for = |record: &Record| {
            let is_unsettled = |settled: &Settled| settled.stretch.last > settled_through;
            record.settled.as_ref().is_some_and(is_unsettled) || record.kind == RecordKind::Started
        };
        let records = |wanted: &dyn Fn(&Row) -> bool| {
            Items::Records(self.records.iter().filter(|row| wanted(row)).map(|row| row.record.clone()).collect())
        };
        match kind {
            Kind::Revisions => Items::Revisions(self.stored_revisions()),
            Kind::Cleared => records(&|row| row.is_cleared && may_be_asked_for(&row.record)),
            Kind::Marks => Items::Marks(self.marks()),
            Kind::Records => records(&|row| !row.is_cleared),
            Kind::Audit => Items::Records(self.audit.iter().map(|row| row.record.clone()).collect()),
            Kind::Results => Items::Results(self.stored_pieces()),
            Kind::Pauses => Items::Pauses(Some(self.pauses.clone()).filter(|it| it.version > 0).into_iter().collect()),
            Kind::Registers => {
                let stands = |name: RegisterName| Some((name, self.registers.get(&name)?.clone()));
                Items::Registers(RegisterName::COPIED.into_iter().filter_map(stands).collect())
            }
            Kind::Leases => Items::Leases(self.leases.values().cloned().collect()),
        }
    }

    fn stored_pieces(&self) -> Vec<ResultPiece> {
        let piece = |(&(run, number), bytes): (&_, &bytes::Bytes)| ResultPiece { run, number, bytes: bytes.clone() };
        self.pieces.iter().map(piece).collect()
    }

    fn stored_revisions(&self) -> Vec<StoredRevision> {
        let newest = |identity: &Identity| {
            let of_task = self.revisions.range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
            of_task.map(|(&(_, number), _)| number).next_back()
        };
        let stored = |((identity, number), revision): (&(Identity, u64), &Revision)| StoredRevision {
            revision: revision.clone(),
            is_newest: newest(identity) == Some(*number),
        };
        self.revisions.iter().map(stored).collect()
    }

    fn marks(&self) -> Vec<Mark> {
        let hides =
            |identity: &Identity| self.records.iter().any(|row| row.is_cleared && row.record.identity == *identity);
        let of_task = |(identity, through): (&Identity, &Timestamp)| Mark {
            identity: Some(identity.clone()),
            through: *through,
            hides: hides(identity),
        };
        let of_all = Mark { identity: None, through: self.pruned_through, hides: false };
        let mut marks: Vec<Mark> = self.cleared.iter().map(of_task).collect();
        marks.sort_by(|one, other| one.identity.cmp(&other.identity));
        marks.extend((of_all.through > Timestamp::EPOCH).then_some(of_all));
        marks
    }

    fn restore_revision(&mut self, StoredRevision { revision, .. }: StoredRevision) {
        self.revisions.insert((revision.task.identity.clone(), revision.number), revision);
    }

    fn restore_mark(&mut self, Mark { identity, through, hides }: Mark) {
        let Some(identity) = identity else {
            self.pruned_through = through;
            return;
        };
        for row in self.records.iter_mut().filter(|row| hides && row.record.identity == identity) {
            row.is_cleared = true;
        }
        self.cleared.insert(identity, through);
    }

    fn restore_record(&mut self, record: Record) {
        self.records.retain(|row| row.record.id != record.id);
        self.audit.retain(|row| row.record.id != record.id);
        self.push(record);
    }

    fn restore_lease(&mut self, lease: Lease) {
        self.leases.insert(lease.shard, lease);
    }
}
