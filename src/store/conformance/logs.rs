use super::*;
use crate::store::{CursorError, Found, LogCursor, LogPage, LogQuery, LogSort, StatusRange, StoreError, Within, Words};

const MONTH: i64 = 31 * 24 * 60 * 60;

/// The record of a fire of the entry `e`, with more members.
fn fire(name: &str, second: i64, more: serde_json::Value) -> Record {
    let record = outcome(RecordKind::Success, name, at(second));
    let more = more.to_string();
    let source = format!("{},{}", record.source.trim_end_matches('}'), &more[1..]).into();
    Record { source, ..record }
}

fn asked(change: impl FnOnce(&mut LogQuery)) -> LogQuery {
    let mut query = LogQuery { limit: LogQuery::LIMIT_MAX, sort: LogSort::TimeAsc, ..LogQuery::default() };
    change(&mut query);
    query
}

async fn page(store: &impl Store, query: &LogQuery, after: Option<&LogCursor>) -> LogPage {
    // As a client brings it.
    let after = after.map(|cursor| LogCursor::parse(&cursor.to_string(), query).unwrap());
    store.search_logs(query.clone(), after).await.unwrap()
}

/// The seconds of the records of a page.
fn seconds(page: &LogPage) -> Vec<i64> {
    page.records.iter().map(|record| (record.time.millis() - T0) / 1_000).collect()
}

async fn found(store: &impl Store, change: impl FnOnce(&mut LogQuery)) -> Vec<i64> {
    let page = page(store, &asked(change), None).await;
    assert_eq!((page.total.value, &page.next), (page.records.len(), &None));
    seconds(&page)
}

/// All pages, one after the other.
async fn all_pages(store: &impl Store, query: &LogQuery) -> Vec<Record> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = page(store, query, next.as_ref()).await;
        all.extend(page.records);
        next = page.next;
        if next.is_none() {
            return all;
        }
    }
}

pub(crate) async fn a_log_search_finds_whole_words_in_message_url_and_response(store: &impl Store) {
    let records = vec![
        fire("a", 1, json!({ "url": "https://api.Example.com:8443/v1/night-run?x=3.14" })),
        fire("a", 2, json!({ "message": ["dial tcp 10.0.0.7:80: connection refused", "second"] })),
        fire("b", 3, json!({ "response": { "error": "disk_full", "host": "node-1", "free": 0.5 } })),
        fire("b", 4, json!({ "response": "It's ÜBER full\non disk" })),
        fire("b", 5, json!({ "body": "example refused disk", "header": { "disk": "full" } })),
    ];
    store.append(records).await.unwrap();
    let words = async |text: &str| found(store, |query| query.filter.words = Words::parse(text).unwrap()).await;

    assert_eq!(words("example").await, [1]);
    assert_eq!(words("api.example.COM 8443").await, [1]);
    assert_eq!(words("14 night").await, [1]);
    assert_eq!(words("REFUSED").await, [2]);
    assert_eq!(words("10.0.0.7").await, [2]);
    assert_eq!(words("disk full").await, [3, 4]);
    assert_eq!(words("node").await, [3]);
    assert_eq!(words("über it").await, [4]);
    assert_eq!(words("on").await, [4]);
    assert_eq!(words("second tcp").await, [2]);
    assert_eq!(words("").await, [1, 2, 3, 4, 5]);
    for missing in ["exam", "refuse", "disk example", "ndisk", "success"] {
        assert!(words(missing).await.is_empty(), "{missing}");
    }
}

pub(crate) async fn a_log_search_keeps_to_tasks_entries_and_kinds(store: &impl Store) {
    let mut other_entry = outcome(RecordKind::Error, "a", at(3));
    other_entry.settled = Some(Settled { entry: EntryName::parse("E-e").unwrap(), stretch: Stretch::one(at(3)) });
    other_entry.source = other_entry.source.replace(r#""key":"e""#, r#""key":"E-e""#).into();
    let records = vec![
        outcome(RecordKind::Success, "a", at(1)),
        outcome(RecordKind::Error, "b-b", at(2)),
        other_entry,
        note(RecordKind::Put, "a", at(4)),
        outcome(RecordKind::Missed, "c", at(5)),
        callback(RecordKind::Success, "b", at(6)),
        callback(RecordKind::Started, "b", at(7)),
    ];
    store.append(records).await.unwrap();
    let entry = |name| EntryName::parse(name).unwrap();

    assert_eq!(found(store, |query| query.filter.identities = [identity("a")].into()).await, [1, 3, 4]);
    let two = [identity("b-b"), identity("c"), identity("b")];
    assert_eq!(found(store, |query| query.filter.identities = two.into()).await, [2, 5, 6, 7]);
    assert_eq!(found(store, |query| query.filter.entries = [entry("E-e"), entry("E")].into()).await, [3]);
    assert_eq!(found(store, |query| query.filter.entries = [entry("e")].into()).await, [1, 2, 5, 6, 7]);
    let kinds = [RecordKind::Error, RecordKind::Put];
    assert_eq!(found(store, |query| query.filter.kinds = kinds.into()).await, [2, 3, 4]);
    let both = found(store, |query| {
        query.filter.kinds = kinds.into();
        query.filter.identities = [identity("a")].into();
    });
    assert_eq!(both.await, [3, 4]);
}

pub(crate) async fn a_log_search_keeps_to_status_lateness_and_duration(store: &impl Store) {
    let records = vec![
        fire("a", 1, json!({ "status": 200, "lateness_ms": 3, "duration_ms": 40 })),
        fire("a", 2, json!({ "status": 404, "lateness_ms": 900, "duration_ms": 5 })),
        fire("a", 3, json!({ "status": 503, "lateness_ms": 3, "duration_ms": 30_000 })),
        note(RecordKind::Put, "a", at(4)),
    ];
    store.append(records).await.unwrap();
    let (not_found, class) = (StatusRange::one(404).unwrap(), |word| StatusRange::class(word).unwrap());

    assert_eq!(found(store, |query| query.filter.statuses = [not_found].into()).await, [2]);
    assert_eq!(found(store, |query| query.filter.statuses = [class("2xx"), not_found].into()).await, [1, 2]);
    assert_eq!(found(store, |query| query.filter.statuses = [class("5xx")].into()).await, [3]);
    let within = |gte, lte| Within { gte, lte };
    assert_eq!(found(store, |query| query.filter.lateness_ms = within(Some(4), None)).await, [2]);
    assert_eq!(found(store, |query| query.filter.duration_ms = within(Some(5), Some(40))).await, [1, 2]);
    assert_eq!(found(store, |query| query.filter.duration_ms = within(None, Some(4))).await, [0; 0]);
}

pub(crate) async fn a_log_search_finds_a_run_by_its_id(store: &impl Store) {
    let records = vec![outcome(RecordKind::Success, "a", at(1)), outcome(RecordKind::Success, "a", at(2))];
    store.append(records.clone()).await.unwrap();

    let page = page(store, &asked(|query| query.filter.run_id = Some(records[1].id)), None).await;

    // As it was stored, to the letter.
    assert_eq!(page.records, records[1..]);
    assert!(found(store, |query| query.filter.run_id = Some(RecordId::random())).await.is_empty());
}

pub(crate) async fn a_log_search_by_fire_time_finds_every_stretch_that_overlaps(store: &impl Store) {
    let records = vec![
        outcome(RecordKind::Success, "a", at(1)),
        stretch("a", at(2), at(6), 5),
        outcome(RecordKind::Success, "a", at(7)),
        note(RecordKind::Put, "a", at(4)),
    ];
    store.append(records).await.unwrap();
    // Callbacks belong to no instant.
    let begun = callback(RecordKind::Started, "a", at(4));
    store.append(vec![begun.clone()]).await.unwrap();
    let ended = Record { id: begun.id, ..callback(RecordKind::Success, "a", at(4)) };
    store.append(vec![ended, callback(RecordKind::Started, "a", at(5))]).await.unwrap();
    let within = async |gte: Option<i64>, lte: Option<i64>| {
        let range = Within { gte: gte.map(at), lte: lte.map(at) };
        found(store, |query| query.filter.fire_time = range).await
    };

    assert_eq!(within(Some(3), Some(4)).await, [6]);
    assert_eq!(within(Some(6), Some(7)).await, [6, 7]);
    assert_eq!(within(None, Some(2)).await, [1, 6]);
    assert_eq!(within(Some(7), None).await, [7]);
    let by_instant = found(store, |query| {
        query.filter.fire_time = Within { gte: Some(at(6)), lte: None };
        query.sort = LogSort::FireTimeDesc;
    });
    assert_eq!(by_instant.await, [7, 6]);
}

pub(crate) async fn a_log_search_keeps_to_the_time_of_the_record(store: &impl Store) {
    let almost = Timestamp::from_millis(at(3).millis() - 1);
    store.append(vec![note(RecordKind::Put, "a", at(1)), note(RecordKind::Put, "a", almost)]).await.unwrap();
    store.append(vec![note(RecordKind::Put, "b", at(3))]).await.unwrap();
    let within = async |gte: Option<Timestamp>, lte: Option<Timestamp>| {
        found(store, |query| query.filter.time = Within { gte, lte }).await
    };

    assert_eq!(within(Some(almost), None).await, [2, 3]);
    assert_eq!(within(Some(at(3)), None).await, [3]);
    assert_eq!(within(None, Some(almost)).await, [1, 2]);
    assert_eq!(within(Some(at(1)), Some(at(1))).await, [1]);
}

/// Records whose instants are not in the order in which they were recorded, in more than one month.
async fn append_out_of_order(store: &impl Store) {
    let recorded = |second: i64, fired: i64| {
        let record = outcome(RecordKind::Success, "a", at(fired));
        let source = record.source.replace(&at(fired).secs().to_string(), &at(second).secs().to_string()).into();
        Record { time: at(second), source, ..record }
    };
    let records = [
        recorded(MONTH + 4, 1),
        recorded(5, 2),
        recorded(MONTH + 6, MONTH + 3),
        note(RecordKind::Put, "b", at(7)),
        note(RecordKind::Running, "b", at(7)),
    ];
    for record in records {
        store.append(vec![record]).await.unwrap();
    }
}

pub(crate) async fn a_log_search_gives_every_order(store: &impl Store) {
    append_out_of_order(store).await;
    let by_time = [5, 7, 7, MONTH + 4, MONTH + 6];
    let by_instant = [MONTH + 4, 5, 7, 7, MONTH + 6];
    let order = async |sort: LogSort, limit: usize| {
        let records = all_pages(store, &LogQuery { sort, limit, ..LogQuery::default() }).await;
        let kinds: Vec<RecordKind> = records.iter().map(|record| record.kind).filter(|kind| !kind.is_fire()).collect();
        (seconds(&LogPage { records, ..LogPage::default() }), kinds)
    };
    let reversed = |seconds: [i64; 5]| seconds.iter().rev().copied().collect::<Vec<i64>>();
    let (put, running) = (RecordKind::Put, RecordKind::Running);

    for limit in [1, 2, 3, 5, 100] {
        assert_eq!(order(LogSort::TimeAsc, limit).await, (by_time.to_vec(), vec![put, running]));
        assert_eq!(order(LogSort::TimeDesc, limit).await, (reversed(by_time), vec![running, put]));
        assert_eq!(order(LogSort::FireTimeAsc, limit).await, (by_instant.to_vec(), vec![put, running]));
        assert_eq!(order(LogSort::FireTimeDesc, limit).await, (reversed(by_instant), vec![running, put]));
    }
}

pub(crate) async fn the_pages_of_a_cursor_show_the_state_at_the_first_page(store: &impl Store) {
    store.append((0..10).map(|second| outcome(RecordKind::Success, "a", at(10 * second))).collect()).await.unwrap();

    for (round, sort) in LogSort::ALL.into_iter().enumerate() {
        let query = LogQuery { sort, limit: 3, ..LogQuery::default() };
        let expected = all_pages(store, &LogQuery { limit: 100, ..query.clone() }).await;
        let first = page(store, &query, None).await;
        let (mut shown, mut next) = (first.records, first.next);
        let mut added = i64::try_from(round).unwrap();
        while let Some(cursor) = next {
            added += 4;
            // Before, between and behind those that were there.
            let (before, behind) = (-added, 100 + added);
            for second in [before, added, behind] {
                let name = format!("new {added}");
                store.append(vec![outcome(RecordKind::Success, &name, at(second))]).await.unwrap();
            }
            let page = page(store, &query, Some(&cursor)).await;
            assert_eq!(page.total.value, expected.len());
            shown.extend(page.records);
            next = page.next;
        }
        assert_eq!(shown, expected, "{sort:?}");
    }
}

pub(crate) async fn a_cursor_of_another_query_or_of_another_store_is_refused(store: &impl Store) {
    store.append((0..3).map(|second| note(RecordKind::Put, "a", at(second))).collect()).await.unwrap();
    let query = LogQuery { limit: 2, ..LogQuery::default() };
    let cursor = page(store, &query, None).await.next.unwrap().to_string();

    let other = asked(|query| query.filter.kinds = [RecordKind::Put].into());
    assert_eq!(LogCursor::parse(&cursor, &other), Err(CursorError::OtherQuery));
    let (head, place) =
        (cursor.splitn(3, '.').take(2).collect::<Vec<_>>().join("."), cursor.split('.').nth(2).unwrap());
    for foreign in
        ["", "other.1.2.3", place, &format!("{place}.1.2"), &format!("{place}.1.2.3.4.\"%"), "snapshot.1.2.3.4.AAAA"]
    {
        let forged = LogCursor::parse(&format!("{head}.{foreign}"), &query).unwrap();
        let refused = store.search_logs(query.clone(), Some(forged)).await;
        assert!(matches!(refused, Err(StoreError::Cursor(CursorError::Foreign))), "{foreign}: {refused:?}");
    }
    assert_eq!(page(store, &query, Some(&LogCursor::parse(&cursor, &query).unwrap())).await.records.len(), 1);
}

pub(crate) async fn cleared_records_are_in_no_log_search(store: &impl Store) {
    for name in ["a", "b", "c"] {
        store.append((0..3).map(|second| outcome(RecordKind::Success, name, at(second))).collect()).await.unwrap();
    }
    let names = |records: &[Record]| records.iter().map(|it| it.identity.as_str().to_owned()).collect::<String>();
    let query = LogQuery { limit: 4, sort: LogSort::TimeAsc, ..LogQuery::default() };

    store.clear(&identity("a"), at(5)).await.unwrap();
    store.append(vec![note(RecordKind::Put, "a", at(5))]).await.unwrap();
    let first = page(store, &query, None).await;
    store.clear(&identity("b"), at(6)).await.unwrap();
    let second = page(store, &query, first.next.as_ref()).await;

    assert_eq!((names(&first.records).as_str(), first.total.value), ("bcbc", 7));
    assert_eq!((names(&second.records).as_str(), second.next), ("ca", None));
    let named = [identity("a"), identity("b")];
    assert_eq!(found(store, |query| query.filter.identities = named.into()).await, [5]);
}

pub(crate) async fn a_log_search_counts_beyond_its_page_and_stops_counting(store: &impl Store) {
    let count = |number: usize| i64::try_from(number).unwrap();
    let records = (0..=Found::TOTAL_MAX).map(|number| outcome(RecordKind::Success, "a", at(count(number))));
    store.append(records.collect()).await.unwrap();
    let total = async |lte: i64| {
        let query = LogQuery { limit: 2, ..LogQuery::default() };
        let filter = crate::store::LogFilter { time: Within { gte: None, lte: Some(at(lte)) }, ..query.filter.clone() };
        let page = page(store, &LogQuery { filter, ..query }, None).await;
        assert_eq!(seconds(&page), [lte, lte - 1]);
        (page.total.value, page.total.is_lower_bound)
    };

    assert_eq!(total(8).await, (9, false));
    assert_eq!(total(count(Found::TOTAL_MAX) - 1).await, (Found::TOTAL_MAX, false));
    assert_eq!(total(count(Found::TOTAL_MAX)).await, (Found::TOTAL_MAX, true));
}

pub(crate) async fn a_log_search_in_an_empty_store_is_one_empty_page(store: &impl Store) {
    assert!(found(store, |_| ()).await.is_empty());
    assert!(found(store, |query| query.sort = LogSort::FireTimeDesc).await.is_empty());
}

pub(crate) async fn a_log_search_finds_runs_under_way_and_runs_that_somebody_asked_for(store: &impl Store) {
    let under_way = started("a", at(1), 1);
    let queued = recorded_at(at(5), asked_for(RecordKind::Started, "a", at(2)));
    let ended = recorded_at(at(6), asked_for(RecordKind::Error, "a", at(3)));
    store.append(vec![under_way.clone(), queued.clone(), ended, note(RecordKind::Put, "a", at(2))]).await.unwrap();
    let fire_time = |first, last| Within { gte: Some(at(first)), lte: Some(at(last)) };

    assert_eq!(found(store, |query| query.filter.kinds = [RecordKind::Started].into()).await, [1, 5]);
    assert_eq!(found(store, |query| query.filter.entries = [entry_name()].into()).await, [1, 5, 6]);
    assert_eq!(found(store, |query| query.filter.fire_time = fire_time(2, 3)).await, [5, 6]);
    assert_eq!(found(store, |query| query.filter.fire_time = fire_time(0, 1)).await, [1]);
    assert_eq!(found(store, |query| query.sort = LogSort::FireTimeAsc).await[0], 1);
    assert_eq!(found(store, |query| query.sort = LogSort::FireTimeAsc).await[3], 6);
    for record in [under_way, queued] {
        let page = page(store, &asked(|query| query.filter.run_id = Some(record.id)), None).await;
        assert_eq!(page.records, [record]);
    }
}

pub(crate) async fn a_log_search_keeps_to_the_tasks_that_prefixes_cover_on_every_page(store: &impl Store) {
    let names = ["a/1", "b/1", "a/2", "A/1", "é\u{0}x", "a", "b/2", "a/3", "é"];
    let record = |(name, second): (&&str, i64)| outcome(RecordKind::Success, name, at(second));
    store.append(names.iter().zip(1..).map(record).collect()).await.unwrap();
    let covered = |prefixes: &[&str]| {
        let prefixes = Prefixes::parse(prefixes).unwrap();
        move |query: &mut LogQuery| query.filter.prefixes = prefixes
    };

    assert_eq!(found(store, covered(&["a/"])).await, [1, 3, 8]);
    assert_eq!(found(store, covered(&["b/", "a/2"])).await, [2, 3, 7]);
    assert_eq!(found(store, covered(&["é\u{0}"])).await, [5]);
    assert!(found(store, covered(&["a/1/"])).await.is_empty());
    let of_another = found(store, |query| {
        covered(&["a/"])(query);
        query.filter.identities = [identity("b/1")].into();
    });
    assert!(of_another.await.is_empty());
    let two_a_page = LogQuery { limit: 2, ..asked(covered(&["a/", "b/"])) };
    let seconds: Vec<i64> =
        all_pages(store, &two_a_page).await.iter().map(|it| (it.time.millis() - T0) / 1_000).collect();
    assert_eq!(seconds, [1, 2, 3, 7, 8]);
    let first = page(store, &two_a_page, None).await;
    assert_eq!(first.total.value, 5);
    let wider = asked(covered(&["a/", "b/", "é"]));
    assert!(
        LogCursor::parse(&first.next.unwrap().to_string(), &wider).is_err(),
        "a cursor is for who knows of the same tasks"
    );
}
