//! Credentials that name secrets, from a put to what is recorded, and masks that are put back.

use schedule_service::model::{SecretName, SecretText};
use serde_json::{Value, json};

use super::{NEW, OLD, case, messages, put, record, soon, verified};
use crate::support::{Arrival, BoxedNode, Double, Reply, Target, client, post, post_ok};

const SECRETS: [(&str, &str); 3] = [("hooks", NEW), ("password", "open sesame"), ("client", "cl1ent/s3cret")];
const TOKEN: &str = "t0ken-of-server";

/// A node that knows the secrets of these tests.
async fn node() -> BoxedNode {
    let named = |(name, value): (&str, &str)| (SecretName::parse(name).unwrap(), SecretText::new(value));
    BoxedNode::start_with(move |settings| settings.secrets.environment = SECRETS.map(named).into()).await
}

/// Sends back what comes.
async fn echo() -> Double {
    Double::start(|arrival| {
        let line = |(name, value): (_, &http::HeaderValue)| format!("{name}: {}\n", value.to_str().unwrap());
        Reply::Text(arrival.headers.iter().map(line).collect())
    })
    .await
}

fn arrived(double: &Double, identity: &str) -> Arrival {
    let arrivals = double.arrivals();
    arrivals.into_iter().find(|arrival| arrival.header("x-schedule-identity") == identity).unwrap()
}

async fn history(node: &BoxedNode, identity: &str) -> Value {
    let answer = client().get(format!("{}/history/{identity}", node.base)).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_credentials_name_sign_and_show_and_stand_in_no_record_when_they_come_back() {
    let (node, echo) = (node().await, echo().await);
    let server = Double::start(|_| Reply::Says(json!({ "access_token": TOKEN, "token_type": "bearer" }))).await;
    let url = format!("{}/", echo.base);
    let basic = json!({ "type": "basic", "username": "Aladdin", "password": "${secret:password}" });
    let sign = json!({ "secrets": ["whsec_${secret:none-is-named-in-this-text", OLD] });
    let wrong = json!({ "identity": "w", "time_zone": "UTC", "start": true, "entries": { "e": { "every": "1d", "url": url, "sign": sign } } });
    let (_, refused) = post(&node.base, "/put", wrong.to_string()).await;
    assert!(
        refused["msg"].as_str().unwrap().starts_with("entries.e.sign.secrets[0]: is no signing secret"),
        "{refused}"
    );
    let sign = json!({ "secrets": ["${secret:hooks}", OLD] });
    put(&node, "basic", &json!({ "at": soon(), "url": url, "auth": basic, "sign": sign, "body": { "a": 1 } })).await;
    let oauth2 = json!({ "type": "oauth2", "token_url": format!("{}/token", server.base), "client_id": "id", "client_secret": "${secret:client}" });
    put(&node, "oauth2", &json!({ "at": soon(), "url": url, "auth": oauth2 })).await;

    let records = [record(&node, "basic").await, record(&node, "oauth2").await];

    let basic = arrived(&echo, "basic");
    assert_eq!(verified(&[case(&basic, NEW), case(&basic, OLD)]).await, [Value::Null, Value::Null]);
    assert_eq!(basic.header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(arrived(&echo, "oauth2").header("authorization"), format!("Bearer {TOKEN}"));
    // RFC 6749, section 2.3.1: `id:cl1ent%2Fs3cret`.
    assert_eq!(server.arrivals()[0].header("authorization"), "Basic aWQ6Y2wxZW50JTJGczNjcmV0");
    assert!(records.iter().all(|record| record["type"] == "success"), "{records:?}");
    for shown in ["authorization: Basic ***\\n", "authorization: Bearer ***\\n"] {
        assert!(records.iter().any(|record| record.to_string().contains(shown)), "{records:?}");
    }
    let mut texts = records.map(|record| record.to_string()).to_vec();
    texts.push(post_ok(&node.base, "/logs/search", "{}").await.to_string());
    for identity in ["basic", "oauth2"] {
        texts.push(history(&node, identity).await.to_string());
    }
    for text in &texts {
        for secret in
            [&NEW[6..], &OLD[6..], "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ", "cl1ent/s3cret", "aWQ6Y2wx", TOKEN]
        {
            assert!(!text.contains(secret), "{secret} {text}");
        }
    }
    assert!(texts[3].contains(r#""sign":{"secrets":["${secret:hooks}","***"]}"#), "a name may be seen: {}", texts[3]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_secret_of_credentials_is_warned_of_at_the_put_and_nothing_is_sent_without_it() {
    let (node, target) = (node().await, Target::start().await);
    let bearer = json!({ "type": "bearer", "token": "${secret:no-token}" });
    let told = json!({ "url": target.url("/told"), "auth": bearer, "every": "run" });
    let sign = json!({ "secrets": ["${secret:hooks}", "${secret:no-hooks}"] });
    let entry = json!({ "at": soon(), "url": target.url("/never"), "sign": sign, "on_failure": told });
    let body = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": { "e": entry } });

    let answer = post_ok(&node.base, "/put", body.to_string()).await;

    let unknown = |name: &str| format!("secret {name} is not known (looked in the environment, the store)");
    let warned = |path: &str, name: &str| format!("entries.e.{path}: {}: without it, runs fail", unknown(name));
    let expected = [warned("sign.secrets[1]", "no-hooks"), warned("on_failure.auth.token", "no-token")];
    assert_eq!(answer["warnings"], json!(expected));
    // The run, and what it has to tell of its end, which lacks a secret too.
    let mut messages = messages(&node, "t", 2).await;
    messages.sort();
    assert_eq!(messages, [unknown("no-hooks"), unknown("no-token")]);
    assert_eq!(target.count(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_of_credentials_that_are_put_back_keep_what_is_stored() {
    let node = node().await;
    let callback = json!({ "url": "http://127.0.0.1:1/", "auth": { "type": "bearer", "token": "s3cret-token" } });
    let auth = json!({ "type": "basic", "username": "ann", "password": "s3cret-password" });
    let entry = json!({
        "cron_time": "0 0 0 1 1 *", "url": "http://127.0.0.1:1/", "sign": { "secrets": ["${secret:hooks}", OLD] },
        "auth": auth, "on_failure": callback,
    });
    put(&node, "t", &entry).await;
    let get = || async { post_ok(&node.base, "/get", r#"{"identity":"t"}"#).await["data"]["entries"]["e"].clone() };
    let before = get().await;
    assert_eq!((&before["sign"], &before["auth"], &before["on_failure"]), (&entry["sign"], &auth, &callback));

    let mut masked = history(&node, "t").await["data"]["versions"][0]["task"].clone();
    let seen = &masked["entries"]["e"];
    assert_eq!(seen["sign"], json!({ "secrets": ["${secret:hooks}", "***"] }));
    assert_eq!((&seen["auth"]["password"], &seen["on_failure"]["auth"]["token"]), (&json!("***"), &json!("***")));
    masked["start"] = json!(false);
    post_ok(&node.base, "/put", masked.to_string()).await;

    let after = get().await;
    for key in ["sign", "auth", "on_failure"] {
        assert_eq!(after[key], before[key]);
    }
    let mut of_another = masked.clone();
    of_another["entries"]["e"]["auth"]["username"] = json!("bob");
    let (_, refused) = post(&node.base, "/put", of_another.to_string()).await;
    let told = refused["msg"].as_str().unwrap();
    assert!(told.lines().count() == 1 && told.starts_with("entries.e.auth.password: is the mask of"), "{told}");
    masked["identity"] = json!("other");
    let (_, refused) = post(&node.base, "/put", masked.to_string()).await;
    let told = refused["msg"].as_str().unwrap();
    let places: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert_eq!(places, ["entries.e.sign.secrets[1]", "entries.e.auth.password", "entries.e.on_failure.auth.token"]);
    node.stop().await;
}
