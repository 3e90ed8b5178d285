use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use super::super::tests::{is_told, json as any_json};
use super::super::view::Dates;
use super::*;
use crate::model::EntryState;
use crate::store::document;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn task(entry: &Value) -> String {
    json!({ "identity": "t", "time_zone": "Europe/Berlin", "start": true, "entries": { "e": entry } }).to_string()
}

fn warnings(entry: Value) -> Vec<String> {
    put(task(&entry).as_bytes(), &Terms::at(NOW)).unwrap().warnings
}

fn refusal(entry: Value) -> String {
    put(task(&entry).as_bytes(), &Terms::at(NOW)).unwrap_err().0
}

fn read(entry: &Value) -> Put {
    put(task(entry).as_bytes(), &Terms::at(NOW)).unwrap().value
}

/// The task as `/get` shows it while it is switched on.
fn shown(task: Task, details: bool) -> Value {
    let revision = Revision::new(task, NOW);
    let next = |entry| Dates { next: revision.instants(entry).next(NOW), last: None };
    let dates: Vec<Dates> = revision.task.entries.iter().map(next).collect();
    serde_json::to_value(TaskView::for_client(&revision, &dates, details, None)).unwrap()
}

#[test]
fn an_entry_has_exactly_one_trigger() {
    let url = "http://a/";
    assert_eq!(
        refusal(json!({ "url": url })),
        "entries.e.cron_time: is missing, expected a cron expression here, or `at` or `every` in its place"
    );
    assert_eq!(
        refusal(json!({ "url": url, "every": "90s", "cron_time": "@hourly", "at": null })),
        "entries.e: has more than one trigger (cron_time, every), expected one of cron_time, at, every"
    );
    assert!(read(&json!({ "url": url, "every": "90s", "cron_time": null })).task.entries[0].schedule.key() == "every");
}

#[test]
fn a_trigger_that_is_wrong_is_told_with_what_was_expected() {
    let refused = |key: &str, value: Value| refusal(json!({ "url": "http://a/", key: value }));

    assert_eq!(
        refused("every", json!("1500ms")),
        "entries.e.every: is `1500ms`, expected whole seconds from 1s to 36500d"
    );
    assert_eq!(refused("every", json!("0s")), "entries.e.every: is `0s`, expected whole seconds from 1s to 36500d");
    assert!(
        refused("every", json!("90")).starts_with("entries.e.every: is `90`, which is no duration (a unit is missing)")
    );
    assert_eq!(refused("every", json!(90)), "entries.e.every: is `90`, expected a string");
    let expected = "expected a date and time with an offset, from 1970 to 9999, such as 2026-11-21T07:15:30Z";
    for text in ["2027-01-01T00:00:00", "2027-01-01", "tomorrow", "10000-01-01T00:00:00Z"] {
        assert_eq!(refused("at", json!(text)), format!("entries.e.at: is `{text}`, {expected}"));
    }
    assert!(refused("cron_time", json!("0 0 30 2 *")).starts_with("entries.e.cron_time: has five fields"));
}

#[test]
fn what_is_finished_already_is_told_and_not_refused() {
    let url = "http://a/";
    let is_finished = "is in the past: the entry is finished and does not fire";
    let end_at = "2020-01-01T00:00:00Z";

    assert_eq!(warnings(json!({ "url": url, "at": end_at })), [format!("entries.e.at: {is_finished}")]);
    assert_eq!(
        warnings(json!({ "url": url, "every": "1h", "end_at": end_at })),
        [format!("entries.e.end_at: {is_finished}")]
    );
    assert_eq!(
        warnings(json!({ "url": url, "at": "2028-01-01T00:00:00Z", "end_at": "2027-12-31T00:00:00Z" })),
        ["entries.e: names no instant from now on: it is finished and does not fire"]
    );
    assert!(warnings(json!({ "url": url, "at": "2028-01-01T00:00:00Z" })).is_empty());
    assert!(warnings(json!({ "url": url, "at": end_at, "enabled": false })).is_empty());
}

#[test]
fn an_entry_that_its_excluded_days_never_let_fire_is_refused() {
    let never = json!({ "url": "http://a/", "cron_time": "0 0 9 * * sat", "exclude": { "weekdays": ["sat"] } });
    let text = "exclude: leaves none of the instants that the trigger names, expected some to be left";

    assert_eq!(refusal(never.clone()), format!("entries.e.{text}"));
    let entries: Map<String, Value> = (0..10_000).map(|number| (format!("e{number:04}"), never.clone())).collect();
    let task = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": entries }).to_string();
    let refused = put(task.as_bytes(), &Terms::at(NOW)).unwrap_err().0;
    assert_eq!(refused.lines().count(), 20, "a look at each of ten thousand would be long");
    assert_eq!(refused.lines().next().unwrap(), format!("entries.e0000.{text}"));
}

#[test]
fn keys_that_are_not_known_are_told_and_what_is_ours_is_not() {
    let entry = json!({ "url": "http://a/", "cron_time": "@hourly", "retires": 1, "proxy": {}, "state": "finished",
        "next_date": 1, "last_date": null });

    let expected =
        ["entries.e: unknown key `proxy`, it is not kept", "entries.e: unknown key `retires`, did you mean `retry`?"];
    assert_eq!(warnings(entry), expected);
    let body = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": {}, "paused": 1, "pausd": 1 });
    let parsed = put(body.to_string().as_bytes(), &Terms::at(NOW)).unwrap();
    assert_eq!(parsed.warnings, ["unknown key `pausd`, did you mean `paused`?"]);
}

#[test]
fn a_great_many_keys_are_refused_or_told_without_great_effort() {
    let begun = tokio::time::Instant::now();
    let body =
        |members: &str| format!(r#"{{"identity":"t","time_zone":"UTC","start":true,"entries":{{"e":{{{members}}}}}}}"#);
    let twice = format!(r#""retry":"{}"{}"#, "x".repeat(500_000), r#","retry":1"#.repeat(40_000));
    let unknown: String = (0..60_000).map(|number| format!(r#""unknown{number}":1,"#)).collect();
    let in_option = format!(r#""url":"http://a/","every":"1h","retry":{{{}}}"#, unknown.trim_end_matches(','));

    let refused = put(body(&twice).as_bytes(), &Terms::at(NOW)).unwrap_err().0;
    let told =
        put(body(&format!(r#"{unknown}"url":"http://a/","every":"1h""#)).as_bytes(), &Terms::at(NOW)).unwrap().warnings;
    let refused_in_option = put(body(&in_option).as_bytes(), &Terms::at(NOW)).unwrap_err().0;

    assert!(refused.starts_with("entries.e.retry: is given twice"), "{refused}");
    assert_eq!((told.len(), refused_in_option.lines().count()), (20, 21));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_body_that_few_targets_look_at_and_templates_that_stay_are_told() {
    let entry = json!({ "url": "http://a/{{arg}}", "every": "1h", "method": "GET", "body": {"a": "{{ entri }}"},
        "headers": {"X": "{{Run_id}}"} });

    let told = warnings(entry);

    let expected = [
        "entries.e.url: unknown template `{{arg}}`, it is sent as it is, did you mean `{{args}}`?",
        "entries.e.headers.X: unknown template `{{Run_id}}`, it is sent as it is, did you mean `{{run_id}}`?",
        "entries.e.body: unknown template `{{entri}}`, it is sent as it is, did you mean `{{entry}}`?",
        "entries.e.body: is sent as given, though few targets look at the body of a GET",
    ];
    assert_eq!(told, expected);
    let head = json!({ "url": "http://a/", "every": "1h", "method": "HEAD", "success": {"body_contains": "ok"} });
    assert_eq!(warnings(head), ["entries.e.success: looks at the body, and the answer to a HEAD has none"]);
    assert_eq!(
        refusal(json!({ "url": "http://{{identity}}/", "every": "1h" })),
        "entries.e.url: has a template in its scheme, user, host or port, expected it in the path or the query"
    );
}

#[test]
fn the_revision_that_must_be_in_force_is_read() {
    let revision = |value: Value| {
        let body = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": {}, "revision": value });
        put(body.to_string().as_bytes(), &Terms::at(NOW))
            .map(|parsed| parsed.value.revision)
            .map_err(|refused| refused.0)
    };

    assert_eq!([revision(json!(0)), revision(json!(7)), revision(Value::Null)], [Ok(Some(0)), Ok(Some(7)), Ok(None)]);
    for value in [json!(-1), json!(1.5), json!("1")] {
        assert!(revision(value).unwrap_err().starts_with("revision: is "));
    }
}

#[test]
fn a_finished_entry_is_shown_as_such_and_all_else_in_detail_only() {
    let entries = json!({
        "a": { "url": "http://a/", "every": "1h" },
        "b": { "url": "http://a/", "every": "1h", "enabled": false },
        "c": { "url": "http://a/", "at": "2020-01-01T00:00:00.250Z" },
    });
    let body = json!({ "identity": "t", "time_zone": "UTC", "start": true, "entries": entries }).to_string();
    let read = || put(body.as_bytes(), &Terms::at(NOW)).unwrap().value.task;

    let (plain, details) = (shown(read(), false), shown(read(), true));

    let states = |task: &Value| ["a", "b", "c"].map(|name| task["entries"][name]["state"].clone());
    assert_eq!(states(&plain), [Value::Null, Value::Null, json!("finished")]);
    assert_eq!(states(&details), [json!("active"), json!("disabled"), json!("finished")]);
    assert_eq!(plain["entries"]["c"]["next_date"], "0001-01-01T00:00:00Z");
    assert_eq!((plain.get("revision"), details["revision"].clone()), (None, json!(0)));
    let off =
        Revision { enabled: false, note: Some("moving".into()), by: Some("ann".into()), ..Revision::new(read(), NOW) };
    let off = serde_json::to_value(TaskView::for_client(&off, &[Dates::default(); 3], true, None)).unwrap();
    assert_eq!(states(&off), [EntryState::Stopped.as_str(); 3].map(Value::from));
    assert_eq!(off["paused"], json!({ "note": "moving", "by": "ann", "since": "2027-01-15T08:00:00Z" }));
}

#[test]
fn the_log_of_a_put_shows_every_option_and_no_credentials() {
    let callback = json!({ "sign": {"secrets": [SECRET]}, "headers": {"X-Token": "s3cret", "X": "shown"}, "url": "http://a/", "every": "run" });
    let put = read(
        &json!({ "url": "http://ann:s3cret@a/", "at": "2028-01-01T00:00:00Z", "method": "PUT", "tags": ["a"],
        "sign": {"secrets": [SECRET, SECRET]}, "headers": {"Authorization": "s3cret"}, "on_failure": callback, "on_recovery": { "url": "http://ann:s3cret@b/" } }),
    );

    let log: Value = serde_json::from_str(put.request.get()).unwrap();

    let entry = json!({
        "at": "2028-01-01T00:00:00Z", "url": "http://ann:***@a/", "method": "PUT", "headers": {"Authorization": "***"}, "body": null,
        "tags": ["a"], "sign": {"secrets": ["***", "***"]},
        "on_failure": { "sign": {"secrets": ["***"]}, "headers": {"X-Token": "***", "X": "shown"}, "url": "http://a/", "every": "run" },
        "on_recovery": { "url": "http://ann:***@b/" }, "next_date": "0001-01-01T00:00:00Z", "last_date": "0001-01-01T00:00:00Z",
    });
    assert_eq!(log["entries"]["e"], entry);
    assert_eq!(put.request.get().matches(SECRET).count(), 0);
}

/// Values that each option takes.
fn option() -> impl Strategy<Value = (&'static str, Value)> {
    let callback =
        json!({ "url": "http://b/{{run_id}}", "method": "GET", "headers": {"X": "1"}, "body": [1.50], "every": "run" });
    let values = [
        ("timeout", json!(["1ms", "24h", "1h30m", "1.5s"])),
        (
            "success",
            json!([{}, {"status": ["2xx", 304, "500-503"]}, {"body_contains": "\u{e9}\"\\", "body_matches": "^a+$"}]),
        ),
        (
            "retry",
            json!([{}, {"attempts_max": 20}, {"backoff": {"initial": "1ms", "factor": 1.25, "jitter": "full"}, "on": ["timeout"]}]),
        ),
        ("redirects_max", json!([0, 10])),
        ("overlap", json!(["allow", "skip", "queue_one", "cancel_running"])),
        ("misfire", json!(["skip", "fire_once", "fire_all"])),
        ("catch_up_window", json!(["0s", "365d"])),
        ("delivery", json!(["at_least_once", "at_most_once"])),
        ("jitter", json!(["0s", "24h"])),
        ("start_at", json!(["1970-01-01T00:00:00Z", "2027-03-01T12:00:00.123+05:45"])),
        ("end_at", json!(["2028-03-01T12:00:00Z", "2027-03-01T06:15:00.123Z"])),
        ("fires_max", json!([1, 1_000_000_000])),
        ("exclude", json!([{}, {"dates": ["2028-02-29"]}, {"dates": [], "weekdays": ["sat", "sun"]}])),
        ("enabled", json!([true, false])),
        ("tags", json!([[], ["a", "\u{1f600}", "<&>"]])),
        ("description", json!(["", "line\nline \u{0}"])),
        ("on_failure", json!([callback.clone()])),
        ("on_success", json!([{ "url": "http://b/" }])),
        ("on_recovery", json!([callback])),
        ("sign", json!([{"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "${secret:hooks}"]}])),
        (
            "auth",
            json!([{"type": "basic", "username": "", "password": "a:\u{e9}"}, {"token": "${secret:a}", "type": "bearer"}, {"type": "oauth2", "token_url": "http://a/", "client_id": "b", "client_secret": "c", "scope": "d", "audience": "e", "client_auth": "body"}]),
        ),
        ("method", json!(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])),
        ("headers", json!([{}, {"X-A": "1", "x-b": "{{args}}"}])),
        ("body", json!([{}, "a=1", [1, {"z": 1, "a": "{{args}}"}], false, 12345678901234567890_u64])),
    ];
    Union::new(values.into_iter().map(|(key, values)| {
        let values = values.as_array().unwrap().clone();
        select(values).prop_map(move |value| (key, value)).boxed()
    }))
}

prop_compose! {
    fn entry()(
        options in prop::collection::vec(option(), 0..12),
        trigger in select(vec![
            ("cron_time", "*/10 * * * * *"), ("cron_time", "CRON_TZ=UTC 0 30 2 * * ?"), ("cron_time", "@every 90s"),
            ("every", "90s"), ("every", "2d"), ("at", "2027-06-01T12:00:00.250Z"), ("at", "2001-01-01T00:00:00+01:00"),
        ]),
    ) -> Value {
        let mut entry: Map<String, Value> = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        entry.insert(trigger.0.to_owned(), trigger.1.into());
        let user = if entry.contains_key("auth") { "" } else { "user:pw@" };
        entry.insert("url".to_owned(), format!("https://{user}example.com:8443/a/{{{{entry}}}}?b=%20").into());
        Value::Object(entry)
    }
}

const KEYS: [&str; 37] = [
    "timeout",
    "success",
    "redirects_max",
    "retry",
    "overlap",
    "misfire",
    "catch_up_window",
    "delivery",
    "jitter",
    "start_at",
    "end_at",
    "fires_max",
    "exclude",
    "enabled",
    "tags",
    "on_failure",
    "method",
    "at",
    "every",
    "status",
    "body_matches",
    "attempts_max",
    "backoff",
    "on",
    "initial",
    "factor",
    "dates",
    "weekdays",
    "headers",
    "body",
    "url",
    "sign",
    "secrets",
    "auth",
    "type",
    "token",
    "password",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_put_comes_out_of_a_store_and_out_of_get_as_it_went_in(entry in entry(), one_shot in any::<bool>()) {
        let parsed = put(task(&entry).as_bytes(), &Terms::at(NOW));
        let Ok(parsed) = parsed else {
            let refused = parsed.unwrap_err().0;
            prop_assert!(refused.contains("is before `start_at`") || refused.contains("leaves none"), "{refused}");
            return Ok(());
        };
        let task = Task { is_one_shot: one_shot, ..parsed.value.task };
        let stored = document::write(&task);
        let view = shown(task, true);

        let again = document::read(&crate::model::Identity::parse("t").unwrap(), &stored).unwrap();

        prop_assert_eq!(document::write(&again), stored.clone());
        prop_assert_eq!(again.is_one_shot, one_shot);
        prop_assert_eq!(&shown(again, true), &view);
        // What was given is shown, but for a POST, which needs no word.
        for (key, value) in entry.as_object().unwrap() {
            let is_shown = view["entries"]["e"].get(key) == Some(value);
            prop_assert!(is_shown || *value == json!("POST"), "{key} {view}");
        }
        // And what `/get` shows can be put back.
        let back = put(view.to_string().as_bytes(), &Terms::at(NOW)).unwrap();
        prop_assert_eq!(back.value.revision, Some(0));
        let back = Task { is_one_shot: one_shot, ..back.value.task };
        prop_assert_eq!(shown(back, true), view);
    }

    #[test]
    fn no_json_makes_the_reader_of_entries_panic(text in any_json(5, &KEYS)) {
        let body = format!(r#"{{"identity":"t","time_zone":"Asia/Kathmandu","start":true,"entries":{{"e":{text}}}}}"#);
        if let Err(refused) = put(body.as_bytes(), &Terms::at(NOW)) {
            prop_assert!(is_told(&refused.0), "{}", refused.0);
        }
    }

    #[test]
    fn no_value_of_an_option_makes_it_panic(key in select(KEYS.to_vec()), value in any_json(3, &KEYS), entry in entry()) {
        let entry = entry.to_string();
        let body = format!(
            r#"{{"identity":"t","time_zone":"UTC","start":true,"entries":{{"e":{{"{key}":{value},{}}}}}"#, &entry[1..]
        );
        if let Err(refused) = put(body.as_bytes(), &Terms::at(NOW)) {
            prop_assert!(is_told(&refused.0), "{}", refused.0);
        }
    }
}

#[test]
fn who_may_not_see_credentials_gets_masks_that_can_be_put_again() {
    let auth = json!({ "type": "bearer", "token": "t2" });
    let sign = json!({ "secrets": [SECRET, "${secret:c}"] });
    let callback = json!({ "url": "http://h/", "headers": { "Cookie": "t1" }, "auth": auth, "sign": sign });
    let headers = json!({ "X-Key": "k1", "Cookie": "Bearer ${secret:c}" });
    let stored = read(
        &json!({ "every": "1h", "url": "http://u:pw1@h/", "headers": headers, "sign": sign, "on_failure": callback }),
    )
    .task;
    let (masking, dates) = (Masking::default(), [Dates::default()]);
    let revision = Revision::new(stored, NOW);

    let for_client = TaskView::for_client(&revision, &dates, true, Some(&masking));
    let for_put = TaskView::for_put(&revision.task, true, None, Some(&masking));
    let for_writer = TaskView::for_put(&revision.task, true, None, None);

    for view in [for_client, for_put] {
        let seen = serde_json::to_string(&view).unwrap();
        assert!(["pw1", "k1", "t1", "t2", SECRET].iter().all(|credential| !seen.contains(credential)), "{seen}");
        assert!(seen.contains("Bearer ${secret:c}"), "{seen}");
        let mut again = put(seen.as_bytes(), &Terms::at(NOW)).unwrap().value.task;
        assert_eq!(again.keep_masked(Some(&revision.task), &masking), []);
        let (again, stored) = (&again.entries[0], &revision.task.entries[0]);
        assert_eq!((&again.request, &again.options().given), (&stored.request, &stored.options().given));
        assert_eq!(again.options().credentials, stored.options().credentials);
    }
    assert!(serde_json::to_string(&for_writer).unwrap().contains("k1"), "who puts gets back what was put");
}
