//! What a key allows holds at every node, whichever of them is asked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::node::{KEY, Node, names, shared_out, task};
use crate::access::signer::Signer;
use crate::access::{FetchError, Fetched, KeySource, OidcSettings, Pace, SecretHash, Settings, parse_roles};
use crate::clock::{Clock, SystemClock};
use crate::store::memory::MemoryStore;

const ADMIN_KEY: &str = "0123456789abcdef0123456789abcdef";

async fn two_nodes() -> Vec<Node> {
    two_nodes_that_take([0, 0], None).await
}

/// Nodes that take so many requests a second from a key, and tokens.
async fn two_nodes_that_take(per_second: [u32; 2], oidc: Option<OidcSettings>) -> Vec<Node> {
    let (store, mut nodes) = (MemoryStore::new(), Vec::new());
    for requests_per_key_per_second in per_second {
        let admin_key = Some(SecretHash::of(ADMIN_KEY.as_bytes()));
        let (failed_tries_per_min, oidc) = (u32::MAX, oidc.clone());
        let settings =
            Settings { admin_key, failed_tries_per_min, requests_per_key_per_second, oidc, ..Settings::default() };
        nodes.push(Node::start_with(&store, Some(KEY), &settings).await);
    }
    shared_out(&nodes).await;
    nodes
}

async fn post(node: &Node, key: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, text) = node.ask("POST", path, &[("x-api-key", key)], body.to_string()).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Waits until a node answers with a status: it looks for what others have changed every two seconds.
async fn answers(node: &Node, key: &str, wanted: u16) {
    let answered = async {
        while post(node, key, "/all", json!({})).await.0 != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered)
        .await
        .expect("within two seconds, on a busy machine in ten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_made_or_revoked_at_one_node_is_so_at_the_other() {
    let nodes = two_nodes().await;
    let (status, made) = post(&nodes[0], ADMIN_KEY, "/keys", json!({ "name": "ci", "role": "read" })).await;
    assert_eq!(status, 201, "{made}");
    let (id, key) = (made["data"]["id"].as_str().unwrap(), made["data"]["key"].as_str().unwrap());
    assert_eq!(post(&nodes[0], key, "/all", json!({})).await.0, 200);

    answers(&nodes[1], key, 200).await;
    let (status, _) = nodes[1].ask("DELETE", &format!("/keys/{id}"), &[("x-api-key", ADMIN_KEY)], String::new()).await;
    assert_eq!(status, 200);
    assert_eq!(post(&nodes[1], key, "/all", json!({})).await.0, 401);
    answers(&nodes[0], key, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_allows_goes_on_to_the_owner_and_nothing_that_a_client_says_of_itself() {
    let nodes = two_nodes().await;
    for (place, name) in names().iter().enumerate() {
        assert_eq!(post(&nodes[place % 2], ADMIN_KEY, "/put", task(name)).await.0, 200);
    }
    let wish = json!({ "name": "ones", "role": "write", "prefixes": ["task-1"] });
    let (_, made) = post(&nodes[0], ADMIN_KEY, "/keys", wish).await;
    let key = made["data"]["key"].as_str().unwrap();
    answers(&nodes[1], key, 200).await;

    for node in &nodes {
        assert_eq!(post(node, key, "/all", json!({})).await.1["data"], json!(&names()[10..20]));
        let (_, exported) = node.ask("GET", "/export", &[("x-api-key", key)], String::new()).await;
        assert_eq!(exported.lines().count(), 10);
        let (_, count) = node.ask("GET", "/scheduled-jobs/count", &[("x-api-key", key)], String::new()).await;
        assert_eq!(count, r#"{"count":20}"#);
        for name in &names()[8..12] {
            let is_own = name.starts_with("task-1");
            let forged = [
                ("x-api-key", key),
                ("schedule-cluster-role", "admin"),
                ("schedule-cluster-prefixes", "task"),
                ("schedule-cluster-caller", "mallory"),
            ];
            let (status, told) = node.ask("POST", "/put", &forged, task(name).to_string()).await;
            assert_eq!(status, if is_own { 200 } else { 403 }, "{name}: {told}");
            let (_, versions) =
                node.ask("GET", &format!("/history/{name}"), &[("x-api-key", ADMIN_KEY)], String::new()).await;
            assert_eq!(versions.contains(r#""by":"ones""#), is_own, "{versions}");
            assert!(!versions.contains("mallory"), "{versions}");
        }
        let (_, told) = node
            .ask(
                "POST",
                "/bulk",
                &[("x-api-key", key)],
                format!("{{\"put\":{}}}\n{{\"put\":{}}}\n", task("task-20"), task("task-15")),
            )
            .await;
        let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["error"], &lines[1]["error"]), (&json!(1), &json!(0)), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_the_admin_key_may_name_its_user_and_a_key_has_its_own_name() {
    let nodes = two_nodes().await;
    let (_, made) = post(&nodes[0], ADMIN_KEY, "/keys", json!({ "name": "ci", "role": "write" })).await;
    let key = made["data"]["key"].as_str().unwrap();

    // Each request bears the header of a proxy, with the user `ada`.
    assert_eq!(post(&nodes[0], ADMIN_KEY, "/put", task("by-proxy")).await.0, 200);
    assert_eq!(post(&nodes[0], key, "/put", task("by-key")).await.0, 200);

    for (name, by) in [("by-proxy", "ada"), ("by-key", "ci")] {
        let (_, versions) =
            nodes[0].ask("GET", &format!("/history/{name}"), &[("x-api-key", key)], String::new()).await;
        assert!(versions.contains(&format!(r#""by":"{by}""#)), "{versions}");
    }
}

/// An issuer that publishes one key.
struct Published(Vec<u8>);

#[async_trait]
impl KeySource for Published {
    async fn fetch(&self) -> Result<Fetched, FetchError> {
        Ok(Fetched { keys: self.0.clone(), good_for: None })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_token_to_any_node_has_its_name_role_and_prefixes_at_the_owner() {
    let signer = Signer::of("ES256");
    let oidc = OidcSettings {
        issuer: "https://id.example".into(),
        audience: "schedule".into(),
        jwks_url: None,
        name_claim: "sub".into(),
        role_claim: "roles".into(),
        roles: parse_roles("ops=write").unwrap(),
        prefixes_claim: Some("tasks".into()),
        pace: Pace::default(),
    };
    let nodes = two_nodes_that_take([0, 0], Some(oidc)).await;
    let keys = json!({ "keys": [signer.public("a")] }).to_string().into_bytes();
    nodes[0].access.follow_issuer(Arc::new(Published(keys)));
    let now = SystemClock.now().secs();
    let token = signer.token(
        "a",
        &json!({ "iss": "https://id.example", "aud": "schedule", "sub": "Zoë", "roles": "ops", "exp": now + 600, "tasks": "task-0" }),
    );
    let bearer = format!("Bearer {token}");
    let ask = async |method, path: &str, body: Value| {
        let (status, text) = nodes[0].ask(method, path, &[("authorization", &bearer)], body.to_string()).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };

    // Only the first node knows the keys of the issuer: the other one has to believe what it says.
    let of_others: Vec<String> = names().into_iter().filter(|name| nodes[1].owns(name)).collect();
    let (within, outside): (Vec<String>, Vec<String>) =
        of_others.into_iter().partition(|name| name.starts_with("task-0"));
    assert!(!within.is_empty() && !outside.is_empty());
    for name in &within {
        assert_eq!(ask("POST", "/put", task(name)).await.1["error"], 0);
        let (_, history) = ask("GET", &format!("/history/{name}"), Value::Null).await;
        assert_eq!(history["data"]["versions"][0]["by"], "oidc:Zoë", "{history}");
    }
    let (status, refused) = ask("POST", "/put", task(&outside[0])).await;
    assert_eq!(status, 403, "{refused}");
    assert!(
        refused["msg"].as_str().unwrap().starts_with("`oidc:Zoë` is for tasks whose identity begins with"),
        "{refused}"
    );
    assert_eq!(ask("GET", "/keys", Value::Null).await.0, 403);
}

/// The messages of the lines of a `/bulk` of puts.
async fn bulk(node: &Node, key: &str, names: &[&str]) -> Vec<Value> {
    let body: String = names.iter().map(|name| format!("{{\"put\":{}}}\n", task(name))).collect();
    let (_, told) = node.ask("POST", "/bulk", &[("x-api-key", key)], body).await;
    told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["msg"].clone()).take(names.len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_as_many_tasks_as_it_may_at_all_nodes_together() {
    let nodes = two_nodes().await;
    let wish = json!({ "name": "few", "role": "write", "prefixes": ["task-"], "tasks_max": 6 });
    let (_, made) = post(&nodes[0], ADMIN_KEY, "/keys", wish).await;
    let key = made["data"]["key"].as_str().unwrap();
    answers(&nodes[1], key, 200).await;
    let names = names();
    let taken = |told: &[Value]| told.iter().filter(|msg| **msg == json!("ok")).count();
    let is_full = |msg: &Value| msg.as_str().unwrap().contains("the key `few` may have 6 tasks");

    // One after the other, through a node that may own the task or not: what another node owns counts, too.
    for (place, name) in names[..6].iter().enumerate() {
        assert_eq!(post(&nodes[place % 2], key, "/put", task(name)).await.1["msg"], "ok", "{name}");
    }
    for name in &names[6..12] {
        for node in &nodes {
            let (_, told) = post(node, key, "/put", task(name)).await;
            assert!(is_full(&told["msg"]), "{name}: {told}");
        }
    }
    assert!(bulk(&nodes[0], key, &["task-20", "task-21", "task-22"]).await.iter().all(is_full));
    assert_eq!(taken(&bulk(&nodes[1], key, &["task-00", "task-05"]).await), 2, "what is there may be put again");

    // Many at once: never more than there are places, and what is left can be had afterwards.
    for name in &names[..4] {
        post(&nodes[0], key, "/delete", json!({ "identity": name })).await;
    }
    let at_once =
        names[10..40].iter().enumerate().map(|(place, name)| post(&nodes[place % 2], key, "/put", task(name)));
    let told: Vec<Value> =
        futures_util::future::join_all(at_once).await.into_iter().map(|(_, told)| told["msg"].clone()).collect();
    assert!(taken(&told) <= 4 && told.iter().all(|msg| *msg == json!("ok") || is_full(msg)), "{told:?}");
    let left = 4 - taken(&told);
    let mut had = 0;
    for (place, name) in names[10..40].iter().enumerate().filter(|(place, _)| told[*place] != json!("ok")) {
        had += usize::from(post(&nodes[place % 2], key, "/put", task(name)).await.1["msg"] == "ok");
    }
    assert_eq!(had, left);
    assert_eq!(post(&nodes[0], key, "/all", json!({})).await.1["data"].as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_counted_where_it_comes_in_and_not_again_where_it_is_done() {
    let nodes = two_nodes_that_take([0, 1], None).await;
    let (_, made) = post(&nodes[0], ADMIN_KEY, "/keys", json!({ "name": "ci", "role": "write" })).await;
    let key = made["data"]["key"].as_str().unwrap();
    answers(&nodes[1], key, 429).await;
    let names = names();
    let theirs: Vec<&str> = names.iter().filter(|name| nodes[1].owns(name)).map(String::as_str).collect();
    assert!(theirs.len() > 4);

    for name in &theirs {
        assert_eq!(post(&nodes[0], key, "/put", task(name)).await, (200, json!({ "error": 0, "msg": "ok" })));
        assert_eq!(post(&nodes[0], key, "/all", json!({})).await.0, 200);
    }
    assert_eq!(bulk(&nodes[0], key, &theirs).await, vec![json!("ok"); theirs.len()]);
    answers(&nodes[1], key, 429).await;
}
