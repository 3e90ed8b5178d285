use futures_util::future::try_join_all;

use super::*;
use crate::model::{Header, JsonText, Pause, Pauses};
use crate::store::StoreError;

pub(crate) async fn a_change_needs_the_epoch_of_the_lease(store: &impl Store) {
    let epoch = take(store, "a").await;

    let stale = store.change(put(Epoch(epoch.0 + 1), "a", None, at(0))).await;

    assert!(matches!(stale, Err(StoreError::Fenced { .. })), "{stale:?}");
    assert!(revisions(store, Timestamp::EPOCH).await.is_empty());
    assert!(kinds(store, all_of("a")).await.is_empty());
}

pub(crate) async fn a_change_on_a_stale_revision_is_refused_and_changes_nothing(store: &impl Store) {
    let epoch = take(store, "a").await;
    assert_eq!(store.change(put(epoch, "a", None, at(0))).await.unwrap(), 1);

    for stale in [put(epoch, "a", None, at(1)), put(epoch, "a", Some(2), at(1)), delete(epoch, "a", 7, at(1))] {
        let refused = store.change(stale).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }

    let known = revisions(store, Timestamp::EPOCH).await;
    assert_eq!((known.len(), known[0].number, known[0].in_force_until), (1, 1, None));
    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Put]);
}

pub(crate) async fn a_replaced_revision_ends_where_the_next_begins(store: &impl Store) {
    let epoch = take(store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();

    assert_eq!(store.change(put(epoch, "a", Some(1), at(9))).await.unwrap(), 2);

    let known = revisions(store, Timestamp::EPOCH).await;
    let spans: Vec<_> = known.iter().map(|it| (it.number, it.in_force_from, it.in_force_until)).collect();
    assert_eq!(spans, [(1, at(0), Some(at(9))), (2, at(9), None)]);
}

pub(crate) async fn a_deleted_task_is_no_longer_in_force_and_its_numbers_go_on(store: &impl Store) {
    let epoch = take(store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();

    assert_eq!(store.change(delete(epoch, "a", 1, at(5))).await.unwrap(), 1);
    assert!(revisions(store, at(5)).await.is_empty());
    assert_eq!(store.change(put(epoch, "a", None, at(6))).await.unwrap(), 2);

    assert_eq!(kinds(store, all_of("a")).await, [RecordKind::Put, RecordKind::Delete, RecordKind::Put]);
}

pub(crate) async fn every_part_of_a_task_comes_back(store: &impl Store) {
    let name = "a b/é中\"<>&\u{0}\n";
    let epoch = take(store, name).await;
    let mut change = put(epoch, name, None, at(0));
    let body = JsonText::from_raw(serde_json::from_str(r#"{"z":1.50,"big":123456789012345678901234567890}"#).unwrap());
    let headers = Some([Header::parse("X-A", "1").unwrap(), Header::parse("x-a", "é").unwrap()].into());
    let url = TargetUrl::parse("http://127.0.0.1/a b?q#f").unwrap();
    let request = Request { headers, body, ..Request::post(url) };
    let cron_time = "CRON_TZ=Asia/Tokyo 0 0 12 L * ?";
    let entry = Entry::new(EntryName::parse(name).unwrap(), Schedule::cron(cron_time).unwrap(), request.clone());
    let time_zone = TimeZone::parse("Europe/Berlin").unwrap();
    let task = Task::new(identity(name), time_zone, vec![entry]);
    change.next = Some(Revision { task: Arc::new(task), enabled: false, put_at: at(-3), ..change.next.unwrap() });

    store.change(change).await.unwrap();

    let known = revisions(store, Timestamp::EPOCH).await.remove(0);
    assert_eq!((known.enabled, known.put_at, known.in_force_from), (false, at(-3), at(0)));
    assert_eq!((known.task.identity.as_str(), known.task.time_zone), (name, time_zone));
    let entry = &known.task.entries[0];
    assert_eq!((entry.name.as_str(), &entry.schedule), (name, &Schedule::cron(cron_time).unwrap()));
    assert_eq!(entry.request, request);
}

pub(crate) async fn ended_revisions_are_given_as_far_back_as_asked_and_forgotten_before(store: &impl Store) {
    let epoch = take(store, "a").await;
    store.change(put(epoch, "a", None, at(0))).await.unwrap();
    store.change(put(epoch, "a", Some(1), at(10))).await.unwrap();
    store.change(put(epoch, "a", Some(2), at(20))).await.unwrap();
    let numbers = |revisions: Vec<Revision>| revisions.into_iter().map(|it| it.number).collect::<Vec<_>>();

    assert_eq!(numbers(revisions(store, at(9)).await), [1, 2, 3]);
    assert_eq!(numbers(revisions(store, at(10)).await), [2, 3]);
    assert_eq!(numbers(revisions(store, at(20)).await), [3]);
    assert_eq!(store.forget_revisions(at(11)).await.unwrap(), 1);
    assert_eq!(numbers(revisions(store, Timestamp::EPOCH).await), [2, 3]);
}

pub(crate) async fn revisions_are_those_of_the_shards_that_are_asked_for(store: &impl Store) {
    let leases = store.take(ShardSet::ALL, "test").await.unwrap();
    // Enough for more than one page.
    let names: Vec<String> = (0..900).map(|number| format!("task {number}")).collect();
    for names in names.chunks(100) {
        let puts = names.iter().map(|name| store.change(put(leases[0].epoch, name, None, at(0))));
        try_join_all(puts).await.unwrap();
    }
    store.change(put(leases[0].epoch, &names[0], Some(1), at(5))).await.unwrap();
    let known = async |shards: ShardSet, ended_after: Timestamp| {
        let revisions = revisions_of(store, shards, ended_after).await;
        let mut told: Vec<_> = revisions.iter().map(|it| (it.task.identity.to_string(), it.number)).collect();
        told.sort();
        told
    };
    let expected = |shards: ShardSet| {
        let of_names = names.iter().filter(|name| shards.contains(Shard::of(&identity(name))));
        let mut told: Vec<_> = of_names.map(|name| (name.clone(), 1 + u64::from(*name == names[0]))).collect();
        told.sort();
        told
    };

    let of_first = ShardSet::of([Shard::of(&identity(&names[0]))]);
    let halves = [ShardSet::of(Shard::all().take(32)), ShardSet::of(Shard::all().skip(32))];
    for shards in [ShardSet::ALL, ShardSet::EMPTY, of_first, ShardSet::of([Shard::at(63)]), halves[0], halves[1]] {
        assert_eq!(known(shards, at(5)).await, expected(shards), "{shards:?}");
    }
    assert_eq!(known(of_first, at(4)).await.len(), expected(of_first).len() + 1);
}

pub(crate) async fn a_note_is_found_by_a_search(store: &impl Store) {
    store.note(vec![note(RecordKind::Delete, "gone", at(0))]).await.unwrap();

    assert_eq!(kinds(store, all_of("gone")).await, [RecordKind::Delete]);
}

pub(crate) async fn who_made_a_state_and_what_was_said_come_back(store: &impl Store) {
    let epoch = take(store, "a").await;
    let said = "why \"é\"\n\u{0}";

    store.change(noted(put(epoch, "a", None, at(0)), Some("key: one"), None)).await.unwrap();
    store.change(noted(put(epoch, "a", Some(1), at(1)), None, Some(said))).await.unwrap();
    store.change(noted(put(epoch, "a", Some(2), at(2)), Some(said), Some(""))).await.unwrap();

    let told = |all: Vec<Revision>| {
        let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
        all.into_iter().map(|it| (it.number, text(it.by), text(it.note))).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let expected = [(1, text("key: one"), None), (2, None, text(said)), (3, text(said), text(""))];
    assert_eq!(told(revisions(store, Timestamp::EPOCH).await), expected);
    let mut newest_first = told(store.history_of(&identity("a"), None, 9).await.unwrap());
    newest_first.reverse();
    assert_eq!(newest_first, expected);
}

pub(crate) async fn the_history_of_a_task_is_given_newest_first_in_pages(store: &impl Store) {
    let epoch = take(store, "a").await;
    for (replaces, second) in [(None, 0), (Some(1), 10), (Some(2), 20)] {
        store.change(put(epoch, "a", replaces, at(second))).await.unwrap();
    }
    let of_b = take(store, "b").await;
    store.change(put(of_b, "b", None, at(0))).await.unwrap();
    store.change(delete(take(store, "a").await, "a", 3, at(30))).await.unwrap();
    let history = async |name: &str, before: Option<u64>, max: usize| {
        let states = store.history_of(&identity(name), before, max).await.unwrap();
        assert!(states.iter().all(|it| it.task.identity == identity(name) && it.task.entries.len() == 1));
        states.into_iter().map(|it| (it.number, it.in_force_from, it.in_force_until)).collect::<Vec<_>>()
    };
    let [one, two, three] = [(1, 0, 10), (2, 10, 20), (3, 20, 30)].map(|(n, from, to)| (n, at(from), Some(at(to))));

    assert_eq!(history("a", None, 10).await, [three, two, one]);
    assert_eq!(history("a", None, 2).await, [three, two]);
    assert_eq!(history("a", Some(2), 2).await, [one]);
    assert_eq!(history("a", Some(1), 2).await, []);
    assert_eq!(history("b", Some(u64::MAX >> 1), 2).await, [(1, at(0), None)]);
    assert_eq!(history("never there", None, 2).await, []);
    store.forget_revisions(at(11)).await.unwrap();
    assert_eq!(history("a", None, 10).await, [three, two]);
}

pub(crate) async fn pauses_are_replaced_by_their_next_version_only(store: &impl Store) {
    let pause =
        |second: i64, note: Option<&str>| Pause { since: at(second), by: "é".into(), note: note.map(Into::into) };
    let tags = [("tag \"1\"".into(), pause(2, None)), ("\u{0}".into(), pause(3, Some("")))];
    let first = Pauses { version: 1, all: Some(pause(1, Some("why"))), tags: tags.into(), lifted: Vec::new() };
    let second = Pauses { version: 2, all: None, ..first.clone() };
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());

    assert!(!store.set_pauses(&second).await.unwrap());
    assert!(!store.set_pauses(&Pauses::default()).await.unwrap());
    assert!(store.set_pauses(&first).await.unwrap());
    assert_eq!(store.pauses().await.unwrap(), first);
    assert!(!store.set_pauses(&first).await.unwrap());
    assert!(store.set_pauses(&second).await.unwrap());
    assert_eq!(store.pauses().await.unwrap(), second);
    let none = Pauses { version: 3, ..Pauses::default() };
    assert!(store.set_pauses(&none).await.unwrap());
    assert!(!store.set_pauses(&first).await.unwrap());
    assert_eq!(store.pauses().await.unwrap(), none);
}

pub(crate) async fn what_was_stored_late_comes_into_force_when_it_is_found(store: &impl Store) {
    let epoch = take(store, "a").await;
    for change in [put(epoch, "a", None, at(0)), put(epoch, "a", Some(1), at(10)), put(epoch, "b", None, at(0))] {
        store.change(change).await.unwrap();
    }

    store.defer(&identity("a"), epoch, Some(1), at(30)).await.unwrap();

    let states = store.history_of(&identity("a"), None, 10).await.unwrap();
    let moments: Vec<_> = states.iter().map(|it| (it.number, it.in_force_from, it.in_force_until)).collect();
    assert_eq!(moments, [(2, at(30), None), (1, at(0), Some(at(30)))]);
    assert_eq!(revisions(store, at(29)).await.len(), 3, "in listings too");
    assert_eq!(store.change(delete(epoch, "a", 2, at(40))).await.unwrap(), 2);
    store.defer(&identity("a"), epoch, Some(2), at(50)).await.unwrap();
    let newest = store.history_of(&identity("a"), None, 1).await.unwrap().remove(0);
    assert_eq!((newest.in_force_from, newest.in_force_until), (at(30), Some(at(50))));
    assert_eq!(store.change(put(epoch, "a", None, at(60))).await.unwrap(), 3);
    assert_eq!(
        kinds(store, all_of("a")).await,
        [RecordKind::Put, RecordKind::Delete, RecordKind::Put, RecordKind::Put]
    );
}

pub(crate) async fn only_the_holder_moves_what_was_stored_late(store: &impl Store) {
    let epoch = take(store, "a").await;
    for change in [put(epoch, "a", None, at(0)), put(epoch, "a", Some(1), at(10))] {
        store.change(change).await.unwrap();
    }
    let later = take(store, "a").await;

    let stale = store.defer(&identity("a"), epoch, Some(1), at(30)).await;

    assert!(matches!(stale, Err(StoreError::Fenced { .. })), "{stale:?}");
    assert_eq!(revisions(store, Timestamp::EPOCH).await[1].in_force_from, at(10));
    store.defer(&identity("a"), later, Some(1), at(30)).await.unwrap();
}
