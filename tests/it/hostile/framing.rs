//! Where a request ends: two servers in a row must not see two different ends.

use super::{answered, assert_served, impatient, sent};
use crate::support::post_ok;

/// A request that must never be seen: it stands where only who is mistaken about the end of the first one looks.
const SMUGGLED: &str = "POST /delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19\r\n\r\n{\"identity\":\"kept\"}";

fn post(headers: &str, body: &str) -> String {
    format!("POST /get HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled_behind_another_one() {
    let node = impatient().await;
    post_ok(&node.base, "/put", crate::support::task("kept", "0 0 0 1 1 *", "http://127.0.0.1:9/")).await;
    let cases: [(&str, String, &[u16]); 22] = [
        (
            "a length before chunks: the chunks count, and nothing after them",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            &[200],
        ),
        (
            "a length behind chunks",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            &[200],
        ),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 0\r\n", "{}"), &[400]),
        ("a list of lengths", post("Content-Length: 2, 0\r\n", "{}"), &[400]),
        ("a length with a sign", post("Content-Length: +2\r\n", "{}"), &[400]),
        ("a negative length", post("Content-Length: -2\r\n", "{}"), &[400]),
        ("a length beyond all numbers", post("Content-Length: 99999999999999999999999\r\n", "{}"), &[400]),
        ("a coding that is not known", post("Transfer-Encoding: xchunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("chunks that are not last", post("Transfer-Encoding: chunked, identity\r\n", "2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("chunks of something packed", post("Transfer-Encoding: gzip, chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), &[400]),
        (
            "chunks twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            &[400],
        ),
        ("a coding behind a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("a blank before the colon", post("Content-Length : 2\r\n", "{}"), &[400]),
        ("a folded header", post("X: a\r\n b\r\nContent-Length: 2\r\n", "{}"), &[400]),
        ("a zero byte in a value", post("X: a\0b\r\nContent-Length: 2\r\n", "{}"), &[400]),
        ("a zero byte in a name", post("X\0: a\r\nContent-Length: 2\r\n", "{}"), &[400]),
        ("a lone carriage return in a value", post("X: a\rContent-Length: 0\r\nContent-Length: 2\r\n", "{}"), &[400]),
        ("a size that is no number", post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), &[400]),
        (
            "a size beyond all numbers",
            post("Transfer-Encoding: chunked\r\n", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
            &[400],
        ),
        ("a size in the way of programs", post("Transfer-Encoding: chunked\r\n", "0x2\r\n{}\r\n0\r\n\r\n"), &[400]),
        (
            "a size that ends with a bare line feed",
            post("Transfer-Encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n"),
            &[400],
        ),
        ("a chunk that is longer than it says", post("Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"), &[400]),
    ];
    for (what, bytes, expected) in cases {
        let got = answered(&node, format!("{bytes}{SMUGGLED}").as_bytes()).await;
        assert_eq!(got, expected, "{what}");
        let all = post_ok(&node.base, "/all", "").await;
        assert_eq!(all["data"], serde_json::json!(["kept"]), "{what}: the request behind it was seen");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http_allows_is_served_and_what_it_forbids_is_refused() {
    let node = impatient().await;
    let close = "Connection: close\r\n\r\n";
    let cases: [(&str, String, &[u16]); 21] = [
        ("the same length twice", post("Content-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n", "{}"), &[200]),
        ("an extension of a chunk", post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "2;a=b\r\n{}\r\n0\r\n\r\n"), &[200]),
        ("lines that end with line feeds only", "GET /ping HTTP/1.1\nHost: a\nConnection: close\n\n".to_owned(), &[200]),
        ("empty lines before a request", format!("\r\n\r\nGET /ping HTTP/1.1\r\nHost: localhost\r\n{close}"), &[200]),
        ("a target with a server before its path", format!("GET http://elsewhere/ping HTTP/1.1\r\nHost: localhost\r\n{close}"), &[200]),
        ("a server in place of a path", format!("GET 127.0.0.1:22 HTTP/1.1\r\nHost: localhost\r\n{close}"), &[400]),
        ("a way through", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
        ("an asterisk", format!("GET * HTTP/1.1\r\nHost: localhost\r\n{close}"), &[400]),
        ("an asterisk where it belongs", format!("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n{close}"), &[404]),
        ("a method that is none", format!("G@T /ping HTTP/1.1\r\nHost: localhost\r\n{close}"), &[400]),
        ("a method in small letters is another one", format!("get /ping HTTP/1.1\r\nHost: localhost\r\n{close}"), &[405]),
        ("a version of the future", format!("GET /ping HTTP/9.9\r\nHost: localhost\r\n{close}"), &[400]),
        ("a version of the past", "GET /ping\r\n\r\n".to_owned(), &[400]),
        ("no host", format!("GET /ping HTTP/1.1\r\n{close}"), &[400]),
        ("two hosts", format!("GET /ping HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n{close}"), &[400]),
        ("no host before there were any", "GET /ping HTTP/1.0\r\n\r\n".to_owned(), &[200]),
        ("another protocol", format!("GET /ping HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n{close}"), &[200]),
        ("HTTP/2 by an upgrade", "GET /ping HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n".to_owned(), &[200]),
        ("a body that is asked for", post("Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n", "{}"), &[100, 200]),
        ("an expectation that is not known", post("Expect: 200-ok\r\nContent-Length: 2\r\n", "{}"), &[417]),
        ("two encodings in two lines", post("Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"), &[400]),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(answered(&node, bytes.as_bytes()).await, expected, "{what}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_that_it_is_what_it_says() {
    let node = impatient().await;
    let requests = [
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /docs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /scheduled-jobs/none:e HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "POST /all HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n",
    ];
    for request in requests {
        let answer = String::from_utf8(sent(node.address(), request.as_bytes()).await).unwrap();
        assert_eq!(answer.matches("x-content-type-options: nosniff\r\n").count(), 1, "{answer}");
    }
    assert_served(&node).await;
    node.stop().await;
}
