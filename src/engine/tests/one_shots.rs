//! Tasks of one request at one instant: when they can go.

use super::*;

fn one_shot(identity: &str, instant: &str) -> Task {
    let request = Request::post(TargetUrl::parse("http://127.0.0.1/").unwrap());
    let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::at(instant).unwrap(), request);
    Task { is_one_shot: true, ..task(identity, entry) }
}

fn finished(rooms: &Rooms) -> Vec<String> {
    let mut names: Vec<String> =
        rooms.engine.take_finished(100).iter().map(|revision| revision.task.identity.to_string()).collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_is_finished_when_its_outcome_is_durable_and_not_before() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.put("first", Some(one_shot("first", "2026-03-29T00:00:02.345Z"))).await;
    rooms.put("later", Some(one_shot("later", "2026-03-29T00:00:09Z"))).await;
    rooms.sink.answer(false);

    rooms.until("2026-03-29T00:00:04Z").await;
    assert_eq!((rooms.sink.total(), finished(&rooms)), (1, vec![]));
    rooms.sink.answer(true);
    rooms.until("2026-03-29T00:00:05Z").await;

    assert_eq!(finished(&rooms), ["first"]);
    assert!(finished(&rooms).is_empty(), "each is given once");
    rooms.until("2026-03-29T00:00:10Z").await;
    assert_eq!(finished(&rooms), ["later"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_finds_those_that_are_finished_and_were_not_removed() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.put("ended", Some(one_shot("ended", "2026-03-29T00:00:01.500Z"))).await;
    rooms.put("under way", Some(one_shot("under way", "2026-03-29T00:00:03Z"))).await;
    rooms.put("to come", Some(one_shot("to come", "2026-03-29T00:00:30Z"))).await;
    rooms.until("2026-03-29T00:00:02.500Z").await;
    rooms.sink.answer(false);
    rooms.until("2026-03-29T00:00:03.500Z").await;

    let rooms = rooms.restart("2026-03-29T00:00:05Z").await;
    rooms.until("2026-03-29T00:00:06Z").await;
    assert_eq!(finished(&rooms), ["ended"]);
    rooms.sink.answer(true);
    rooms.until("2026-03-29T00:00:07Z").await;

    assert_eq!(finished(&rooms), ["under way"]);
    rooms.until("2026-03-29T00:00:31Z").await;
    assert_eq!(finished(&rooms), ["to come"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_missed_or_paused_is_finished_too() {
    let rooms = Rooms::new("2026-03-29T00:00:00.500Z").await;
    rooms.put("missed", Some(one_shot("missed", "2026-03-29T00:00:09Z"))).await;
    let rooms = rooms.restart("2026-03-29T02:00:00.500Z").await;
    rooms.put("paused", Some(one_shot("paused", "2026-03-29T02:00:05Z"))).await;
    rooms.engine.pause(crate::model::PauseScope::All, "ada", None).await.unwrap();
    rooms.until("2026-03-29T02:00:10Z").await;

    assert_eq!(finished(&rooms), ["missed"]);
    rooms.engine.resume(crate::model::PauseScope::All, "bob").await.unwrap();
    rooms.until("2026-03-29T02:00:11Z").await;

    assert_eq!(finished(&rooms), ["paused"]);
    assert_eq!(rooms.sink.total(), 0);
}
