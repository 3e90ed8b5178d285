//! Tokens of an issuer that is on this machine.

use std::time::Duration;

use http::Method;
use schedule_service::access::{OidcSettings, Pace, parse_roles};
use schedule_service::config::NodeSettings;
use serde_json::{Value, json};

use super::{ADMIN_KEY, Told, ask, get_as, post_as};
use crate::support::{BoxedNode, Issuer, Process, Signer, task};

/// A node that trusts an issuer, asks it again whenever a key is not known, and has no keys of its own.
async fn trusting(issuer: &str, change: impl FnOnce(&mut NodeSettings)) -> BoxedNode {
    let oidc = OidcSettings {
        issuer: issuer.into(),
        audience: "schedule".into(),
        jwks_url: None,
        name_claim: "sub".into(),
        role_claim: "roles".into(),
        roles: parse_roles("viewers=read, ops=operate, makers=write, admins=admin").unwrap(),
        prefixes_claim: None,
        pace: Pace { retry_after: Duration::from_millis(50), look_again_after: Duration::ZERO, ..Pace::default() },
    };
    let trust = |settings: &mut NodeSettings| {
        settings.access.oidc = Some(oidc);
        settings.access.failed_tries_per_min = 1_000;
        change(settings);
    };
    BoxedNode::start_with(trust).await
}

async fn with_token(token: &str, node: &BoxedNode, method: Method, path: &str, body: Value) -> Told {
    ask(&node.base, method, path, &[("authorization", &format!("Bearer {token}"))], &body).await
}

async fn all(token: &str, node: &BoxedNode) -> Told {
    with_token(token, node, Method::POST, "/all", json!({})).await
}

/// Asks until the answer has a status: the keys are fetched in the background.
async fn answers(token: &str, node: &BoxedNode, wanted: u16) {
    let answered = async {
        while all(token, node).await.status != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.expect("it is asked again every 50 ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_role_allows_and_what_is_done_bears_the_name_in_it() {
    let issuer = Issuer::start().await;
    let (rsa, curve) = (Signer::of("RS256"), Signer::of("ES256"));
    issuer.publish(&[("rsa", &rsa), ("curve", &curve)]);
    let node = trusting(&issuer.name(), |_| ()).await;
    let maker = rsa.token("rsa", &issuer.claims(json!({ "roles": ["makers", "others"], "sub": "Ann Lee" })));
    let viewer = curve.token("curve", &issuer.claims(json!({ "roles": "viewers" })));

    let put = task("of-ann", "0 0 0 1 1 *", "http://127.0.0.1:9/");
    let put = with_token(&maker, &node, Method::POST, "/put", serde_json::from_str(&put).unwrap()).await;

    assert_eq!((put.status, &put.json()["error"]), (200, &json!(0)), "{}", put.text);
    let history = with_token(&viewer, &node, Method::GET, "/history/of-ann", Value::Null).await.json();
    assert_eq!(history["data"]["versions"][0]["by"], "oidc:Ann Lee");
    let denied = with_token(&viewer, &node, Method::POST, "/delete", json!({ "identity": "of-ann" })).await;
    assert_eq!(denied.status, 403);
    assert_eq!(denied.json()["msg"], "this needs the role write, and `oidc:ann` has the role read");
    let admin = rsa.token("rsa", &issuer.claims(json!({ "roles": "admins" })));
    let query = json!({ "type": "audit", "identity": "of-ann", "sort": "time_asc" });
    let audit = with_token(&admin, &node, Method::POST, "/logs/search", query).await.json();
    let noted = &audit["data"]["logs"][0]["log"];
    assert_eq!((&noted["by"], &noted["source"]), (&json!("oidc:Ann Lee"), &json!("token")), "{audit}");
    let stranger = curve.token("curve", &issuer.claims(json!({ "roles": ["others"] })));
    let refused = all(&stranger, &node).await;
    assert_eq!(refused.status, 403, "whoever has no role here has none at all");
    assert!(refused.json()["msg"].as_str().unwrap().contains("its claim `roles` holds no value"), "{}", refused.text);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_is_refused_from_the_start_and_keys_go_on_beside_tokens() {
    let issuer = Issuer::start().await;
    let signer = Signer::of("ES256");
    issuer.publish(&[("a", &signer)]);
    let node = trusting(&issuer.name(), |_| ()).await;

    let nobody = ask(&node.base, Method::POST, "/all", &[], &json!({})).await;

    assert_eq!((nobody.status, nobody.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    assert!(nobody.text.contains("a key or a token"), "{}", nobody.text);
    let admin = signer.token("a", &issuer.claims(json!({ "roles": "admins" })));
    let made = with_token(&admin, &node, Method::POST, "/keys", json!({ "name": "ci", "role": "read" })).await;
    assert_eq!(made.status, 201, "a token may make the first key: {}", made.text);
    assert_eq!(made.json()["data"]["created_by"], "oidc:ann");
    let key = made.json()["data"]["key"].as_str().unwrap().to_owned();
    assert_eq!(post_as(&key, &node.base, "/all", json!({})).await.status, 200);
    let both = [("authorization", format!("Bearer {admin}")), ("x-api-key", key)];
    let both = both.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(ask(&node.base, Method::POST, "/all", &both, &json!({})).await.status, 401, "which of them counts?");
    let taken = with_token(&admin, &node, Method::POST, "/keys", json!({ "name": "oidc:ann", "role": "read" })).await;
    assert_eq!(taken.json()["error"], 1, "no key has the name of somebody with a token: {}", taken.text);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_count_is_told_why_and_counts_among_the_wrong_keys_of_its_address() {
    let issuer = Issuer::start().await;
    let (signer, foreign) = (Signer::of("RS256"), Signer::of("ES256"));
    issuer.publish(&[("a", &signer), ("b", &Signer::of("ES256"))]);
    let node = trusting(&issuer.name(), |settings| settings.access.failed_tries_per_min = 8).await;
    let good = issuer.claims(json!({ "roles": "admins" }));
    let with = |changes: Value| signer.token("a", &issuer.claims(changes));
    let (head, _) = with(json!({})).split_once('.').map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
    let signed = signer.token("a", &good);
    let (_, rest) = signed.split_once('.').unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}", rest.split_once('.').unwrap().0);
    let wrong = [
        (with(json!({ "roles": "admins", "exp": 1_000 })), "has expired (`exp`)"),
        (with(json!({ "iss": format!("{}/", issuer.name()) })), "of another issuer (`iss`)"),
        (with(json!({ "aud": "other" })), "for another audience (`aud`)"),
        (with(json!({ "nbf": 99_999_999_999_i64 })), "not valid yet (`nbf`)"),
        (foreign.token("b", &good), "the signature of this token is wrong"),
        (foreign.token("c", &good), "a key that its issuer does not publish"),
        (format!("{unsigned}."), "signed in a way that is not taken"),
        (format!("{head}.AAAA.AAAA"), "the signature of this token is wrong"),
    ];

    for (token, why) in &wrong {
        let told = all(token, &node).await;
        assert_eq!(told.status, 401, "{}", told.text);
        assert_eq!(told.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        let text = told.json()["msg"].as_str().unwrap().to_owned();
        assert!(text.contains(why) && !text.contains(&token[..20]), "{text}");
    }

    let further = all(&wrong[0].0, &node).await;
    assert_eq!((further.status, further.headers.contains_key("retry-after")), (429, true), "{}", further.text);
    assert_eq!(all(&signer.token("a", &good), &node).await.status, 200, "a good one cannot be guessed");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_issuer_changes_is_followed_and_one_that_it_takes_back_opens_nothing() {
    let issuer = Issuer::start().await;
    let (old, new) = (Signer::of("RS256"), Signer::of("ES256"));
    issuer.publish(&[("old", &old)]);
    let node = trusting(&issuer.name(), |_| ()).await;
    let claims = issuer.claims(json!({ "roles": "viewers" }));
    assert_eq!(all(&old.token("old", &claims), &node).await.status, 200);
    let asked = issuer.asked();
    assert_eq!(all(&old.token("old", &claims), &node).await.status, 200);
    assert_eq!(issuer.asked(), asked, "a key that is known is not asked for");

    issuer.publish(&[("new", &new)]);

    assert_eq!(all(&new.token("new", &claims), &node).await.status, 200);
    assert_eq!(all(&old.token("old", &claims), &node).await.status, 401);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_the_issuer_and_goes_on_without_it() {
    let issuer = Issuer::start().await;
    let (name, claims) = (issuer.name(), issuer.claims(json!({ "roles": "viewers" })));
    let signer = Signer::of("ES256");
    let token = signer.token("a", &claims);
    let address = issuer.stop().await;
    let node = trusting(&name, |_| ()).await;

    let early = all(&token, &node).await;
    assert_eq!((early.status, early.headers.contains_key("retry-after")), (503, true), "{}", early.text);
    assert!(early.text.contains("the keys of the issuer of tokens could not be fetched yet"), "{}", early.text);
    assert_eq!(all("a.b.c", &node).await.status, 401, "what is no token is none whatever keys there are");

    let issuer = Issuer::start_at(address).await;
    issuer.publish(&[("a", &signer)]);
    answers(&token, &node, 200).await;
    issuer.stop().await;

    assert_eq!(all(&token, &node).await.status, 200);
    assert_eq!(all(&signer.token("b", &claims), &node).await.status, 401);
    assert_eq!(all(&token, &node).await.status, 200, "the keys that are known stay in force");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_issuer_sends_us_for_its_keys_is_not_followed_and_keys_may_be_elsewhere_only_if_it_is_said() {
    let (issuer, elsewhere) = (Issuer::start().await, Issuer::start().await);
    let signer = Signer::of("ES256");
    elsewhere.publish(&[("a", &signer)]);
    let keys = format!("http://{}/keys", elsewhere.address);
    issuer.redirect_to(&keys);
    let token = signer.token("a", &issuer.claims(json!({ "roles": "viewers" })));
    let sent_away = trusting(&issuer.name(), |_| ()).await;
    let told = trusting(&issuer.name(), |settings| {
        settings.access.oidc.as_mut().unwrap().jwks_url = Some(keys.parse().unwrap());
    })
    .await;

    assert_eq!(all(&token, &sent_away).await.status, 503);
    assert!(issuer.asked() > 0);
    answers(&token, &told, 200).await;
    sent_away.stop().await;
    told.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_the_tasks_in_its_claim_and_for_no_other() {
    let issuer = Issuer::start().await;
    let signer = Signer::of("ES256");
    issuer.publish(&[("a", &signer)]);
    let node = trusting(&issuer.name(), |settings| {
        settings.access.oidc.as_mut().unwrap().prefixes_claim = Some("tasks".into());
    })
    .await;
    let token = |tasks: Value| signer.token("a", &issuer.claims(json!({ "roles": "makers", "tasks": tasks })));
    let (of_team, of_all) = (token(json!(["team-a/"])), token(json!("*")));
    for name in ["team-a/x", "team-b/x"] {
        let put: Value = serde_json::from_str(&task(name, "0 0 0 1 1 *", "http://127.0.0.1:9/")).unwrap();
        assert_eq!(with_token(&of_all, &node, Method::POST, "/put", put).await.json()["error"], 0);
    }

    assert_eq!(all(&of_team, &node).await.json()["data"], json!(["team-a/x"]));
    let other = with_token(&of_team, &node, Method::POST, "/get", json!({ "identity": "team-b/x" })).await;
    assert_eq!(other.status, 403, "{}", other.text);
    let none = all(&signer.token("a", &issuer.claims(json!({ "roles": "admins" }))), &node).await;
    assert_eq!(none.status, 403, "an admin without the claim is for no task: {}", none.text);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_others_reach_starts_with_an_issuer_and_no_token_is_in_its_log() {
    let issuer = Issuer::start().await;
    let signer = Signer::of("RS256");
    issuer.publish(&[("a", &signer)]);
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("SCHEDULE__SERVER__HOST", "0.0.0.0".to_owned()),
        ("SCHEDULE__ACCESS__OIDC_ISSUER", issuer.name()),
        ("SCHEDULE__ACCESS__OIDC_AUDIENCE", "schedule".to_owned()),
        ("SCHEDULE__ACCESS__OIDC_ROLES", "viewers=read".to_owned()),
        ("SCHEDULE__ACCESS__ADMIN_KEY", ADMIN_KEY.to_owned()),
        ("SCHEDULE__LOG__LEVEL", "trace".to_owned()),
    ];
    let mut command = Process::command(folder.path());
    command.envs(environment);
    let logged = super::Logged::start(command).await;
    let base = logged.base.replace("0.0.0.0", "127.0.0.1");

    let good = signer.token("a", &issuer.claims(json!({ "roles": "viewers" })));
    let wrong = signer.token("a", &issuer.claims(json!({ "roles": "viewers", "exp": 1 })));
    let unknown = signer.token("b", &issuer.claims(json!({})));
    assert_eq!(get_as(&good, &base, "/pauses").await.status, 200);
    for token in [&wrong, &unknown] {
        assert_eq!(get_as(token, &base, "/pauses").await.status, 401);
    }

    let log = logged.end().await;
    assert!(log.contains("a wrong token was shown: this token has expired"), "{log}");
    assert!(log.contains("the keys of the issuer of tokens are in force"), "{log}");
    for token in [&good, &wrong, &unknown] {
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "a part of a token is in the log");
        }
    }
}
