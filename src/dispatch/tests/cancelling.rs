use super::*;

fn busy() -> Settings {
    Settings { in_flight_max: 1, in_flight_per_host_max: 1, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn a_run_in_flight_is_broken_off_and_says_by_whom() {
    let (rooms, task) = (Rooms::new(|_| Deed::Hang).await, task("t", retried(5)));
    rooms.fire_at(&task, 0).await;
    rooms.until(3).await;

    let cancelled = rooms.dispatch.cancel_run(run(&task, 0), "key of bob").await;

    assert_eq!(cancelled, Broken::Off);
    assert_eq!(rooms.end(run(&task, 0)).await, failed("cancelled by key of bob"));
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!((&document["attempts"][0]["duration_ms"], document.get("dead_letter")), (&3_000.into(), None));
    assert_eq!(rooms.dispatch.cancel_run(run(&task, 0), "key of bob").await, Broken::Not, "it has ended");
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_or_pauses_ends_and_never_starts() {
    let rooms = Rooms::with(busy(), |came| match came.url.as_str() {
        "http://t/" => Deed::AnswerLater(503, "100"),
        _ => Deed::Answer(secs(20), 200),
    });
    let rooms = rooms.await;
    let (pausing, first, waiting) =
        (task("t", retried(5)), overlapping(Overlap::Allow), task("w", EntryOptions::default()));
    let first = task(&format!("other-{}", first.number), EntryOptions::default());
    rooms.fire_at(&pausing, 0).await;
    rooms.until(1).await;
    rooms.fire([planned(&first, 1), planned(&waiting, 1)]).await;
    rooms.until(2).await;

    for run_id in [run(&pausing, 0), run(&waiting, 1)] {
        assert_eq!(rooms.dispatch.cancel_run(run_id, "bob").await, Broken::Off);
    }
    assert_eq!(rooms.dispatch.cancel_run(run(&waiting, 9), "bob").await, Broken::Not, "nobody knows it");
    rooms.until(300).await;

    assert_eq!(rooms.end(run(&pausing, 0)).await, failed("answered with status 503, cancelled by bob"));
    assert_eq!(rooms.end(run(&waiting, 1)).await, failed("cancelled by bob"));
    assert_eq!(rooms.came().len(), 2);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_deleted_task_nothing_starts_any_more() {
    let rooms = Rooms::with(busy(), |_| Deed::Answer(secs(5), 503)).await;
    let (task, other) = (task("t", retried(5)), task("other", EntryOptions::default()));
    rooms.fire([planned(&task, 0), planned(&task, 1), planned(&other, 1)]).await;
    let waiting = asked(&task, 2);
    let waiting_id = waiting.run_id();
    rooms.dispatch.ask(waiting).await.unwrap().start();
    rooms.until(3).await;

    let deleted = Cancelled::Deleted;
    rooms.dispatch.cancel(deleted.scope(task.task.identity.clone()), deleted.as_str().to_owned()).await.unwrap();
    rooms.until(100).await;

    let why = "deleted before it could be sent";
    let last_attempt = failed(&format!("answered with status 503, {why} again"));
    assert_eq!(rooms.end(run(&task, 0)).await, last_attempt);
    assert_eq!(rooms.end(run(&task, 1)).await, skipped(why));
    assert_eq!(rooms.end(waiting_id).await, failed(why));
    assert_eq!(rooms.end(run(&other, 1)).await.0, RecordKind::Error);
    assert_eq!(rooms.came().len(), 2);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_task_that_is_switched_off_what_was_asked_for_goes_on() {
    let rooms = Rooms::new(|came| match came.attempt.as_str() {
        "1" => Deed::AnswerLater(503, "60"),
        _ => Deed::Answer(Duration::ZERO, 200),
    });
    let (rooms, task) = (rooms.await, task("t", retried(5)));
    let on_demand = asked(&task, 0);
    let on_demand_id = on_demand.run_id();
    rooms.dispatch.ask(on_demand).await.unwrap().start();
    rooms.until(1).await;
    rooms.fire([planned(&task, 1)]).await;
    rooms.until(2).await;

    let stopped = Cancelled::Stopped;
    rooms.dispatch.cancel(stopped.scope(task.task.identity.clone()), stopped.as_str().to_owned()).await.unwrap();
    rooms.until(100).await;

    let why = "answered with status 503, switched off before it could be sent again";
    assert_eq!(rooms.end(run(&task, 1)).await, failed(why));
    assert_eq!(rooms.document(run(&task, 1)).await["status"], 503, "that of its last attempt");
    assert_eq!(rooms.end(on_demand_id).await, succeeded());
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_skips_what_waits_of_its_tag_and_nothing_that_was_begun() {
    let rooms = Rooms::with(busy(), |came| match came.attempt.as_str() {
        "1" => Deed::AnswerLater(503, "60"),
        _ => Deed::Answer(Duration::ZERO, 200),
    });
    let rooms = rooms.await;
    let tagged = || EntryOptions { tags: ["nightly".into()].into(), ..retried(5) };
    let (begun, waiting) = (task("t", tagged()), task("w", EntryOptions { jitter: Some(secs(600)), ..tagged() }));
    let other = task("other", EntryOptions { jitter: Some(secs(600)), ..EntryOptions::default() });
    rooms.fire([planned(&begun, 0), planned(&waiting, 50), planned(&other, 50)]).await;
    rooms.until(1).await;

    rooms.dispatch.cancel(Scope::Tag("nightly".into()), "paused nightly".to_owned()).await.unwrap();
    assert_eq!(rooms.end(run(&waiting, 50)).await, skipped("paused nightly"));
    rooms.dispatch.cancel(Scope::All, "paused".to_owned()).await.unwrap();
    rooms.until(100).await;

    assert_eq!(rooms.end(run(&other, 50)).await, skipped("paused"));
    assert_eq!(rooms.end(run(&begun, 0)).await, succeeded());
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_run_does_not_start_in_the_place_of_one_that_is_given_up() {
    let rooms = Rooms::with(busy(), |_| Deed::Answer(secs(10), 200)).await;
    let (task, other) = (overlapping(Overlap::QueueOne), task("other", EntryOptions::default()));
    rooms.fire([planned(&other, 0), planned(&task, 0), planned(&task, 1)]).await;
    rooms.until(2).await;

    rooms.dispatch.cancel(Scope::All, "paused".to_owned()).await.unwrap();
    rooms.until(60).await;

    assert_eq!(rooms.end(run(&task, 0)).await, skipped("paused"));
    assert_eq!(rooms.end(run(&task, 1)).await, skipped("paused"));
    assert_eq!(rooms.came().len(), 1);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_delete_while_a_run_is_announced_that_must_not_be_sent_twice_lets_nothing_go() {
    let rooms = Rooms::new(|_| Deed::Answer(Duration::ZERO, 200)).await;
    let task = task("t", EntryOptions { delivery: crate::model::Delivery::AtMostOnce, ..EntryOptions::default() });
    rooms.store.fail_writes(true);
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    let scope = Scope::Deleted(task.task.identity.clone());
    rooms.dispatch.cancel(scope, "deleted before it could be sent".to_owned()).await.unwrap();
    rooms.store.fail_writes(false);
    rooms.until(10).await;

    assert_eq!(rooms.came().len(), 0);
    assert_eq!(rooms.end(run(&task, 0)).await, failed("deleted before it could be sent"));
    rooms.assert_settled().await;
}
