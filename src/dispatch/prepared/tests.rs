use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::clock::SystemClock;
use crate::model::object::{Mistakes, Object};
use crate::model::{
    Entry, EntryName, EntryOptions, Failure, Identity, Notice, Occasion, Request, Revision, RunId, Schedule,
    SecretName, SecretText, TargetUrl, Task, TimeZone, Trigger,
};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A run of an entry with these options.
fn fire(options: &Value) -> Fire {
    let (text, mut mistakes) = (options.to_string(), Mistakes::default());
    let members = Object::read_body(text.as_bytes(), "", &mut mistakes).unwrap();
    let options = EntryOptions::read(&members, &mut mistakes);
    assert!(mistakes.is_empty(), "{}", mistakes.text());
    let request = Request::post(TargetUrl::parse("http://a/").unwrap());
    let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("* * * * * *").unwrap(), request);
    let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry.with_options(options)]);
    let revision = Arc::new(Revision::new(task, Timestamp::EPOCH));
    Fire::planned(revision, 0, Timestamp::from_millis(1_800_000_000_000), Trigger::Schedule)
}

fn prepared(fire: &Fire, secrets: &[(&str, &str)]) -> Result<Prepared, Unsendable> {
    let named = |&(name, value): &(&str, &str)| (SecretName::parse(name).unwrap(), SecretText::new(value));
    let settings = crate::secrets::Settings { environment: secrets.iter().map(named).collect(), ..Default::default() };
    let secrets = Secrets::open(&settings, Arc::new(SystemClock)).unwrap();
    Prepared::of(fire, 1, &secrets, TemplateGrowth::default())
}

fn signature(ready: &Ready) -> String {
    ready.request.headers["webhook-signature"].to_str().unwrap().to_owned()
}

#[test]
fn what_credentials_name_is_filled_in_signed_with_shown_and_kept_out_of_records() {
    let named = json!({
        "sign": { "secrets": ["${secret:key}"] },
        "auth": { "type": "basic", "username": "ann", "password": "${secret:password}" },
    });
    let given = json!({
        "sign": { "secrets": [KEY] }, "auth": { "type": "basic", "username": "ann", "password": "open sesame" },
    });
    let at = Timestamp::from_secs(1_800_000_000);

    let named = prepared(&fire(&named), &[("key", KEY), ("password", "open sesame")]).unwrap().go(at);
    let given = prepared(&fire(&given), &[]).unwrap().go(at);

    for ready in [&named, &given] {
        let shown = &ready.request.headers[AUTHORIZATION];
        assert!(shown == "Basic YW5uOm9wZW4gc2VzYW1l" && shown.is_sensitive(), "no log of the client shows it");
        let told = format!("<{KEY}> <{}> <open+sesame> <YW5uOm9wZW4gc2VzYW1l> <ann>", &KEY[6..]);
        assert_eq!(ready.scrub.text(told), "<***> <whsec_***> <***> <***> <ann>".replace("whsec_", ""));
    }
    assert_eq!(signature(&named), signature(&given));
}

#[test]
fn a_callback_shows_and_signs_with_what_it_names_itself() {
    let callback = json!({ "url": "http://b/", "auth": { "type": "bearer", "token": "${secret:of-callback}" } });
    let of_entry = json!({ "secrets": ["${secret:of-entry}"] });
    let mut fire = fire(&json!({ "sign": of_entry, "on_failure": callback }));
    let about = fire.run_id();
    fire.notice = Some(Arc::new(Notice {
        run_id: RunId::asked(Timestamp::EPOCH),
        occasion: Occasion::Failure,
        about,
        event: None,
    }));

    let ready = prepared(&fire, &[("of-callback", "s3cret")]).unwrap().go(Timestamp::EPOCH);

    assert_eq!(ready.request.headers[AUTHORIZATION], "Bearer s3cret");
    assert!(!ready.request.headers.contains_key("webhook-signature"));
    let told = prepared(&fire, &[("of-entry", KEY)]).unwrap_err().to_string();
    assert!(told.starts_with("secret of-callback is not known"), "{told}");
}

#[test]
fn a_token_that_was_given_is_shown_and_kept_out_of_records_as_the_secret_of_its_client_is() {
    let client =
        json!({ "type": "oauth2", "token_url": "http://a/", "client_id": "id", "client_secret": "${secret:s}" });
    let prepared = prepared(&fire(&json!({ "auth": client })), &[("s", "s3cret/!")]).unwrap();
    assert!(prepared.client().is_some());

    let ready = prepared.with(Token::of_tests("the-token")).go(Timestamp::EPOCH);

    let shown = &ready.request.headers[AUTHORIZATION];
    assert!(shown == "Bearer the-token" && shown.is_sensitive());
    let told = "the-token s3cret/! s3cret%2F%21 aWQ6czNjcmV0JTJGJTIx";
    assert_eq!(ready.scrub.text(told.to_owned()), "*** *** *** ***");
    assert!(ready.token.is_some());
}

#[test]
fn a_secret_that_is_no_credential_is_told_and_not_shown_and_another_attempt_is_of_no_use() {
    let told = |options: &Value, value: &str| {
        let error = prepared(&fire(options), &[("a", value)]).unwrap_err();
        (error.to_string(), error.failure())
    };
    let no: Option<Failure> = None;

    let key = json!({ "sign": { "secrets": [KEY, "${secret:a}"] } });
    let expected =
        "cannot be signed: sign.secrets[1] is no signing secret, expected `whsec_` and the Base64 of 24 to 64 bytes";
    assert_eq!(told(&key, "hunter2!"), (expected.to_owned(), no));
    let token = json!({ "auth": { "type": "bearer", "token": "${secret:a}" } });
    let expected =
        "cannot be sent: auth.token holds something else than visible ASCII, expected letters, digits and signs";
    assert_eq!(told(&token, "hunter 2!"), (expected.to_owned(), no));
    let user = json!({ "auth": { "type": "basic", "username": "${secret:a}", "password": "" } });
    assert_eq!(
        told(&user, "hunt:er2"),
        ("cannot be sent: auth.username holds a colon, expected none in a user".to_owned(), no)
    );
}
