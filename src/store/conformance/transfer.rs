use super::audit::audit;
use super::runs::unfinished;
use super::*;
use crate::model::{Claim, Pause, Pauses};
use crate::store::memory::MemoryStore;
use crate::store::tally::{Adapted, Tally};
use crate::store::transfer::{Kind, MovableStore, Page, Transfer};
use crate::store::{
    CatalogStore, JournalStore, LeaseStore, RegisterName, RegisterStore, Registered, ResultStore, Retention, RunQuery,
};

/// More records than any store gives in one page.
const RECORDS: i64 = 1_200;
/// More pieces than a store in memory gives in one page.
const PIECES: u32 = 8;
const NAMES: [&str; 5] = ["a", "b", "gone", "cleared", "odd é\u{0}\n"];

/// A store that holds something of everything.
async fn filled() -> MemoryStore {
    let store = MemoryStore::new();
    let leases = store.take(ShardSet::ALL, "one").await.unwrap();
    let epoch = leases[0].epoch;
    for name in NAMES {
        store.change(put(epoch, name, None, at(0))).await.unwrap();
    }
    store.change(noted(put(epoch, "a", Some(1), at(5)), Some("who"), Some("why"))).await.unwrap();
    store.change(put(epoch, "a", Some(2), at(6))).await.unwrap();
    store.change(delete(epoch, "gone", 1, at(7))).await.unwrap();
    let old = Retention { before: at(3), bytes_max: u64::MAX, step_max: 4 };
    assert_eq!(store.prune(old, at(0)).await.unwrap().records, 4);
    store.append((0..RECORDS).map(|second| outcome(RecordKind::Success, "a", at(second))).collect()).await.unwrap();
    let mut broken = note(RecordKind::Running, "b", at(8));
    broken.source = broken.source.replacen('{', "{\"body\":[1,\n 2],", 1).into();
    store.append([vec![broken, stretch("b", at(9), at(20), 4)], of_runs(), of_cleared()].concat()).await.unwrap();
    store.clear(&identity("cleared"), at(31)).await.unwrap();
    store.append(vec![note(RecordKind::Put, "cleared", at(31))]).await.unwrap();
    store.append(vec![audit(Some("cleared"), at(30)), audit(None, at(31))]).await.unwrap();
    fill_rest(&store).await;
    let claim = |lease: &crate::model::Lease| {
        let through = at(40 + lease.shard.index() as i64);
        Claim { shard: lease.shard, epoch, through, settled_through: at(20) }
    };
    store.claim(&leases.iter().map(claim).collect::<Vec<_>>()).await.unwrap();
    store
}

/// Runs in every state.
fn of_runs() -> Vec<Record> {
    let dead = outcome(RecordKind::Error, "b", at(42));
    let noted = outcome(RecordKind::Error, "b", at(43));
    let run = |phase, is_dead_letter| Some(RunState { phase, is_dead_letter, ..RunState::ended(entry_name()) });
    vec![
        started("b", at(41), 3),
        Record { run: run(RunState::ENDED, true), ..dead },
        Record { run: run(RunState::ENDED + 2, false), ..noted },
        asked_for(RecordKind::Success, "b", at(44)),
        asked_for(RecordKind::Started, "b", at(45)),
    ]
}

/// Two that a start may ask for, one that it does not, and a run that has not ended.
fn of_cleared() -> Vec<Record> {
    let [old, new] = [at(10), at(30)].map(|instant| outcome(RecordKind::Error, "cleared", instant));
    vec![old, new, asked_for(RecordKind::Success, "cleared", at(30)), started("cleared", at(8), 1)]
}

/// Results and pauses.
async fn fill_rest(store: &MemoryStore) {
    for number in 0..PIECES {
        let bytes = vec![u8::try_from(number).unwrap(); 10].into();
        store.put_piece(piece_run(), number, bytes).await.unwrap();
    }
    for name in RegisterName::ALL {
        assert!(store.set_register(name, &Registered { version: 1, text: name.as_str().to_owned() }).await.unwrap());
    }
    let pause = Pause { since: at(1), by: "who".into(), note: Some("why".into()) };
    let pauses = Pauses { version: 1, all: None, tags: [("tag".into(), pause)].into(), lifted: Vec::new() };
    assert!(store.set_pauses(&pauses).await.unwrap());
    assert!(store.set_pauses(&Pauses { version: 2, ..pauses }).await.unwrap());
}

fn piece_run() -> RunId {
    RunId::planned(&identity("b"), &entry_name(), at(44))
}

async fn pages_of(store: &impl MovableStore, kind: Kind) -> Vec<Page> {
    let mut pages = store.pages(kind, None);
    let mut all = Vec::new();
    while let Some(page) = pages.recv().await {
        all.push(page.unwrap());
    }
    all
}

async fn copy(source: &impl MovableStore, target: &impl MovableStore) {
    for kind in Kind::ALL {
        for page in pages_of(source, kind).await {
            target.restore(page.items).await.unwrap();
        }
    }
}

async fn tallies(store: &impl MovableStore) -> Vec<Tally> {
    let mut tallies = Vec::new();
    for kind in Kind::ALL {
        let mut tally = Tally::default();
        pages_of(store, kind).await.iter().for_each(|page| tally.add(&page.items));
        tallies.push(tally);
    }
    tallies
}

#[derive(Debug, PartialEq)]
struct Runs {
    all: Vec<Record>,
    dead_letters: Vec<Record>,
    unfinished: Vec<i64>,
    pieces: Vec<Option<bytes::Bytes>>,
    /// Number, who and why of each state of a task.
    states: Vec<(u64, Option<String>, Option<String>)>,
    pauses: Pauses,
}

async fn runs_of(store: &impl MovableStore) -> Runs {
    let query = RunQuery { limit: 2_000, ..RunQuery::default() };
    let dead_letters = store.runs(RunQuery { dead_letters: true, ..query.clone() }).await.unwrap().records;
    let mut all = store.runs(query).await.unwrap().records;
    // Of one instant, the order is the store's own.
    all.sort_by_key(|record| *record.id.as_bytes());
    let mut pieces = Vec::new();
    for number in 0..=PIECES {
        pieces.push(store.piece(piece_run(), number).await.unwrap());
    }
    let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
    let states = store.history_of(&identity("a"), None, 9).await.unwrap();
    let states = states.into_iter().map(|it| (it.number, text(it.by), text(it.note))).collect();
    let (unfinished, pauses) = (unfinished(store).await, store.pauses().await.unwrap());
    Runs { all, dead_letters, unfinished, pieces, states, pauses }
}

async fn everything_of(store: &impl MovableStore) -> Vec<(Vec<Record>, Vec<Outcome>, Timestamp)> {
    let mut all = Vec::new();
    for name in NAMES {
        let found = store.search(Search { limit: 2_000, ..all_of(name) }).await.unwrap();
        let outcomes = outcomes_of(store, name, at(20)).await;
        all.push((found.records, outcomes, deleted_through(store, name).await));
    }
    // A store may write a line break between two tokens as a space.
    let spaced = |record: &mut Record| record.source = record.source.replace('\n', " ").into();
    all.iter_mut().flat_map(|(records, ..)| records).for_each(spaced);
    all
}

pub(crate) async fn a_copy_of_a_store_holds_the_same(store: &impl MovableStore) {
    let (source, back) = (filled().await, MemoryStore::new());
    let counts: Vec<u64> = tallies(&source).await.iter().map(|tally| tally.count).collect();
    assert_eq!(counts, [7, 2, 2, RECORDS as u64 + 12, 2, PIECES.into(), 1, 2, 64]);
    assert_eq!(unfinished(&source).await, [8, 41, 45]);

    copy(&source, store).await;
    copy(store, &back).await;

    assert_eq!(tallies(store).await, tallies(&source).await);
    assert_eq!(tallies(&back).await, tallies(&source).await);
    assert_eq!(everything_of(store).await, everything_of(&source).await);
    assert_eq!(everything_of(&back).await, everything_of(&source).await);
    assert_eq!(runs_of(store).await, runs_of(&source).await);
    assert_eq!(runs_of(&back).await, runs_of(&source).await);
    let mut adapted = Adapted::default();
    pages_of(&source, Kind::Records).await.iter().for_each(|page| adapted.add(&page.items));
    pages_of(store, Kind::Records).await.iter().for_each(|page| adapted.subtract(&page.items));
    assert_eq!((adapted.count(), store.count_foreign().await.unwrap()), (0, 0));
    assert_eq!(store.count(Kind::Revisions).await.unwrap(), 7);
}

pub(crate) async fn a_node_goes_on_upon_a_copy(store: &impl MovableStore) {
    let source = filled().await;
    copy(&source, store).await;

    let before = store.leases().await.unwrap();
    let taken = store.take(ShardSet::ALL, "two").await.unwrap();

    let goes_on = |(before, taken): (&crate::model::Lease, &crate::model::Lease)| {
        taken.epoch > before.epoch && taken.claimed_through == before.claimed_through
    };
    assert_eq!(before, source.leases().await.unwrap());
    assert!(before.iter().zip(&taken).all(goes_on));
    let epoch = taken[0].epoch;
    assert_eq!(store.change(put(epoch, "a", Some(3), at(50))).await.unwrap(), 4);
    assert_eq!(store.change(put(epoch, "gone", None, at(50))).await.unwrap(), 2);
    store.append(vec![note(RecordKind::Delete, "cleared", at(50))]).await.unwrap();
    assert_eq!(kinds(store, all_of("cleared")).await, [RecordKind::Delete, RecordKind::Put]);
}

pub(crate) async fn a_copy_goes_on_after_any_page(store: &impl MovableStore) {
    copy(&filled().await, store).await;
    let whole = tallies(store).await;

    for (kind, whole) in Kind::ALL.into_iter().zip(whole) {
        let pages = pages_of(store, kind).await;
        assert!(kind != Kind::Records || pages.len() > 1);
        for last in 0..pages.len() {
            let target = MemoryStore::new();
            for page in &pages[..=last] {
                target.restore(page.items.clone()).await.unwrap();
            }
            let mut rest = store.pages(kind, Some(pages[last].after.clone()));
            while let Some(page) = rest.recv().await {
                target.restore(page.unwrap().items).await.unwrap();
            }
            let counted = if kind == Kind::Cleared { Kind::Records } else { kind };
            let mut tally = Tally::default();
            pages_of(&target, counted).await.iter().for_each(|page| tally.add(&page.items));
            assert_eq!(tally, whole, "{kind:?} after page {last}");
        }
    }
}

pub(crate) async fn a_copy_that_is_made_twice_changes_nothing(store: &impl MovableStore) {
    let source = filled().await;
    copy(&source, store).await;

    copy(&source, store).await;

    assert_eq!(tallies(store).await, tallies(&source).await);
    assert_eq!(everything_of(store).await, everything_of(&source).await);
}
