//! Runs that are under way at the node that gave their shard away.

use super::*;
use crate::model::Progress;

/// As a recovery hands it over.
fn elsewhere(fire: Fire) -> Fire {
    let progress = Progress { is_under_way: true, is_elsewhere: true, phase: 1, ..Progress::default() };
    Fire { progress: Some(Arc::new(progress)), ..fire }
}

/// As a look finds it: an attempt of it has failed there.
fn left(fire: &Fire) -> Fire {
    let attempt = crate::model::Attempt {
        number: 1,
        started_at: fire.fire_time,
        duration: secs(1),
        status: Some(503),
        error: Some("answered with status 503".into()),
        bytes: 0,
    };
    let progress = Progress { attempts: vec![attempt], phase: 2, ..Progress::default() };
    Fire { progress: Some(Arc::new(progress)), ..fire.clone() }
}

/// Everything is answered at once; this run of the task is under way elsewhere.
async fn with_one_elsewhere(task: &Arc<Revision>) -> Rooms {
    let rooms = Rooms::new(|_| Deed::Answer(Duration::ZERO, 200)).await;
    rooms.journal.unsettled().open([(task.shard(), at(0))]);
    rooms.dispatch.resume(vec![elsewhere(planned(task, 0))]).await.unwrap();
    rooms
}

impl Rooms {
    async fn ended_elsewhere(&self, runs: impl IntoIterator<Item = RunId>) {
        let ends = EndsElsewhere { ended: runs.into_iter().collect(), go_on: Vec::new() };
        self.dispatch.end_elsewhere(ends).await.unwrap();
    }

    async fn goes_on(&self, fire: Fire) {
        self.dispatch.end_elsewhere(EndsElsewhere { ended: Vec::new(), go_on: vec![fire] }).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_under_way_elsewhere_is_in_progress_here_and_nothing_of_it_is_sent() {
    let task = overlapping(Overlap::Skip);
    let rooms = with_one_elsewhere(&task).await;
    rooms.fire_at(&task, 1).await;
    rooms.until(3_600).await;

    let entry = &task.task.entries[0].name;
    let activity = rooms.dispatch.activity(&task.task.identity, entry).await;
    assert_eq!((activity.in_progress, activity.is_under_way), (vec![run(&task, 0)], true));
    assert_eq!(rooms.end(run(&task, 1)).await, skipped("overlap skip"));
    assert!(rooms.journal.unsettled().is_open(task.shard(), at(0)));
    assert_eq!((rooms.came().len(), rooms.dispatch.waiting(), rooms.dispatch.in_flight()), (0, 0, 0));
    let listed = rooms.dispatch.elsewhere(ShardSet::ALL).await.unwrap();
    assert_eq!(listed.iter().map(Fire::run_id).collect::<Vec<_>>(), [run(&task, 0)]);
    assert!(rooms.dispatch.elsewhere(ShardSet::EMPTY).await.unwrap().is_empty());

    rooms.ended_elsewhere([run(&task, 0), run(&task, 7)]).await;
    rooms.fire_at(&task, 3_601).await;
    rooms.until(3_602).await;

    assert_eq!(rooms.end(run(&task, 3_601)).await, succeeded());
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_run_elsewhere_begins_when_it_has_ended_there() {
    let task = overlapping(Overlap::QueueOne);
    let rooms = with_one_elsewhere(&task).await;
    rooms.fire_at(&task, 1).await;
    rooms.dispatch.ask(asked(&task, 2)).await.unwrap().start();
    rooms.until(60).await;
    assert_eq!((rooms.came().len(), rooms.dispatch.waiting()), (0, 2));

    rooms.ended_elsewhere([run(&task, 0)]).await;
    rooms.until(61).await;

    assert_eq!(rooms.came().len(), 2);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn where_cancel_running_meets_a_run_elsewhere_the_newer_one_waits_and_the_older_one_is_not_tried_again() {
    let task = overlapping(Overlap::CancelRunning);
    let rooms = with_one_elsewhere(&task).await;
    rooms.fire_at(&task, 1).await;
    rooms.fire_at(&task, 2).await;
    rooms.until(30).await;
    assert_eq!(rooms.came().len(), 0);

    rooms.goes_on(left(&planned(&task, 0))).await;
    rooms.until(40).await;

    let message = "answered with status 503, cancelled: a newer fire took its place (overlap cancel_running)";
    assert_eq!(rooms.end(run(&task, 0)).await, failed(message));
    assert_eq!(rooms.end(run(&task, 1)).await, skipped("overlap cancel_running"));
    assert_eq!(rooms.end(run(&task, 2)).await, succeeded());
    assert_eq!(rooms.came_ms(), [30_000]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_elsewhere_left_to_do_is_done_here_once_and_in_its_place() {
    let task = overlapping(Overlap::Skip);
    let rooms = with_one_elsewhere(&task).await;
    rooms.until(5).await;

    rooms.goes_on(left(&planned(&task, 0))).await;
    rooms.goes_on(left(&planned(&task, 0))).await;
    rooms.goes_on(left(&planned(&task, 3))).await;
    rooms.until(9).await;

    let came: Vec<(i64, String)> = rooms.came().into_iter().map(|came| (came.ms, came.attempt)).collect();
    assert_eq!(came, [(5_000, "2".to_owned())]);
    assert_eq!(rooms.end(run(&task, 0)).await, succeeded());
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_elsewhere_is_not_cancelled_by_a_delete_a_pause_or_a_word_and_is_not_tried_again_after_a_delete() {
    let task = overlapping(Overlap::Skip);
    let rooms = with_one_elsewhere(&task).await;

    rooms.dispatch.cancel(Scope::All, "paused".to_owned()).await.unwrap();
    assert_eq!(rooms.dispatch.cancel_run(run(&task, 0), "bob").await, Broken::Elsewhere);
    assert_eq!(rooms.dispatch.take_back(run(&task, 0), "no".to_owned()).await, Ok(TakenBack::TooLate));
    let scope = Scope::Deleted(task.task.identity.clone());
    rooms.dispatch.cancel(scope, "deleted before it could be sent".to_owned()).await.unwrap();
    assert_eq!(rooms.dispatch.elsewhere(ShardSet::ALL).await.unwrap().len(), 1);
    rooms.goes_on(left(&planned(&task, 0))).await;
    rooms.until(9).await;

    let message = "answered with status 503, deleted before it could be sent again";
    assert_eq!((rooms.end(run(&task, 0)).await, rooms.came().len()), (failed(message), 0));
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_backfill_that_is_elsewhere_has_its_place_among_those_in_progress() {
    let task = overlapping(Overlap::Skip);
    let rooms = Rooms::new(|_| Deed::Answer(Duration::ZERO, 200)).await;
    let backfill = Backfill { id: RunId::asked(START), at_once: 1 };
    let of_backfill = |seconds: i64| {
        let fire = asked(&task, seconds);
        let asked = Asked { backfill: Some(backfill), ..(**fire.asked.as_ref().unwrap()).clone() };
        Fire { asked: Some(Arc::new(asked)), ..fire }
    };
    let (first, second) = (of_backfill(-9), of_backfill(-8));

    // The one that is elsewhere takes its place first, wherever it stands.
    rooms.dispatch.resume(vec![second.clone(), elsewhere(first.clone())]).await.unwrap();
    rooms.until(5).await;
    assert_eq!(rooms.came().len(), 0);
    rooms.ended_elsewhere([first.run_id()]).await;
    rooms.until(6).await;

    assert_eq!(rooms.came().iter().map(|came| came.run.clone()).collect::<Vec<_>>(), [second.run_id().to_string()]);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_elsewhere_whose_shard_is_given_on_is_forgotten_and_its_record_stands() {
    let task = overlapping(Overlap::Skip);
    let rooms = with_one_elsewhere(&task).await;

    let let_go = rooms.dispatch.let_go(ShardSet::ALL, Letting::Given).await.unwrap();
    rooms.goes_on(left(&planned(&task, 0))).await;
    rooms.until(9).await;

    assert_eq!((let_go.lingering, rooms.came().len()), (ShardSet::EMPTY, 0));
    assert!(rooms.store.records().is_empty() && rooms.dispatch.elsewhere(ShardSet::ALL).await.unwrap().is_empty());
}
