use bytes::Bytes;

use super::*;

/// Each piece takes so long to be written.
struct SlowStore(Duration);

#[async_trait]
impl ResultStore for SlowStore {
    async fn put_piece(&self, _: RunId, _: u32, _: Bytes) -> Result<(), StoreError> {
        tokio::time::sleep(self.0).await;
        Ok(())
    }

    async fn piece(&self, _: RunId, _: u32) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn prune_results(&self, _: Timestamp, _: u64, _: usize) -> Result<Pruned, StoreError> {
        Ok(Pruned::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_kept_beside_its_record_which_says_how_much_there_is() {
    const LEN: usize = 200_000;
    let (rooms, task) = (Rooms::new(|_| Deed::AnswerLong(LEN)).await, task("t", EntryOptions::default()));

    rooms.fire_at(&task, 0).await;
    rooms.until(1).await;

    let document = rooms.document(run(&task, 0)).await;
    assert_eq!((&document["result_size"], &document["result_pieces"]), (&LEN.into(), &4.into()));
    assert_eq!(
        (document["response"].as_str().unwrap().len(), &document["response_truncated"]),
        (64 * 1024, &true.into())
    );
    assert_eq!(document["attempts"][0]["bytes"], LEN);
    let mut len = 0;
    for number in 0..4 {
        len += rooms.store.piece(run(&task, 0), number).await.unwrap().unwrap().len();
    }
    assert_eq!((len, rooms.store.piece(run(&task, 0), 4).await.unwrap()), (LEN, None));
}

#[tokio::test(start_paused = true)]
async fn the_time_that_our_store_takes_is_not_counted_against_the_target() {
    let clock = Arc::new(SimClock::starting_at(START));
    let script = Arc::new(|_: &Came| Deed::AnswerLong(300_000));
    let target = Target { clock: clock.clone(), came: Arc::default(), script };
    let slow = Arc::new(SlowStore(secs(7)));
    let rooms = Rooms::start_with(clock, MemoryStore::new(), target, &Settings::default(), slow);
    let task = task("t", EntryOptions { timeout: Some(secs(2)), ..EntryOptions::default() });

    rooms.fire_at(&task, 0).await;
    rooms.until(100).await;

    assert_eq!(rooms.end(run(&task, 0)).await, succeeded());
    assert_eq!(rooms.document(run(&task, 0)).await["result_pieces"], 5);
    rooms.assert_settled().await;
}

#[tokio::test(start_paused = true)]
async fn of_an_attempt_that_is_made_again_nothing_is_kept_beside_the_record() {
    let rooms = Rooms::new(|_| Deed::AnswerLong(200_000)).await;
    let rule = crate::model::SuccessRule { status: [(204, 204)].into(), ..Default::default() };
    let mut options = EntryOptions { success: rule, ..retried(2) };
    options.retry.as_mut().unwrap().on_status = [(200, 200)].into();
    let task = task("t", options);

    rooms.fire_at(&task, 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rooms.store.piece(run(&task, 0), 0).await.unwrap(), None);
    rooms.until(10).await;

    let document = rooms.document(run(&task, 0)).await;
    assert_eq!(
        (&document["message"][0], &document["result_pieces"]),
        (&"answered with status 200, expected 204".into(), &4.into())
    );
}
