use super::*;
use crate::journal::{RunStage, started_record};
use crate::model::{Delivery, Progress};

/// Attempts fail up to this one, which succeeds.
fn succeeds_at(attempt: u32) -> impl Fn(&Came) -> Deed {
    move |came| match came.attempt.parse::<u32>().unwrap() {
        number if number < attempt => Deed::Answer(Duration::ZERO, 503),
        _ => Deed::Answer(Duration::ZERO, 200),
    }
}

async fn drained(rooms: Rooms) -> (Drained, Rooms) {
    let drained = rooms.dispatch.drain(secs(5)).await.unwrap();
    rooms.journal.flush().await.unwrap();
    (drained, rooms.crash().await)
}

#[tokio::test(start_paused = true)]
async fn a_drain_starts_no_retry_and_the_next_start_makes_the_attempts_that_are_left() {
    let (rooms, task) = (Rooms::new(succeeds_at(4)).await, task("t", retried(5)));
    rooms.fire_at(&task, 0).await;
    rooms.until(2).await;

    let (drained, rooms) = drained(rooms).await;
    rooms.until(2).await;
    let unfinished = rooms.unfinished(&task).await;
    let progress = unfinished[0].progress.clone().unwrap();
    rooms.dispatch.resume(unfinished).await.unwrap();
    rooms.until(60).await;

    assert_eq!(drained, Drained { waiting: 1, in_flight: 0 });
    assert_eq!((progress.attempts.len(), progress.is_under_way, progress.resume_at), (2, false, Some(at(3))));
    assert_eq!(rooms.came_ms(), [0, 1_000, 3_000, 7_000]);
    let numbers: Vec<String> = rooms.came().into_iter().map(|came| came.attempt).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!((&document["type"], document["attempts"].as_array().unwrap().len()), (&"success".into(), 4));
    assert_eq!(rooms.unfinished(&task).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_during_a_drain_is_not_made_again_before_the_next_start() {
    let rooms = Rooms::new(|came| match came.attempt.as_str() {
        "1" => Deed::Answer(secs(3), 503),
        _ => Deed::Answer(Duration::ZERO, 200),
    });
    let (rooms, task) = (rooms.await, task("t", retried(5)));
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    let (drained, rooms) = drained(rooms).await;
    rooms.until(10).await;
    assert_eq!((drained, rooms.came().len()), (Drained { waiting: 1, in_flight: 0 }, 1));
    rooms.dispatch.resume(rooms.unfinished(&task).await).await.unwrap();
    rooms.until(20).await;

    assert_eq!(rooms.came_ms(), [0, 10_000]);
    assert_eq!(rooms.end(run(&task, 0)).await, succeeded());
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_left_with_a_record_that_says_so() {
    let settings = Settings { in_flight_max: 1, ..Settings::default() };
    let rooms = Rooms::with(settings, |_| Deed::Answer(secs(2), 200)).await;
    let (task, jittered) = (
        overlapping(Overlap::QueueOne),
        task("j", EntryOptions { jitter: Some(secs(600)), ..EntryOptions::default() }),
    );
    let on_demand = asked(&task, 0);
    // As who asks does it.
    rooms.journal.record(started_record(&on_demand, RunStage::Queued, &[], 0, START)).await.unwrap();
    rooms.fire([planned(&task, 0), planned(&task, 1), planned(&jittered, 100)]).await;
    rooms.dispatch.ask(on_demand.clone()).await.unwrap().start();
    rooms.until(1).await;

    let (drained, rooms) = drained(rooms).await;

    assert_eq!(drained, Drained { waiting: 3, in_flight: 0 });
    assert_eq!(rooms.end(run(&task, 0)).await, succeeded());
    for run_id in [run(&task, 1), run(&jittered, 100), on_demand.run_id()] {
        assert_eq!(rooms.document(run_id).await["state"], "queued");
    }
    let fires = [rooms.unfinished(&task).await, rooms.unfinished(&jittered).await].concat();
    assert!(fires.iter().all(|fire| !fire.progress.as_ref().unwrap().is_under_way));
    rooms.dispatch.resume(fires).await.unwrap();
    rooms.until(200).await;
    assert_eq!(rooms.came().len(), 4);
    assert_eq!(rooms.end(on_demand.run_id()).await, succeeded());
}

#[tokio::test(start_paused = true)]
async fn what_hangs_when_the_grace_ends_is_known_to_the_next_start_and_sent_again() {
    let rooms = Rooms::new(|came| if came.ms < 20_000 { Deed::Hang } else { Deed::Answer(Duration::ZERO, 200) });
    let (rooms, task) = (rooms.await, task("t", retried(5)));
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    let (drained, rooms) = drained(rooms).await;
    rooms.until(20).await;
    let unfinished = rooms.unfinished(&task).await;
    assert!(unfinished[0].progress.as_ref().unwrap().is_under_way);
    // As the engine does it for `at_least_once`.
    rooms
        .dispatch
        .resume(unfinished.into_iter().map(|fire| Fire { redelivered: true, ..fire }).collect())
        .await
        .unwrap();
    rooms.until(30).await;

    assert_eq!(drained, Drained { waiting: 0, in_flight: 1 });
    assert_eq!(
        rooms.came().iter().map(|came| (came.ms, came.attempt.as_str())).collect::<Vec<_>>(),
        [(0, "1"), (20_000, "1")]
    );
    assert_eq!(rooms.document(run(&task, 0)).await["redelivered"], true);
}

#[tokio::test(start_paused = true)]
async fn where_a_run_has_a_record_a_crash_right_after_it_was_sent_leaves_one_that_says_so() {
    let (rooms, task) = (Rooms::new(|_| Deed::Hang).await, task("t", EntryOptions::default()));
    let on_demand = asked(&task, 0);
    // As who asks does it.
    rooms.journal.record(started_record(&on_demand, RunStage::Queued, &[], 0, START)).await.unwrap();
    let left = Progress { phase: 1, ..Progress::default() };
    let left = Fire { progress: Some(Arc::new(left)), ..planned(&task, 1) };
    rooms.dispatch.ask(on_demand).await.unwrap().start();
    rooms.fire([left]).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    rooms.journal.flush().await.unwrap();

    assert_eq!(rooms.came_ms(), [0, 0]);
    let rooms = rooms.crash().await;
    let unfinished = rooms.unfinished(&task).await;
    let is_known = |fire: &Fire| fire.progress.as_ref().unwrap().is_under_way;
    assert_eq!(unfinished.iter().map(is_known).collect::<Vec<_>>(), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_also_when_the_journal_takes_nothing_more() {
    let (rooms, task) = (Rooms::new(|_| Deed::Answer(Duration::ZERO, 200)).await, task("t", EntryOptions::default()));
    let journal_settings = journal::Settings { records_waiting_max: 1, writes_in_flight_max: 1, ..Default::default() };
    let Rooms { clock, store, target, .. } = rooms;
    let journal = journal::start(Arc::new(store.clone()), &journal_settings, None, Tenure::alone(clock.clone()));
    let rooms = Rooms::start_on(clock, store.clone(), target, &Settings::default(), Arc::new(store), journal);
    let jitter = Some(secs(600));
    let waiting = self::task("j", EntryOptions { jitter, ..EntryOptions::default() });
    rooms.store.fail_writes(true);
    for second in 0..10 {
        rooms.fire_at(&task, second).await;
    }
    rooms.fire([planned(&waiting, 1_000)]).await;
    rooms.until(10).await;

    let begun = tokio::time::Instant::now();
    let drained = rooms.dispatch.drain(secs(5)).await.unwrap();

    let took = begun.elapsed();
    assert!(secs(6) < took && took < secs(8), "it gives up what it cannot leave, a moment after the grace: {took:?}");
    assert!(drained.waiting > 0, "{drained:?}");
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_sent_twice_is_recorded_in_the_store_before_each_attempt() {
    let options = EntryOptions { delivery: Delivery::AtMostOnce, ..retried(2) };
    let store = MemoryStore::new();
    let seen = {
        let store = store.clone();
        move |came: &Came| {
            let record = store.records().into_iter().find(|record| record.id.to_string() == came.run).unwrap();
            assert_eq!(record.kind, RecordKind::Started);
            let document: Value = serde_json::from_str(&record.source).unwrap();
            assert_eq!(
                (&document["state"], document["attempts"].as_array().map_or(0, Vec::len) + 1),
                (&"running".into(), came.attempt.parse().unwrap())
            );
            Deed::Answer(Duration::ZERO, 503)
        }
    };
    let clock = Arc::new(SimClock::starting_at(START));
    let target = Target { clock: clock.clone(), came: Arc::default(), script: Arc::new(seen) };
    let (rooms, task) = (Rooms::start(clock, store, target, &Settings::default()), task("t", options));

    rooms.store.fail_writes(true);
    rooms.fire_at(&task, 0).await;
    rooms.until(5).await;
    assert_eq!(rooms.came(), [], "without the record it must not be sent");
    rooms.store.fail_writes(false);
    rooms.until(20).await;

    assert_eq!(rooms.came().len(), 2);
    assert_eq!(rooms.end(run(&task, 0)).await, failed("answered with status 503"));
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_announced_and_not_sent_before_a_drain_is_left_as_not_sent() {
    let options = || EntryOptions { delivery: Delivery::AtMostOnce, ..EntryOptions::default() };
    let (rooms, task) = (Rooms::new(|_| Deed::Answer(Duration::ZERO, 200)).await, task("t", options()));
    rooms.store.fail_writes(true);
    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;
    let draining = rooms.dispatch.clone();
    let draining = tokio::spawn(async move { draining.drain(secs(60)).await.unwrap() });
    rooms.until(2).await;
    rooms.store.fail_writes(false);

    let drained = draining.await.unwrap();
    rooms.journal.flush().await.unwrap();

    assert_eq!((drained, rooms.came().len()), (Drained { waiting: 1, in_flight: 0 }, 0));
    let document = rooms.document(run(&task, 0)).await;
    assert_eq!((&document["state"], &document["phase"]), (&"queued".into(), &2.into()));
}

#[tokio::test(start_paused = true)]
async fn resumed_runs_keep_their_order_and_those_in_progress_are_first() {
    let (rooms, task) = (Rooms::new(|_| Deed::Answer(secs(10), 200)).await, overlapping(Overlap::Skip));
    let [early, late, begun] = [1, 2, 3].map(|seconds| asked(&task, seconds));
    let progress = Progress { is_under_way: true, phase: 1, ..Progress::default() };
    let fires = [Fire { redelivered: true, progress: Some(Arc::new(progress)), ..begun }, late, early];
    let order = [&fires[0], &fires[2], &fires[1]].map(|fire| fire.run_id().to_string());

    rooms.dispatch.resume(fires.to_vec()).await.unwrap();
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0, 10_000, 20_000]);
    assert_eq!(rooms.came().into_iter().map(|came| came.run).collect::<Vec<_>>(), order);
}
