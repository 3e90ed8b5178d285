//! Everything, as it stands: read in pages, written by name.

use async_trait::async_trait;
use rusqlite::{Connection, Row, ToSql, params};
use tokio::sync::mpsc;

use super::Embedded;
use super::audit;
use super::history::{self, RECORD};
use super::operation::Operation;
use super::reader::Readers;
use super::results;
use super::runs::record_of_any_task;
use super::statements::{self, ALL_TASKS, REVISION, Stored, reading, timestamp, writing};
use crate::model::{Identity, Lease, NameError, RecordId, RunId, Timestamp};
use crate::store::transfer::{Items, Kind, Mark, Page, Pages, Position, ResultPiece, StoredRevision, Transfer};
use crate::store::{RegisterName, StoreError, document};

/// How many items make a page, and at about how many bytes it ends.
const PAGE_MAX: usize = 1_000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many pages are read ahead.
const PAGES_AHEAD_MAX: usize = 2;
/// Who holds leases that were written as they stood elsewhere.
const OWNER: &str = "migrate";

#[async_trait]
impl Transfer for Embedded {
    async fn complete(&self) -> Result<(), StoreError> {
        // A transaction is whole or not at all.
        Ok(())
    }

    fn pages(&self, kind: Kind, after: Option<Position>) -> Pages {
        let (pages, receiver) = mpsc::channel(PAGES_AHEAD_MAX);
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = send_pages(&readers, kind, after, &pages) {
                // Who asked may have gone.
                let _ = pages.blocking_send(Err(error));
            }
        });
        receiver
    }

    async fn restore(&self, items: Items) -> Result<(), StoreError> {
        self.write(|answer| Operation::Restore(items, answer)).await
    }

    async fn count(&self, kind: Kind) -> Result<u64, StoreError> {
        let sql = match kind {
            Kind::Revisions => "SELECT count(*) FROM revisions",
            Kind::Cleared => return Ok(0),
            Kind::Marks => "SELECT count(*) FROM deletions",
            Kind::Records => "SELECT count(*) FROM history",
            Kind::Audit => "SELECT count(*) FROM audit",
            Kind::Results => "SELECT count(*) FROM results",
            Kind::Pauses => "SELECT count(*) FROM pauses",
            Kind::Registers => "SELECT count(*) FROM registers WHERE name <> 'cluster'",
            Kind::Leases => "SELECT count(*) FROM leases",
        };
        self.readers
            .read("counting", move |database| database.query_row(sql, [], |row| row.get(0)).map_err(reading))
            .await
    }

    async fn count_foreign(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

fn send_pages(
    readers: &Readers,
    kind: Kind,
    mut after: Option<Position>,
    pages: &mpsc::Sender<Result<Page, StoreError>>,
) -> Result<(), StoreError> {
    let database = readers.take()?;
    // One view for all pages.
    let view = database.unchecked_transaction().map_err(reading)?;
    while let Some(page) = page(&database, kind, after.as_ref())? {
        after = Some(page.after.clone());
        if pages.blocking_send(Ok(page)).is_err() {
            break;
        }
    }
    view.finish().map_err(reading)?;
    readers.give_back(database);
    Ok(())
}

/// The page after a place; `None` at the end.
fn page(database: &Connection, kind: Kind, after: Option<&Position>) -> Stored<Option<Page>> {
    match kind {
        Kind::Revisions => revisions(database, after),
        Kind::Cleared => records(database, CLEARED, after),
        Kind::Marks => marks(database, after),
        Kind::Records => records(database, NOT_CLEARED, after),
        Kind::Audit => records(database, &format!("FROM {} WHERE true", audit::AS_HISTORY), after),
        Kind::Results => pieces(database, after),
        Kind::Pauses | Kind::Registers | Kind::Leases if after.is_some() => Ok(None),
        Kind::Pauses => {
            let pauses = statements::pauses(database)?;
            let were_ever_any = pauses.version > 0;
            Ok(were_ever_any.then(|| Page { items: Items::Pauses(vec![pauses]), after: Position::of(()) }))
        }
        Kind::Registers => {
            let mut stand = Vec::new();
            for name in RegisterName::COPIED {
                stand.extend(statements::register(database, name)?.map(|stands| (name, stands)));
            }
            Ok((!stand.is_empty()).then(|| Page { items: Items::Registers(stand), after: Position::of(()) }))
        }
        Kind::Leases => {
            let leases = statements::leases(database)?;
            Ok((!leases.is_empty()).then(|| Page { items: Items::Leases(leases), after: Position::of(()) }))
        }
    }
}

/// Reads rows until the page is full; `read` gives an item, its size and its place.
fn collect<T>(
    database: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    items: impl FnOnce(Vec<T>) -> Items,
    read: impl Fn(&Row<'_>) -> Stored<(T, usize, Position)>,
) -> Stored<Option<Page>> {
    let mut select = database.prepare_cached(sql).map_err(reading)?;
    let mut rows = select.query(values).map_err(reading)?;
    let (mut page, mut bytes, mut after) = (Vec::new(), 0, None);
    while page.len() < PAGE_MAX
        && bytes < PAGE_BYTES
        && let Some(row) = rows.next().map_err(reading)?
    {
        let (item, size, place) = read(row)?;
        bytes += size;
        after = Some(place);
        page.push(item);
    }
    Ok(after.map(|after| Page { items: items(page), after }))
}

fn revisions(database: &Connection, after: Option<&Position>) -> Stored<Option<Page>> {
    let sql = format!(
        "SELECT {REVISION}, NOT EXISTS (
             SELECT 1 FROM revisions later
             WHERE later.identity = revisions.identity AND later.number > revisions.number)
         FROM revisions WHERE (identity, number) > (?1, ?2) ORDER BY identity, number"
    );
    let (identity, number): (String, u64) = after.map_or(Ok((String::new(), 0)), Position::read)?;
    collect(database, &sql, &[&identity, &number], Items::Revisions, |row| {
        let revision = statements::revision(row)?;
        let size = row.get_ref(6).and_then(|text| Ok(text.as_bytes()?.len())).map_err(reading)?;
        let is_newest = row.get(9).map_err(reading)?;
        let place = Position::of((revision.task.identity.as_str(), revision.number));
        Ok((StoredRevision { revision, is_newest }, size, place))
    })
}

const NOT_CLEARED: &str =
    "FROM history LEFT JOIN deletions USING (identity) WHERE history.seq > coalesce(deletions.seq, 0)";
/// A start asks for outcomes that are later than what is settled, and for runs that have not ended (kind 7).
const CLEARED: &str = "FROM deletions JOIN history USING (identity)
    WHERE deletions.seq > 0 AND history.seq <= deletions.seq
    AND (kind = 7 OR count IS NOT NULL AND last > (SELECT coalesce(min(settled_through), 0) FROM leases))";

fn records(database: &Connection, which: &str, after: Option<&Position>) -> Stored<Option<Page>> {
    let sql = format!(
        "SELECT {RECORD}, identity, history.seq {which}
         AND history.seq > ?1 ORDER BY history.seq"
    );
    let seq: i64 = after.map_or(Ok(0), Position::read)?;
    collect(database, &sql, &[&seq], Items::Records, |row| {
        let record = record_of_any_task(row)?;
        let (size, seq) = (record.source.len(), row.get::<_, i64>(11).map_err(reading)?);
        Ok((record, size, Position::of(seq)))
    })
}

fn pieces(database: &Connection, after: Option<&Position>) -> Stored<Option<Page>> {
    let sql = "SELECT run_id, number, bytes FROM results WHERE (run_id, number) > (?1, ?2) ORDER BY run_id, number";
    let begin: Option<(String, u32)> = after.map(Position::read).transpose()?;
    let (run, number) = begin.map_or((None, 0), |(run, number)| (RecordId::parse(&run), number));
    let run = run.map_or(Vec::new(), |run| run.as_bytes().to_vec());
    collect(database, sql, &[&run, &number], Items::Results, |row| {
        let run = RunId::from(RecordId::from_bytes(row.get(0).map_err(reading)?));
        let number = row.get(1).map_err(reading)?;
        let bytes: Vec<u8> = row.get(2).map_err(reading)?;
        let (size, place) = (bytes.len(), Position::of((run.to_string(), number)));
        Ok((ResultPiece { run, number, bytes: bytes.into() }, size, place))
    })
}

fn marks(database: &Connection, after: Option<&Position>) -> Stored<Option<Page>> {
    let sql = "SELECT identity, through, seq > 0 FROM deletions WHERE ?1 IS NULL OR identity > ?1 ORDER BY identity";
    let begin: Option<String> = after.map(Position::read).transpose()?;
    collect(database, sql, &[&begin], Items::Marks, |row| {
        let name: String = row.get(0).map_err(reading)?;
        let of_task = if name == ALL_TASKS { None } else { Some(identity(&name)?) };
        let (through, hides) = (timestamp(row, 1).map_err(reading)?, row.get(2).map_err(reading)?);
        Ok((Mark { identity: of_task, through, hides }, name.len(), Position::of(name)))
    })
}

fn identity(name: &str) -> Stored<Identity> {
    let corrupt = |source: NameError| StoreError::Corrupt { what: format!("identity {name:?}"), source: source.into() };
    Identity::parse(name).map_err(corrupt)
}

/// Writes items, within the transaction of the caller.
pub(super) fn restore(database: &Connection, items: &Items) -> Stored<()> {
    match items {
        Items::Revisions(items) => items.iter().try_for_each(|item| restore_revision(database, item)),
        Items::Marks(marks) => marks.iter().try_for_each(|mark| restore_mark(database, mark)),
        Items::Records(records) => history::restore(database, records),
        Items::Results(pieces) => {
            pieces.iter().try_for_each(|it| results::put_piece(database, it.run, it.number, &it.bytes))
        }
        Items::Pauses(pauses) => pauses.iter().try_for_each(|pauses| statements::write_pauses(database, pauses)),
        Items::Registers(registers) => {
            registers.iter().try_for_each(|(name, stands)| statements::write_register(database, *name, stands))
        }
        Items::Leases(leases) => leases.iter().try_for_each(|lease| restore_lease(database, lease)),
    }
}

fn restore_revision(database: &Connection, StoredRevision { revision, .. }: &StoredRevision) -> Stored<()> {
    // REPLACE also takes away another one that is in force, which a used target may hold.
    let sql = "INSERT OR REPLACE INTO revisions
                   (identity, number, shard, enabled, put_at, in_force_from, in_force_until, document, \"by\", note)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    let values = params![
        revision.task.identity.as_str(),
        revision.number,
        revision.shard().index(),
        revision.enabled,
        revision.put_at.millis(),
        revision.in_force_from.millis(),
        revision.in_force_until.map(Timestamp::millis),
        document::write(&revision.task),
        revision.by.as_deref(),
        revision.note.as_deref(),
    ];
    insert.execute(values).map(drop).map_err(writing)
}

fn restore_mark(database: &Connection, Mark { identity, through, hides }: &Mark) -> Stored<()> {
    let sql = "INSERT INTO deletions (identity, through, seq) VALUES (?1, ?2,
                   iif(?3, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'history'), 0))
               ON CONFLICT (identity) DO UPDATE SET through = excluded.through, seq = max(seq, excluded.seq)";
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    let identity = identity.as_ref().map_or(ALL_TASKS, |identity| identity.as_str());
    insert.execute(params![identity, through.millis(), hides]).map(drop).map_err(writing)
}

fn restore_lease(database: &Connection, lease: &Lease) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO leases (shard, owner, epoch, claimed_through, settled_through)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = database.prepare_cached(sql).map_err(writing)?;
    let (claimed, settled) = (lease.claimed_through.millis(), lease.settled_through.millis());
    insert.execute(params![lease.shard.index(), OWNER, lease.epoch.0, claimed, settled]).map(drop).map_err(writing)
}
