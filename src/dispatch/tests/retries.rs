use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again_after_growing_pauses_with_the_same_key() {
    let rooms = Rooms::new(|came| match came.attempt.as_str() {
        "1" => Deed::Answer(Duration::from_millis(30), 500),
        "2" => Deed::Refuse,
        _ => Deed::Answer(Duration::from_millis(20), 200),
    });
    let (rooms, task) = (rooms.await, task("t", retried(5)));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0, 1_030, 3_030]);
    assert!(rooms.came().iter().all(|came| came.run == run(&task, 0).to_string()));
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!((&document["type"], &document["duration_ms"]), (&"success".into(), &3_050.into()));
    let attempts = document["attempts"].as_array().unwrap();
    let of = |name: &str| attempts.iter().map(|attempt| attempt[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("attempt"), [1, 2, 3]);
    assert_eq!(of("status"), [500.into(), Value::Null, 200.into()]);
    assert_eq!(of("error"), ["answered with status 500".into(), "connection refused".into(), Value::Null]);
    assert_eq!(of("duration_ms"), [30, 0, 20]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_for_good_is_a_dead_letter() {
    let (rooms, task) =
        (Rooms::new(|_| Deed::Hang).await, task("t", EntryOptions { timeout: Some(secs(2)), ..retried(2) }));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0, 3_000]);
    assert_eq!(rooms.end(run(&task, 0)).await, failed("no whole answer within 2 s"));
    assert!(rooms.record(run(&task, 0)).await.run.unwrap().is_dead_letter);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_does_not_name_is_not_tried_again() {
    let (rooms, task) = (Rooms::new(|_| Deed::Answer(Duration::ZERO, 404)).await, task("t", retried(5)));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0]);
    assert_eq!(rooms.document(run(&task, 0)).await["dead_letter"], true);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_go_is_not_tried_again_whatever_the_policy_names() {
    let (rooms, task) = (Rooms::new(|_| Deed::Forbid).await, task("t", retried(5)));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0]);
    assert_eq!(rooms.end(run(&task, 0)).await, failed("refused: it may not"));
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!(
        (&document["dead_letter"], &document["attempts"][0]["error"]),
        (&true.into(), &"refused: it may not".into())
    );
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_nothing_is_tried_again_and_nothing_is_a_dead_letter() {
    let (rooms, task) = (Rooms::new(|_| Deed::Refuse).await, task("t", EntryOptions::default()));

    rooms.fire_at(&task, 0).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0]);
    assert!(!rooms.record(run(&task, 0)).await.run.unwrap().is_dead_letter);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_to_be_left_alone_is() {
    let rooms = Rooms::new(|came| match came.attempt.as_str() {
        "1" => Deed::AnswerLater(429, "7"),
        "2" => Deed::AnswerLater(503, "Fri, 15 Jan 2027 08:01:00 GMT"),
        _ => Deed::Answer(Duration::ZERO, 200),
    });
    let (rooms, task) = (rooms.await, task("t", retried(5)));

    rooms.fire_at(&task, 0).await;
    rooms.until(100).await;

    assert_eq!(rooms.came_ms(), [0, 7_000, 60_000]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_pauses_holds_no_place_among_those_in_flight() {
    let settings = Settings { in_flight_max: 1, in_flight_per_host_max: 1, ..Settings::default() };
    let rooms = Rooms::with(settings, |came| match (came.url.as_str(), came.attempt.as_str()) {
        ("http://t/", "1") => Deed::AnswerLater(503, "100"),
        _ => Deed::Answer(Duration::ZERO, 200),
    });
    let (rooms, task, other) = (rooms.await, task("t", retried(2)), task("other", EntryOptions::default()));

    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;
    assert_eq!((rooms.dispatch.in_flight(), rooms.dispatch.waiting()), (0, 1));
    rooms.fire_at(&other, 1).await;
    rooms.until(200).await;

    assert_eq!(rooms.came_ms(), [0, 1_000, 100_000]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_has_a_record_after_a_while_and_one_that_is_quick_has_none() {
    let rooms = Rooms::new(|came| match came.url.as_str() {
        "http://slow/" => Deed::Answer(secs(10), 200),
        _ => Deed::Answer(Duration::from_millis(150), 200),
    });
    let rooms = rooms.await;
    let (quick, slow) = (task("quick", EntryOptions::default()), task("slow", EntryOptions::default()));

    rooms.fire([planned(&quick, 0), planned(&slow, 0)]).await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    rooms.journal.flush().await.unwrap();
    assert_eq!(rooms.store.records(), []);
    rooms.until(1).await;

    assert_eq!(rooms.record(run(&quick, 0)).await.kind, RecordKind::Success);
    let started = rooms.document(run(&slow, 0)).await;
    assert_eq!(
        (&started["type"], &started["state"], &started["phase"]),
        (&"started".into(), &"running".into(), &1.into())
    );
    assert_eq!(started["started_at"], started["fire_time"]);
    rooms.until(20).await;
    assert_eq!(rooms.end(run(&slow, 0)).await, succeeded());
}

#[tokio::test(start_paused = true)]
async fn where_too_many_runs_pause_a_further_one_fails_and_says_so() {
    let settings = Settings { retries_waiting_max: 2, ..Settings::default() };
    let (rooms, task) = (Rooms::with(settings, |_| Deed::AnswerLater(503, "60")).await, task("t", retried(2)));

    for second in 0..3 {
        rooms.fire_at(&task, second).await;
    }
    rooms.until(5).await;

    assert_eq!(rooms.dispatch.waiting(), 2);
    let why = "answered with status 503, no further attempt: 2 runs pause between two already";
    assert_eq!(rooms.end(run(&task, 2)).await, failed(why));
    assert!(rooms.record(run(&task, 2)).await.run.unwrap().is_dead_letter);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_panics_ends_its_run_and_gives_its_place_back() {
    let settings = Settings { in_flight_max: 1, ..Settings::default() };
    let rooms = Rooms::with(settings, |came| match came.url.as_str() {
        "http://t/" => Deed::Panic,
        _ => Deed::Answer(Duration::ZERO, 200),
    });
    let (rooms, task, other) = (rooms.await, overlapping(Overlap::Skip), task("other", EntryOptions::default()));

    rooms.fire_at(&task, 0).await;
    rooms.fire_at(&other, 1).await;
    rooms.fire_at(&task, 2).await;
    rooms.until(5).await;

    let message = "the attempt broke off: an internal error, see the log";
    assert_eq!(rooms.end(run(&task, 0)).await, failed(message));
    assert_eq!(rooms.end(run(&other, 1)).await, succeeded());
    assert_eq!(rooms.end(run(&task, 2)).await, failed(message));
    rooms.assert_settled().await;
}
