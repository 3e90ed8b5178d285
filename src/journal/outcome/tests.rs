use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::{
    Asked, Backfill, Callback, Delivery, Entry, EntryName, Identity, Notice, Occasion, Request, Revision, RunId,
    Schedule, TargetUrl, Task, TimeZone, Trigger,
};

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn text(json: &str) -> JsonText {
    JsonText::from_raw(serde_json::from_str(json).unwrap()).unwrap()
}

fn fire(options: Option<EntryOptions>) -> Fire {
    fire_to("http://a/b", options)
}

fn fire_to(url: &str, options: Option<EntryOptions>) -> Fire {
    let request = Request::post(TargetUrl::parse(url).unwrap());
    let entry = Entry::new(EntryName::parse("e").unwrap(), Schedule::cron("* * * * * *").unwrap(), request);
    let entry = entry.with_options(options.map(Box::new));
    let task = Task::new(Identity::parse("t").unwrap(), TimeZone::UTC, vec![entry]);
    Fire::planned(Arc::new(Revision::new(task, Timestamp::EPOCH)), 0, AT, Trigger::Schedule)
}

fn attempt(number: u32, after_ms: u64, duration_ms: u64, error: Option<&str>) -> Attempt {
    Attempt {
        number,
        started_at: AT.plus(Duration::from_millis(after_ms)),
        duration: Duration::from_millis(duration_ms),
        status: None,
        error: error.map(Into::into),
        bytes: 0,
    }
}

fn answer(body: &[u8]) -> KeptAnswer {
    KeptAnswer { status: 200, body: body.to_vec(), size: body.len() as u64, ..KeptAnswer::default() }
}

fn document(fire: &Fire, outcome: &FireOutcome) -> (Record, Value) {
    let record = fire_record(fire, outcome, &Masking::default());
    let document = serde_json::from_str(&record.source).unwrap();
    (record, document)
}

#[test]
fn the_password_in_a_url_stands_in_no_record_of_a_run() {
    let fire = fire_to("http://ann:s3cret@a/{{entry}}", None);

    let (_, ended) = document(&fire, &FireOutcome::default());
    let begun = crate::journal::started_record(&fire, crate::journal::RunStage::Running, &[], 1, AT);

    assert_eq!(ended["url"], "http://ann:***@a/{{entry}}");
    assert!(begun.source.contains(r#""url":"http://ann:***@a/{{entry}}""#), "{}", begun.source);
}

#[test]
fn a_run_that_was_redirected_says_how_often_and_where_it_ended() {
    let answer = KeptAnswer { redirects: 2, last_url: Some("http://ann:***@b/".into()), ..answer(b"ok") };

    let (_, redirected) = document(&fire(None), &FireOutcome { answer: Some(answer), ..FireOutcome::default() });

    assert_eq!((&redirected["redirects"], &redirected["last_url"]), (&json!(2), &json!("http://ann:***@b/")));
}

#[test]
fn a_success_has_the_fields_of_the_contract_and_ours() {
    let outcome = FireOutcome {
        attempts: vec![attempt(1, 3, 7, None)],
        ended_at: AT.plus(Duration::from_millis(10)),
        answer: Some(KeptAnswer { content_type: Some("application/json".into()), ..answer(b" {\"a\": 1}\n") }),
        ..FireOutcome::default()
    };

    let (record, document) = document(&fire(None), &outcome);

    let expected = json!({
        "type": "success", "identity": "t", "key": "e", "url": "http://a/b", "header": null, "body": null,
        "response": { "a": 1 }, "response_lead": " ", "response_trail": "\n",
        "time": 1_800_000_000, "@timestamp": "2027-01-15T08:00:00.010Z",
        "run_id": fire(None).run_id().to_string(), "fire_time": "2027-01-15T08:00:00.000Z",
        "trigger": "schedule", "run_by": "schedule",
        "started_at": "2027-01-15T08:00:00.003Z", "lateness_ms": 3, "duration_ms": 7, "status": 200,
        "attempts": [{ "attempt": 1, "started_at": "2027-01-15T08:00:00.003Z", "duration_ms": 7, "bytes": 0 }],
        "result_size": 10, "content_type": "application/json",
    });
    assert_eq!(document, expected);
    assert_eq!(record.settles().unwrap().stretch, Stretch::one(AT));
    assert_eq!(record.run, Some(RunState::ended(EntryName::parse("e").unwrap())));
}

#[test]
fn a_run_that_failed_for_good_tells_of_each_attempt_and_which_policies_decided() {
    let given = [
        ("retry".into(), text(r#"{"attempts_max":2}"#)),
        ("timeout".into(), text(r#""5s""#)),
        ("tags".into(), text(r#"["x"]"#)),
        ("delivery".into(), text(r#""at_most_once""#)),
    ];
    let options = EntryOptions { given: given.into(), delivery: Delivery::AtMostOnce, ..EntryOptions::default() };
    let outcome = FireOutcome {
        attempts: vec![attempt(1, 400, 7, Some("refused")), attempt(2, 1_500, 20, Some("reset"))],
        ended_at: AT.plus(Duration::from_millis(1_520)),
        due_at: Some(AT.plus(Duration::from_millis(390))),
        messages: vec!["reset".to_owned()],
        is_dead_letter: true,
        ..FireOutcome::default()
    };

    let (record, document) = document(&fire(Some(options)), &outcome);

    assert_eq!(record.kind, RecordKind::Error);
    assert!(record.run.unwrap().is_dead_letter);
    assert_eq!(document["due_at"], "2027-01-15T08:00:00.390Z");
    assert_eq!((&document["lateness_ms"], &document["duration_ms"]), (&json!(10), &json!(1_120)));
    assert_eq!((&document["dead_letter"], &document["message"]), (&json!(true), &json!(["reset"])));
    assert_eq!(document["attempts"][0]["error"], "refused");
    let policies = json!({ "retry": { "attempts_max": 2 }, "timeout": "5s", "delivery": "at_most_once" });
    assert_eq!(document["policy"], policies);
}

#[test]
fn a_run_that_was_asked_for_settles_nothing_and_is_late_from_when_it_was_asked_for() {
    let asked_at = AT.plus(Duration::from_secs(90));
    let asked = Asked {
        run_id: RunId::asked(asked_at),
        run_by: "alice".into(),
        args: "a b".into(),
        rerun_of: Some(fire(None).run_id()),
        backfill: Some(Backfill { id: RunId::asked(AT), at_once: 3 }),
    };
    let outcome = FireOutcome {
        attempts: vec![attempt(1, 90_005, 7, None)],
        ended_at: asked_at,
        answer: Some(answer(b"x")),
        ..FireOutcome::default()
    };

    let (record, document) = document(&Fire { asked: Some(Arc::new(asked)), ..fire(None) }, &outcome);

    assert_eq!((record.settled, record.id), (None, RunId::parse(document["run_id"].as_str().unwrap()).unwrap().into()));
    assert_eq!((&document["run_by"], &document["args"]), (&json!("alice"), &json!("a b")));
    assert_eq!((&document["lateness_ms"], &document["backfill_at_once"]), (&json!(5), &json!(3)));
    assert_eq!(document["rerun_of"], fire(None).run_id().to_string());
}

#[test]
fn a_run_that_was_never_sent_has_no_start() {
    let outcome =
        FireOutcome { ended_at: AT, messages: vec!["cancelled by alice".to_owned()], ..FireOutcome::default() };

    let (_, document) = document(&fire(None), &outcome);

    for absent in ["started_at", "lateness_ms", "duration_ms", "attempts", "status", "result_size"] {
        assert_eq!(document.get(absent), None, "{absent}");
    }
}

#[test]
fn the_record_of_a_callback_is_of_no_run_and_shows_what_was_told() {
    let callback = Callback {
        request: Request::post(TargetUrl::parse("http://told/").unwrap()),
        each: false,
        credentials: Default::default(),
    };
    let options = EntryOptions { on_recovery: Some(callback), ..EntryOptions::default() };
    let about = fire(None).run_id();
    let event = Some(text(r#"{"event":"on_recovery"}"#));
    let notice = Notice { run_id: about.following("on_recovery"), about, occasion: Occasion::Recovery, event };
    let fire = Fire { notice: Some(Arc::new(notice)), ..fire(Some(options)) };
    let outcome = FireOutcome { attempts: vec![attempt(1, 3, 7, None)], ended_at: AT, ..FireOutcome::default() };

    let (record, document) = document(&fire, &outcome);

    assert_eq!((&record.settled, &record.run), (&None, &None));
    assert_eq!((&document["callback"], &document["callback_of"]), (&json!("on_recovery"), &json!(about.to_string())));
    assert_eq!((&document["url"], &document["body"]), (&json!("http://told/"), &json!({ "event": "on_recovery" })));
    assert_eq!(document.get("lateness_ms"), None);
}
