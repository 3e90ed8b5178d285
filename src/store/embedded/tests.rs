use super::*;
use crate::model::RecordKind;
use crate::store::conformance::{self, store_conformance};

fn open_new() -> (Embedded, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Embedded::open(folder.path()).unwrap(), folder)
}

store_conformance!(open_new());

fn refusal(path: &Path) -> String {
    Embedded::open(path).err().expect("it is refused").to_string()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_reopen() {
    let (store, folder) = open_new();
    store.note(vec![conformance::note(RecordKind::Put, "a", conformance::at(0))]).await.unwrap();
    store.close().await.unwrap();

    let store = Embedded::open(folder.path()).unwrap();

    assert_eq!(conformance::kinds(&store, conformance::all_of("a")).await, [RecordKind::Put]);
}

#[tokio::test]
async fn pruning_takes_each_record_when_it_is_old_and_settled() {
    use conformance::{all_of, at, deleted_through, identity, outcome, outcomes_of};
    let (store, _folder) = open_new();
    store.append((0..10).map(|second| outcome(RecordKind::Success, "a", at(second))).collect()).await.unwrap();
    store.append(vec![outcome(RecordKind::Success, "b", at(8))]).await.unwrap();
    store.clear(&identity("b"), at(9)).await.unwrap();
    let retention = Retention { before: at(5), bytes_max: u64::MAX, step_max: 100 };

    let pruned = store.prune(retention, at(3)).await.unwrap();
    assert_eq!(pruned, Pruned { records: 4, more: false });
    assert_eq!(deleted_through(&store, "a").await, at(3));
    let pruned = store.prune(retention, at(9)).await.unwrap();

    assert_eq!(pruned, Pruned { records: 2, more: false });
    assert_eq!(store.search(all_of("a")).await.unwrap().total, 5);
    assert_eq!(deleted_through(&store, "a").await, at(4));
    assert!(outcomes_of(&store, "b", at(0)).await.is_empty());
}

#[tokio::test]
async fn a_second_opening_is_refused_with_the_process_that_has_it() {
    let (_store, folder) = open_new();

    let refusal = refusal(folder.path());

    assert!(refusal.contains(&format!("is in use by process {}", std::process::id())), "{refusal}");
}

#[tokio::test]
async fn a_reader_works_beside_the_writer_and_cannot_write() {
    let (store, folder) = open_new();
    let reader = Embedded::open_read_only(folder.path()).unwrap();

    store.note(vec![conformance::note(RecordKind::Put, "a", conformance::at(0))]).await.unwrap();

    assert_eq!(conformance::kinds(&reader, conformance::all_of("a")).await, [RecordKind::Put]);
    assert!(matches!(reader.append(Vec::new()).await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn a_file_of_a_newer_version_or_of_another_program_is_refused() {
    let (store, folder) = open_new();
    store.close().await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("schedule.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    assert!(refusal(folder.path()).contains("newer version of this program (format 99"), "{}", refusal(folder.path()));

    database.pragma_update(None, "application_id", 7).unwrap();
    assert!(refusal(folder.path()).contains("belongs to another program"));
}

#[test]
fn a_file_that_is_no_database_and_a_folder_that_cannot_be_made_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schedule.db"), "this is no database, but it is longer than its header").unwrap();

    assert_eq!(refusal(folder.path()), "stored database cannot be read");
    assert!(refusal(&folder.path().join("schedule.db/x")).contains("cannot make the folder"));
    assert!(matches!(Embedded::open_read_only(&folder.path().join("none")), Err(StoreError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_share_commits() {
    let (store, _folder) = open_new();
    let epoch = conformance::take(&store, "a").await;
    let Some(writer) = &store.writer else { unreachable!() };
    let before = writer.commits.load(Ordering::Relaxed);
    let put = |number: usize| {
        let store = store.clone();
        async move { store.change(conformance::put(epoch, &format!("t{number}"), None, conformance::at(0))).await }
    };

    let results = futures_util::future::join_all((0..1_000).map(put)).await;

    assert!(results.iter().all(Result::is_ok));
    let commits = writer.commits.load(Ordering::Relaxed) - before;
    assert!(commits <= 500, "{commits} commits for 1,000 changes");
}

#[tokio::test]
async fn one_failed_request_does_not_undo_the_others_of_its_transaction() {
    let (store, _folder) = open_new();
    let epoch = conformance::take(&store, "a").await;
    let change = |name: &str, replaces| store.change(conformance::put(epoch, name, replaces, conformance::at(0)));

    let (good, bad, other) = futures_util::join!(change("a", None), change("b", Some(9)), change("c", None));

    assert!(good.is_ok() && other.is_ok() && matches!(bad, Err(StoreError::Conflict { .. })));
    assert_eq!(conformance::revisions(&store, Timestamp::EPOCH).await.len(), 2);
}

#[test]
fn a_commit_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let database = Folder::lock(folder.path()).unwrap().connect_for_writing().unwrap();
    let pragma =
        |name: &str| database.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();

    // 2 is FULL: in WAL mode the log is synced before each commit returns.
    assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".to_owned()));
}

#[tokio::test]
async fn a_clear_leaves_no_mark_once_its_rows_are_gone() {
    let (store, folder) = open_new();
    let (a, at) = (conformance::identity("a"), conformance::at);
    store.append(vec![conformance::outcome(RecordKind::Success, "a", at(1))]).await.unwrap();
    store.clear(&a, at(5)).await.unwrap();
    let database = Folder::existing(folder.path()).unwrap().connect_for_reading().unwrap();
    let marks =
        || database.query_row("SELECT count(*) FROM deletions WHERE seq > 0", [], |row| row.get::<_, u64>(0)).unwrap();
    let retention = Retention { before: at(0), bytes_max: u64::MAX, step_max: 100 };

    assert_eq!(store.prune(retention, at(0)).await.unwrap().records, 0);
    assert_eq!(marks(), 1);
    assert_eq!(store.prune(retention, at(5)).await.unwrap().records, 1);
    assert_eq!(marks(), 0);

    assert_eq!(conformance::deleted_through(&store, "a").await, at(5));
}

#[tokio::test]
async fn a_log_search_ends_a_page_after_so_many_bytes_and_goes_on_from_there() {
    let (store, folder) = open_new();
    let of = |second: i64| conformance::outcome(RecordKind::Success, "a", conformance::at(second));
    let needle = |record: Record| Record { source: record.source.replace('{', r#"{"url":"needle","#).into(), ..record };
    let records = (0..40).map(|second| if second % 10 == 0 { needle(of(second)) } else { of(second) });
    store.append(records.collect()).await.unwrap();
    let database = Folder::existing(folder.path()).unwrap().connect_for_reading().unwrap();
    let mut query = LogQuery { limit: 3, ..LogQuery::default() };
    query.filter.words = crate::store::Words::parse("needle").unwrap();
    let (mut pages, mut next, mut found) = (0, None, Vec::new());

    loop {
        let page = logs::search(&database, &query, next.as_ref(), 2_000).unwrap();
        assert!(page.total.is_lower_bound && page.total.value <= 4, "{:?}", page.total);
        pages += 1;
        found.extend(page.records);
        next = page.next;
        if next.is_none() {
            break;
        }
    }

    let seconds: Vec<i64> = found.iter().map(|record| record.time.secs() % 100).collect();
    assert_eq!(seconds, [30, 20, 10, 0]);
    assert!(pages > 4, "{pages}");
}

#[tokio::test]
async fn a_page_of_all_logs_is_found_by_an_index_in_every_order() {
    let (_store, folder) = open_new();
    let database = Folder::existing(folder.path()).unwrap().connect_for_reading().unwrap();

    for sort in crate::store::LogSort::ALL {
        let all = LogQuery { sort, limit: 1, ..LogQuery::default() };
        let (mut of_kind, mut of_task) = (all.clone(), all.clone());
        of_kind.filter.kinds = [RecordKind::Error].into();
        of_task.filter.identities = [conformance::identity("a")].into();

        for query in [all, of_kind] {
            let plan = logs::plan(&database, &query).join("; ");
            assert!(plan.contains("USING INDEX history_") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        let plan = logs::plan(&database, &of_task).join("; ");
        assert!(plan.contains("INDEX history_time (identity=?)"), "{plan}");
    }
}

/// A row of a version that knew nothing of runs; without an instant it is of a change.
fn insert_old(database: &rusqlite::Connection, id: &[u8], kind: RecordKind, name: &str, instant: Option<i64>) {
    let sql = "INSERT INTO history (id, identity, kind, entry, first, last, count, time, source)
               VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, coalesce(?5, 0), '{}')";
    let (entry, count) = (instant.map(|_| "e"), instant.map(|_| 1));
    let instant = instant.map(|second| conformance::at(second).millis());
    database.execute(sql, rusqlite::params![id, name, history::kind_code(kind), entry, instant, count]).unwrap();
}

#[tokio::test]
async fn a_store_of_an_earlier_version_gets_the_newer_tables_with_all_that_is_in_it() {
    for version in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let mut database = Folder::lock(folder.path()).unwrap().connect_for_writing().unwrap();
        schema::step_up(&mut database, 0, version).unwrap();
        insert_old(&database, &[1; 16], RecordKind::Success, "a", Some(1));
        insert_old(&database, &[2; 16], RecordKind::Missed, "a", Some(2));
        // A change that was written twice.
        insert_old(&database, &[3; 16], RecordKind::Put, "a", None);
        insert_old(&database, &[3; 16], RecordKind::Put, "a", None);
        drop(database);

        let store = Embedded::open(folder.path()).unwrap();

        let query = LogQuery { limit: 9, ..LogQuery::default() };
        assert_eq!(store.search_logs(query, None).await.unwrap().records.len(), 3);
        let query = RunQuery { limit: 9, ..RunQuery::default() };
        let runs = store.runs(query).await.unwrap().records;
        let ended = crate::model::RunState::ended(conformance::entry_name());
        assert_eq!((runs.len(), &runs[0].run), (1, &Some(ended)));
        assert_eq!(conformance::outcomes_of(&store, "a", conformance::at(0)).await.len(), 2);
        assert_eq!(store.run(&conformance::identity("a"), runs[0].id.into()).await.unwrap().as_ref(), Some(&runs[0]));
    }
}

#[tokio::test]
async fn a_store_of_the_version_before_the_register_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Folder::lock(folder.path()).unwrap().connect_for_writing().unwrap();
    schema::step_up(&mut database, 0, 3).unwrap();
    drop(database);

    let store = Embedded::open(folder.path()).unwrap();

    let first = Registered { version: 1, text: "first".to_owned() };
    assert!(store.set_register(RegisterName::Cluster, &first).await.unwrap());
    assert_eq!(store.register(RegisterName::Cluster).await.unwrap(), Some(first));
}

#[tokio::test]
async fn runs_are_listed_in_the_order_of_an_index() {
    let (_store, folder) = open_new();
    let database = Folder::existing(folder.path()).unwrap().connect_for_reading().unwrap();
    let all = RunQuery { limit: 9, ..RunQuery::default() };
    let of_task = RunQuery { identity: Some(conformance::identity("a")), ..all.clone() };
    let of_entry = RunQuery { entry: Some(conformance::entry_name()), ..of_task.clone() };
    let within =
        |query: &RunQuery| RunQuery { since: Some(Timestamp::EPOCH), until: Some(Timestamp::EPOCH), ..query.clone() };
    let of_kinds = |query: &RunQuery, kinds: &[RecordKind]| RunQuery { kinds: kinds.to_vec(), ..query.clone() };
    let dead = |query: &RunQuery| RunQuery { dead_letters: true, ..query.clone() };
    let (error, started) = ([RecordKind::Error], [RecordKind::Started]);

    for (query, index) in [
        (all.clone(), "history USING INDEX history_instant"),
        (within(&all), "history USING INDEX history_instant (<expr>>? AND <expr><?)"),
        (of_kinds(&all, &error), "history USING INDEX history_instant"),
        // Of a task: one after the other of its entries.
        (of_task.clone(), "history USING COVERING INDEX history_run (identity=? AND entry=?)"),
        (of_entry.clone(), "history USING COVERING INDEX history_run (identity=? AND entry=?)"),
        (of_kinds(&of_entry, &error), "history USING COVERING INDEX history_run (identity=? AND entry=?)"),
        (within(&of_entry), "USING COVERING INDEX history_run (identity=? AND entry=? AND last>? AND last<?)"),
        (of_kinds(&all, &started), "history USING INDEX history_started"),
        (of_kinds(&of_entry, &started), "history USING INDEX history_started"),
        (dead(&all), "history USING INDEX history_dead_letters"),
        (dead(&within(&of_entry)), "history USING INDEX history_dead_letters (last>? AND last<?)"),
    ] {
        let [page, count] = runs::plan(&database, &query);
        assert!(page.contains(index) && !page.contains("TEMP B-TREE"), "{query:?}: {page}");
        // In any order, so the index that holds most of what is asked for serves best.
        assert!(count.contains("INDEX history_") && !count.contains("TEMP B-TREE"), "{query:?}: {count}");
    }
    let [newest, unended, one] = runs::other_plans(&database);
    assert!(newest.contains("COVERING INDEX history_run (identity=? AND entry=? AND last>?)"), "{newest}");
    assert!(unended.contains("USING INDEX history_started") && !unended.contains("TEMP B-TREE"), "{unended}");
    assert!(one.contains("USING INDEX history_id (id=?)"), "{one}");
    let mut by_id = LogQuery { limit: 1, ..LogQuery::default() };
    by_id.filter.run_id = Some(crate::model::RecordId::random());
    let plan = logs::plan(&database, &by_id).join("; ");
    assert!(plan.contains("USING INDEX history_id (id=?)") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[tokio::test]
async fn the_runs_of_a_task_are_merged_from_those_of_its_entries() {
    use conformance::{asked_for, at, identity};
    let (store, _folder) = open_new();
    let records = (0..60).map(|second| {
        let entry = EntryName::parse(&format!("entry {}", second * 7 % 11)).unwrap();
        let record = asked_for(RecordKind::Success, "a", at(second));
        Record { run: Some(crate::model::RunState::ended(entry)), ..record }
    });
    store.append(records.collect()).await.unwrap();

    for (skip, limit) in [(0, 1), (0, 7), (5, 20), (55, 20), (59, 1), (60, 5), (0, 100), (usize::MAX, usize::MAX)] {
        let query = RunQuery { identity: Some(identity("a")), skip, limit, ..RunQuery::default() };
        let found = store.runs(query).await.unwrap();
        let seconds: Vec<i64> =
            found.records.iter().map(|it| (it.instant().millis() - at(0).millis()) / 1_000).collect();
        let expected: Vec<i64> = (0..60).rev().skip(skip).take(limit).collect();
        assert_eq!((seconds, found.total), (expected, 60), "{skip} {limit}");
    }
}

#[tokio::test]
async fn results_have_a_limit_of_their_own_and_leave_no_more_than_it() {
    let (store, folder) = open_new();
    let run = |second| crate::model::RunId::asked(conformance::at(second));
    store.append(vec![conformance::outcome(RecordKind::Success, "a", conformance::at(1))]).await.unwrap();
    for second in 0..40 {
        store.put_piece(run(second), 0, vec![7; crate::store::RESULT_PIECE].into()).await.unwrap();
    }
    let (before, size) = (Timestamp::EPOCH, store.size().await.unwrap());

    // More than the history may take, but the history takes less.
    let retention = Retention { before, bytes_max: 1024 * 1024, step_max: 100 };
    assert_eq!(store.prune(retention, conformance::at(9)).await.unwrap().records, 0);
    let pruned = store.prune_results(before, 10 * crate::store::RESULT_PIECE as u64 + 1, 100).await.unwrap();
    assert_eq!(pruned, Pruned { records: 30, more: false });
    let pruned = store.prune_results(before, 0, 100).await.unwrap();
    assert_eq!(pruned, Pruned { records: 10, more: false });

    let database = Folder::existing(folder.path()).unwrap().connect_for_reading().unwrap();
    assert_eq!(results::bytes(&database).unwrap(), 0);
    store.close().await.unwrap();
    drop(store);
    let file = std::fs::metadata(folder.path().join("schedule.db")).unwrap().len();
    assert!(file < size / 2, "{file} of {size} bytes");
}
