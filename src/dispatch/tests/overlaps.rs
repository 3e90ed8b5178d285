use super::*;

/// Each request takes so long.
async fn slow(seconds: u64) -> Rooms {
    Rooms::new(move |_| Deed::Answer(secs(seconds), 200)).await
}

#[tokio::test(start_paused = true)]
async fn by_default_runs_of_an_entry_overlap() {
    let (rooms, task) = (slow(10).await, overlapping(Overlap::Allow));

    for second in 0..3 {
        rooms.fire_at(&task, second).await;
    }
    rooms.until(5).await;
    let activity = rooms.dispatch.activity(&task.task.identity, &task.task.entries[0].name).await;
    rooms.until(20).await;

    assert_eq!(rooms.came_ms(), [0, 1_000, 2_000]);
    let in_progress = (0..3).map(|second| run(&task, second)).collect();
    assert_eq!(activity, Activity { in_progress, is_under_way: true, waiting: None });
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn skip_gives_up_what_comes_while_a_run_is_in_progress() {
    let rooms = Rooms::new(|_| Deed::Answer(Duration::from_millis(1_500), 200));
    let (rooms, task) = (rooms.await, overlapping(Overlap::Skip));

    for second in 0..5 {
        rooms.fire_at(&task, second).await;
    }
    rooms.until(20).await;

    assert_eq!(rooms.came_ms(), [0, 2_000, 4_000]);
    for second in [1, 3] {
        assert_eq!(rooms.end(run(&task, second)).await, skipped("overlap skip"));
    }
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn queue_one_lets_the_newest_run_wait_and_skips_those_between() {
    let (rooms, task) = (slow(10).await, overlapping(Overlap::QueueOne));

    for second in 0..5 {
        rooms.fire_at(&task, second).await;
    }
    rooms.until(30).await;

    assert_eq!(rooms.came_ms(), [0, 10_000]);
    for second in 1..4 {
        assert_eq!(rooms.end(run(&task, second)).await, skipped("overlap queue_one"));
    }
    assert_eq!(rooms.end(run(&task, 4)).await, succeeded());
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn cancel_running_breaks_the_request_off_and_records_it() {
    let (rooms, task) = (slow(10).await, overlapping(Overlap::CancelRunning));

    rooms.fire_at(&task, 0).await;
    rooms.fire_at(&task, 3).await;
    rooms.until(30).await;

    let message = "cancelled: a newer fire took its place (overlap cancel_running)";
    assert_eq!(rooms.end(run(&task, 0)).await, failed(message));
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!((&document["attempts"][0]["error"], &document["duration_ms"]), (&message.into(), &3_000.into()));
    assert_eq!(rooms.end(run(&task, 3)).await, succeeded());
    assert_eq!(rooms.came_ms(), [0, 3_000]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn cancel_running_ends_a_run_that_pauses_and_skips_one_that_was_never_sent() {
    let options = EntryOptions { overlap: Overlap::CancelRunning, ..retried(5) };
    let settings = Settings { in_flight_max: 1, in_flight_per_host_max: 1, ..Settings::default() };
    let rooms = Rooms::with(settings, |came| match came.url.as_str() {
        "http://other/" => Deed::Answer(secs(10), 200),
        _ => Deed::Answer(Duration::ZERO, 503),
    });
    let (rooms, task, other) = (rooms.await, task("t", options), task("other", EntryOptions::default()));

    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;
    rooms.fire([planned(&other, 1), planned(&task, 1)]).await;
    rooms.fire_at(&task, 2).await;
    rooms.until(60).await;

    let first = rooms.end(run(&task, 0)).await;
    assert_eq!(first.0, RecordKind::Error);
    assert!(first.1.starts_with("answered with status 503, cancelled: a newer fire took its place"), "{first:?}");
    assert_eq!(rooms.end(run(&task, 1)).await, skipped("overlap cancel_running"));
    assert_eq!(rooms.end(run(&task, 2)).await, failed("answered with status 503"));
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_waits_behind_the_run_in_progress_and_a_third_is_refused() {
    let (rooms, task) = (slow(10).await, overlapping(Overlap::Allow));
    let [first, second, third] = [0, 1, 2].map(|seconds| asked(&task, seconds));
    let (first_id, second_id) = (first.run_id(), second.run_id());

    rooms.dispatch.ask(first).await.unwrap().start();
    rooms.until(1).await;
    rooms.dispatch.ask(second).await.unwrap().start();
    rooms.until(2).await;
    let refused = rooms.dispatch.ask(third).await.err();
    let activity = rooms.dispatch.activity(&task.task.identity, &task.task.entries[0].name).await;
    rooms.until(30).await;

    assert_eq!(refused, Some(AskRefused::Waiting(second_id)));
    assert_eq!(activity, Activity { in_progress: vec![first_id], is_under_way: true, waiting: Some(second_id) });
    assert_eq!(rooms.came_ms(), [0, 10_000]);
    let document = rooms.document(second_id).await;
    assert_eq!((&document["run_by"], &document["lateness_ms"]), (&"alice".into(), &9_000.into()));
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_given_back_lets_the_next_one_start() {
    let (rooms, task) = (slow(1).await, overlapping(Overlap::Skip));
    let reserved = rooms.dispatch.ask(asked(&task, 0)).await.unwrap();
    let waiting = rooms.dispatch.ask(asked(&task, 0)).await.unwrap();
    waiting.start();
    rooms.until(5).await;
    assert_eq!(rooms.came_ms(), [0; 0], "the first one is not durable yet");

    drop(reserved);
    rooms.until(10).await;

    assert_eq!(rooms.came_ms(), [5_000]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_a_run_by_the_same_time_whenever_it_is_computed_and_both_times_are_recorded() {
    let options = || EntryOptions { jitter: Some(secs(600)), ..EntryOptions::default() };
    let (rooms, task) = (slow(0).await, task("t", options()));

    rooms.fire((0..20).map(|second| planned(&task, second))).await;
    rooms.until(2).await;
    // Within a second: the next instant comes then.
    let ms = rooms.came_ms();
    rooms.until(60).await;

    assert!(ms.iter().any(|ms| ms % 1_000 != 0), "{ms:?}");
    assert_eq!(rooms.came().len(), 20);
    for second in 0..20 {
        let document = rooms.document(run(&task, second)).await;
        let due_at = Timestamp::parse_rfc3339(document["due_at"].as_str().unwrap()).unwrap();
        assert!(due_at >= at(second) && due_at < at(second + 1), "{document}");
        let lateness = document["lateness_ms"].as_u64().unwrap();
        assert!(lateness <= 2, "{document}");
    }
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_uncertain_is_sent_in_turn_and_never_skipped() {
    let (rooms, task) = (slow(2).await, overlapping(Overlap::Skip));
    let uncertain = (-3..0).map(|second| Fire { redelivered: true, ..planned(&task, second) });

    rooms.fire(uncertain).await;
    rooms.fire_at(&task, 1).await;
    rooms.until(20).await;

    assert_eq!(rooms.came_ms(), [0, 2_000, 4_000]);
    assert_eq!(rooms.end(run(&task, 1)).await, skipped("overlap skip"));
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_goes_away_keeps_no_place() {
    let (rooms, task) = (slow(2).await, overlapping(Overlap::Skip));

    for _ in 0..3 {
        let asking = rooms.dispatch.ask(asked(&task, 0));
        // It is given up while the answer is on its way.
        assert!(tokio::time::timeout(Duration::ZERO, asking).await.is_err());
    }
    rooms.until(1).await;
    rooms.fire_at(&task, 1).await;
    rooms.until(20).await;

    assert_eq!(rooms.came_ms(), [1_000]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_whose_runs_all_wait_for_a_limit_is_not_under_way() {
    let limits = Settings { in_flight_max: 1, ..Settings::default() };
    let rooms = Rooms::with(limits, |_| Deed::Answer(secs(10), 200)).await;
    let (task, other) = (overlapping(Overlap::Allow), task("other", EntryOptions::default()));
    rooms.fire([planned(&other, 0), planned(&task, 0)]).await;
    let activity = || rooms.dispatch.activity(&task.task.identity, &task.task.entries[0].name);

    rooms.until(1).await;
    let waits = activity().await;
    rooms.until(11).await;
    let goes = activity().await;
    rooms.until(30).await;

    let in_progress = vec![run(&task, 0)];
    assert_eq!(waits, Activity { in_progress: in_progress.clone(), is_under_way: false, waiting: None });
    assert_eq!(goes, Activity { in_progress, is_under_way: true, waiting: None });
    assert_eq!(activity().await, Activity::default());
    rooms.assert_settled().await;
}
