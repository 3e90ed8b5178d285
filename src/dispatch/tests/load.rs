use super::*;

#[tokio::test(start_paused = true)]
async fn two_thousand_runs_that_hang_delay_no_other() {
    let rooms = Rooms::new(|came| match came.url.as_str() {
        "http://quick/" => Deed::Answer(Duration::from_millis(1), 200),
        _ => Deed::Answer(secs(10), 200),
    });
    let (rooms, quick) = (rooms.await, task("quick", EntryOptions::default()));
    let hanging: Vec<_> =
        (0..2_000).map(|number| task(&format!("slow-{}", number % 20), EntryOptions::default())).collect();

    rooms.fire(hanging.iter().enumerate().map(|(number, revision)| planned(revision, -(number as i64)))).await;
    for second in 1..9 {
        rooms.fire_at(&quick, second).await;
    }
    rooms.until(9).await;
    assert_eq!(rooms.dispatch.in_flight(), 2_000);
    rooms.until(30).await;

    for second in 1..9 {
        let lateness = rooms.document(run(&quick, second)).await["lateness_ms"].as_u64().unwrap();
        assert!(lateness <= 2, "{lateness} ms late");
    }
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn behind_runs_that_wait_there_is_neither_a_task_nor_a_timer() {
    let rooms = Rooms::new(|_| Deed::AnswerLater(503, "3600")).await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let revision = task("t", retried(2));

    for second in 0..20 {
        rooms.fire((0..150).map(|number| planned(&revision, second * 1_000 + number))).await;
        rooms.until(second + 1).await;
    }
    rooms.until(30).await;

    assert_eq!((rooms.dispatch.in_flight(), rooms.dispatch.waiting()), (0, 3_000));
    assert!(alive() <= before + 1, "{} tasks more", alive() - before);
    assert!(
        std::mem::size_of::<super::super::runs::Run>() <= 320,
        "{}",
        std::mem::size_of::<super::super::runs::Run>()
    );
    rooms.until(4_000).await;
    assert_eq!(rooms.came().len(), 6_000);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_slow_target_the_runs_that_wait_stay_bounded_by_the_grace() {
    let settings = Settings { in_flight_per_host_max: 1, ..Settings::default() };
    let (rooms, task) = (Rooms::with(settings, |_| Deed::Answer(secs(20), 200)).await, overlapping(Overlap::Allow));

    for second in 0..300 {
        rooms.fire_at(&task, second).await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(rooms.dispatch.waiting() <= 32, "{}", rooms.dispatch.waiting());
    rooms.until(2_000).await;

    rooms.journal.flush().await.unwrap();
    let kinds = |wanted: RecordKind| rooms.store.records().iter().filter(|record| record.kind == wanted).count();
    assert_eq!(kinds(RecordKind::Success) + kinds(RecordKind::Skipped), 300);
    assert!(kinds(RecordKind::Skipped) > 200);
    rooms.assert_settled().await;
}
