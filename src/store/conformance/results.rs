use bytes::Bytes;

use super::*;
use crate::store::Pruned;

const MONTH: i64 = 31 * 24 * 60 * 60;

fn run_at(second: i64) -> RunId {
    RunId::asked(at(second))
}

fn piece_of(byte: u8, len: usize) -> Bytes {
    vec![byte; len].into()
}

pub(crate) async fn a_result_comes_back_piece_by_piece(store: &impl Store) {
    let (one, other) = (run_at(1), run_at(1));
    // No text, in no encoding.
    let bytes: Vec<u8> = (0..=u8::MAX).rev().collect();
    let pieces: Vec<Bytes> = bytes.chunks(100).map(|piece| piece.to_vec().into()).collect();
    for (number, piece) in (0..).zip(&pieces) {
        store.put_piece(one, number, piece.clone()).await.unwrap();
    }
    store.put_piece(other, 0, piece_of(9, crate::store::RESULT_PIECE)).await.unwrap();

    for (number, piece) in (0..).zip(&pieces) {
        assert_eq!(store.piece(one, number).await.unwrap().as_ref(), Some(piece));
    }
    assert_eq!(store.piece(one, 3).await.unwrap(), None);
    assert_eq!(store.piece(other, 0).await.unwrap(), Some(piece_of(9, crate::store::RESULT_PIECE)));
    assert_eq!(store.piece(other, 1).await.unwrap(), None);
    assert_eq!(store.piece(run_at(2), 0).await.unwrap(), None);
}

pub(crate) async fn a_piece_that_is_written_again_is_replaced(store: &impl Store) {
    let run = run_at(1);
    store.put_piece(run, 0, piece_of(1, 1_000)).await.unwrap();
    store.put_piece(run, 1, piece_of(2, 1_000)).await.unwrap();

    store.put_piece(run, 1, piece_of(3, 10)).await.unwrap();
    store.put_piece(run, 0, piece_of(1, 1_000)).await.unwrap();

    assert_eq!(store.piece(run, 0).await.unwrap(), Some(piece_of(1, 1_000)));
    assert_eq!(store.piece(run, 1).await.unwrap(), Some(piece_of(3, 10)));
    assert_eq!(store.prune_results(at(0), 0, 100).await.unwrap(), Pruned { records: 2, more: false });
}

pub(crate) async fn results_go_by_the_age_of_their_runs(store: &impl Store) {
    let runs = [run_at(0), run_at(1), run_at(MONTH)];
    for run in runs {
        for number in 0..2 {
            store.put_piece(run, number, piece_of(1, 100)).await.unwrap();
        }
    }

    let too_young = store.prune_results(at(0), u64::MAX, 100).await.unwrap();
    // Written later than its run was asked for: what counts is the instant of the run.
    let pruned = store.prune_results(at(MONTH - 60), u64::MAX, 100).await.unwrap();

    assert_eq!(too_young, Pruned { records: 0, more: false });
    assert_eq!(pruned, Pruned { records: 4, more: false });
    assert_eq!(store.piece(runs[0], 0).await.unwrap(), None);
    assert_eq!(store.piece(runs[1], 1).await.unwrap(), None);
    assert_eq!(store.piece(runs[2], 1).await.unwrap(), Some(piece_of(1, 100)));
}

pub(crate) async fn results_go_by_size_the_oldest_first_in_steps(store: &impl Store) {
    // Not in the order of their instants.
    let runs: Vec<RunId> = [3, 0, 4, 1, 2].map(run_at).to_vec();
    for run in &runs {
        for number in 0..2 {
            store.put_piece(*run, number, piece_of(1, 100)).await.unwrap();
        }
    }
    let is_there = async |index: usize| store.piece(runs[index], 1).await.unwrap().is_some();
    let prune = async || store.prune_results(Timestamp::EPOCH, 1, 4).await.unwrap();

    let enough_room = store.prune_results(Timestamp::EPOCH, u64::MAX, 4).await.unwrap();
    assert_eq!(enough_room, Pruned { records: 0, more: false });
    assert_eq!(prune().await, Pruned { records: 4, more: true });
    assert_eq!([is_there(1).await, is_there(3).await, is_there(4).await], [false, false, true]);
    assert_eq!(prune().await, Pruned { records: 4, more: true });
    assert_eq!([is_there(4).await, is_there(0).await, is_there(2).await], [false, false, true]);
    assert_eq!(prune().await, Pruned { records: 2, more: false });
    assert!(!is_there(2).await);
    store.append(vec![note(RecordKind::Put, "a", at(0))]).await.unwrap();
    assert_eq!(prune().await, Pruned { records: 0, more: false });
}
