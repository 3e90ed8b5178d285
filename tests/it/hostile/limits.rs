//! Each limit of the listener, at the limit and one above it; clients that are slow, idle or many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{ENDS_WITHIN, PING, answered, assert_served, rest, sent, statuses};
use crate::support::{BoxedNode, post_ok};

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_served_up_to_its_limits_and_refused_above_them() {
    let node = BoxedNode::start_with(|settings| {
        (settings.api.head_max, settings.api.headers_max, settings.api.url_max) = (2_000, 20, 300);
    })
    .await;
    let padded = |size: usize| {
        let empty = get("/ping", "x: \r\n").len();
        get("/ping", &format!("x: {}\r\n", "x".repeat(size - empty)))
    };
    // Two headers are there already.
    let many = |count: usize| get("/ping", &"x: \r\n".repeat(count - 2));
    let url = |length: usize| get(&format!("/ping?{}", "x".repeat(length - "/ping?".len())), "");
    assert_eq!(padded(2_000).len(), 2_000);

    assert_eq!(answered(&node, padded(2_000).as_bytes()).await, [200]);
    assert_eq!(answered(&node, padded(2_001).as_bytes()).await, [431]);
    assert_eq!(answered(&node, padded(1_000_000).as_bytes()).await, [431]);
    assert_eq!(answered(&node, many(20).as_bytes()).await, [200]);
    assert_eq!(answered(&node, many(21).as_bytes()).await, [431]);
    assert_eq!(answered(&node, url(300).as_bytes()).await, [200]);
    assert_eq!(answered(&node, url(301).as_bytes()).await, [414]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_be_64_kib_with_100_headers_and_a_url_8_kib_if_nothing_else_is_said() {
    let node = BoxedNode::start().await;
    let headers = format!("x: {}\r\n", "x".repeat(500)).repeat(98);
    let headers = format!("y: {}\r\n{headers}", "y".repeat(65_536 - get("/ping", &headers).len() - "y: \r\n".len()));

    // One header too many, of a size that is allowed.
    assert_eq!(answered(&node, get("/ping", &headers).as_bytes()).await, [431]);
    let headers = headers.replacen(&format!("x: {}\r\n", "x".repeat(500)), "", 1);
    assert_eq!(answered(&node, get("/ping", &headers).as_bytes()).await, [200]);
    let url = format!("/ping?{}", "x".repeat(8_192 - "/ping?".len()));
    assert_eq!(answered(&node, get(&url, "").as_bytes()).await, [200]);
    assert_eq!(answered(&node, get(&format!("{url}x"), "").as_bytes()).await, [414]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_connections_and_a_further_one_is_closed_at_once() {
    let node = BoxedNode::start_with(|settings| settings.api.connections_per_address_max = 3).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        open.push(stream);
    }

    assert_eq!(sent(node.address(), PING).await, b"", "the fourth is closed");
    drop(open.pop());
    let freed = async {
        while sent(node.address(), PING).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, freed).await.expect("a place is free when a connection ends");
    drop(open);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_says_nothing_or_drips_is_dropped_in_the_time_of_a_head() {
    let node = BoxedNode::start_with(|settings| settings.api.header_timeout = Duration::from_millis(300)).await;

    for begun in [&b""[..], b"G", b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX", b"PRI * HTTP/2.0\r\n\r\nSM"] {
        assert_eq!(sent(node.address(), begun).await, b"", "{:?}", String::from_utf8_lossy(begun));
    }
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let begin = Instant::now();
    // A byte each 50 ms keeps nobody waiting for longer.
    while begin.elapsed() < ENDS_WITHIN && stream.write_all(b"X").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed() < ENDS_WITHIN);
    assert_served(&node).await;
    node.stop().await;
}

/// Asks, and reads the answer to its end.
async fn pinged(stream: &mut TcpStream) {
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(br#"{"status":"OK"}"#) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_idle_for_its_time_and_a_head_that_has_begun_may_not_take_that_long() {
    let node = BoxedNode::start_with(|settings| {
        (settings.api.idle_timeout, settings.api.header_timeout) =
            (Duration::from_secs(600), Duration::from_millis(300));
    })
    .await;
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    pinged(&mut stream).await;
    // Longer than a head may take: it is idle, and nothing else.
    tokio::time::sleep(Duration::from_millis(700)).await;
    pinged(&mut stream).await;

    stream.write_all(b"GET /ping HTT").await.unwrap();

    assert_eq!(rest(&mut stream).await, b"", "a request that stays half is not waited for");
    node.stop().await;

    let node = BoxedNode::start_with(|settings| settings.api.idle_timeout = Duration::from_millis(100)).await;
    assert_eq!(statuses(&sent(node.address(), b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n").await), [200]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let node = BoxedNode::start_with(|settings| {
        settings.api.body_max = 8 * 1024 * 1024;
        settings.api.write_timeout = Duration::from_millis(500);
    })
    .await;
    let body = "x".repeat(7 * 1024 * 1024);
    let entry = serde_json::json!({ "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:9/", "body": body });
    let large =
        serde_json::json!({ "identity": "large", "time_zone": "UTC", "start": true, "entries": { "e": entry } });
    post_ok(&node.base, "/put", large.to_string()).await;
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let ask = b"POST /get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{\"identity\":\"large\"}";
    // More than the system holds back for a client that reads nothing.
    stream.write_all(&ask.repeat(8)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;

    let taken = rest(&mut stream).await;

    assert!(taken.len() < 8 * body.len(), "{} bytes came", taken.len());
    assert_served(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_may_have_ten_thousand_entries_and_not_one_more() {
    let node = BoxedNode::start_with(|settings| settings.api.body_max = 16 * 1024 * 1024).await;
    let put = |count: usize| {
        let entry = serde_json::json!({ "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:9/" });
        let entries: serde_json::Map<_, _> = (0..count).map(|number| (format!("e{number}"), entry.clone())).collect();
        serde_json::json!({ "identity": "many", "time_zone": "UTC", "start": true, "entries": entries }).to_string()
    };

    let (_, refused) = crate::support::post(&node.base, "/put", put(10_001)).await;
    post_ok(&node.base, "/put", put(10_000)).await;

    assert_eq!(refused["msg"], "entries: are 10001, expected at most 10000");
    node.stop().await;
}

/// Asks for something whose body never comes whole.
async fn occupied(node: &BoxedNode) -> TcpStream {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let half = b"POST /get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(half).await.unwrap();
    let mut word = [0; 12];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 100", "it is worked on");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_above_the_limit_of_all_waits_while_all_are_busy() {
    let node = BoxedNode::start_with(|settings| settings.api.connections_max = 1).await;
    let first = occupied(&node).await;
    let mut second = TcpStream::connect(node.address()).await.unwrap();
    second.write_all(PING).await.unwrap();

    let mut answer = [0; 12];
    let early = tokio::time::timeout(Duration::from_millis(300), second.read_exact(&mut answer)).await;
    assert!(early.is_err(), "it is not served");
    drop(first);

    assert_eq!(statuses(&rest(&mut second).await), [200]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_silent_connections_keep_nobody_out_and_busy_ones_go_on() {
    let node = BoxedNode::start_with(|settings| {
        settings.api.connections_max = 4;
        (settings.api.idle_timeout, settings.api.header_timeout) = (ENDS_WITHIN * 10, ENDS_WITHIN * 10);
    })
    .await;
    let mut busy = occupied(&node).await;
    let mut idle = TcpStream::connect(node.address()).await.unwrap();
    pinged(&mut idle).await;
    let mut silent = TcpStream::connect(node.address()).await.unwrap();
    let mut dripping = TcpStream::connect(node.address()).await.unwrap();
    dripping.write_all(b"GET /ping HTT").await.unwrap();

    // Who has just connected is given this time to ask.
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    // Each of these takes the place of one that waits for its client, and is idle itself then.
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut honest = TcpStream::connect(node.address()).await.unwrap();
        let served = tokio::time::timeout(ENDS_WITHIN, pinged(&mut honest));
        served.await.expect("nobody waits for the time of an idle connection");
        open.push(honest);
    }

    for stream in [&mut idle, &mut silent, &mut dripping] {
        assert_eq!(rest(stream).await, b"", "it gave way");
    }
    busy.write_all(b"{\"identity\":\"none\"}").await.unwrap();
    // The word to go on, of which a part is read already, stands before it.
    let mut answer = [0; 13 + 12];
    busy.read_exact(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    drop(busy);
    node.stop().await;
}
