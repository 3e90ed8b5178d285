//! One request at one instant, where the golden cases cannot wait for what the target sees.

use std::time::Duration;

use reqwest::Method;
use schedule_service::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::{BoxedNode, Target, client, post, post_ok};

/// A stop does not wait for the answers that never come.
async fn node_that_awaits_nothing() -> BoxedNode {
    BoxedNode::start_with(|settings| settings.shutdown_grace = Duration::ZERO).await
}

async fn call(node: &BoxedNode, method: Method, id: &str) -> (u16, Value) {
    let answer = client().request(method, format!("{}/schedule/{id}", node.base)).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// Schedules a request in half a second, and gives its id.
async fn schedule(node: &BoxedNode, url: &str) -> String {
    let soon = SystemClock.now().plus(Duration::from_millis(500)).to_string();
    let body = json!({ "date_time": soon, "url": url }).to_string();
    let (status, answer) = post(&node.base, "/schedule", body).await;
    assert_eq!((status, &answer["url"]), (201, &json!(url)), "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_answer_is_still_to_come_is_scheduled_and_cannot_be_cancelled() {
    let (node, target) = (node_that_awaits_nothing().await, Target::start().await);
    let id = schedule(&node, &target.url("/hang")).await;
    target.wait_until(|arrivals| arrivals.len() == 1).await;

    for _ in 0..2 {
        let (status, answer) = call(&node, Method::DELETE, &id).await;
        assert_eq!((status, &answer["detail"]), (409, &json!("It has been sent, there is nothing to cancel.")));
        let (status, answer) = call(&node, Method::GET, &id).await;
        assert_eq!((status, &answer["status"]), (200, &json!("scheduled")));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_task_was_deleted_while_it_is_under_way_is_still_scheduled() {
    let (node, target) = (node_that_awaits_nothing().await, Target::start().await);
    let id = schedule(&node, &target.url("/hang")).await;
    target.wait_until(|arrivals| arrivals.len() == 1).await;

    post_ok(&node.base, "/delete", json!({ "identity": id }).to_string()).await;

    // What has no task any more is known by its record, which a run gets when it takes long.
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let (status, answer) = call(&node, Method::GET, &id).await;
            if status == 200 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    });
    let answer = found.await.expect("it is found");
    assert_eq!((&answer["status"], answer.get("url")), (&json!("scheduled"), None));
    assert_eq!(call(&node, Method::DELETE, &id).await.0, 409);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_braces_is_asked_for_as_it_was_given() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);

    schedule(&node, &target.url("/ok?run={{run_id}}")).await;
    let arrivals = target.wait_until(|arrivals| arrivals.len() == 1).await;

    assert_eq!((&arrivals[0].method, arrivals[0].uri.query()), (&Method::GET, Some("run={{run_id}}")));
    node.stop().await;
}
