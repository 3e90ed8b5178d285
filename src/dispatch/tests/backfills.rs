use super::*;

fn backfilled(revision: &Arc<Revision>, seconds: i64, backfill: Backfill) -> Fire {
    let asked = Asked {
        run_id: RunId::asked(START),
        run_by: "alice".into(),
        args: "".into(),
        rerun_of: None,
        backfill: Some(backfill),
    };
    Fire { asked: Some(Arc::new(asked)), trigger: Trigger::CatchUp, ..planned(revision, seconds) }
}

#[tokio::test(start_paused = true)]
async fn of_a_backfill_so_many_runs_are_in_progress_as_was_said_whatever_else_the_entry_runs() {
    let (rooms, task) = (Rooms::new(|_| Deed::Answer(secs(10), 200)).await, overlapping(Overlap::Skip));
    let backfill = Backfill { id: RunId::asked(START), at_once: 2 };
    let fires: Vec<Fire> = (-5..0).map(|second| backfilled(&task, second, backfill)).collect();
    let runs: Vec<RunId> = fires.iter().map(Fire::run_id).collect();

    rooms.fire(fires).await;
    rooms.fire_at(&task, 1).await;
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0, 0, 1_000, 10_000, 10_000, 20_000]);
    let order: Vec<String> =
        rooms.came().into_iter().map(|came| came.run).filter(|it| *it != run(&task, 1).to_string()).collect();
    assert_eq!(order, runs.iter().map(RunId::to_string).collect::<Vec<_>>());
    let document = rooms.document(runs[4]).await;
    assert_eq!((&document["backfill_at_once"], &document["lateness_ms"]), (&2.into(), &20_000.into()));
    assert_eq!(rooms.record(runs[4]).await.settled, None);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_of_a_backfill_leaves_its_place_to_the_next() {
    let (rooms, task) = (Rooms::new(|_| Deed::Answer(secs(10), 200)).await, overlapping(Overlap::Skip));
    let backfill = Backfill { id: RunId::asked(START), at_once: 1 };
    let fires: Vec<Fire> = (-4..0).map(|second| backfilled(&task, second, backfill)).collect();
    let runs: Vec<RunId> = fires.iter().map(Fire::run_id).collect();

    rooms.fire(fires).await;
    rooms.until(1).await;
    assert_eq!(rooms.dispatch.cancel_run(runs[1], "bob").await, Broken::Off);
    assert_eq!(rooms.dispatch.cancel_run(runs[0], "bob").await, Broken::Off);
    rooms.until(60).await;

    assert_eq!(rooms.came_ms(), [0, 1_000, 11_000]);
    assert_eq!(rooms.end(runs[1]).await, failed("cancelled by bob"));
    assert_eq!(rooms.end(runs[3]).await, succeeded());
    rooms.assert_settled().await;
}
