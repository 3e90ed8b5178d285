//! HTTP/2 by hand: floods, and clients that stop in the middle.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ENDS_WITHIN, assert_served, rest};
use crate::support::{BoxedNode, post_ok};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `RST_STREAM` with the code `CANCEL`.
const CANCEL: &[u8] = &[0, 0, 0, 8];
/// The code of a `GOAWAY` for who floods.
const ENHANCE_YOUR_CALM: u32 = 11;
/// `SETTINGS_MAX_CONCURRENT_STREAMS`.
const STREAMS_MAX: u16 = 3;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request head: the method and scheme by their numbers, path and authority as they are.
fn head(is_post: bool, path: &str) -> Vec<u8> {
    let literal = |index: u8, text: &str| [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // 3: POST, 2: GET; 6: http; 4: a path; 1: an authority.
    [vec![0x80 | if is_post { 3 } else { 2 }, 0x86], literal(0x04, path), literal(0x01, "localhost")].concat()
}

async fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The next frame; `None` at the end of the connection.
async fn next(stream: &mut TcpStream) -> Option<Frame> {
    let read = async {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream: id, payload })
    };
    tokio::time::timeout(ENDS_WITHIN, read).await.expect("a frame comes, or the end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_that_are_taken_back_ends_the_connection() {
    // Nothing but the flood makes the service end it.
    let node = BoxedNode::start_with(|settings| settings.api.idle_timeout = Duration::from_secs(3_600)).await;
    let mut stream = open(node.address()).await;
    let flood: Vec<u8> = (0..5_000)
        .flat_map(|number| {
            let id = 2 * number + 1;
            [frame(HEADERS, END_HEADERS | END_STREAM, id, &head(false, "/ping")), frame(RST_STREAM, 0, id, CANCEL)]
                .concat()
        })
        .collect();

    // The service may close before all of it is sent.
    let _ = stream.write_all(&flood).await;
    let mut sent_away_for = Vec::new();
    while let Some(frame) = next(&mut stream).await {
        if frame.kind == GOAWAY {
            sent_away_for.push(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
        }
    }

    assert_eq!(sent_away_for, [ENHANCE_YOUR_CALM]);
    assert_served(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_not_gathered_for_ever() {
    let node = BoxedNode::start_with(|settings| settings.api.header_timeout = Duration::from_secs(1)).await;
    let mut stream = open(node.address()).await;
    stream.write_all(&frame(HEADERS, 0, 1, &head(false, "/ping"))).await.unwrap();
    let more = frame(CONTINUATION, 0, 1, &[&[0x40, 1, b'x', 100][..], &[b'x'; 100]].concat());
    let flood = more.repeat(20_000);

    let _ = stream.write_all(&flood).await;
    rest(&mut stream).await;
    assert_served(&node).await;

    let mut stream = open(node.address()).await;
    stream.write_all(&frame(HEADERS, 0, 1, &head(false, "/ping"))).await.unwrap();
    rest(&mut stream).await;
    assert_served(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_are_under_way_over_one_connection_and_a_further_one_is_refused() {
    let node = BoxedNode::start_with(|settings| settings.api.streams_max = 4).await;
    let mut stream = open(node.address()).await;
    let told = loop {
        let frame = next(&mut stream).await.unwrap();
        if frame.kind == SETTINGS && frame.flags == 0 {
            break frame.payload;
        }
    };
    let settings = told.chunks(6).map(|setting| {
        (
            u16::from_be_bytes([setting[0], setting[1]]),
            u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]),
        )
    });
    assert!(settings.clone().any(|setting| setting == (STREAMS_MAX, 4)), "{:?}", settings.collect::<Vec<_>>());

    // Their bodies never come.
    for id in [1, 3, 5, 7, 9] {
        stream.write_all(&frame(HEADERS, END_HEADERS, id, &head(true, "/get"))).await.unwrap();
    }
    let refused = loop {
        let frame = next(&mut stream).await.unwrap();
        if frame.kind == RST_STREAM {
            break frame;
        }
    };

    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    assert_eq!((refused.stream, &refused.payload[..]), (9, &REFUSED_STREAM[..]));
    drop(stream);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_no_window_for_an_answer_is_cut_off() {
    let node = BoxedNode::start_with(|settings| settings.api.write_timeout = Duration::from_millis(500)).await;
    let entry =
        serde_json::json!({ "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:9/", "body": "x".repeat(500_000) });
    let large =
        serde_json::json!({ "identity": "large", "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&node.base, "/put", large.to_string()).await;
    let mut stream = open(node.address()).await;
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &head(true, "/get"))).await.unwrap();
    stream.write_all(&frame(DATA, END_STREAM, 1, br#"{"identity":"large"}"#)).await.unwrap();

    let mut taken = 0;
    while let Some(frame) = next(&mut stream).await {
        if frame.kind == DATA {
            assert_eq!(frame.flags & END_STREAM, 0, "the answer is not whole");
            taken += frame.payload.len();
        }
    }

    assert_eq!(taken, 65_535, "what a window holds, and not a byte more");
    assert_served(&node).await;
    node.stop().await;
}
