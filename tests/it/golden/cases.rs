use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use reqwest::Method;
use schedule_service::clock::{Clock, SystemClock};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Target, client};

/// How long a case that says `until` is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    request: Request,
    response: Response,
    #[serde(default)]
    save: BTreeMap<String, String>,
    #[serde(default)]
    until: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// Replays cases one after the other.
pub(super) struct Golden {
    base: String,
    saved: HashMap<String, String>,
}

impl Golden {
    pub(super) fn new(base: &str, target: &Target) -> Self {
        let saved = HashMap::from([("target".to_owned(), target.url(""))]);
        Self { base: base.to_owned(), saved }
    }

    /// Gives what is wrong.
    pub(super) async fn replay(&mut self, line: &str) -> Option<String> {
        let case: Case = serde_json::from_str(&self.filled(line)).unwrap_or_else(|error| panic!("{error}: {line}"));
        let deadline = Instant::now() + PATIENCE;
        let answer = loop {
            let answer = self.ask(&case.request).await;
            let is_as_expected = differences(&case.response, &answer).is_empty();
            if is_as_expected || !case.until || Instant::now() > deadline {
                break answer;
            }
            tokio::task::yield_now().await;
        };
        for (name, pointer) in &case.save {
            let value = answer.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            self.saved.insert(name.clone(), value.to_owned());
        }
        let differences = differences(&case.response, &answer);
        (!differences.is_empty()).then(|| format!("{}: {}", case.name, differences.join("; ")))
    }

    fn filled(&self, line: &str) -> String {
        let soon = SystemClock.now().plus(Duration::from_secs(1)).to_string();
        let line = line.replace("${soon}", &soon).replace("${soon_encoded}", &soon.replace(':', "%3A"));
        let fill = |line: String, (name, value): (&String, &String)| line.replace(&format!("${{{name}}}"), value);
        self.saved.iter().fold(line, fill)
    }

    async fn ask(&self, request: &Request) -> Answer {
        let method = Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut call = client().request(method, format!("{}{}", self.base, request.path));
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        let body = match &request.body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let answer = call.body(body).send().await.expect("the service answers");
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        let body = match body.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Answer { status, headers, body }
    }
}

fn differences(expected: &Response, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if expected.status != answer.status {
        found.push(format!("status {} in place of {}", answer.status, expected.status));
    }
    for (name, value) in &expected.headers {
        let got = answer.headers.get(name).map(String::as_str).unwrap_or_default();
        compare(&Value::from(value.as_str()), &Value::from(got), name, &mut found);
    }
    compare(&expected.body, &answer.body, "body", &mut found);
    found
}

fn compare(expected: &Value, got: &Value, path: &str, found: &mut Vec<String>) {
    match (expected, got) {
        (Value::String(form), got) if form.starts_with('<') && form.ends_with('>') => {
            if !has_form(form, got) {
                found.push(format!("{path}: {got} in place of {form}"));
            }
        }
        (Value::Object(expected), Value::Object(got)) => {
            for name in expected.keys().chain(got.keys()).collect::<std::collections::BTreeSet<_>>() {
                let path = format!("{path}.{name}");
                match (expected.get(name), got.get(name)) {
                    (Some(expected), Some(got)) => compare(expected, got, &path, found),
                    (expected, got) => found.push(format!("{path}: {got:?} in place of {expected:?}")),
                }
            }
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(expected, got, &format!("{path}[{index}]"), found);
            }
        }
        _ if expected == got => {}
        _ => found.push(format!("{path}: {got} in place of {expected}")),
    }
}

fn has_form(form: &str, got: &Value) -> bool {
    let text = got.as_str().unwrap_or_default();
    match form {
        "<uuid>" => uuid::Uuid::try_parse(text).is_ok(),
        "<date>" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "<number>" => got.is_u64(),
        "<text>" => !text.is_empty(),
        "<any>" => true,
        other => panic!("{other} is no form"),
    }
}
