use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::{ADMIN_KEY, ask, closed, make_key};
use crate::support::{BoxedNode, client};

const ROLES: [&str; 4] = ["read", "operate", "write", "admin"];
const FREE: [&str; 7] = ["/ping", "/api/ping", "/healthz", "/readyz", "/docs", "/docs/{file}", "/openapi.json"];

/// What the document tells of an operation: its method, all its paths, and the role that it needs.
struct Described {
    method: Method,
    places: Vec<String>,
    role: Option<usize>,
    told: BTreeSet<String>,
}

async fn described(node: &BoxedNode) -> Vec<Described> {
    let document = client().get(format!("{}/openapi.json", node.base)).send().await.unwrap().text().await.unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let also = operation["description"].as_str().unwrap_or_default().split_once("Also at ");
            let also = also.map_or("", |(_, also)| also).split('`').filter(|part| part.starts_with('/'));
            let role = operation["x-required-role"].as_str();
            let role = role.map(|role| ROLES.iter().position(|other| *other == role).expect("the role is known"));
            assert_eq!(role.is_some(), operation["security"].is_array(), "{path}");
            all.push(Described {
                method: method.to_uppercase().parse().unwrap(),
                places: also.chain([path.as_str()]).map(str::to_owned).collect(),
                role,
                told: operation["responses"].as_object().unwrap().keys().cloned().collect(),
            });
        }
    }
    all
}

/// A path that leads to the operation, though to nothing that is there.
fn filled_in(place: &str) -> String {
    let parts = place.split('/').map(|part| if part.starts_with('{') { "0123456789abcdef" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_open_to_its_role_and_those_that_hold_it_and_to_nobody_else() {
    let node = closed().await;
    let mut keys = Vec::new();
    for role in ROLES {
        keys.push(make_key(&node.base, &format!("key-of-{role}"), role, &[]).await.1);
    }
    let operations = described(&node).await;
    assert!(operations.len() > 35, "{}", operations.len());

    for operation in &operations {
        let Some(needed) = operation.role else { continue };
        for status in ["401", "403", "429"] {
            assert!(operation.told.contains(status), "{:?} tells of no {status}", operation.places);
        }
        for place in &operation.places {
            let path = filled_in(place);
            let said = format!("{} {path}", operation.method);
            let stranger = ask(&node.base, operation.method.clone(), &path, &[], &Value::Null).await;
            assert_eq!(stranger.status, 401, "{said}: {}", stranger.text);
            assert_eq!(stranger.headers["www-authenticate"], "Bearer", "{said}");
            for (held, key) in keys.iter().enumerate() {
                let bearer = format!("Bearer {key}");
                let told =
                    ask(&node.base, operation.method.clone(), &path, &[("authorization", &bearer)], &Value::Null).await;
                if held >= needed {
                    assert!(![401, 403].contains(&told.status), "{said} as {}: {}", ROLES[held], told.text);
                } else {
                    assert_eq!(told.status, 403, "{said} as {}: {}", ROLES[held], told.text);
                    let text = format!("needs the role {}", ROLES[needed]);
                    assert!(operation.method == Method::HEAD || told.text.contains(&text), "{said}: {}", told.text);
                }
            }
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_supervisors_and_readers_ask_needs_no_key_and_nothing_else_is_so() {
    let node = closed().await;
    let operations = described(&node).await;

    let free = operations.iter().filter(|operation| operation.role.is_none());
    let free: BTreeSet<&str> = free.flat_map(|operation| &operation.places).map(String::as_str).collect();

    assert_eq!(free, BTreeSet::from(FREE));
    for path in ["/ping", "/api/ping", "/healthz", "/readyz", "/docs", "/docs/docs.js", "/openapi.json"] {
        for headers in [&[][..], &[("x-api-key", "wrong")]] {
            assert_eq!(ask(&node.base, Method::GET, path, headers, &Value::Null).await.status, 200, "{path}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_words_of_each_family() {
    let node = closed().await;
    let refused = async |path: &str| ask(&node.base, Method::GET, path, &[], &Value::Null).await;

    let envelope = ask(&node.base, Method::POST, "/all", &[], &json!({})).await;
    let (problem, detail) = (refused("/scheduled-jobs").await, refused("/schedule/x").await);

    assert_eq!((envelope.status, &envelope.json()["error"]), (401, &json!(1)));
    assert!(envelope.json()["msg"].as_str().unwrap().contains("X-API-Key"), "{}", envelope.text);
    assert_eq!((problem.status, &problem.json()["status"]), (401, &json!(401)));
    assert_eq!(problem.headers["content-type"], "application/problem+json");
    assert!(detail.status == 401 && detail.json()["detail"].is_string(), "{}", detail.text);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_that_are_not_the_same_are_no_key() {
    let node = closed().await;
    let bearer = format!("Bearer {ADMIN_KEY}");
    let with =
        async |headers: &[(&str, &str)]| ask(&node.base, Method::POST, "/all", headers, &Value::Null).await.status;

    assert_eq!(with(&[("authorization", &bearer), ("x-api-key", ADMIN_KEY)]).await, 200);
    assert_eq!(with(&[("authorization", &bearer), ("x-api-key", "wrong")]).await, 401);
    assert_eq!(with(&[("authorization", "Basic dXNlcjpwYXNz"), ("x-api-key", ADMIN_KEY)]).await, 200);
    assert_eq!(with(&[("authorization", "Basic dXNlcjpwYXNz")]).await, 401);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_say_what_nodes_say_of_a_caller() {
    let node = closed().await;
    let (_, reader) = make_key(&node.base, "reader", "read", &["a/"]).await;
    let forged = [
        ("x-api-key", reader.as_str()),
        ("schedule-cluster-role", "admin"),
        ("schedule-cluster-prefixes", "b"),
        ("schedule-cluster-caller", "admin"),
    ];

    assert_eq!(ask(&node.base, Method::GET, "/keys", &forged, &Value::Null).await.status, 403);
    let with_key = [&forged[..], &[("schedule-cluster-key", "0123456789abcdef")]].concat();
    assert_eq!(ask(&node.base, Method::GET, "/keys", &with_key, &Value::Null).await.status, 403);
    node.stop().await;
}
