//! The contract: every recorded case of the mirrored service, and what it sends on a fire.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Arrival, BoxedNode, Target, client, post, post_ok};

/// The recorded cases that are answered differently, by the number of the difference in `docs/api.md`.
const DIFFERENCES: &[(&str, u8)] = &[
    ("001", 9),
    ("004", 5),
    ("017", 6),
    ("020", 1),
    ("021", 11),
    ("024", 2),
    ("026", 2),
    ("027", 2),
    ("028", 11),
    ("029", 11),
    ("032", 11),
    ("034", 11),
    ("035", 11),
    ("036", 12),
    ("040", 11),
    ("043", 11),
    ("044", 11),
    ("045", 2),
    ("047", 11),
    ("049", 11),
    ("050", 4),
    ("051", 4),
    ("052", 4),
    ("054", 4),
    ("056", 11),
    ("057", 3),
    ("059", 3),
    ("060", 3),
    ("067", 3),
    ("068", 3),
    ("069", 12),
    ("073", 12),
    ("075", 2),
    ("078", 2),
    ("079", 13),
    ("083", 12),
    ("086", 13),
    ("087", 13),
    ("088", 13),
    ("089", 13),
    ("090", 13),
    ("091", 13),
    ("092", 14),
    ("093", 14),
    ("094", 13),
    ("095", 14),
    ("096", 14),
    ("097", 11),
    ("099", 11),
    ("101", 11),
    ("106", 2),
    ("107", 2),
    ("110", 7),
    ("114", 11),
    ("115", 11),
    ("116", 2),
    ("117", 11),
    ("118", 11),
    ("119", 2),
    ("126", 11),
    ("136", 11),
    ("138", 11),
    ("139", 11),
    ("140", 11),
    ("141", 11),
    ("145", 11),
    ("146", 2),
    ("147", 2),
    ("150", 2),
    ("152", 11),
    ("154", 11),
    ("168", 5),
    ("173", 11),
    ("176", 4),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_case_is_answered_alike_or_differs_on_purpose() {
    let node = BoxedNode::start().await;
    let mut wrong = Vec::new();

    for line in include_str!("../data/recorded-cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["name"].as_str().unwrap();
        let answer = replay(&node.base, &case["request"]).await;
        let is_alike = is_alike(&case["response"], &answer);
        let difference = DIFFERENCES.iter().find(|(number, _)| name.starts_with(number));
        if is_alike == difference.is_some() {
            wrong.push(format!("{name}: alike: {is_alike}, listed: {difference:?}, answer: {answer:?}"));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    node.stop().await;
}

async fn replay(base: &str, request: &Value) -> (u16, Value) {
    let method = Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
    let mut call = client().request(method, format!("{base}{}", request["path"].as_str().unwrap()));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            call = call.header(name, value);
        }
    }
    let body = match request["body"].as_str() {
        // The recording holds a description in place of eight million bytes.
        Some(body) if body.starts_with("<a put whose") => eight_mib_put(),
        Some(body) => body.to_owned(),
        None => String::new(),
    };
    let answer = call.body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

fn eight_mib_put() -> String {
    let body = serde_json::json!({ "x": "y".repeat(8 * 1024 * 1024) });
    let entry = serde_json::json!({ "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:9399/ok", "body": body });
    let task = serde_json::json!({
        "identity": "big", "time_zone": "UTC", "start": true, "entries": { "bigkey": entry },
    });
    task.to_string()
}

fn is_alike(recorded: &Value, (status, answer): &(u16, Value)) -> bool {
    recorded["status"] == *status && matches(&recorded["body"], answer)
}

/// `"<any>"` stands for what varies. Records of one second have no fixed order there.
fn matches(recorded: &Value, answer: &Value) -> bool {
    match (recorded, answer) {
        (Value::String(any), _) if any == "<any>" => true,
        (Value::Object(recorded), Value::Object(answer)) => {
            let own = ["@timestamp"];
            answer.keys().all(|key| recorded.contains_key(key) || own.contains(&key.as_str()))
                && recorded.iter().all(|(key, value)| match (key.as_str(), answer.get(key)) {
                    ("hits", Some(Value::Array(answers))) => is_same_set(value, answers),
                    (_, Some(answer)) => matches(value, answer),
                    (_, None) => false,
                })
        }
        (Value::Array(recorded), Value::Array(answer)) => {
            recorded.len() == answer.len() && recorded.iter().zip(answer).all(|(a, b)| matches(a, b))
        }
        _ => recorded == answer,
    }
}

fn is_same_set(recorded: &Value, answers: &[Value]) -> bool {
    let mut left: Vec<&Value> = answers.iter().collect();
    let recorded = recorded.as_array().unwrap();
    recorded.iter().all(|wanted| {
        let found = left.iter().position(|answer| matches(wanted, answer));
        found.map(|at| left.remove(at)).is_some()
    }) && left.is_empty()
}

/// The entries whose requests were recorded, as far as they are not refused at put.
const FIRES: &[(&str, &str)] = &[
    ("nobody", "{}"),
    ("null", r#"{"body":null}"#),
    ("obj", r#"{"body":{"z":1,"a":"x<y&z","big":12345678901234567890,"f":1.5,"l":[],"n":null}}"#),
    ("emptyobj", r#"{"body":{}}"#),
    ("arr", r#"{"body":[1,"a",{"b":2}]}"#),
    ("emptyarr", r#"{"body":[]}"#),
    ("str_json_obj", r#"{"body":"{\"a\":1,\"b\":2}"}"#),
    ("str_json_arr", r#"{"body":"[1,2]"}"#),
    ("str_json_num", r#"{"body":"42"}"#),
    ("str_form", r#"{"body":"a=0&a=1&b=2"}"#),
    ("str_plain", r#"{"body":"hello world"}"#),
    ("str_badpct", r#"{"body":"100% x"}"#),
    ("str_empty", r#"{"body":""}"#),
    ("num", r#"{"body":42}"#),
    ("float", r#"{"body":1e21}"#),
    ("true", r#"{"body":true}"#),
    ("false", r#"{"body":false}"#),
    (
        "ct_form_obj",
        r#"{"headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":{"a":1,"b":"2 3","l":["p","q"]}}"#,
    ),
    ("ct_form_str", r#"{"headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":"a=1&b=2"}"#),
    ("ct_text_str", r#"{"headers":{"Content-Type":"text/plain"},"body":"hello world"}"#),
    ("ct_text_obj", r#"{"headers":{"Content-Type":"text/plain"},"body":{"a":1}}"#),
    ("ct_xml_str", r#"{"headers":{"Content-Type":"application/xml"},"body":"<a>1</a>"}"#),
    ("ct_textcs_str", r#"{"headers":{"Content-Type":"text/plain; charset=utf-8"},"body":"hello world"}"#),
    ("ct_json_plain", r#"{"headers":{"Content-Type":"application/json"},"body":"hello world"}"#),
    ("ct_multipart", r#"{"headers":{"Content-Type":"multipart/form-data"},"body":{"a":1}}"#),
    ("ct_html", r#"{"headers":{"Content-Type":"text/html"},"body":"<p>x</p>"}"#),
    (
        "hdrs",
        r#"{"headers":{"Host":"example.test","Authorization":"Bearer t","Cookie":"a=b","x-lower":"v"},"body":{"a":1}}"#,
    ),
];

/// What differs on purpose: the content type and the body that are sent instead.
const SENT_INSTEAD: &[(&str, &str, &str)] = &[
    ("obj", "application/json", r#"{"a":"x<y&z","big":12345678901234567890,"f":1.5,"l":[],"n":null,"z":1}"#),
    ("float", "application/json", "1e+21"),
    ("str_plain", "text/plain; charset=utf-8", "hello world"),
    ("str_badpct", "text/plain; charset=utf-8", "100% x"),
    ("ct_text_obj", "text/plain", r#"{"a":1}"#),
    ("ct_textcs_str", "text/plain; charset=utf-8", "hello world"),
    ("ct_json_plain", "application/json", r#""hello world""#),
    ("ct_html", "text/html", "<p>x</p>"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_sends_what_the_mirrored_service_sends_or_differs_on_purpose() {
    let (node, target) = (BoxedNode::start().await, Target::start().await);
    let entries: BTreeMap<&str, Value> =
        FIRES.iter().map(|(name, options)| (*name, entry(&target, name, options))).collect();
    let task = serde_json::json!({ "identity": "fires", "time_zone": "UTC", "start": true, "entries": entries });

    post_ok(&node.base, "/put", task.to_string()).await;
    target.wait_until(|arrivals| arrivals.len() >= 2 * FIRES.len()).await;

    let recorded: Value = serde_json::from_str(include_str!("../data/fire-requests.json")).unwrap();
    for (name, _) in FIRES {
        let arrival = &target
            .arrivals_at(&format!("/ok/{name}"))
            .into_iter()
            .find(|arrival| arrival.header("x-schedule-entry") == *name)
            .unwrap_or_else(|| panic!("{name} did not fire"));
        check(name, arrival, &recorded[name]["req"]);
    }
    node.stop().await;
}

fn entry(target: &Target, name: &str, options: &str) -> Value {
    let mut entry: Value = serde_json::from_str(options).unwrap();
    let query = if name == "nobody" { "?a=2&z=1" } else { "" };
    entry["cron_time"] = "* * * * * *".into();
    entry["url"] = target.url(&format!("/ok/{name}{query}")).into();
    entry
}

fn check(name: &str, arrival: &Arrival, recorded: &Value) {
    let body = String::from_utf8_lossy(&arrival.body);
    assert_eq!(arrival.method, Method::POST, "{name}");
    assert_eq!(arrival.header("content-length"), arrival.body.len().to_string(), "{name}");
    if let Some((_, content_type, text)) = SENT_INSTEAD.iter().find(|(other, _, _)| other == &name) {
        assert_eq!((arrival.header("content-type"), body.as_ref()), (*content_type, *text), "{name}");
        return;
    }
    if name == "ct_multipart" {
        let (_, boundary) = arrival.header("content-type").split_once("multipart/form-data; boundary=").unwrap();
        let part = "Content-Disposition: form-data; name=\"a\"\r\n\r\n1";
        assert_eq!(body, format!("--{boundary}\r\n{part}\r\n--{boundary}--\r\n"));
        return;
    }
    assert_eq!(body, recorded["body"].as_str().unwrap(), "{name}");
    assert_eq!(arrival.uri.to_string(), recorded["uri"].as_str().unwrap(), "{name}");
    for (header, values) in recorded["header"].as_object().unwrap() {
        if !["Accept-Encoding", "Connection", "User-Agent"].contains(&header.as_str()) {
            assert_eq!(arrival.header(header), values[0].as_str().unwrap(), "{name}: {header}");
        }
    }
    if name == "hdrs" {
        assert_eq!(arrival.header("host"), recorded["host"].as_str().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_http_forbids_are_refused_at_put_and_not_at_the_fire() {
    let node = BoxedNode::start().await;
    for headers in [r#"{"bad name":"x"}"#, r#"{"X-A":"a\nb"}"#] {
        let entry = format!(r#"{{"cron_time":"* * * * * *","url":"http://127.0.0.1:1/","headers":{headers}}}"#);
        let task = format!(r#"{{"identity":"h","time_zone":"UTC","start":true,"entries":{{"e":{entry}}}}}"#);

        let (status, answer) = post(&node.base, "/put", task).await;

        assert_eq!((status, &answer["error"]), (200, &Value::from(1)));
        assert!(answer["msg"].as_str().unwrap().starts_with("entries.e.headers."), "{answer}");
    }
    assert_eq!(post_ok(&node.base, "/get", r#"{"identity":"h"}"#).await["data"], Value::Null);
    node.stop().await;
}
