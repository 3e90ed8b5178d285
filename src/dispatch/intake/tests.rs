use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::watch;

use super::*;
use crate::model::Timestamp;
use crate::store::{Pruned, StoreError};

const RECORD_MAX: usize = 1_000;
const RESULT_MAX: u64 = 1_000_000;

/// Keeps pieces, when it may.
#[derive(Default)]
struct Pieces {
    kept: Mutex<BTreeMap<(RunId, u32), Bytes>>,
    is_away: bool,
    /// Until it is open, writes wait.
    gate: Option<watch::Receiver<bool>>,
}

#[async_trait]
impl ResultStore for Pieces {
    async fn put_piece(&self, run: RunId, number: u32, bytes: Bytes) -> Result<(), StoreError> {
        if let Some(mut gate) = self.gate.clone() {
            gate.wait_for(|&is_open| is_open).await.unwrap();
        }
        if self.is_away {
            return Err(StoreError::Unavailable { doing: "writing a piece", source: "a test wants it".into() });
        }
        self.kept.lock().unwrap().insert((run, number), bytes);
        Ok(())
    }

    async fn piece(&self, _: RunId, _: u32) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn prune_results(&self, _: Timestamp, _: u64, _: usize) -> Result<Pruned, StoreError> {
        Ok(Pruned::default())
    }
}

fn run(number: i64) -> RunId {
    RunId::asked(Timestamp::from_secs(number))
}

fn answer(chunks: &[&[u8]]) -> Answer {
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Answer { body: Box::pin(stream::iter(chunks)), ..Answer::whole(200, "") }
}

fn results(store: Arc<Pieces>, result_max: u64) -> Results {
    Results::new(store, RECORD_MAX, result_max)
}

/// What is kept of an answer in chunks, and its pieces.
async fn taken(chunks: &[&[u8]], result_max: u64, keeps_result: bool) -> (KeptAnswer, Vec<Bytes>) {
    let (store, own_time) = (Arc::new(Pieces::default()), OwnTime::default());
    let results = results(store.clone(), result_max);
    let kept = take_in(answer(chunks), &results, run(1), keeps_result, &own_time).await.unwrap();
    let pieces = store.kept.lock().unwrap().values().cloned().collect();
    (kept, pieces)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + (at % 23) as u8).collect()
}

#[tokio::test]
async fn a_text_that_fits_stands_in_the_record_alone() {
    let (kept, pieces) = taken(&[b"{\"a\"", b":1}\n"], RESULT_MAX, true).await;

    assert_eq!((&kept.body[..], kept.size, kept.is_truncated), (&b"{\"a\":1}\n"[..], 8, false));
    assert_eq!((kept.pieces, kept.result_is_truncated, pieces.len()), (0, false, 0));
    let (exact, pieces) = taken(&[&bytes(RECORD_MAX)], RESULT_MAX, true).await;
    assert_eq!((exact.is_truncated, pieces.len()), (false, 0));
    let (nothing, _) = taken(&[], RESULT_MAX, true).await;
    assert_eq!((nothing.size, nothing.body.len()), (0, 0));
}

#[tokio::test]
async fn a_longer_answer_is_kept_whole_in_pieces_of_one_length_however_it_comes() {
    let body = bytes(2 * RESULT_PIECE + 77);

    for size in [1_000, 999, 70_000, 1_000_000] {
        let chunks: Vec<&[u8]> = body.chunks(size).collect();
        let (kept, pieces) = taken(&chunks, RESULT_MAX, true).await;

        assert_eq!((kept.pieces, kept.size, kept.is_truncated), (3, body.len() as u64, true));
        assert_eq!((kept.body.as_slice(), kept.result_is_truncated), (&body[..RECORD_MAX], false));
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [RESULT_PIECE, RESULT_PIECE, 77]);
        assert_eq!(pieces.concat(), body);
    }
}

#[tokio::test]
async fn what_is_no_text_is_kept_in_pieces_too() {
    let (kept, pieces) = taken(&[b"\xff\xfe", b"\x00"], RESULT_MAX, true).await;

    assert_eq!((kept.pieces, kept.is_truncated, kept.size), (1, false, 3));
    assert_eq!(pieces.concat(), b"\xff\xfe\x00");
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_cut_and_the_rest_is_not_read() {
    let body = bytes(RESULT_PIECE * 2);
    let limit = RESULT_PIECE as u64 + 10;
    let chunks: Vec<&[u8]> = body.chunks(1_000).collect();

    let (kept, pieces) = taken(&chunks, limit, true).await;

    assert_eq!((kept.pieces, kept.size, kept.result_is_truncated), (2, limit, true));
    assert_eq!(pieces.concat(), body[..RESULT_PIECE + 10]);
    let (whole, _) = taken(&[&body[..RESULT_PIECE + 10]], limit, true).await;
    assert!(!whole.result_is_truncated, "it is just as long as it may be");
}

#[tokio::test]
async fn where_no_results_are_kept_the_record_holds_what_it_can() {
    let (long, pieces) = taken(&[&bytes(700), &bytes(700)], 0, true).await;
    assert_eq!((long.body.len(), long.is_truncated, long.result_is_truncated), (RECORD_MAX, true, true));
    assert_eq!((long.size, pieces.len()), (RECORD_MAX as u64, 0));

    let (binary, pieces) = taken(&[b"\xff"], 0, true).await;
    assert_eq!((binary.is_truncated, binary.result_is_truncated, pieces.len()), (false, true, 0));
}

#[tokio::test]
async fn an_answer_that_will_not_be_kept_is_read_as_far_as_its_record_goes() {
    let (kept, pieces) = taken(&[&bytes(700), &bytes(700), b"\xff"], RESULT_MAX, false).await;

    assert_eq!((kept.body.len(), kept.is_truncated, pieces.len()), (RECORD_MAX, true, 0));
}

#[tokio::test]
async fn a_piece_that_cannot_be_written_is_noted_and_the_answer_counts_all_the_same() {
    let (store, own_time) = (Arc::new(Pieces { is_away: true, ..Pieces::default() }), OwnTime::default());
    let results = results(store, RESULT_MAX);

    let body = bytes(3 * RESULT_PIECE);
    let chunks: Vec<&[u8]> = body.chunks(10_000).collect();
    let kept = take_in(answer(&chunks), &results, run(1), true, &own_time).await.unwrap();

    assert_eq!(kept.result_error.as_deref(), Some("store unavailable while writing a piece: a test wants it"));
    assert_eq!((kept.pieces, kept.body.len(), kept.result_is_truncated), (0, RECORD_MAX, true));
    assert_eq!(results.places.available_permits(), PLACES);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_answers_are_taken_in_pieces_at_once_and_the_waiting_is_ours() {
    let (gate, is_open) = watch::channel(false);
    let store = Arc::new(Pieces { gate: Some(is_open), ..Pieces::default() });
    let results = Arc::new(results(store.clone(), RESULT_MAX));
    let body: &'static [u8] = bytes(RESULT_PIECE + 1).leak();
    let takings: Vec<_> = (0..PLACES as i64 + 5)
        .map(|number| {
            let results = results.clone();
            tokio::spawn(async move {
                let own_time = OwnTime::default();
                let kept = take_in(answer(&[body]), &results, run(number), true, &own_time).await.unwrap();
                (kept, own_time.total())
            })
        })
        .collect();

    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(results.places.available_permits(), 0);
    gate.send(true).unwrap();

    for taking in takings {
        let (kept, waited) = taking.await.unwrap();
        assert_eq!((kept.pieces, kept.result_error), (2, None));
        assert!(waited >= Duration::from_secs(10), "{waited:?}");
    }
    assert_eq!(results.places.available_permits(), PLACES);
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_which_there_is_no_place_for_long_goes_without() {
    let (_gate, is_open) = watch::channel(false);
    let results = results(Arc::new(Pieces { gate: Some(is_open), ..Pieces::default() }), RESULT_MAX);
    let places = results.places.clone().acquire_many_owned(PLACES as u32).await.unwrap();
    let body = bytes(RESULT_PIECE + 1);

    let own_time = OwnTime::default();
    let without_place = take_in(answer(&[&body]), &results, run(1), true, &own_time).await.unwrap();
    drop(places);
    let slow_store = take_in(answer(&[&body]), &results, run(1), true, &own_time).await.unwrap();

    assert_eq!(without_place.result_error.as_deref(), Some("too many long answers came at once"));
    assert_eq!(slow_store.result_error.as_deref(), Some("the store took too long"));
}

#[tokio::test]
async fn a_content_type_is_kept_if_it_is_short_and_has_no_odd_characters() {
    let of = |value: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_bytes(value).unwrap());
        content_type(&headers)
    };

    assert_eq!(of(b"text/csv; charset=utf-8").as_deref(), Some("text/csv; charset=utf-8"));
    for odd in [&b"text/\xe9"[..], b"text/a\tb", b"", &[b'x'; CONTENT_TYPE_LEN_MAX + 1]] {
        assert_eq!(of(odd), None, "{odd:?}");
    }
    assert_eq!(content_type(&HeaderMap::new()), None);
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    let chunks = [Ok(Bytes::from_static(b"half")), Err(TransportError::Broken("reset".to_owned()))];
    let broken = Answer { body: Box::pin(stream::iter(chunks)), ..Answer::whole(200, "") };
    let results = results(Arc::default(), RESULT_MAX);

    let taken = take_in(broken, &results, run(1), true, &OwnTime::default()).await;

    assert_eq!(taken, Err(TransportError::Broken("reset".to_owned())));
}
