//! Anything at all over a real socket: an answer or a closed connection, never a panic, never a hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{assert_served, impatient, rest};

/// What begins well, before something is done to it.
const REQUESTS: [&[u8]; 7] = [
    b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n{\"identity\":\"a\"}",
    b"POST /put HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n6a\r\n{\"identity\":\"a\",\"time_zone\":\"UTC\",\"start\":true,\"entries\":{\"e\":{\"every\":\"1h\",\"url\":\"http://127.0.0.1:9/\"}}}\r\n0\r\n\r\n",
    b"GET /scheduled-jobs/a:e/runs?fromDate=20220221&status=FAILED HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
    b"POST /schedule HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\ndate_time=x&u=",
    b"POST /bulk HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\x02\xff\x03\0\0\0\0\0\0\0\0\0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x08\x01\x05\0\0\0\x01\x82\x86\x04\x01/\x01\x01a\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
];

/// One thing that is done to it.
#[derive(Clone, Debug)]
enum Slip {
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Drop(Index, usize),
    Cut(Index),
    Repeat(Index, usize),
}

fn slip() -> impl Strategy<Value = Slip> {
    let odd = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        prop::sample::select(vec![
            &b"\r\n"[..],
            b"\n",
            b"\0",
            b"\r\n\r\n",
            b":",
            b" ",
            b"Content-Length: 0\r\n",
            b"%",
            b"{\"",
            b"[[["
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Slip::Put(at, byte)),
        (any::<Index>(), odd).prop_map(|(at, bytes)| Slip::Insert(at, bytes)),
        (any::<Index>(), 1_usize..20).prop_map(|(at, count)| Slip::Drop(at, count)),
        any::<Index>().prop_map(Slip::Cut),
        (any::<Index>(), 1_usize..2_000).prop_map(|(at, times)| Slip::Repeat(at, times)),
    ]
}

fn done_to(mut bytes: Vec<u8>, slips: &[Slip]) -> Vec<u8> {
    for slip in slips {
        if bytes.is_empty() {
            return bytes;
        }
        match slip {
            Slip::Put(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Slip::Insert(at, more) => {
                let at = at.index(bytes.len());
                drop(bytes.splice(at..at, more.iter().copied()));
            }
            Slip::Drop(at, count) => {
                let at = at.index(bytes.len());
                drop(bytes.drain(at..(at + count).min(bytes.len())));
            }
            Slip::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Slip::Repeat(at, times) => {
                let at = at.index(bytes.len());
                let byte = bytes[at];
                drop(bytes.splice(at..at, std::iter::repeat_n(byte, *times)));
            }
        }
    }
    bytes
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..600),
        6 => (prop::sample::select(REQUESTS.to_vec()), prop::collection::vec(slip(), 1..5))
            .prop_map(|(request, slips)| done_to(request.to_vec(), &slips)),
    ]
}

/// Panics of threads with this name are those of the service.
const THREAD: &str = "of-the-hostile-node";

#[test]
fn whatever_comes_is_answered_or_the_connection_ends_and_nothing_panics() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, told) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some(THREAD) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        told(panic);
    }));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(THREAD).enable_all().build();
    let runtime = runtime.unwrap();
    let node = runtime.block_on(impatient());
    let mut runner =
        TestRunner::new(Config { cases: 300, max_shrink_time: 20_000, failure_persistence: None, ..Config::default() });

    let held = runner.run(&anything(), |bytes| {
        runtime.block_on(async {
            let mut stream = TcpStream::connect(node.address()).await.unwrap();
            // The service may close before all of it is sent.
            let _ = stream.write_all(&bytes).await;
            // Nothing more comes: who waits for more need not wait for long.
            let _ = stream.shutdown().await;
            let ended = tokio::time::timeout(Duration::from_secs(20), rest(&mut stream)).await;
            prop_assert!(ended.is_ok(), "neither an answer nor an end");
            prop_assert_eq!(panics.load(Ordering::Relaxed), 0);
            Ok(())
        })
    });

    held.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(async {
        assert_served(&node).await;
        node.stop().await;
    });
}
