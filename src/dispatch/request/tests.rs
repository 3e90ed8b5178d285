use std::sync::Arc;

use super::*;
use crate::model::{
    Asked, Callback, Entry, EntryName, EntryOptions, Identity, Notice, Occasion, Revision, Schedule, SecretName,
    SecretText, TargetUrl, Task, TimeZone, Timestamp, Trigger,
};

fn text(json: &str) -> JsonText {
    JsonText::from_raw(serde_json::from_str(json).unwrap()).unwrap()
}

fn request(method: Method, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Request {
    let headers = headers.iter().map(|(name, value)| Header::parse(name, value).unwrap()).collect();
    Request { method, url: TargetUrl::parse(url).unwrap(), headers: Some(headers), body: body.map(text) }
}

fn fire(request: Request, options: EntryOptions) -> Fire {
    let entry = Entry::new(EntryName::parse("é").unwrap(), Schedule::cron("* * * * * *").unwrap(), request);
    let entry = entry.with_options(Some(Box::new(options)));
    let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry]);
    let at = Timestamp::from_millis(1_800_000_000_000);
    Fire::planned(Arc::new(Revision::new(task, Timestamp::EPOCH)), 0, at, Trigger::Schedule)
}

fn sent_as(fire: &Fire, attempt: u32) -> Result<OutgoingRequest, TemplateError> {
    OutgoingRequest::of(fire, attempt, SecretTexts::none(), TemplateGrowth::default())
}

fn secrets(value: &str) -> SecretTexts {
    SecretTexts::from_iter([(SecretName::parse("a").unwrap(), SecretText::new(value))])
}

fn asked(request: Request, args: &str) -> Fire {
    let asked = Asked {
        run_id: RunId::asked(Timestamp::EPOCH),
        run_by: "alice".into(),
        args: args.into(),
        rerun_of: None,
        backfill: None,
    };
    Fire { asked: Some(Arc::new(asked)), trigger: Trigger::Manual, ..fire(request, EntryOptions::default()) }
}

#[test]
fn every_attempt_of_a_run_carries_the_same_key_and_its_own_number() {
    let fire = fire(request(Method::PUT, "http://a/{{attempt}}", &[], None), EntryOptions::default());

    let [first, third] = [1, 3].map(|attempt| sent_as(&fire, attempt).unwrap());

    assert_eq!((first.url.as_str(), third.url.as_str()), ("http://a/1", "http://a/3"));
    assert_eq!(first.headers["idempotency-key"], third.headers["idempotency-key"]);
    assert_eq!(
        (&first.headers["x-schedule-attempt"], &third.headers["x-schedule-attempt"]),
        (&"1".parse().unwrap(), &"3".parse().unwrap())
    );
    assert_eq!((first.method, &first.headers["content-length"]), (Method::PUT, &"0".parse().unwrap()));
    assert_eq!(first.headers["x-schedule-entry"], "%C3%A9");
}

#[test]
fn args_reach_the_target_by_template_by_header_and_for_a_get_by_the_query() {
    let get = asked(request(Method::GET, "http://a/{{args}}?x=1", &[], None), "a b&é");
    let post =
        asked(request(Method::POST, "http://a/?x=1", &[("X", "{{args}}")], Some("{\"a\":\"{{args}}\"}")), "a \"b\"");

    let (get, post) = (sent_as(&get, 1).unwrap(), sent_as(&post, 1).unwrap());

    assert_eq!(get.url.as_str(), "http://a/a%20b%26%C3%A9?x=1&args=a+b%26%C3%A9");
    assert_eq!(get.headers["x-schedule-args"], "a%20b&%C3%A9");
    assert!(!get.headers.contains_key("content-length"));
    assert_eq!((post.url.as_str(), &post.body[..]), ("http://a/?x=1", &br#"{"a":"a \"b\""}"#[..]));
    assert_eq!(
        (&post.headers["x"], &post.headers["x-schedule-args"]),
        (&"a \"b\"".parse().unwrap(), &"a%20\"b\"".parse().unwrap())
    );
}

#[test]
fn without_args_there_is_neither_header_nor_query() {
    let sent = sent_as(&asked(request(Method::GET, "http://a/", &[], None), ""), 1).unwrap();

    assert_eq!((sent.url.as_str(), sent.headers.get("x-schedule-args")), ("http://a/", None));
}

#[test]
fn args_cannot_break_out_of_their_header() {
    let sent = sent_as(&asked(request(Method::POST, "http://a/", &[], None), "a\r\nX: y%"), 1).unwrap();

    assert_eq!(sent.headers["x-schedule-args"], "a%0D%0AX:%20y%25");
}

#[test]
fn who_gives_the_args_does_not_choose_the_content_type() {
    let sent = |body: &str, args: &str| {
        let fire = asked(request(Method::POST, "http://a/", &[], Some(&format!("{body:?}"))), args);
        let sent = sent_as(&fire, 1).unwrap();
        (sent.headers["content-type"].to_str().unwrap().to_owned(), String::from_utf8(sent.body).unwrap())
    };
    let (text, form, json) = ("text/plain; charset=utf-8", "application/x-www-form-urlencoded", "application/json");

    for args in ["hello", "{\"admin\":true}", "a=1&b=2", "5"] {
        assert_eq!(sent("{{args}}", args), (text.to_owned(), args.to_owned()));
    }
    assert_eq!(sent("a={{args}}", "1&b=é").0, form);
    assert_eq!(sent("{\"a\":\"{{args}}\",\"n\":{{attempt}}}", "1\"").0, json);
    assert_eq!(sent("[{{args}}]", "1"), (text.to_owned(), "[1]".to_owned()));
}

fn notice(callback: Request) -> Fire {
    let callback = Callback { request: callback, each: false, credentials: Default::default() };
    let options = EntryOptions { on_failure: Some(callback), ..EntryOptions::default() };
    let fire = fire(request(Method::POST, "http://a/", &[("X", "of the entry")], Some("1")), options);
    let about = fire.run_id();
    let event = Some(text(r#"{"message":"{{run_id}}"}"#));
    let notice = Notice { run_id: about.following("on_failure"), about, occasion: Occasion::Failure, event };
    Fire { notice: Some(Arc::new(notice)), ..fire }
}

#[test]
fn a_callback_is_sent_as_it_says_and_carries_the_event_unless_it_has_a_body() {
    let plain = notice(request(Method::POST, "http://told/{{run_id}}", &[], None));
    let (about, own) = (plain.notice.as_ref().unwrap().about, plain.run_id());
    let with_body = notice(request(Method::PATCH, "http://told/", &[], Some("\"{{run_id}}\"")));
    let get = notice(request(Method::GET, "http://told/", &[], None));

    let [plain, with_body, get] = [plain, with_body, get].map(|fire| sent_as(&fire, 1).unwrap());

    assert_eq!(plain.url.as_str(), format!("http://told/{about}"));
    assert_eq!(plain.body, br#"{"message":"{{run_id}}"}"#, "what a target wrote is no template");
    assert_eq!((plain.headers.get("x"), &plain.headers["content-type"]), (None, &"application/json".parse().unwrap()));
    assert_eq!(plain.headers["idempotency-key"], own.to_string().as_str());
    assert_eq!(plain.headers["x-schedule-callback"], "on_failure");
    assert_eq!((with_body.method, with_body.body), (Method::PATCH, about.to_string().into_bytes()));
    assert!(get.body.is_empty() && !get.headers.contains_key("content-type"));
}

#[test]
fn a_request_at_one_instant_goes_out_as_it_was_given_without_templates() {
    let given = fire(request(Method::GET, "http://a/?run={{run_id}}&{{odd}}", &[], None), EntryOptions::default());
    let entries = given.revision.task.entries.iter();
    let entries = entries.map(|entry| Entry::new(entry.name.clone(), entry.schedule.clone(), entry.request.clone()));
    let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, entries.collect());
    let revision = Arc::new(Revision::new(Task { is_one_shot: true, ..task }, Timestamp::EPOCH));

    let request = sent_as(&Fire { revision, ..given }, 1).unwrap();

    assert_eq!(request.url.as_str(), "http://a/?run={{run_id}}&{{odd}}");
}

#[test]
fn a_secret_is_filled_in_and_neither_a_text_nor_a_log_of_the_client_shows_it() {
    let headers = [("Authorization", "Bearer ${secret:a}"), ("X", "plain")];
    let given = request(Method::POST, "http://u:${secret:a}@h/${secret:a}", &headers, Some("\"${secret:a}\""));

    let sent =
        OutgoingRequest::of(&fire(given, EntryOptions::default()), 1, &secrets("hunter2"), TemplateGrowth::default())
            .unwrap();

    assert_eq!((sent.url.as_str(), &sent.body[..]), ("http://u:hunter2@h/hunter2", &b"hunter2"[..]));
    assert_eq!(sent.headers["authorization"], "Bearer hunter2");
    assert!(sent.headers["authorization"].is_sensitive() && !sent.headers["x"].is_sensitive());
    assert!(!format!("{sent:?}").contains("hunter2"), "{sent:?}");
}

#[test]
fn args_that_name_a_secret_and_the_event_of_a_callback_get_none() {
    let args =
        asked(request(Method::POST, "http://a/", &[("X", "{{args}}${secret:a}")], Some("\"{{args}}\"")), "${secret:a}");
    let mut told = notice(request(Method::POST, "http://told/", &[], None));
    let notice =
        Notice { event: Some(text(r#"{"message":"${secret:a}"}"#)), ..Notice::clone(told.notice.as_ref().unwrap()) };
    told.notice = Some(Arc::new(notice));

    let [args, told] =
        [args, told].map(|fire| OutgoingRequest::of(&fire, 1, &secrets("hunter2"), TemplateGrowth::default()).unwrap());

    assert_eq!((&args.headers["x"], &args.body[..]), (&"${secret:a}hunter2".parse().unwrap(), &b"${secret:a}"[..]));
    assert_eq!(told.body, br#"{"message":"${secret:a}"}"#);
}

#[test]
fn a_secret_that_cannot_be_read_now_is_like_a_target_that_cannot_be_reached() {
    let error = |problem| Unsendable::from(SecretError { name: SecretName::parse("a").unwrap(), problem });
    let unknown = error(SecretProblem::Unknown { looked_in: "the environment".to_owned() });
    let unreadable = error(SecretProblem::Unreadable { why: "x cannot be read".to_owned() });

    assert_eq!((unknown.failure(), unreadable.failure()), (None, Some(Failure::Connect)));
    assert_eq!(unknown.to_string(), "secret a is not known (looked in the environment)");
    assert_eq!(unreadable.to_string(), "secret a cannot be read: x cannot be read");
    assert_eq!(Unsendable::from(TemplateError::LeadsElsewhere).failure(), None);
}

#[test]
fn a_request_at_one_instant_names_no_secret() {
    let given = fire(request(Method::GET, "http://a/?k=${secret:none}", &[], None), EntryOptions::default());
    let clock = Arc::new(crate::clock::SimClock::starting_at(Timestamp::EPOCH));
    let secrets = Secrets::open(&crate::secrets::Settings::default(), clock).unwrap();
    assert!(secrets_of(&given, &secrets).is_err());
    let entries = given.revision.task.entries.iter();
    let entries = entries.map(|entry| Entry::new(entry.name.clone(), entry.schedule.clone(), entry.request.clone()));
    let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, entries.collect());
    let revision = Arc::new(Revision::new(Task { is_one_shot: true, ..task }, Timestamp::EPOCH));

    let given = Fire { revision, ..given };
    let texts = secrets_of(&given, &secrets).unwrap();

    assert_eq!(
        OutgoingRequest::of(&given, 1, &texts, TemplateGrowth::default()).unwrap().url.as_str(),
        "http://a/?k=${secret:none}"
    );
}
