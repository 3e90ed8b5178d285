use std::fmt::Write;

use http::Method;

use super::*;
use crate::model::Failure;

/// Every option, none with its default.
const ALL: &str = r#"{
    "timeout": "1m30s", "success": {"status": ["2xx", 304], "body_contains": "ok", "body_matches": "^\\{"},
    "retry": {"attempts_max": 5, "backoff": {"initial": "2s", "max": "5m", "factor": 3, "jitter": "none"}, "on": [503, "connect"]},
    "overlap": "queue_one", "misfire": "fire_all", "catch_up_window": "2d", "delivery": "at_most_once", "jitter": "30s",
    "start_at": "2026-11-21T08:00:00+01:00", "end_at": "2027-01-01T00:00:00Z", "fires_max": 1000,
    "exclude": {"dates": ["2026-12-25", "2026-12-26"], "weekdays": ["sat", "SUN"]}, "enabled": false,
    "tags": ["billing", "é"], "description": "what it is for",
    "on_failure": {"url": "https://example.com/alarm?r={{run_id}}", "method": "PUT", "headers": {"Authorization": "s3cret"}, "body": {"a": [1, 2.50]}, "every": "run"},
    "on_success": {"url": "https://example.com/ok"}, "on_recovery": {"url": "https://example.com/again", "every": "change"},
    "sign": {"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]},
    "auth": {"type": "basic", "username": "ann", "password": "s3cret"},
    "cron_time": "not looked at", "unknown": 1
}"#;

fn try_read(json: &str) -> Result<Option<Box<EntryOptions>>, String> {
    let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
    let members = Object::read(raw, "entries.e".to_owned(), &mut mistakes).unwrap();
    let options = EntryOptions::read(&members, &mut mistakes);
    if mistakes.is_empty() { Ok(options) } else { Err(mistakes.text()) }
}

fn read(json: &str) -> EntryOptions {
    *try_read(json).unwrap().unwrap()
}

fn refusal(json: &str) -> String {
    try_read(json).unwrap_err()
}

#[test]
fn every_option_is_read() {
    let options = read(ALL);

    assert_eq!(options.timeout, Some(Duration::from_secs(90)));
    assert_eq!(options.success.judge(304, b"{ok}"), Ok(()));
    assert_eq!(options.success.judge(204, b"ok").unwrap_err().split(", ").count(), 2);
    let retry = options.retry.as_ref().unwrap();
    assert_eq!((retry.attempts_max, retry.backoff.factor, retry.backoff.jitter), (5, 3.0, false));
    assert!(retry.wants(Failure::Status(503)) && retry.wants(Failure::Connect) && !retry.wants(Failure::Timeout));
    assert_eq!(
        (options.overlap, options.misfire, options.delivery),
        (Overlap::QueueOne, Misfire::FireAll, Delivery::AtMostOnce)
    );
    assert_eq!(options.catch_up_window, Some(Duration::from_secs(2 * 86_400)));
    assert_eq!(options.jitter, Some(Duration::from_secs(30)));
    assert_eq!(options.start_at.unwrap().to_string(), "2026-11-21T07:00:00.000Z");
    assert_eq!(options.end_at.unwrap().to_string(), "2027-01-01T00:00:00.000Z");
    assert_eq!((options.fires_max, options.enabled), (Some(1_000), false));
    assert_eq!((options.exclude.dates.len(), options.exclude.weekdays), (2, 0b100_0001));
    assert!(options.has_tag("billing") && options.has_tag("é") && !options.has_tag("x"));
    assert_eq!(options.description.as_deref(), Some("what it is for"));
    let failure = options.on_failure.as_ref().unwrap();
    assert_eq!((&failure.request.method, failure.each), (&Method::PUT, true));
    assert_eq!(failure.request.body.as_ref().unwrap().as_str(), r#"{"a":[1,2.50]}"#);
    assert_eq!(failure.request.headers.as_ref().unwrap()[0].value(), "s3cret");
    let (success, recovery) = (options.on_success.as_ref().unwrap(), options.on_recovery.as_ref().unwrap());
    assert_eq!((&success.request.method, success.each, recovery.each), (&Method::POST, false, false));
    assert!(
        options.credentials.sign.is_some() && failure.credentials == Credentials::default(),
        "a callback has its own"
    );
}

#[test]
fn what_was_given_is_kept_in_its_order_and_in_its_words() {
    let options =
        read(r#"{"jitter": "0.5m", "x": 1, "retry": { "on": [ 500, "timeout" ]  } , "enabled": true, "tags": null}"#);

    let given: Vec<String> = options.given.iter().map(|(key, value)| format!("{key}={}", value.as_str())).collect();
    assert_eq!(given, [r#"jitter="0.5m""#, r#"retry={"on":[500,"timeout"]}"#, "enabled=true"]);
}

#[test]
fn an_entry_without_options_has_none() {
    for json in ["{}", r#"{"cron_time":"x","url":"y"}"#, r#"{"retry":null,"tags":null,"timeout":null}"#] {
        assert!(try_read(json).unwrap().is_none(), "{json}");
    }
    let defaults = read(r#"{"description":""}"#);
    let expected = (Overlap::Allow, Misfire::FireOnce, Delivery::AtLeastOnce, true);
    assert_eq!((defaults.overlap, defaults.misfire, defaults.delivery, defaults.enabled), expected);
}

#[test]
fn every_mistake_is_told_with_its_place_what_stands_there_and_what_was_expected() {
    let told = refusal(
        r#"{"timeout":30,"success":{"status":"2xx"},"retry":true,"overlap":"Skip","misfire":1,"catch_up_window":"366d",
            "delivery":"exactly_once","jitter":"25h","start_at":"2026-11-21","end_at":1,"fires_max":0,
            "exclude":{"dates":["2026-02-30"],"weekdays":["sabbath"],"days":[]},"enabled":"yes","tags":["","a","a",1],"description":[]}"#,
    );

    let instant = "expected a date and time with an offset, from 1970 to 9999, such as 2026-11-21T07:15:30Z";
    let expected = [
        &format!("start_at: is `2026-11-21`, {instant}"),
        "end_at: is `1`, expected a string",
        "timeout: is `30`, expected a string",
        "success.status: is a string, expected an array of statuses",
        "retry: is `true`, expected an object",
        "overlap: is `Skip`, expected one of allow, skip, queue_one, cancel_running",
        "misfire: is `1`, expected a string",
        "catch_up_window: is `366d`, expected 0s to 365d",
        "delivery: is `exactly_once`, expected one of at_least_once, at_most_once",
        "jitter: is `25h`, expected 0s to 24h",
        "fires_max: is `0`, expected a whole number from 1 to 1000000000",
        "exclude.days: is not known, did you mean `dates`?",
        "exclude.dates[0]: is `2026-02-30`, expected a date such as 2026-12-25",
        "exclude.weekdays[0]: is `sabbath`, expected one of sun, mon, tue, wed, thu, fri, sat",
        "enabled: is a string, expected true or false",
        "tags[0]: is 0 bytes long, expected 1 to 64",
        "tags[2]: is `a`, which is given twice",
        "tags[3]: is `1`, expected a string",
        "description: is an array, expected a string",
    ];
    let expected: Vec<String> = expected.iter().map(|text| format!("entries.e.{text}")).collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_callback_is_read_like_any_request() {
    let told = refusal(
        r#"{"on_failure":{"url":"ftp://x","method":"get","headers":{"a b":"1","X":2},"every":"time","key":1},
            "on_success":{"body":1},"on_recovery":"https://example.com"}"#,
    );

    let expected = [
        "entries.e.on_failure.key: is not known, expected one of url, method, headers, body, every, sign, auth",
        "entries.e.on_failure.every: is `time`, expected one of change, run",
        "entries.e.on_failure.method: is `get`, expected one of GET, POST, PUT, PATCH, DELETE, HEAD",
        "entries.e.on_failure.url: has the scheme `ftp`, expected `http` or `https`",
        "entries.e.on_failure.headers.a b: is not a header name, expected letters, digits and `-`",
        "entries.e.on_failure.headers.X: is `2`, expected a string",
        "entries.e.on_success.url: is missing, expected a string",
        "entries.e.on_recovery: is a string, expected an object",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_too_much_is_refused() {
    let array = |count: usize, item: &dyn Fn(usize) -> String| {
        let items = (0..count).map(item).collect::<Vec<_>>().join(",");
        format!("[{items}]")
    };
    let tags = array(33, &|number| format!("\"{number}\""));
    let dates = array(1_001, &|_| "\"2026-12-25\"".to_owned());
    let statuses = array(101, &|_| "200".to_owned());

    assert_eq!(refusal(&format!(r#"{{"tags":{tags}}}"#)), "entries.e.tags: has 33 values, expected 0 to 32");
    assert_eq!(
        refusal(&format!(r#"{{"tags":["{}"]}}"#, "x".repeat(65))),
        "entries.e.tags[0]: is 65 bytes long, expected 1 to 64"
    );
    assert!(refusal(&format!(r#"{{"exclude":{{"dates":{dates}}}}}"#)).ends_with("has 1001 values, expected 0 to 1000"));
    assert!(
        refusal(&format!(r#"{{"success":{{"status":{statuses}}}}}"#)).ends_with("has 101 values, expected 1 to 100")
    );
    assert!(
        refusal(&format!(r#"{{"description":"{}"}}"#, "é".repeat(2_049)))
            .ends_with("is 4098 bytes long, expected at most 4096")
    );
    let every_day = r#"{"exclude":{"weekdays":["sun","mon","tue","wed","thu","fri","sat"]}}"#;
    assert!(refusal(every_day).ends_with("name every day of the week, expected at least one to be left"));
    assert!(refusal(r#"{"fires_max":1000000001}"#).contains("is `1000000001`"));
}

#[test]
fn an_end_before_the_start_is_refused_and_the_same_instant_is_not() {
    let range = |start: &str, end: &str| format!(r#"{{"start_at":"{start}","end_at":"{end}"}}"#);

    assert!(try_read(&range("2026-11-21T08:00:00+01:00", "2026-11-21T07:00:00Z")).is_ok());
    let refused = refusal(&range("2026-11-21T07:00:00Z", "2026-11-21T06:59:59.999Z"));
    assert_eq!(refused, "entries.e.end_at: is before `start_at`, expected it to be no earlier");
    for text in ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "2026-11-21T07:00:00", "today", ""] {
        assert!(
            refusal(&format!(r#"{{"start_at":"{text}"}}"#)).contains("expected a date and time with an offset"),
            "{text}"
        );
    }
}

#[test]
fn secrets_in_callbacks_are_not_repeated_in_a_refusal() {
    let told =
        refusal(&ALL.replace(r#""s3cret""#, r#"["s3cret"]"#).replace("https://example.com/ok", "s3cret://s3cret@x"));

    assert!(told.contains("on_failure.headers.Authorization: is an array"), "{told}");
    assert!(!told.contains("s3cret@"), "{told}");
}

#[test]
fn expressions_of_one_request_are_counted() {
    let mut mistakes = Mistakes::default();
    let raw: &RawValue = serde_json::from_str(r#"{"success":{"body_matches":"a"}}"#).unwrap();
    for number in 0..101 {
        let members = Object::read(raw, format!("entries.{number}"), &mut mistakes).unwrap();
        EntryOptions::read(&members, &mut mistakes);
    }

    let expected = "entries.100.success.body_matches: is one expression too many, expected at most 100 at once";
    assert_eq!(mistakes.text(), expected);
}

#[test]
fn every_option_has_its_section_in_the_documentation() {
    let documentation = include_str!("../../../../docs/entries.md");
    let mut missing = String::new();
    for key in EntryOptions::KEYS.iter().chain(&["method", "at", "every", "cron_time"]) {
        let is_told = documentation.lines().any(|line| line.starts_with("##") && line.contains(&format!("`{key}`")));
        if !is_told {
            write!(missing, " {key}").unwrap();
        }
    }

    assert_eq!(missing, "");
}
