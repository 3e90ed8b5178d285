//! What the server does with clients that send too much, too slowly, or nonsense.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BoxedNode, Target, client, post, post_ok, task};

const NEVER: &str = "0 0 0 1 1 *";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_answered_413_however_it_comes() {
    let node = BoxedNode::start_with(|settings| settings.api.body_max = 1_000).await;
    let large = task("large", NEVER, &format!("http://127.0.0.1:1/{}", "x".repeat(1_000)));

    let (announced, _) = post(&node.base, "/put", large.clone()).await;
    let chunks = large.as_bytes().chunks(100).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let chunked = client()
        .post(format!("{}/put", node.base))
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)))
        .send()
        .await
        .unwrap();
    let bomb = post_gzip(&node.base, &large).await;

    assert_eq!((announced, chunked.status().as_u16(), bomb.0), (413, 413, 413));
    assert_eq!(bomb.1["msg"], "the body is larger than 1000 bytes ([server] max_body)");
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], serde_json::json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_still_sending_gets_its_413() {
    let node = BoxedNode::start().await;
    let large = "x".repeat(12 * 1024 * 1024);

    for _ in 0..10 {
        let (status, _) = post(&node.base, "/put", large.clone()).await;
        assert_eq!(status, 413);
    }
    let head = "POST /put HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 12000000\r\n\r\n";
    let waiting = send_raw(&node, head.as_bytes()).await;

    assert!(waiting.starts_with("HTTP/1.1 413 "), "nobody is asked to send what is refused: {waiting}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_body_is_unpacked() {
    let node = BoxedNode::start().await;

    let (status, answer) = post_gzip(&node.base, &task("packed", NEVER, "http://127.0.0.1:1/")).await;

    assert_eq!((status, &answer["msg"]), (200, &Value::from("ok")));
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], serde_json::json!(["packed"]));
    node.stop().await;
}

async fn post_gzip(base: &str, body: &str) -> (u16, Value) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes()).unwrap();
    let call = client().post(format!("{base}/put")).header("content-encoding", "gzip");
    let answer = call.body(encoder.finish().unwrap()).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_body_too_slowly_is_answered_408() {
    let node = BoxedNode::start_with(|settings| settings.api.body_timeout = Duration::from_millis(100)).await;

    let answer = send_raw(&node, b"POST /put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").await;

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_ends_its_head_is_dropped() {
    let node = BoxedNode::start_with(|settings| settings.api.header_timeout = Duration::from_millis(100)).await;

    let answer = send_raw(&node, b"POST /put HTTP/1.1\r\nHost: localhost\r\n").await;

    assert!(!answer.contains("200 OK"), "{answer}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_in_place_of_http_is_answered_400_and_a_huge_head_431() {
    let node = BoxedNode::start().await;

    let rubbish = send_raw(&node, b"\x16\x03\x01\x02\x00 what is this\r\n\r\n").await;
    let huge = format!("GET /ping HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100 * 1024));
    let huge = send_raw(&node, huge.as_bytes()).await;

    assert!(rubbish.starts_with("HTTP/1.1 400 "), "{rubbish}");
    assert!(huge.starts_with("HTTP/1.1 431 "), "{huge}");
    node.stop().await;
}

/// Sends bytes and reads until the server ends the connection.
async fn send_raw(node: &BoxedNode, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(node.base.strip_prefix("http://").unwrap()).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_path_with_another_method_is_405_and_names_the_method() {
    let node = BoxedNode::start().await;
    let client = client();

    let put = client.get(format!("{}/put", node.base)).send().await.unwrap();
    let ping = client.post(format!("{}/ping", node.base)).send().await.unwrap();
    let unknown = client.get(format!("{}/nope", node.base)).send().await.unwrap();

    assert_eq!((put.status().as_u16(), &put.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!((ping.status().as_u16(), &ping.headers()["allow"]), (405, &"GET".parse().unwrap()));
    let envelope: Value = serde_json::from_str(&unknown.text().await.unwrap()).unwrap();
    assert_eq!(envelope, serde_json::json!({ "error": 1, "msg": "there is no such path" }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_that_it_is_alive_and_ready() {
    let node = BoxedNode::start().await;
    for path in ["/ping", "/ping/", "/api/ping", "/api/ping/"] {
        let answer = client().get(format!("{}{path}", node.base)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, r#"{"status":"OK"}"#));
    }

    let healthz = client().get(format!("{}/healthz", node.base)).send().await.unwrap();
    let readyz = client().get(format!("{}/readyz", node.base)).send().await.unwrap();

    assert_eq!((healthz.status().as_u16(), readyz.status().as_u16()), (200, 200));
    let readyz: Value = serde_json::from_str(&readyz.text().await.unwrap()).unwrap();
    let names: Vec<&str> =
        readyz["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!((&readyz["ready"], names), (&Value::from(true), vec!["agenda", "store", "leases", "clock", "journal"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_a_put_is_told_at_once_with_its_place() {
    let node = BoxedNode::start().await;
    let body = r#"{"identity":"","time_zone":"Mars/Base","start":"yes","entries":{
        "a":{"cron_time":"* * * * *","url":"ftp://x/","headers":["x"]},"b":null,"c":{"cron_time":5,"url":"http://x/"}}}"#;

    let (status, answer) = post(&node.base, "/put", body).await;

    assert_eq!(status, 200);
    let text = answer["msg"].as_str().unwrap();
    let places = [
        "identity: ",
        "time_zone: ",
        "start: ",
        "entries.a.cron_time: ",
        "entries.a.url: ",
        "entries.a.headers: ",
        "entries.b: ",
        "entries.c.cron_time: ",
    ];
    let lines: Vec<&str> = text.lines().collect();
    for (place, line) in places.iter().zip(&lines) {
        assert!(line.starts_with(place), "{place} {line}");
    }
    assert_eq!(lines.len(), places.len(), "{text}");
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], serde_json::json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_of_a_put_are_kept_out_and_reported_with_the_nearest_name() {
    let node = BoxedNode::start().await;
    let entry = r#"{"cron_time":"0 0 0 1 1 *","url":"http://127.0.0.1:1/","header":{"a":"b"},"zzz":1}"#;
    let body =
        format!(r#"{{"identity":"w","timezone":1,"time_zone":"UTC","start":true,"entries":{{"index":{entry}}}}}"#);

    let answer = post_ok(&node.base, "/put", body).await;

    let expected = serde_json::json!([
        "entries.index: unknown key `header`, did you mean `headers`?",
        "entries.index: unknown key `zzz`, it is not kept",
        "unknown key `timezone`, did you mean `time_zone`?",
    ]);
    assert_eq!(answer["warnings"], expected);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_of_any_unicode_up_to_256_bytes_are_served_and_longer_ones_refused() {
    let node = BoxedNode::start().await;
    let odd = ["a/b/../c", " ", "\u{0}\n\t", "😀é中", "\"\\", &"x".repeat(256)];
    for identity in odd {
        post_ok(&node.base, "/put", task(identity, NEVER, "http://127.0.0.1:1/")).await;
        let asked = serde_json::json!({ "identity": identity }).to_string();
        assert_eq!(post_ok(&node.base, "/get", asked).await["data"]["identity"], identity);
    }

    let (_, refused) = post(&node.base, "/put", task(&"x".repeat(257), NEVER, "http://127.0.0.1:1/")).await;

    assert_eq!(refused["msg"], "identity: is 257 bytes long, expected at most 256");
    assert_eq!(post_ok(&node.base, "/all", "").await["data"].as_array().unwrap().len(), odd.len());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_allowed_at_once_are_answered_503_with_retry_after() {
    let node = BoxedNode::start_with(|settings| settings.api.requests_max = 1).await;
    let mut slow = TcpStream::connect(node.base.strip_prefix("http://").unwrap()).await.unwrap();
    slow.write_all(b"POST /all HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await
        .unwrap();
    // The server asks for the body: from now on the only place is taken.
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    slow.read_exact(&mut go_on).await.unwrap();

    let refused = client().post(format!("{}/all", node.base)).send().await.unwrap();
    slow.write_all(b"{}").await.unwrap();
    let mut served = vec![0; 64];
    let read = slow.read(&mut served).await.unwrap();

    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(String::from_utf8_lossy(&served[..read]).contains("HTTP/1.1 200 OK"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_gone_after_its_retention_and_one_that_never_was_is_not_found() {
    let node = BoxedNode::start_with(|settings| settings.journal.results_retention_age = Duration::ZERO).await;
    let target = Target::start().await;
    for (identity, url) in [("answered", target.url("/ok")), ("silent", "http://127.0.0.1:1/".to_owned())] {
        post_ok(&node.base, "/put", task(identity, NEVER, &url)).await;
    }

    let asked = async |call: reqwest::RequestBuilder| {
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap_or_default())
    };
    let mut told = Vec::new();
    for job in ["answered:e", "silent:e"] {
        let runs = format!("{}/scheduled-jobs/{job}/runs", node.base);
        let (_, queued) = asked(client().post(&runs)).await;
        let run = format!("{runs}/{}", queued["runId"].as_str().unwrap());
        while asked(client().get(&run)).await.1["status"] == "IN_PROGRESS" {
            tokio::task::yield_now().await;
        }
        told.push(asked(client().get(format!("{run}/result-file"))).await.0);
    }

    assert_eq!(told, [410, 404]);
    node.stop().await;
}
