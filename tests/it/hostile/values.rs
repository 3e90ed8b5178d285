//! Values that readers take for different ones: numbers that fit into no type, signs that end a text for some, keys that are there
//! twice, at any depth.

use serde_json::json;

use super::impatient;
use crate::support::{BoxedNode, client, post, post_ok};

/// Numbers of JSON that no field of ours is.
fn odd_numbers() -> Vec<String> {
    let huge = "9".repeat(100);
    let fixed = ["1e400", "-1e400", "1e-400", "1.0", "1e1", "-0.5", "9223372036854775808", "-9223372036854775809"];
    let fixed = fixed.into_iter().map(str::to_owned);
    fixed.chain([huge.clone(), format!("-{huge}"), format!("0.{huge}"), format!("1e{huge}")]).collect()
}

fn put(entry: &str) -> String {
    format!(
        r#"{{"identity":"a","time_zone":"UTC","start":true,"entries":{{"e":{{"every":"1d","url":"http://127.0.0.1:9/",{entry}}}}}}}"#
    )
}

/// Every field of a body that is a number: its path, the body with an `N` in its place, and where it is told to stand.
fn fields() -> Vec<(&'static str, String, &'static str)> {
    let plain = |path, body: &str, place| (path, body.to_owned(), place);
    vec![
        plain("/put", r#"{"identity":"a","time_zone":"UTC","start":true,"entries":{},"revision":N}"#, "revision"),
        ("/put", put(r#""fires_max":N"#), "entries.e.fires_max"),
        ("/put", put(r#""redirects_max":N"#), "entries.e.redirects_max"),
        ("/put", put(r#""retry":{"attempts_max":N}"#), "entries.e.retry.attempts_max"),
        ("/put", put(r#""retry":{"on":[N]}"#), "entries.e.retry.on[0]"),
        ("/put", put(r#""success":{"status":[N]}"#), "entries.e.success.status[0]"),
        plain("/delete", r#"{"identity":"a","revision":N}"#, "revision"),
        plain("/running", r#"{"identity":"a","running":true,"revision":N}"#, "revision"),
        plain("/history/a/restore", r#"{"revision":N}"#, "revision"),
        plain("/search", r#"{"identity":"a","limit":N,"skip":0}"#, "limit"),
        plain("/search", r#"{"identity":"a","limit":1,"skip":N}"#, "skip"),
        plain("/search", r#"{"identity":"a","limit":1,"skip":0,"time":{"gte":N}}"#, "time.gte"),
        plain("/search", r#"{"identity":"a","limit":1,"skip":0,"time":{"lte":N}}"#, "time.lte"),
        plain("/logs/search", r#"{"limit":N}"#, "limit"),
        plain("/logs/search", r#"{"time":{"gte":N}}"#, "time.gte"),
        plain("/logs/search", r#"{"lateness_ms":{"gte":N}}"#, "lateness_ms.gte"),
        plain("/preview", r#"{"cron_time":"0 0 3 * * *","count":N}"#, "count"),
        plain("/preview", r#"{"from":"2026-11-01T00:00:00Z","to":"2026-11-02T00:00:00Z","limit":N}"#, "limit"),
        plain(
            "/backfill",
            r#"{"identity":"a","entry":"e","from":"2026-11-01","to":"2026-11-02","at_once":N}"#,
            "at_once",
        ),
        plain("/dead-letters", r#"{"limit":N}"#, "limit"),
        plain("/dead-letters", r#"{"skip":N}"#, "skip"),
        plain("/keys", r#"{"name":"k","role":"admin","requests_per_second":N}"#, "requests_per_second"),
        plain("/keys", r#"{"name":"k","role":"admin","tasks_max":N}"#, "tasks_max"),
    ]
}

async fn stored_nothing(node: &BoxedNode) {
    assert_eq!(post_ok(&node.base, "/all", "").await["data"], json!([]));
    let keys = client().get(format!("{}/keys", node.base)).send().await.unwrap().text().await.unwrap();
    assert_eq!(keys, r#"{"error":0,"data":[]}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_fits_into_no_field_is_told_with_its_place_in_every_field() {
    let node = impatient().await;
    for (path, body, place) in fields() {
        for number in odd_numbers() {
            let (status, told) = post(&node.base, path, body.replace('N', &number)).await;
            let text = told["msg"].as_str().unwrap_or_default();
            assert_eq!((status, &told["error"]), (200, &json!(1)), "{path} {place} {number}: {told}");
            assert!(text.starts_with(&format!("{place}: ")) && text.len() < 300, "{path} {place} {number}: {text}");
        }
    }
    stored_nothing(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_fits_into_no_parameter_of_a_query_is_refused() {
    let node = impatient().await;
    for parameter in ["startAt", "maxResults"] {
        // What a query leaves out may be any number that the machine knows.
        for number in odd_numbers().into_iter().filter(|number| number.parse::<u64>().is_err()) {
            let url = format!("{}/scheduled-jobs?{parameter}={number}", node.base);
            let answer = client().get(url).send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert!(
                status == 400 && text.contains(&format!("{parameter}: is `")) && text.len() < 600,
                "{number}: {text}"
            );
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_given_twice_is_told_at_every_depth_of_a_put() {
    let node = impatient().await;
    let task = |more: &str| format!(r#"{{"identity":"a","time_zone":"UTC","start":true,"entries":{{}}{more}}}"#);
    let told_at = [
        (task(r#","start":false"#), "start"),
        (task(r#","entries":{}"#), "entries"),
        (task(r#","\u0073tart":false"#), "start"),
        (task(r#","unknown":1,"unknown":2"#), "unknown"),
        (put(r#""every":"2d""#), "entries.e.every"),
        (put(r#""tags":[],"tags":[]"#), "entries.e.tags"),
        (put(r#""retry":{"attempts_max":1,"attempts_max":2}"#), "entries.e.retry.attempts_max"),
        (put(r#""retry":{"backoff":{"initial":"1s","initial":"2s"}}"#), "entries.e.retry.backoff.initial"),
        (put(r#""success":{"status":[200],"status":[500]}"#), "entries.e.success.status"),
        (put(r#""exclude":{"dates":[],"dates":["2026-12-24"]}"#), "entries.e.exclude.dates"),
        (put(r#""on_failure":{"url":"http://a/","url":"http://b/"}"#), "entries.e.on_failure.url"),
        (put(r#""on_failure":{"url":"http://a/","headers":{"A":"1","A":"2"}}"#), "entries.e.on_failure.headers.A"),
    ];
    for (body, place) in told_at {
        let (status, told) = post(&node.base, "/put", body.clone()).await;
        let text = told["msg"].as_str().unwrap_or_default();
        let is_told = text.lines().any(|line| line == format!("{place}: is given twice"));
        assert!(status == 200 && is_told, "{body}\n{told}");

        let answer = client().post(format!("{}/bulk", node.base)).body(format!("{{\"put\":{body}}}\n"));
        let answer = answer.send().await.unwrap().text().await.unwrap();
        assert!(answer.contains(&format!("{place}: is given twice")), "{body}\n{answer}");
    }
    stored_nothing(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zero_byte_or_a_line_break_gets_into_no_url_and_no_header_of_a_request() {
    let node = impatient().await;
    let task = |url: &str, header: &str, value: &str| {
        json!({ "identity": "a", "time_zone": "UTC", "start": true, "entries": { "e": {
            "every": "1d", "url": url, "headers": { header: value },
        } } })
    };
    for odd in ["\u{0}", "\n", "\r\nX-Other: 1", "\u{7f}", "\u{2028}"] {
        let urls =
            [format!("http://127.0.0.1{odd}:9/"), format!("http://127.0.0.1:9{odd}/"), format!("ht{odd}tp://a/")];
        for url in urls {
            let (_, told) = post(&node.base, "/put", task(&url, "A", "1").to_string()).await;
            assert!(told["msg"].as_str().unwrap().starts_with("entries.e.url: "), "{url:?}: {told}");
        }
        let (_, told) =
            post(&node.base, "/put", task("http://127.0.0.1:9/", &format!("A{odd}"), "1").to_string()).await;
        assert!(told["msg"].as_str().unwrap().starts_with("entries.e.headers"), "{odd:?}: {told}");
    }
    for odd in ["\u{0}", "\n", "\r\nX-Other: 1", "\u{7f}"] {
        let value = format!("x{odd}y");
        let (_, told) = post(&node.base, "/put", task("http://127.0.0.1:9/", "A", &value).to_string()).await;
        assert!(told["msg"].as_str().unwrap().starts_with("entries.e.headers.A"), "{odd:?}: {told}");
    }
    stored_nothing(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_and_what_is_no_utf_8_are_refused_by_every_reader_of_bodies() {
    let node = impatient().await;
    let bodies: [(&[u8], &str); 3] = [
        (b"\xef\xbb\xbf{\"identity\":\"a\"}", "byte order mark"),
        (b"{\"identity\":\"\xc0\xaf\"}", "is not JSON"),
        (b"{\"identity\":\"a\xf5\"}", "is not JSON"),
    ];
    for path in [
        "/put",
        "/get",
        "/lists",
        "/delete",
        "/running",
        "/search",
        "/clear",
        "/logs/search",
        "/validate",
        "/pause",
        "/keys",
    ] {
        for (body, expected) in bodies {
            let answer = client().post(format!("{}{path}", node.base)).body(body.to_vec()).send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert!(
                status == 200 && text.contains("\"error\":1,") | text.contains("\"valid\":false"),
                "{path}: {text}"
            );
            assert!(text.contains(expected), "{path}: {text}");
        }
    }
    for line in [&b"\xef\xbb\xbf{\"put\":{}}\n"[..], b"{\"put\":{\"identity\":\"\xff\"}}\n", b"{\"put\":{}}\0\n"] {
        let answer = client().post(format!("{}/bulk", node.base)).body(line.to_vec()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(r#"{"line":1,"error":1,"msg":"body: "#), "{text}");
    }
    stored_nothing(&node).await;
    node.stop().await;
}
