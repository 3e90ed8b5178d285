//! Bodies that different readers read in different ways, or cannot read.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::{assert_served, impatient};
use crate::support::{BoxedNode, client, post_ok};

async fn said(node: &BoxedNode, path: &str, encoding: Option<&[u8]>, body: Vec<u8>) -> (u16, String) {
    let request = client().post(format!("{}{path}", node.base)).header("connection", "close");
    let request = encoding.into_iter().fold(request, |request, encoding| request.header("content-encoding", encoding));
    let answer = request.header("content-type", "application/json; charset=utf-16").body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["error"], 1, "{answer}");
    assert_served(node).await;
    (status, answer["msg"].as_str().unwrap().to_owned())
}

fn put(entry: &str) -> Vec<u8> {
    format!(r#"{{"identity":"a","time_zone":"UTC","start":true,"entries":{{{entry}}}}}"#).into_bytes()
}

fn entry(more: &str) -> String {
    format!(r#""e":{{"cron_time":"0 0 0 1 1 *","url":"http://127.0.0.1:9/"{more}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_about_a_body_is_told_and_nothing_is_stored() {
    let node = impatient().await;
    let nested = |depth: usize| format!(r#","body":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("/get", br#"{"identity":"a","identity":"b"}"#.to_vec(), "identity: is given twice"),
        ("/get", br#"{"identity":"a","\u0069dentity":"b"}"#.to_vec(), "identity: is given twice"),
        ("/put", put(&format!("{},{}", entry(""), entry(""))), "entries.e: is given twice"),
        ("/put", put(&entry(r#","url":"http://b/""#)), "entries.e.url: is given twice"),
        ("/put", put(&entry(r#","headers":{"A":"1","A":"2"}"#)), "entries.e.headers.A: is given twice"),
        ("/put", put(&entry(&nested(126))), "body: is nested more than 128 levels deep at byte "),
        ("/put", put(&entry(&nested(400_000))), "body: is nested more than 128 levels deep at byte "),
        ("/get", "[".repeat(900_000).into_bytes(), "body: is not JSON (EOF while parsing"),
        ("/get", b"{\"identity\":".repeat(80_000), "body: is not JSON (EOF while parsing"),
        (
            "/search",
            br#"{"identity":"a","limit":1e999,"skip":0}"#.to_vec(),
            "limit: is `1e999`, expected a whole number from 1 to 100",
        ),
        (
            "/search",
            format!(r#"{{"identity":"a","limit":{},"skip":0}}"#, "9".repeat(100_000)).into_bytes(),
            "limit: is `9999",
        ),
        ("/search", br#"{"identity":"a","limit":-0.0,"skip":0}"#.to_vec(), "limit: is `-0.0`"),
        ("/get", b"{\"identity\":\"\xff\"}".to_vec(), "body: is not JSON ("),
        ("/get", b"{\"identity\":\"\xed\xa0\x80\"}".to_vec(), "body: is not JSON ("),
        ("/get", b"{\"identity\":\"a\0b\"}".to_vec(), "body: is not JSON (control character"),
        ("/get", b"{\"identity\":\"a\"}\0".to_vec(), "body: is not JSON (trailing characters"),
        ("/get", br#"{"identity":"a"} {"identity":"b"}"#.to_vec(), "body: is not JSON (trailing characters"),
        ("/get", "\u{feff}{\"identity\":\"a\"}".into(), "body: begins with a byte order mark"),
        ("/get", "{\"identity\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(), "body: is not JSON ("),
        ("/get", br#"{"identity":"\ud800"}"#.to_vec(), "body: holds `\\ud800` at byte 13, half of a pair"),
        ("/put", put(&entry(r#","body":"\udfff""#)), "body: holds `\\udfff` at byte "),
        ("/get", Vec::new(), "body: is empty"),
        ("/get", b" \t\r\n ".to_vec(), "body: is empty"),
        ("/get", b"{'identity':'a'}".to_vec(), "body: is not JSON ("),
        ("/get", b"{\"identity\":\"a\",}".to_vec(), "body: is not JSON ("),
        ("/get", b"NaN".to_vec(), "body: is not JSON ("),
        ("/get", b"null".to_vec(), "body: is `null`, expected an object"),
    ];
    for (path, body, expected) in cases {
        let (status, told) = said(&node, path, None, body).await;
        assert!(status == 200 && told.starts_with(expected) && told.len() < 2_000, "{expected}\n{told}");
    }
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], serde_json::json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_body_of_an_entry_stays_as_it_is() {
    let node = impatient().await;
    let nested = format!("{}{}", "[".repeat(125), "]".repeat(125));
    for body in [r#"{"a":1,"a":2}"#, "1e999", "12345678901234567890123.50", r#""\u0000\ud83d\ude00""#, &nested] {
        post_ok(&node.base, "/put", String::from_utf8(put(&entry(&format!(r#","body":{body}"#)))).unwrap()).await;
        let got = client().post(format!("{}/get", node.base)).body(r#"{"identity":"a"}"#).send().await.unwrap();
        let got = got.text().await.unwrap();
        assert!(got.contains(&format!(r#""body":{body}"#)), "{got}");
    }
    node.stop().await;
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_packed_is_unpacked_up_to_the_limit_and_once() {
    let node = impatient().await;
    let whole = packed(br#"{"identity":"a"}"#);
    let bomb = packed(&vec![b' '; 64 * 1024 * 1024]);
    let cases: Vec<(&[u8], Vec<u8>, u16, &str)> = vec![
        (b"gzip", bomb, 413, "the body is larger than 1048576 bytes"),
        (b"gzip", whole[..whole.len() - 4].to_vec(), 400, "the body cannot be read: it is no gzip"),
        (b"gzip", b"{}".to_vec(), 400, "the body cannot be read: it is no gzip"),
        (b"gzip", packed(&whole), 200, "body: is not JSON"),
        (b"gzip, gzip", packed(&whole), 415, "Content-Encoding `gzip, gzip` is not known"),
        (b"br", whole.clone(), 415, "Content-Encoding `br` is not known"),
        (b"\xff", whole, 415, "Content-Encoding `\u{fffd}` is not known"),
    ];
    for (encoding, body, expected, text) in cases {
        let (status, told) = said(&node, "/get", Some(encoding), body).await;
        assert!(status == expected && told.starts_with(text), "{status} {told}");
    }
    node.stop().await;
}
