//! The OpenAPI document tells the truth: of what is served, of what is taken, and of what is answered.

mod generated;
mod page;

use std::collections::BTreeSet;

use http::Method;
use schedule_service::access::SecretHash;
use schedule_service::config::NodeSettings;
use serde_json::Value;

use crate::support::{BoxedNode, Target, client, post_ok, with_keys};

/// Opens everything, so that a key that an example makes does not close the service to the next one.
const ADMIN_KEY: &str = "the-admin-key-of-these-tests-0123456789";

async fn node_with(change: impl FnOnce(&mut NodeSettings)) -> BoxedNode {
    let close = |settings: &mut NodeSettings| {
        with_keys(settings);
        settings.access.admin_key = Some(SecretHash::of(ADMIN_KEY.as_bytes()));
        change(settings);
    };
    BoxedNode::start_with(close).await
}

/// Posts with the admin key.
async fn ask(base: &str, path: &str, body: String) -> (u16, Value) {
    let request = client().post(format!("{base}{path}")).bearer_auth(ADMIN_KEY);
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// The same where it is done.
async fn ask_ok(base: &str, path: &str, body: String) -> Value {
    let (status, answer) = ask(base, path, body).await;
    assert_eq!((status, &answer["error"]), (200, &Value::from(0)), "{path}: {answer}");
    answer
}

/// The document as a client gets it.
async fn document(node: &BoxedNode) -> Value {
    let answer = client().get(format!("{}/openapi.json", node.base)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json; charset=UTF-8");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// An operation of the document.
struct Operation<'d> {
    method: Method,
    path: &'d str,
    described: &'d Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, described)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                Operation { method, path, described }
            })
        })
        .collect()
}

impl<'d> Operation<'d> {
    fn id(&self) -> &'d str {
        self.described["operationId"].as_str().unwrap()
    }

    /// The paths at which it is served, its parameters filled in with their examples.
    fn places(&self) -> Vec<String> {
        let also = self.described["description"].as_str().unwrap_or_default().split_once("Also at ");
        let also = also.map_or("", |(_, places)| places).split('`').filter(|part| part.starts_with('/'));
        also.chain([self.path]).map(|path| self.filled_in(path)).collect()
    }

    fn filled_in(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "path" {
                let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
                path = path.replace(&name, parameter["example"].as_str().expect("a part of a path has an example"));
            }
        }
        path
    }

    /// The body that it shows, with its type.
    fn example(&self) -> Option<(&str, String)> {
        let (kind, content) = self.described["requestBody"]["content"].as_object()?.iter().next()?;
        let example = &content["example"];
        assert!(!example.is_null(), "{} shows no body", self.id());
        Some((kind, example.as_str().map_or_else(|| example.to_string(), str::to_owned)))
    }

    /// Sends the example, with its requests led to a target of ours.
    async fn ask(&self, node: &BoxedNode, place: &str, target: &Target) -> (u16, String) {
        let call = client().request(self.method.clone(), format!("{}{place}", node.base)).bearer_auth(ADMIN_KEY);
        let call = match self.example() {
            Some((kind, body)) => {
                call.header("content-type", kind).body(body.replace("http://127.0.0.1:8080", &target.url("")))
            }
            None => call,
        };
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_served_at_each_of_its_paths_and_its_example_is_taken() {
    let (node, target) = (node_with(|_| ()).await, Target::start().await);
    let document = document(&node).await;

    // The task that the examples are about is put first and deleted last.
    let mut operations = operations(&document);
    operations.sort_by_key(|operation| match operation.id() {
        "putTask" => 0,
        "deleteTask" => 2,
        _ => 1,
    });
    for operation in operations {
        for place in operation.places() {
            let (status, text) = operation.ask(&node, &place, &target).await;

            let told = format!("{} {place}: {status} {text}", operation.method);
            assert!(!text.contains("there is no such path") && status != 405, "no route: {told}");
            let described = operation.described["responses"].get(status.to_string());
            assert!(described.is_some(), "not described: {told}");
            let envelope: Value = serde_json::from_str(&text).unwrap_or_default();
            // A service on its own store has no other node that could take its shards, and the key of the examples is not there.
            let is_about_nothing = ["drainNode", "rotateKey", "revokeKey"].contains(&operation.id());
            let is_refused = envelope["error"] == 1 && !is_about_nothing;
            assert!(status < 400 && !is_refused || status == 404, "the example is refused: {told}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_takes_the_methods_that_are_described_and_no_other() {
    let node = BoxedNode::start().await;
    let document = document(&node).await;
    let operations = operations(&document);

    for operation in &operations {
        let described = operations.iter().filter(|other| other.path == operation.path);
        let described: BTreeSet<&str> = described.map(|operation| operation.method.as_str()).collect();
        for place in operation.places() {
            let answer = client().request(Method::PATCH, format!("{}{place}", node.base)).send().await.unwrap();
            let allowed = answer.headers()["allow"].to_str().unwrap().to_owned();

            assert_eq!(answer.status(), 405, "{place}");
            assert_eq!(allowed.split(", ").collect::<BTreeSet<_>>(), described, "{place}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_whole() {
    let node = BoxedNode::start().await;
    let document = document(&node).await;

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let described = operation.described;
        assert!(ids.insert(operation.id()), "two operations are called {}", operation.id());
        assert!(tags.contains(&&described["tags"][0]), "{} has no family", operation.id());
        assert!(described["summary"].is_string() && described["responses"].is_object(), "{}", operation.id());
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["schema"].is_object() && parameter["description"].is_string(), "{}", operation.id());
        }
        if let Some((_, body)) = operation.example() {
            assert!(!body.is_empty());
        }
    }
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    node.stop().await;
}

fn references(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_preview_null_is_the_same_as_left_out() {
    let node = BoxedNode::start().await;
    let task = serde_json::json!({
        "identity": null, "start": null, "time_zone": "UTC", "count": null, "after": null,
        "entries": { "e": { "every": "1h", "url": "http://127.0.0.1:1/" } },
    });
    let entry = serde_json::json!({ "every": "1h", "at": null, "url": null, "time_zone": null, "count": 1 });

    for draft in [task, entry] {
        post_ok(&node.base, "/preview", draft.to_string()).await;
    }
    node.stop().await;
}
