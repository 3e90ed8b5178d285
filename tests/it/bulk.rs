//! `/bulk` and `/export`: many tasks in one request, streamed both ways.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BoxedNode, client, post, post_ok, task};

const NEVER: &str = "0 0 0 1 1 *";

fn put_line(identity: &str) -> String {
    format!("{{\"put\":{}}}\n", task(identity, NEVER, "http://127.0.0.1:1/"))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

async fn bulk(base: &str, body: impl Into<reqwest::Body>) -> Vec<Value> {
    let answer = client().post(format!("{base}/bulk")).body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson; charset=UTF-8");
    lines(&answer.text().await.unwrap())
}

async fn export(base: &str, query: &str) -> String {
    let answer = client().get(format!("{base}/export{query}")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap());
    answer.text().await.unwrap()
}

async fn identities(base: &str) -> Value {
    post_ok(base, "/all", "").await["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_carried_out_and_answered_in_order_and_wrong_ones_stop_no_other() {
    let node = BoxedNode::start_with(|settings| settings.api.body_max = 2_000).await;
    let body = [
        put_line("a"),
        put_line("b"),
        "rubbish\n".to_owned(),
        "\n".to_owned(),
        r#"{"running":{"identity":"a","running":false}}"#.to_owned() + "\n",
        r#"{"delete":{"identity":"b"}}"#.to_owned() + "\n",
        r#"{"delete":{"identity":"nobody"}}"#.to_owned() + "\n",
        r#"{"running":{"identity":"nobody","running":true}}"#.to_owned() + "\n",
        r#"{"put":{"identity":"","time_zone":"x","start":true,"entries":{}}}"#.to_owned() + "\n",
        r#"{"put":{},"delete":{}}"#.to_owned() + "\n",
        r#"{"puts":{}}"#.to_owned() + "\n",
        "{}\r\n[]\n".to_owned(),
        "x".repeat(3_000) + "\n",
        put_line("c").trim_end().to_owned(),
    ];

    let answers = bulk(&node.base, body.concat()).await;

    let told: Vec<(u64, u64)> = answers[..answers.len() - 1]
        .iter()
        .map(|answer| (answer["line"].as_u64().unwrap(), answer["error"].as_u64().unwrap()))
        .collect();
    let wrong = [3, 8, 9, 10, 11, 12, 13, 14];
    let expected: Vec<(u64, u64)> =
        (1..=15).filter(|&line| line != 4).map(|line| (line, u64::from(wrong.contains(&line)))).collect();
    assert_eq!(told, expected);
    assert_eq!(answers.last().unwrap(), &json!({ "lines": 14, "failed": 8 }));
    assert_eq!(answers[0], json!({ "line": 1, "error": 0, "msg": "ok", "revision": 1 }));
    assert_eq!(answers[3], json!({ "line": 5, "error": 0, "msg": "ok", "revision": 2 }));
    assert_eq!(answers[6]["msg"], "this identity does not exists");
    let text = "identity: is empty, expected 1 to 256 bytes\ntime_zone: unknown time zone `x`";
    assert!(answers[7]["msg"].as_str().unwrap().starts_with(text), "{}", answers[7]);
    assert_eq!(answers[9]["msg"], "puts: is not known, expected one of put, delete, running");
    assert_eq!(answers[12]["msg"], "the line is longer than 2000 bytes ([server] max_body)");
    assert_eq!(identities(&node.base).await, json!(["a", "c"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_lines_are_put_and_exported_as_they_were_put() {
    let node = BoxedNode::start().await;
    let body: String = (0..20_000).map(|n| put_line(&format!("task-{n:05}"))).collect();

    let answers = bulk(&node.base, body.clone()).await;

    assert_eq!(answers.last().unwrap(), &json!({ "lines": 20_000, "failed": 0 }));
    assert!(answers.iter().zip(1..).take(20_000).all(|(answer, line)| answer["line"] == json!(line)));
    let exported = export(&node.base, "").await;
    assert_eq!(exported.lines().count(), 20_000);
    let first: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::from_str::<Value>(&task("task-00000", NEVER, "http://127.0.0.1:1/")).unwrap());
    let again: String = exported.lines().map(|line| format!("{{\"put\":{line}}}\n")).collect();
    assert_eq!(bulk(&node.base, again).await.last().unwrap(), &json!({ "lines": 20_000, "failed": 0 }));
    assert_eq!(export(&node.base, "").await, exported);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_same_task_are_carried_out_in_their_order() {
    let node = BoxedNode::start().await;
    let put = |n: u64, known: u64| {
        let mut put: Value = serde_json::from_str(&task(&format!("t{}", n % 3), NEVER, "http://127.0.0.1:1/")).unwrap();
        put["revision"] = json!(known);
        put["entries"]["e"]["body"] = json!(n);
        format!("{}\n", json!({ "put": put }))
    };
    // Each names the revision that the one before makes: any other order would be refused.
    let body: String = (0..3_000).map(|n| put(n, n / 3)).collect();

    let answers = bulk(&node.base, body).await;

    assert_eq!(answers.last().unwrap(), &json!({ "lines": 3_000, "failed": 0 }));
    assert_eq!(answers[2_999]["revision"], json!(1_000));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_knows_another_revision_changes_nothing_and_tells_the_one_in_force() {
    let node = BoxedNode::start().await;
    post_ok(&node.base, "/put", task("a", NEVER, "http://127.0.0.1:1/")).await;
    let lines = concat!(
        r#"{"delete":{"identity":"a","revision":2}}"#,
        "\n",
        r#"{"running":{"identity":"a","running":false,"revision":0}}"#,
        "\n",
        r#"{"delete":{"identity":"none","revision":1}}"#,
        "\n",
        r#"{"delete":{"identity":"a","revision":1}}"#,
    );

    let answers = bulk(&node.base, lines).await;

    let msg = "revision: is 2, expected 1, the task has revision 1 now";
    assert_eq!(answers[0], json!({ "line": 1, "error": 1, "msg": msg, "revision": 1 }));
    assert_eq!(answers[1]["revision"], json!(1));
    assert_eq!(answers[2]["msg"], "revision: is 1, expected 0, there is no such task now");
    assert_eq!(answers[3], json!({ "line": 4, "error": 0, "msg": "ok" }));
    assert_eq!(identities(&node.base).await, json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_is_unpacked_on_the_way_and_one_that_breaks_off_is_told() {
    let node = BoxedNode::start_with(|settings| settings.api.body_max = 10_000).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Much more than a body may hold, once unpacked.
    let body: String = (0..500).map(|n| put_line(&format!("t{n:03}"))).collect();
    encoder.write_all(body.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let send = |bytes: Vec<u8>, encoding: &'static str| {
        client().post(format!("{}/bulk", node.base)).header("content-encoding", encoding).body(bytes).send()
    };

    let whole = send(packed.clone(), "gzip").await.unwrap().text().await.unwrap();
    let half = send(packed[..packed.len() / 2].to_vec(), "gzip").await.unwrap().text().await.unwrap();
    let unknown = send(packed, "br").await.unwrap();

    assert_eq!(lines(&whole).last().unwrap(), &json!({ "lines": 500, "failed": 0 }));
    let end = lines(&half).pop().unwrap();
    assert!(end["stopped"].as_str().unwrap().starts_with("the body cannot be read: it is no gzip"), "{end}");
    assert_eq!(unknown.status().as_u16(), 415);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_while_lines_are_still_being_sent() {
    let node = BoxedNode::start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    sender.send(Ok(put_line("a"))).await.unwrap();
    let call = client().post(format!("{}/bulk", node.base)).body(reqwest::Body::wrap_stream(body));

    let mut answers = call.send().await.unwrap().bytes_stream();
    let first = answers.next().await.unwrap().unwrap();
    sender.send(Ok(put_line("b"))).await.unwrap();
    let second = answers.next().await.unwrap().unwrap();
    drop(sender);
    let end = answers.next().await.unwrap().unwrap();

    assert_eq!(first, "{\"line\":1,\"error\":0,\"msg\":\"ok\",\"revision\":1}\n");
    assert_eq!(second, "{\"line\":2,\"error\":0,\"msg\":\"ok\",\"revision\":1}\n");
    assert_eq!(end, "{\"lines\":2,\"failed\":0}\n");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_down_reads_no_further_and_says_so() {
    let node = BoxedNode::start().await;
    let (base, address) = (node.base.clone(), node.base.strip_prefix("http://").unwrap().to_owned());
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    sender.send(Ok(put_line("a"))).await.unwrap();
    let call = client().post(format!("{base}/bulk")).body(reqwest::Body::wrap_stream(body));
    let mut answers = call.send().await.unwrap().bytes_stream();
    answers.next().await.unwrap().unwrap();

    let stopped = tokio::spawn(node.stop());
    let end = answers.next().await.unwrap().unwrap();

    assert_eq!(end, "{\"lines\":1,\"failed\":0,\"stopped\":\"the service is going down\"}\n");
    drop((sender, answers));
    stopped.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_stopped_and_what_came_is_answered() {
    // Longer than the loop sleeps between two looks at the service.
    let node = BoxedNode::start_with(|settings| settings.api.body_timeout = Duration::from_secs(1)).await;
    let mut stream = TcpStream::connect(node.base.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /bulk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n";
    let half = "{\"put\":{\"identity\":\"half";

    stream.write_all(format!("{head}{}{half}", put_line("a")).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The rest of the body never comes, so the server may end the connection roughly.
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the request is held for ever");

    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("{\"line\":1,\"error\":0"), "{answer}");
    let end = "{\"lines\":1,\"failed\":0,\"stopped\":\"the body cannot be read: nothing came for 1 s";
    assert!(answer.contains(end), "{answer}");
    assert_eq!(identities(&node.base).await, json!(["a"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_answers_is_not_read_either() {
    let node = BoxedNode::start().await;
    let mut stream = TcpStream::connect(node.base.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /bulk HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Wrong lines whose answers are long: what waits for this client would soon be much.
    let line = format!("{{\"{}\":1}}\n", "p".repeat(90));
    let chunk = line.repeat(1_000);
    let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
    let mut sent: u64 = 0;

    // Writes until the server takes no more.
    while tokio::time::timeout(Duration::from_secs(3), stream.write_all(chunk.as_bytes())).await.is_ok() {
        sent += 1;
        assert!(sent < 2_000, "200 MB were taken in although no answer was read");
    }

    post_ok(&node.base, "/put", task("other", NEVER, "http://127.0.0.1:1/")).await;
    drop(stream);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_what_begins_with_a_prefix_in_order_with_revisions_if_they_are_wanted() {
    let node = BoxedNode::start().await;
    let names = ["b/1", "a", "b/2é", "c", "b", "b/10"];
    let body: String = names.iter().map(|name| put_line(name)).collect();
    bulk(&node.base, body).await;
    post_ok(&node.base, "/running", r#"{"identity":"b/1","running":false}"#).await;

    let exported = lines(&export(&node.base, "?identity=b%2F&revisions=true").await);

    let told: Vec<(&str, u64, bool)> = exported
        .iter()
        .map(|task| {
            let identity = task["identity"].as_str().unwrap();
            (identity, task["revision"].as_u64().unwrap(), task["start"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(told, [("b/1", 2, false), ("b/10", 1, true), ("b/2é", 1, true)]);
    assert_eq!(export(&node.base, "?identity=zz").await, "");
    assert_eq!(lines(&export(&node.base, "?format=ndjson").await).len(), names.len());
    for (query, text) in [
        ("?identity=%FF", "query: `%FF` is no percent-encoded UTF-8"),
        ("?identity=%2", "query: `%2` is no percent-encoding, expected % and two hexadecimal digits"),
        ("?identty=a", "query: `identty` is not known, expected one of identity, revisions, format"),
        ("?format=yaml", "format: is `yaml`, expected one of ndjson"),
    ] {
        let answer = client().get(format!("{}/export{query}", node.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400);
        let envelope: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(envelope, json!({ "error": 1, "msg": text }));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_an_entry_comes_back_as_it_was_given() {
    let node = BoxedNode::start().await;
    let entry = json!({ "every": "90s", "url": "http://127.0.0.1:1/", "method": "PUT", "headers": { "X-B": "1", "X-A": "2" },
        "body": { "z": [1.50, null], "a": "é" }, "timeout": "5s", "retry": { "attempts_max": 2 }, "tags": ["x"],
        "overlap": "queue_one", "description": "nightly", "enabled": false });
    let put = json!({ "identity": "a", "time_zone": "Asia/Tokyo", "start": false, "entries": { "e": entry } });

    post_ok(&node.base, "/put", put.to_string()).await;

    assert_eq!(lines(&export(&node.base, "").await), [put]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_long_requests_than_there_are_places_are_answered_503() {
    let node = BoxedNode::start().await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(node.base.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(b"POST /bulk HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n").await.unwrap();
        // The head of the answer tells that it is being worked on.
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        open.push(stream);
    }

    let (status, answer) = post(&node.base, "/bulk", "").await;

    assert_eq!((status, &answer["msg"]), (503, &json!("16 long requests are being worked on")));
    post_ok(&node.base, "/all", "").await;
    drop(open);
    node.stop().await;
}
