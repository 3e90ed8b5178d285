use super::*;

fn identity() -> Identity {
    Identity::parse("t").unwrap()
}

#[test]
fn what_was_stored_before_there_were_options_is_read_and_written_as_before() {
    let stored = r#"{"time_zone":"Asia/Tokyo","entries":{"e":{"cron_time":"@hourly","url":"http://a/","headers":[["X-A","1"]],"body":{"b":1.50}},"é":{"cron_time":"0 0 0 1 1 *","url":"http://a/"}}}"#;

    let task = read(&identity(), stored).unwrap();

    assert_eq!(write(&task), stored);
    assert!(!task.is_one_shot && task.entries.iter().all(|entry| entry.options.is_none()));
    assert_eq!(task.entries[0].request.method, Method::POST);
}

#[test]
fn triggers_methods_and_options_are_stored_as_they_were_given() {
    let stored = r#"{"time_zone":"UTC","one_shot":true,"entries":{"e":{"at":"2027-01-01T00:00:00+01:00","method":"GET","url":"http://a/","options":[["jitter","0.5m"],["retry",{"on":[503,"timeout"]}],["tags",["b","a"]]]},"f":{"every":"1m30s","url":"http://a/"}}}"#;

    let task = read(&identity(), stored).unwrap();

    assert_eq!(write(&task), stored);
    assert!(task.is_one_shot && task.entries[0].options().has_tag("a"));
    assert_eq!(task.entries[0].request.method, Method::GET);
}

#[test]
fn what_cannot_be_understood_is_an_error_that_says_where() {
    let error = |entry: &str| {
        let stored = format!(r#"{{"time_zone":"UTC","entries":{{"e":{entry}}}}}"#);
        read(&identity(), &stored).unwrap_err().to_string()
    };

    assert_eq!(error(r#"{"url":"http://a/"}"#), "entry \"e\" has not exactly one trigger");
    assert_eq!(
        error(r#"{"url":"http://a/","at":"2027-01-01T00:00:00Z","every":"1s"}"#),
        "entry \"e\" has not exactly one trigger"
    );
    assert_eq!(
        error(r#"{"url":"http://a/","every":"1h","options":[["jitter","x"]]}"#),
        "entries.e.jitter: is `x`, which is no duration (a number is missing), expected one such as `90s`, `1h30m` or `500ms`"
    );
}
