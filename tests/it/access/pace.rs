//! How often somebody may ask.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ADMIN_KEY, Told, ask, closed, closed_with, get_as, make, post_as};
use crate::support::{BoxedNode, client, task};

/// Sends many requests at once, and gives what was answered and the most that may have been taken of one a second: time goes on.
async fn at_once(count: usize, send: impl AsyncFn() -> Told) -> (Vec<Told>, usize) {
    let begun = Instant::now();
    let told = join_all((0..count).map(|_| send())).await;
    (told, 1 + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1)
}

fn wait_of(told: &Told) -> Duration {
    Duration::from_secs(told.headers["retry-after"].to_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_answered_429_and_when_to_ask_again_and_others_are_served() {
    let node = closed().await;
    let (_, slow) = make(&node.base, json!({ "name": "slow", "role": "read", "requests_per_second": 1 })).await;
    let (_, other) = make(&node.base, json!({ "name": "other", "role": "read" })).await;

    let (told, most) = at_once(60, async || post_as(&slow, &node.base, "/all", json!({})).await).await;

    let (served, refused): (Vec<&Told>, Vec<&Told>) = told.iter().partition(|told| told.status == 200);
    assert!((1..=most).contains(&served.len()), "{} of {most}", served.len());
    for told in &refused {
        let text = "the key `slow` may send 1 requests a second (its requests_per_second), wait 1 s";
        assert_eq!((told.status, told.json()), (429, json!({ "error": 1, "msg": text })));
        assert_eq!(wait_of(told), Duration::from_secs(1));
    }
    assert_eq!(post_as(&other, &node.base, "/all", json!({})).await.status, 200);
    assert_eq!(ask(&node.base, Method::GET, "/healthz", &[("x-api-key", &slow)], &Value::Null).await.status, 200);
    tokio::time::sleep(wait_of(refused[0])).await;
    assert_eq!(post_as(&slow, &node.base, "/all", json!({})).await.status, 200, "after what it was told to wait");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_family_of_paths_tells_it_in_its_own_words() {
    let node = closed().await;
    let (_, slow) = make(&node.base, json!({ "name": "slow", "role": "read", "requests_per_second": 1 })).await;
    let refused = async |path: &str| {
        let (told, _) = at_once(60, async || get_as(&slow, &node.base, path).await).await;
        told.into_iter().find(|told| told.status == 429).unwrap()
    };

    for (path, content_type) in [
        ("/scheduled-jobs", "application/problem+json"),
        ("/schedule/0193ab6c-5c12-8000-8000-00000000002a", "application/json"),
        ("/pauses", "application/json"),
    ] {
        let told = refused(path).await;
        assert!(told.headers["content-type"].to_str().unwrap().starts_with(content_type), "{path}: {}", told.text);
        assert!(told.text.contains("the key `slow` may send 1 requests a second"), "{path}: {}", told.text);
        assert_eq!(wait_of(&told), Duration::from_secs(1), "{path}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_address_counts_and_health_is_told_however_often() {
    let node = BoxedNode::start_with(|settings| settings.access.requests_per_key_per_second = 1).await;
    let (told, most) = at_once(60, async || ask(&node.base, Method::POST, "/all", &[], &json!({})).await).await;

    let served = told.iter().filter(|told| told.status == 200).count();
    assert!((1..=most).contains(&served), "{served} of {most}");
    assert!(told.iter().any(|told| told.status == 429 && told.text.contains("from this address")));
    let (health, _) = at_once(20, async || ask(&node.base, Method::GET, "/readyz", &[], &Value::Null).await).await;
    assert!(health.iter().all(|told| told.status == 200));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_bulk_wait_for_their_turn_and_none_is_refused() {
    const RATE: u32 = 20;
    const LINES: u32 = 50;
    let node = closed_with(|settings| settings.access.requests_per_key_per_second = RATE).await;
    let (_, key) = make(&node.base, json!({ "name": "ci", "role": "write" })).await;
    let line = |number| format!("{{\"put\":{}}}\n", task(&format!("t{number}"), "0 0 0 1 1 *", "http://127.0.0.1:1/"));
    let body: String = (0..LINES).map(line).collect();

    let begun = Instant::now();
    let answer =
        client().post(format!("{}/bulk", node.base)).header("x-api-key", &key).body(body).send().await.unwrap();
    let answer = answer.text().await.unwrap();

    let end = answer.lines().last().unwrap();
    assert_eq!(end, format!(r#"{{"lines":{LINES},"failed":0}}"#), "{answer}");
    let least = Duration::from_secs(1) * (LINES - RATE) / RATE;
    assert!(begun.elapsed() >= least, "{:?}, not {least:?}", begun.elapsed());
    assert_eq!(post_as(ADMIN_KEY, &node.base, "/all", json!({})).await.status, 200, "others do not wait for it");
    node.stop().await;
}
