use super::*;
use crate::model::{Callback, Occasion};

fn callback(each: bool) -> Option<Callback> {
    Some(Callback {
        request: Request::post(TargetUrl::parse("http://told/").unwrap()),
        each,
        credentials: Default::default(),
    })
}

fn told_of_all(each: bool) -> EntryOptions {
    EntryOptions { on_failure: callback(each), on_recovery: callback(each), ..EntryOptions::default() }
}

/// The target fails at these seconds; who is told answers as it is said.
async fn failing(seconds: &'static [i64], told: impl Fn(&Came) -> Deed + Send + Sync + 'static) -> Rooms {
    let script = move |came: &Came| match came.url.as_str() {
        "http://told/" => told(came),
        _ if seconds.contains(&(came.ms / 1_000)) => Deed::Answer(Duration::ZERO, 500),
        _ => Deed::Answer(Duration::ZERO, 200),
    };
    Rooms::new(script).await
}

fn fine(_: &Came) -> Deed {
    Deed::Answer(Duration::ZERO, 200)
}

/// At which seconds who was told what.
fn told(rooms: &Rooms) -> Vec<(i64, String)> {
    let told = rooms.came().into_iter().filter(|came| came.url == "http://told/");
    let event = |body: &str| serde_json::from_str::<Value>(body).unwrap()["event"].as_str().unwrap().to_owned();
    told.map(|came| (came.ms / 1_000, event(&came.body))).collect()
}

fn texts(told: &[(i64, &str)]) -> Vec<(i64, String)> {
    told.iter().map(|&(second, event)| (second, event.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn who_wants_it_is_told_when_the_state_changes_and_only_then() {
    let (rooms, task) = (failing(&[1, 2, 3, 6], fine).await, task("t", told_of_all(false)));

    for second in 0..9 {
        rooms.fire_at(&task, second).await;
    }
    rooms.until(60).await;

    let expected = [(1, "on_failure"), (4, "on_recovery"), (6, "on_failure"), (7, "on_recovery")];
    assert_eq!(told(&rooms), texts(&expected));
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn who_wants_each_run_is_told_of_each() {
    let (rooms, task) = (failing(&[1, 2], fine).await, task("t", told_of_all(true)));

    for second in 0..4 {
        rooms.fire_at(&task, second).await;
    }
    rooms.until(60).await;

    assert_eq!(told(&rooms), texts(&[(1, "on_failure"), (2, "on_failure"), (3, "on_recovery")]));
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_tried_again_and_has_a_record_of_its_own() {
    let told = |came: &Came| if came.attempt == "3" { Deed::Answer(Duration::ZERO, 204) } else { Deed::Refuse };
    let (rooms, task) = (failing(&[1], told).await, task("t", told_of_all(false)));
    let about = run(&task, 1);
    let callback = about.following(Occasion::Failure.as_str());

    rooms.fire_at(&task, 1).await;
    rooms.until(2).await;
    let queued = rooms.record(callback).await;
    rooms.until(60).await;

    assert_eq!(queued.kind, RecordKind::Started, "until it ends, a crash finds it");
    let came: Vec<Came> = rooms.came().into_iter().skip(1).collect();
    assert_eq!(came.iter().map(|came| came.attempt.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(came.iter().all(|came| came.run == callback.to_string()));
    let event: Value = serde_json::from_str(&came[2].body).unwrap();
    assert_eq!((&event["run_id"], &event["status"]), (&about.to_string().into(), &500.into()));
    assert_eq!(event["message"], serde_json::json!(["answered with status 500"]));
    let (record, document) = (rooms.record(callback).await, rooms.document(callback).await);
    assert_eq!((record.kind, &record.settled, &record.run), (RecordKind::Success, &None, &None));
    assert_eq!((&document["callback"], &document["callback_of"]), (&"on_failure".into(), &about.to_string().into()));
    assert_eq!(rooms.unfinished(&task).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_fails_for_good_is_an_error_that_nobody_is_told_of() {
    let (rooms, task) = (failing(&[1], |_: &Came| Deed::Refuse).await, task("t", told_of_all(true)));

    rooms.fire_at(&task, 1).await;
    rooms.until(600).await;

    assert_eq!(rooms.came().len(), 1 + 3);
    assert_eq!(rooms.end(run(&task, 1).following("on_failure")).await, failed("connection refused"));
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_no_callback() {
    let hangs_at_first = |came: &Came| if came.ms < 5_000 { Deed::Hang } else { Deed::Answer(Duration::ZERO, 200) };
    let (rooms, task) = (failing(&[1], hangs_at_first).await, task("t", told_of_all(false)));
    rooms.fire_at(&task, 1).await;
    rooms.until(3).await;

    let rooms = rooms.crash().await;
    rooms.until(5).await;
    let unfinished = rooms.unfinished(&task).await;
    rooms.dispatch.resume(unfinished).await.unwrap();
    rooms.until(9).await;

    let told: Vec<Came> = rooms.came().into_iter().filter(|came| came.url == "http://told/").collect();
    assert_eq!(told.iter().map(|came| came.ms / 1_000).collect::<Vec<_>>(), [1, 5]);
    assert_eq!((&told[0].run, &told[0].body), (&told[1].run, &told[1].body));
    assert_eq!(rooms.end(run(&task, 1).following("on_failure")).await, succeeded());
}

#[tokio::test(start_paused = true)]
async fn after_a_start_the_history_says_how_the_run_before_ended() {
    let (rooms, task_before) = (failing(&[1, 2, 9], fine).await, task("t", told_of_all(false)));
    rooms.fire_at(&task_before, 1).await;
    rooms.until(2).await;
    rooms.journal.flush().await.unwrap();
    let rooms = rooms.crash().await;
    let task_after = task("t", told_of_all(false));
    rooms.fire_at(&task_after, 2).await;
    rooms.fire_at(&task_after, 3).await;
    rooms.until(4).await;
    assert_eq!(told(&rooms), texts(&[(1, "on_failure"), (3, "on_recovery")]));
    rooms.journal.flush().await.unwrap();
    let rooms = rooms.crash().await;
    rooms.fire_at(&task("t", told_of_all(false)), 9).await;
    rooms.until(10).await;

    assert_eq!(told(&rooms), texts(&[(1, "on_failure"), (3, "on_recovery"), (9, "on_failure")]));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_has_failed() {
    let rooms = Rooms::new(|came| if came.url == "http://told/" { fine(came) } else { Deed::Hang });
    let (rooms, task) = (rooms.await, task("t", told_of_all(false)));
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    assert_eq!(rooms.dispatch.cancel_run(run(&task, 0), "bob").await, Broken::Off);
    rooms.until(2).await;

    assert_eq!(told(&rooms), texts(&[(1, "on_failure")]));
}
