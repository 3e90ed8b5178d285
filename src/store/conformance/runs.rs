use super::*;
use crate::store::{Found, NewestRun, Retention, RunQuery};

const MONTH: i64 = 31 * 24 * 60 * 60;
/// More than a page of any store.
const STARTED_MANY: i64 = 1_200;

pub(super) fn of_task(name: &str) -> RunQuery {
    RunQuery { identity: Some(identity(name)), ..of_all() }
}

pub(super) fn of_all() -> RunQuery {
    RunQuery { limit: 100, ..RunQuery::default() }
}

/// The instants of the runs that are found, in seconds; all of them are on the page.
pub(super) async fn found(store: &impl Store, query: RunQuery) -> Vec<i64> {
    let found = store.runs(query).await.unwrap();
    assert_eq!((found.total, found.total_is_lower_bound), (found.records.len(), false));
    seconds(&found)
}

pub(super) fn seconds(found: &Found) -> Vec<i64> {
    found.records.iter().map(|record| (record.instant().millis() - T0) / 1_000).collect()
}

/// The instants of the runs that have not ended, in seconds, the earliest first.
pub(super) async fn unfinished(store: &impl Store) -> Vec<i64> {
    unfinished_of(store, ShardSet::ALL).await
}

async fn unfinished_of(store: &impl Store, shards: ShardSet) -> Vec<i64> {
    let mut pages = store.unfinished(shards);
    let mut all = Vec::new();
    while let Some(page) = pages.recv().await {
        for record in page.unwrap() {
            assert_eq!(record.kind, RecordKind::Started);
            all.push((record.instant().millis() - T0) / 1_000);
        }
    }
    all.sort_unstable();
    all
}

/// The same with something else in its document.
fn saying(record: Record, what: &str) -> Record {
    let source = format!("{{\"message\":[\"{what}\"],{}", &record.source[1..]).into();
    Record { source, ..record }
}

/// The same of another entry.
pub(super) fn of_entry(record: Record, name: &str) -> Record {
    let entry = EntryName::parse(name).unwrap();
    let settled = record.settled.map(|settled| Settled { entry: entry.clone(), ..settled });
    let id = match &settled {
        Some(settled) => RunId::planned(&record.identity, &entry, settled.stretch.last).into(),
        None => record.id,
    };
    let run = record.run.map(|run| RunState { entry: Some(entry.clone()), ..run });
    let source = record.source.replace(r#""key":"e""#, &format!(r#""key":"{name}""#)).into();
    Record { id, settled, run, source, ..record }
}

/// The same at another phase, and whether somebody has to deal with it.
pub(super) fn at_phase(record: Record, phase: u32, is_dead_letter: bool) -> Record {
    let run = record.run.map(|run| RunState { phase, is_dead_letter, ..run });
    Record { run, ..record }
}

pub(crate) async fn a_started_record_is_replaced_by_its_outcome(store: &impl Store) {
    let planned = started("a", at(1), 0);
    let asked = asked_for(RecordKind::Started, "a", at(2));
    store.append(vec![planned.clone(), asked.clone()]).await.unwrap();
    assert_eq!(store.search(all_of("a")).await.unwrap().records, [asked.clone(), planned]);
    assert_eq!(unfinished(store).await, [1, 2]);

    let of_asked = Record { id: asked.id, ..asked_for(RecordKind::Error, "a", at(2)) };
    let of_planned = recorded_at(at(9), outcome(RecordKind::Success, "a", at(1)));
    store.append(vec![of_planned.clone(), of_asked.clone()]).await.unwrap();

    assert_eq!(store.search(all_of("a")).await.unwrap().records, [of_planned.clone(), of_asked.clone()]);
    assert_eq!(store.runs(of_task("a")).await.unwrap().records, [of_asked, of_planned]);
    assert_eq!(unfinished(store).await, [0; 0]);
}

/// The records of a run, each of a later phase than the one before.
fn phases(name: &str) -> Vec<Record> {
    let ended = outcome(RecordKind::Error, name, at(1));
    let noted = saying(at_phase(ended.clone(), RunState::ENDED + 1, false), "noted");
    let begun = (0..3).map(|phase| saying(started(name, at(1), phase), &phase.to_string()));
    begun.chain([at_phase(ended, RunState::ENDED, true), noted]).collect()
}

pub(crate) async fn an_older_phase_never_replaces_a_newer_one(store: &impl Store) {
    let mut runs = Vec::new();
    for turn in 0..5 {
        let (mut one, mut other) = (phases(&format!("one {turn}")), phases(&format!("other {turn}")));
        one.rotate_left(turn);
        other.rotate_left(turn);
        other.reverse();
        runs.extend([one, other]);
    }

    // In one write, and in one for each turn.
    store.append(runs.concat()).await.unwrap();
    for turn in 0..5 {
        let renamed = |record: &Record| of_entry(record.clone(), "in turn");
        store.append(runs.iter().map(|run| renamed(&run[turn])).collect()).await.unwrap();
    }

    let all = store.runs(RunQuery { kinds: vec![RecordKind::Error], ..of_all() }).await.unwrap();
    assert_eq!((all.total, store.runs(of_all()).await.unwrap().total), (20, 20));
    let is_newest = |record: &Record| record.phase() == RunState::ENDED + 1 && record.source.contains("noted");
    assert!(all.records.iter().all(is_newest), "{:?}", all.records);
    assert_eq!(unfinished(store).await, [0; 0]);
    assert_eq!(outcomes_of(store, "one 3", at(0)).await.len(), 1);
}

pub(crate) async fn the_same_phase_replaces(store: &impl Store) {
    let [one, two, three] = ["one", "two", "three"].map(|what| saying(started("a", at(1), 3), what));
    let [ended, again] = ["ended", "again"].map(|what| saying(outcome(RecordKind::Error, "b", at(1)), what));

    store.append(vec![one, two, ended]).await.unwrap();
    store.append(vec![three.clone()]).await.unwrap();
    store.append(vec![again.clone()]).await.unwrap();

    assert_eq!(store.search(all_of("a")).await.unwrap().records, [three]);
    assert_eq!(store.search(all_of("b")).await.unwrap().records, [again]);
}

pub(crate) async fn an_instant_that_is_skipped_after_all_is_no_longer_started(store: &impl Store) {
    let skipped = stretch("a", at(1), at(1), 1);
    store.append(vec![started("a", at(1), 2)]).await.unwrap();

    store.append(vec![skipped.clone()]).await.unwrap();
    store.append(vec![started("a", at(1), 7)]).await.unwrap();

    assert_eq!(store.search(all_of("a")).await.unwrap().records, [skipped]);
    assert_eq!(store.runs(of_task("a")).await.unwrap().records, []);
    assert_eq!(unfinished(store).await, [0; 0]);
    assert_eq!(outcomes_of(store, "a", at(0)).await.len(), 1);
}

pub(crate) async fn a_started_record_settles_nothing(store: &impl Store) {
    let record = started("a", at(5), 1);
    store.append(vec![record.clone()]).await.unwrap();

    assert_eq!(outcomes_of(store, "a", at(0)).await, []);
    assert_eq!(store.last_fires(&identity("a"), &[&entry_name()], at(0)).await.unwrap(), [None]);
    assert_eq!(newest(store, "a", 0).await, None);
    let by_kind = Search { kind: Some(RecordKind::Started), ..all_of("a") };
    assert_eq!(store.search(by_kind).await.unwrap().records, std::slice::from_ref(&record));
    assert_eq!(store.search(all_of("a")).await.unwrap().records, [record]);
}

pub(super) async fn newest(store: &impl Store, name: &str, after: i64) -> Option<(i64, RecordKind)> {
    let entries = [(identity("nobody"), entry_name()), (identity(name), entry_name())];
    let newest = store.newest_runs(&entries, at(after)).await.unwrap();
    assert_eq!((newest.len(), newest[0]), (2, None));
    newest[1].map(|NewestRun { instant, kind }| ((instant.millis() - T0) / 1_000, kind))
}

/// Earlier versions wrote nothing of runs.
pub(crate) async fn an_outcome_that_says_nothing_of_its_run_is_of_one_that_has_ended(store: &impl Store) {
    let record = outcome(RecordKind::Success, "a", at(1));
    store.append(vec![Record { run: None, ..record.clone() }]).await.unwrap();

    assert_eq!(store.runs(of_task("a")).await.unwrap().records, std::slice::from_ref(&record));
    assert_eq!(store.run(&identity("a"), record.id.into()).await.unwrap(), Some(record.clone()));
    assert_eq!(store.search(all_of("a")).await.unwrap().records, [record]);
    assert_eq!(newest(store, "a", 0).await, Some((1, RecordKind::Success)));
}

pub(crate) async fn a_run_that_somebody_asked_for_settles_nothing(store: &impl Store) {
    let record = asked_for(RecordKind::Success, "a", at(5));
    store.append(vec![record.clone(), outcome(RecordKind::Error, "a", at(3))]).await.unwrap();

    assert_eq!(outcomes_of(store, "a", at(0)).await.len(), 1);
    assert_eq!(outcomes_of(store, "a", at(3)).await, []);
    assert_eq!(store.last_fires(&identity("a"), &[&entry_name()], at(0)).await.unwrap(), [Some(at(3))]);
    assert_eq!(store.runs(of_task("a")).await.unwrap().records[0], record);
    assert_eq!(newest(store, "a", 0).await, Some((5, RecordKind::Success)));
}

pub(crate) async fn a_run_is_found_by_its_id_as_soon_as_it_is_written(store: &impl Store) {
    let (planned, asked) = (outcome(RecordKind::Error, "a", at(1)), asked_for(RecordKind::Started, "a", at(2)));
    let put = note(RecordKind::Put, "a", at(3));
    let run = async |name: &str, record: &Record| store.run(&identity(name), record.id.into()).await.unwrap();
    store.append(vec![planned.clone()]).await.unwrap();
    assert_eq!(run("a", &planned).await, Some(planned.clone()));

    store.append(vec![put.clone(), asked.clone()]).await.unwrap();

    assert_eq!(run("a", &asked).await, Some(asked.clone()));
    assert_eq!(run("b", &asked).await, None);
    assert_eq!(run("a", &put).await, None);
    assert_eq!(run("a", &asked_for(RecordKind::Error, "a", at(2))).await, None);
    let again = at_phase(asked, 1, false);
    store.append(vec![again.clone()]).await.unwrap();
    assert_eq!(run("a", &again).await, Some(again));
}

pub(crate) async fn runs_that_have_not_ended_are_given_until_they_have(store: &impl Store) {
    assert_eq!(unfinished(store).await, [0; 0]);
    let many = (0..STARTED_MANY).map(|second| started("many", at(second), 0));
    store.append(many.chain([outcome(RecordKind::Success, "a", at(1))]).collect()).await.unwrap();
    store.append(vec![asked_for(RecordKind::Started, "a", at(MONTH)), started("a", at(MONTH + 1), 1)]).await.unwrap();
    let all: Vec<i64> = (0..STARTED_MANY).chain([MONTH, MONTH + 1]).collect();
    assert_eq!(unfinished(store).await, all);

    store.clear(&identity("a"), at(MONTH + 9)).await.unwrap();
    assert_eq!(unfinished(store).await, all);
    let ended = (0..STARTED_MANY - 1).map(|second| outcome(RecordKind::Success, "many", at(second)));
    store.append(ended.chain([outcome(RecordKind::Error, "a", at(MONTH + 1))]).collect()).await.unwrap();

    assert_eq!(unfinished(store).await, [STARTED_MANY - 1, MONTH]);
}

pub(crate) async fn runs_that_have_not_ended_are_those_of_the_shards_that_are_asked_for(store: &impl Store) {
    let [of_a, of_b] = ["a", "backup"].map(|name| ShardSet::of([Shard::of(&identity(name))]));
    let many = (0..STARTED_MANY).map(|second| started("a", at(second), 0));
    store.append(many.collect()).await.unwrap();
    let of_backup = [started("backup", at(5), 0), asked_for(RecordKind::Started, "backup", at(STARTED_MANY + 5))];
    store.append(of_backup.to_vec()).await.unwrap();

    assert_eq!(unfinished_of(store, of_b).await, [5, STARTED_MANY + 5]);
    assert_eq!(unfinished_of(store, of_a).await, (0..STARTED_MANY).collect::<Vec<_>>());
    assert!(unfinished_of(store, ShardSet::EMPTY).await.is_empty());
    assert_eq!(unfinished(store).await.len(), STARTED_MANY as usize + 2);
}

pub(crate) async fn the_newest_run_is_the_last_that_has_ended(store: &impl Store) {
    let records = vec![
        outcome(RecordKind::Success, "a", at(1)),
        // It ended later, but its instant is earlier.
        recorded_at(at(50), outcome(RecordKind::Success, "a", at(2))),
        outcome(RecordKind::Error, "a", at(3)),
        outcome(RecordKind::Missed, "a", at(4)),
        stretch("a", at(5), at(6), 2),
        started("a", at(7), 1),
        of_entry(outcome(RecordKind::Success, "a", at(8)), "other"),
        outcome(RecordKind::Success, "b", at(9)),
    ];
    store.append(records).await.unwrap();

    assert_eq!(newest(store, "a", 0).await, Some((3, RecordKind::Error)));
    assert_eq!(newest(store, "a", 2).await, Some((3, RecordKind::Error)));
    assert_eq!(newest(store, "a", 3).await, None);
    store.append(vec![asked_for(RecordKind::Success, "a", at(10))]).await.unwrap();
    store.clear(&identity("a"), at(20)).await.unwrap();
    // As are outcomes: what is fired next has to know it.
    assert_eq!(newest(store, "a", 0).await, Some((10, RecordKind::Success)));
}

pub(crate) async fn pruning_takes_no_run_that_has_not_ended(store: &impl Store) {
    let asked = asked_for(RecordKind::Started, "a", at(3));
    let records = vec![
        outcome(RecordKind::Success, "a", at(1)),
        started("a", at(2), 1),
        asked.clone(),
        started("cleared", at(4), 1),
        outcome(RecordKind::Success, "b", at(MONTH)),
    ];
    store.append(records).await.unwrap();
    store.clear(&identity("cleared"), at(9)).await.unwrap();
    let old = Retention { before: at(MONTH - 60), bytes_max: u64::MAX, step_max: 100 };
    let too_large = Retention { bytes_max: 1, ..old };

    for retention in [old, too_large, old] {
        store.prune(retention, at(MONTH + 9)).await.unwrap();
        assert_eq!(unfinished(store).await, [2, 3, 4]);
        assert_eq!(found(store, of_task("cleared")).await, [0; 0]);
    }
    let ended = Record { id: asked.id, ..asked_for(RecordKind::Success, "a", at(3)) };
    let rest = [outcome(RecordKind::Success, "a", at(2)), outcome(RecordKind::Success, "cleared", at(4))];
    store.append([rest.to_vec(), vec![ended]].concat()).await.unwrap();
    assert_eq!(found(store, of_all()).await.len(), 3);
    for _ in 0..3 {
        store.prune(too_large, at(MONTH + 9)).await.unwrap();
    }
    assert_eq!((found(store, of_all()).await, unfinished(store).await), (vec![], vec![]));
}
