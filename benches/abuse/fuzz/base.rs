//! What begins well: each operation that the service describes, with the examples that it gives.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The tasks that are named begin like this; nothing else does.
pub(crate) const PREFIX: &str = "backup";

/// A request of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) method: String,
    /// With a query where one is known.
    pub(crate) target: String,
    pub(crate) body: Option<Body>,
    /// Whatever becomes of it, nothing is changed that anybody needs.
    pub(crate) is_harmless: bool,
}

/// What is sent, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

impl Base {
    /// As HTTP/1.1 writes it, with a key.
    pub(crate) fn written(&self, key: Option<&str>) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.target);
        if let Some(key) = key {
            text += &format!("X-Api-Key: {key}\r\n");
        }
        let body = self.body.as_ref();
        if let Some(body) = body {
            text += &format!("Content-Type: {}\r\nContent-Length: {}\r\n", body.kind, body.bytes.len());
        }
        let body = body.map(|body| body.bytes.as_slice()).unwrap_or_default();
        [text.as_bytes(), b"\r\n", body].concat()
    }
}

/// A request for each operation and each kind of body in the description of the service.
pub(crate) fn bases(document: &Value) -> Result<Vec<Base>> {
    let mut bases = Vec::new();
    for (path, operations) in document["paths"].as_object().context("the description has no paths")? {
        let methods = operations.as_object().context("a path without operations")?;
        for (method, operation) in methods.iter().filter(|(_, operation)| operation["responses"].is_object()) {
            let shared = operations["parameters"].as_array().into_iter().flatten();
            let parameters: Vec<&Value> =
                shared.chain(operation["parameters"].as_array().into_iter().flatten()).collect();
            let role = operation["x-required-role"].as_str();
            let base = Base {
                method: method.to_uppercase(),
                target: target(path, &parameters, document),
                body: None,
                is_harmless: matches!(role, None | Some("read")) || path == "/schedule",
            };
            let bodies = bodies(operation);
            bases.extend(bodies.iter().map(|body| Base { body: Some(body.clone()), ..base.clone() }));
            if bodies.is_empty() {
                bases.push(base);
            }
        }
    }
    ensure!(!bases.is_empty(), "the service describes no operation");
    Ok(bases)
}

/// A path with values in the place of its names, and with its query.
fn target(path: &str, parameters: &[&Value], document: &Value) -> String {
    let mut path = path.to_owned();
    let mut query = Vec::new();
    for parameter in parameters {
        let found = parameter["$ref"].as_str().and_then(|link| document.pointer(link.strip_prefix('#')?));
        let parameter = found.unwrap_or(parameter);
        let name = parameter["name"].as_str().unwrap_or_default();
        let value = example(parameter, name);
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &encoded(&value)),
            Some("query") => query.push(format!("{name}={}", encoded(&value))),
            Some(_) | None => {}
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn example(parameter: &Value, name: &str) -> String {
    let given = [&parameter["example"], &parameter["schema"]["example"], &parameter["schema"]["examples"][0]];
    match given.into_iter().find(|value| !value.is_null()) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None if name == "identity" => PREFIX.to_owned(),
        None if name == "jobId" => format!("{PREFIX}:nightly"),
        None => "1".to_owned(),
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn bodies(operation: &Value) -> Vec<Body> {
    let kinds = operation["requestBody"]["content"].as_object();
    let body = |(kind, content): (&String, &Value)| {
        let bytes = match (&content["example"], kind.contains("form")) {
            (Value::Object(members), true) => {
                let pair = |(name, value): (&String, &Value)| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    format!("{name}={}", encoded(&text))
                };
                members.iter().map(pair).collect::<Vec<_>>().join("&")
            }
            (Value::String(text), _) => text.clone(),
            (Value::Null, _) => "{}".to_owned(),
            (other, _) => other.to_string(),
        };
        Body { kind: kind.clone(), bytes: bytes.into_bytes() }
    };
    kinds.map(|kinds| kinds.iter().map(body).collect()).unwrap_or_default()
}
