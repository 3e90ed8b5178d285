use http::Method;
use schedule_service::access::SecretHash;
use serde_json::Value;

use super::{scrape, scrape_until};
use crate::support::{BoxedNode, Target, client, post, post_ok, task};

const ADMIN_KEY: &str = "the-admin-key-of-these-tests-0123456789";

/// Status, type and text of the answer to a request with these headers.
async fn told(base: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let mut request = client().get(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

async fn make_key(base: &str, body: &str) -> String {
    let request = client().post(format!("{base}/keys")).bearer_auth(ADMIN_KEY).body(body.to_owned());
    let made: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    format!("Bearer {}", made["data"]["key"].as_str().unwrap_or_else(|| panic!("{made}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_name_openmetrics_gets_the_text_that_every_prometheus_reads() {
    let node = BoxedNode::start().await;

    for accept in ["", "*/*", "text/plain;version=0.0.4"] {
        let (status, kind, text) = told(&node.base, "/metrics", &[("accept", accept)]).await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        assert!(text.contains("\n# TYPE schedule_fires_total counter\nschedule_fires_total{outcome=\"success\"} 0\n"));
        assert!(text.contains("\n# TYPE schedule_build_info gauge\nschedule_build_info{version=\""));
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }
    scrape(&node.base).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_need_a_key_that_knows_all_tasks_unless_they_are_open() {
    let close = |settings: &mut schedule_service::config::NodeSettings| {
        settings.access.admin_key = Some(SecretHash::of(ADMIN_KEY.as_bytes()));
    };
    let node = BoxedNode::start_with(close).await;
    let all = make_key(&node.base, r#"{"name":"prometheus","role":"read"}"#).await;
    let some = make_key(&node.base, r#"{"name":"team","role":"admin","prefixes":["team-a/"]}"#).await;

    assert_eq!(told(&node.base, "/metrics", &[]).await.0, 401);
    assert_eq!(told(&node.base, "/metrics", &[("authorization", "Bearer sk_wrong")]).await.0, 401);
    assert_eq!(told(&node.base, "/metrics", &[("authorization", &all)]).await.0, 200);
    let (status, _, text) = told(&node.base, "/metrics", &[("authorization", &some)]).await;
    assert_eq!(status, 403, "{text}");
    let folder = node.stop().await;

    let open = |settings: &mut schedule_service::config::NodeSettings| {
        close(settings);
        settings.api.metrics_open = true;
    };
    let node = BoxedNode::start_in(folder, open).await;
    for path in ["/metrics", "/metrics/"] {
        assert_eq!(told(&node.base, path, &[]).await.0, 200, "{path}");
    }
    // Nothing else is open by it.
    for path in ["/cluster", "/metrics/x", "/metricsx", "//metrics"] {
        assert!([401, 404].contains(&told(&node.base, path, &[]).await.0), "{path}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_identity_no_target_and_no_path_of_a_client_makes_a_series_or_shows() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let fire = async |number: usize| {
        let identity = format!("identity-{number}");
        post_ok(&node.base, "/put", task(&identity, "0 0 0 1 1 *", &target.url(&format!("/path-{number}")))).await;
        let run = format!(r#"{{"identity":"{identity}"}}"#);
        post(&node.base, "/get", run).await;
        for path in [format!("/unknown-{number}"), format!("/cluster/unknown-{number}"), format!("/docs/file-{number}")]
        {
            let method = Method::from_bytes(format!("BREW{number}").as_bytes()).unwrap();
            client().request(method, format!("{}{path}", node.base)).send().await.unwrap();
            client().get(format!("{}{path}", node.base)).send().await.unwrap();
        }
    };
    fire(0).await;
    scrape(&node.base).await;
    let before = scrape(&node.base).await.series();
    for number in 1..30 {
        fire(number).await;
    }

    let read = scrape_until(&node.base, |read| read.sum("schedule_tasks", &[]) == 30.0).await;
    assert_eq!(read.series(), before);
    assert_eq!(read.sum("schedule_http_requests_total", &[("operation", "putTask"), ("status", "200")]), 30.0);
    assert_eq!(read.sum("schedule_http_requests_total", &[("operation", "between_nodes"), ("method", "GET")]), 30.0);
    let (_, _, text) = told(&node.base, "/metrics", &[]).await;
    for secret in ["identity-", "path-", "unknown-", "file-", "BREW", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.len() < 200_000, "{} bytes", text.len());
    node.stop().await;
}
