use super::runs::{at_phase, found, newest, of_all, of_entry, of_task, seconds, unfinished};
use super::*;
use crate::store::{Found, Retention, RunQuery};

const MONTH: i64 = 31 * 24 * 60 * 60;

pub(crate) async fn runs_are_listed_newest_instant_first_in_pages(store: &impl Store) {
    // Recorded in another order than that of their instants, in two months, of two tasks and two entries.
    let late = recorded_at(at(MONTH + 90), outcome(RecordKind::Success, "a", at(1)));
    let other_entry = of_entry(outcome(RecordKind::Error, "a", at(MONTH + 2)), "other");
    let records = vec![
        late,
        outcome(RecordKind::Success, "b", at(MONTH + 4)),
        asked_for(RecordKind::Success, "a", at(MONTH + 3)),
        of_entry(asked_for(RecordKind::Started, "a", at(3)), "other"),
        other_entry,
        started("b", at(2), 1),
        started("a", at(MONTH + 1), 1),
    ];
    store.append(records).await.unwrap();
    let page = async |query: RunQuery, skip: usize, limit: usize| {
        let page = store.runs(RunQuery { skip, limit, ..query }).await.unwrap();
        assert!(!page.total_is_lower_bound);
        (seconds(&page), page.total)
    };

    let all = [MONTH + 4, MONTH + 3, MONTH + 2, MONTH + 1, 3, 2, 1];
    for (query, all) in [(of_all(), &all[..]), (of_task("a"), &[MONTH + 3, MONTH + 2, MONTH + 1, 3, 1])] {
        assert_eq!(page(query.clone(), 0, 100).await, (all.to_vec(), all.len()));
        assert_eq!(page(query.clone(), 1, 3).await, (all[1..4].to_vec(), all.len()));
        assert_eq!(page(query.clone(), all.len() - 1, 3).await, (all[all.len() - 1..].to_vec(), all.len()));
        assert_eq!(page(query, 50, 3).await, (vec![], all.len()));
    }
    let of_entry = RunQuery { entry: Some(entry_name()), ..of_task("a") };
    assert_eq!(page(of_entry.clone(), 0, 2).await, (vec![MONTH + 3, MONTH + 1], 3));
    assert_eq!(page(of_entry, 2, 2).await, (vec![1], 3));
}

pub(crate) async fn runs_are_listed_by_task_entry_kind_and_instant(store: &impl Store) {
    let records = vec![
        outcome(RecordKind::Success, "a", at(1)),
        outcome(RecordKind::Error, "a", at(2)),
        asked_for(RecordKind::Success, "a", at(3)),
        of_entry(outcome(RecordKind::Error, "a", at(4)), "E"),
        started("a", at(5), 0),
        outcome(RecordKind::Error, "a-a", at(6)),
        asked_for(RecordKind::Started, "A", at(7)),
    ];
    store.append(records).await.unwrap();
    let entry = |name| Some(EntryName::parse(name).unwrap());
    let kinds = |kinds: &[RecordKind], query: RunQuery| RunQuery { kinds: kinds.to_vec(), ..query };
    let within = |since: Option<i64>, until: Option<i64>, query: RunQuery| RunQuery {
        since: since.map(at),
        until: until.map(at),
        ..query
    };
    let (error, begun) = (RecordKind::Error, RecordKind::Started);
    let of_e = RunQuery { entry: entry("e"), ..of_task("a") };

    assert_eq!(found(store, of_task("a")).await, [5, 4, 3, 2, 1]);
    assert_eq!(found(store, of_task("a-a")).await, [6]);
    assert_eq!(found(store, of_e.clone()).await, [5, 3, 2, 1]);
    assert_eq!(found(store, RunQuery { entry: entry("E"), ..of_task("a") }).await, [4]);
    assert_eq!(found(store, RunQuery { entry: entry("E"), ..of_all() }).await, [4]);
    assert_eq!(found(store, kinds(&[error], of_all())).await, [6, 4, 2]);
    assert_eq!(found(store, kinds(&[error], of_task("a"))).await, [4, 2]);
    assert_eq!(found(store, kinds(&[error], of_e.clone())).await, [2]);
    assert_eq!(found(store, kinds(&[begun], of_all())).await, [7, 5]);
    assert_eq!(found(store, kinds(&[begun], of_e.clone())).await, [5]);
    assert_eq!(found(store, kinds(&[error, begun], of_all())).await, [7, 6, 5, 4, 2]);
    for (query, all) in
        [(of_all(), vec![7, 6, 5, 4, 3, 2, 1]), (of_task("a"), vec![5, 4, 3, 2, 1]), (of_e, vec![5, 3, 2, 1])]
    {
        let of = |since, until| all.iter().copied().filter(|it| (since..=until).contains(it)).collect::<Vec<i64>>();
        assert_eq!(found(store, within(Some(2), Some(5), query.clone())).await, of(2, 5));
        assert_eq!(found(store, within(Some(3), None, query.clone())).await, of(3, 9));
        assert_eq!(found(store, within(None, Some(2), query.clone())).await, of(0, 2));
        assert_eq!(found(store, within(Some(3), Some(2), query)).await, [0; 0]);
    }
    let since = Timestamp::from_millis(at(6).millis() + 1);
    assert_eq!(found(store, kinds(&[begun], RunQuery { since: Some(since), ..of_all() })).await, [7]);
}

pub(crate) async fn only_runs_are_listed(store: &impl Store) {
    let ended = callback(RecordKind::Error, "a", at(5));
    let begun = callback(RecordKind::Started, "a", at(7));
    let records = vec![
        note(RecordKind::Put, "a", at(0)),
        stretch("a", at(1), at(3), 3),
        outcome(RecordKind::Missed, "a", at(4)),
        ended.clone(),
        begun.clone(),
        outcome(RecordKind::Success, "a", at(6)),
    ];
    store.append(records).await.unwrap();

    assert_eq!(found(store, of_task("a")).await, [6]);
    assert_eq!(found(store, of_all()).await, [6]);
    assert_eq!(unfinished(store).await, [7]);
    for kind in [RecordKind::Error, RecordKind::Started] {
        assert_eq!(found(store, RunQuery { kinds: vec![kind], ..of_all() }).await, [0; 0]);
    }
    assert_eq!(newest(store, "a", 0).await, Some((6, RecordKind::Success)));
    for id in [ended.id, begun.id, RunId::planned(&identity("a"), &entry_name(), at(3)).into()] {
        assert_eq!(store.run(&identity("a"), id.into()).await.unwrap(), None);
    }
    let by_kind = Search { kind: Some(RecordKind::Error), ..all_of("a") };
    assert_eq!(store.search(by_kind).await.unwrap().records, [ended]);
}

pub(crate) async fn a_listing_of_runs_stops_counting(store: &impl Store) {
    let count = i64::try_from(Found::TOTAL_MAX).unwrap();
    let runs = (0..=count).map(|second| outcome(RecordKind::Success, "a", at(second)));
    store.append(runs.collect()).await.unwrap();
    let of_entry = RunQuery { entry: Some(entry_name()), ..of_task("a") };

    for query in [of_all(), of_task("a"), of_entry] {
        let total = async |since: i64| {
            let query = RunQuery { since: Some(at(since)), limit: 2, ..query.clone() };
            let found = store.runs(query).await.unwrap();
            assert_eq!(seconds(&found), [count, count - 1]);
            (found.total, found.total_is_lower_bound)
        };
        assert_eq!(total(count - 8).await, (9, false));
        assert_eq!(total(1).await, (Found::TOTAL_MAX, false));
        assert_eq!(total(0).await, (Found::TOTAL_MAX, true));
    }
}

pub(crate) async fn a_listing_of_runs_leaves_out_what_is_large_and_a_run_by_its_name_does_not(store: &impl Store) {
    let plain = outcome(RecordKind::Error, "a", at(1));
    let large = r#""header":{"X":"1"},"body":{"n":[1.50]},"response":"much","#;
    let source: Box<str> = format!("{{{large}{}", &plain.source[1..]).into();
    let whole = at_phase(Record { source, ..plain.clone() }, RunState::ENDED, true);
    store.append(vec![whole.clone()]).await.unwrap();

    for query in [of_all(), of_task("a"), RunQuery { dead_letters: true, ..of_all() }] {
        let listed = store.runs(query).await.unwrap().records;
        assert_eq!(listed, [Record { source: plain.source.clone(), ..whole.clone() }]);
    }
    assert_eq!(store.run(&identity("a"), whole.id.into()).await.unwrap(), Some(whole));
}

pub(crate) async fn dead_letters_are_listed_until_somebody_deals_with_them(store: &impl Store) {
    let dead = |record: Record| at_phase(record, RunState::ENDED, true);
    let planned = dead(outcome(RecordKind::Error, "a", at(1)));
    let asked = dead(asked_for(RecordKind::Error, "a", at(2)));
    let other = dead(of_entry(outcome(RecordKind::Error, "b", at(3)), "other"));
    let alive = outcome(RecordKind::Error, "a", at(4));
    store.append(vec![started("a", at(1), 2), planned.clone(), asked.clone(), other, alive]).await.unwrap();
    let dead_letters = |query: RunQuery| RunQuery { dead_letters: true, ..query };

    assert_eq!(found(store, dead_letters(of_all())).await, [3, 2, 1]);
    assert_eq!(store.runs(dead_letters(of_task("a"))).await.unwrap().records, [asked.clone(), planned.clone()]);
    let other_entry = RunQuery { entry: Some(EntryName::parse("other").unwrap()), ..of_all() };
    assert_eq!(found(store, dead_letters(other_entry)).await, [3]);
    assert_eq!(found(store, dead_letters(RunQuery { since: Some(at(2)), until: Some(at(2)), ..of_all() })).await, [2]);
    let page = store.runs(dead_letters(RunQuery { skip: 1, limit: 1, ..of_all() })).await.unwrap();
    assert_eq!((seconds(&page), page.total), (vec![2], 3));

    store.append(vec![at_phase(planned.clone(), RunState::ENDED + 1, false)]).await.unwrap();
    // A writer that tries again what was written long ago.
    store.append(vec![planned]).await.unwrap();

    assert_eq!(found(store, dead_letters(of_all())).await, [3, 2]);
    assert_eq!(found(store, of_task("a")).await, [4, 2, 1]);
    store.clear(&identity("a"), at(9)).await.unwrap();
    assert_eq!(found(store, dead_letters(of_all())).await, [3]);
}

pub(crate) async fn a_clear_hides_runs_until_they_are_written_again(store: &impl Store) {
    let (under_way, ended) = (started("a", at(1), 1), outcome(RecordKind::Error, "a", at(2)));
    let asked = asked_for(RecordKind::Started, "a", at(3));
    let queued = asked_for(RecordKind::Started, "a", at(4));
    let records = vec![under_way.clone(), ended.clone(), asked.clone(), queued, outcome(RecordKind::Error, "b", at(2))];
    store.append(records).await.unwrap();

    store.clear(&identity("a"), at(9)).await.unwrap();
    assert_eq!(found(store, of_task("a")).await, [0; 0]);
    assert_eq!(found(store, RunQuery { entry: Some(entry_name()), ..of_task("a") }).await, [0; 0]);
    assert_eq!(found(store, RunQuery { kinds: vec![RecordKind::Started], ..of_all() }).await, [0; 0]);
    assert_eq!(found(store, of_all()).await, [2]);
    for record in [&under_way, &ended, &asked] {
        assert_eq!(store.run(&identity("a"), record.id.into()).await.unwrap(), None);
    }
    let of_under_way = recorded_at(at(10), outcome(RecordKind::Success, "a", at(1)));
    store.append(vec![of_under_way.clone(), at_phase(asked.clone(), 1, false)]).await.unwrap();

    assert_eq!(found(store, of_task("a")).await, [3, 1]);
    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Success, RecordKind::Started]);
    assert_eq!(store.run(&identity("a"), asked.id.into()).await.unwrap(), Some(at_phase(asked, 1, false)));
    assert_eq!(unfinished(store).await, [3, 4]);
    let settled = outcomes_of(store, "a", at(0)).await;
    assert_eq!(
        settled.iter().map(|outcome| outcome.kind).collect::<Vec<_>>(),
        [RecordKind::Success, RecordKind::Error]
    );
    let retention = Retention { before: at(0), bytes_max: u64::MAX, step_max: 100 };
    assert_eq!(store.prune(retention, at(20)).await.unwrap().records, 1);
    assert_eq!((found(store, of_task("a")).await, unfinished(store).await), (vec![3, 1], vec![3, 4]));
}

pub(crate) async fn runs_and_dead_letters_are_listed_of_the_tasks_that_prefixes_cover(store: &impl Store) {
    let names = ["a/1", "b/1", "a/2", "A/1", "é\u{0}x", "a", "a/1"];
    let run = |(name, second): (&&str, i64)| outcome(RecordKind::Error, name, at(second));
    let mut records: Vec<Record> = names.iter().zip(1..).map(run).collect();
    records.push(started("a/1", at(20), 0));
    records.extend(["a/1", "b/1"].iter().zip(30..).map(|it| at_phase(run(it), RunState::ENDED, true)));
    store.append(records).await.unwrap();
    let covered = |texts: &[&str]| RunQuery { prefixes: Prefixes::parse(texts).unwrap(), ..of_all() };
    let of_task = |texts: &[&str]| RunQuery { identity: Some(identity("a/1")), ..covered(texts) };

    assert_eq!(found(store, covered(&["a/"])).await, [30, 20, 7, 3, 1]);
    assert_eq!(found(store, covered(&["a/2", "b"])).await, [31, 3, 2]);
    assert_eq!(found(store, covered(&["é\u{0}"])).await, [5]);
    assert_eq!(found(store, of_task(&["a/"])).await, [30, 20, 7, 1]);
    assert!(found(store, of_task(&["b/"])).await.is_empty());
    let started_runs = RunQuery { kinds: vec![RecordKind::Started], ..covered(&["b/"]) };
    assert!(found(store, started_runs).await.is_empty());
    let dead = |texts: &[&str]| RunQuery { dead_letters: true, ..covered(texts) };
    assert_eq!(found(store, dead(&["a/", "x"])).await, [30]);
    assert_eq!(found(store, dead(&["a", "b"])).await, [31, 30]);
    let page = store.runs(RunQuery { skip: 1, limit: 2, ..covered(&["a/"]) }).await.unwrap();
    assert_eq!((seconds(&page), page.total), (vec![20, 7], 5));
}
