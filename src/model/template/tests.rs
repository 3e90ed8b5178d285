use proptest::prelude::*;

use super::*;

const FIRE_TIME: &str = "2026-11-21T07:15:30.250Z";

fn values<'a>(identity: &'a str, args: &'a str) -> TemplateValues<'a> {
    let fire_time = Timestamp::parse_rfc3339(FIRE_TIME).unwrap();
    let run_id = RunId::parse("0193ab6c-5c12-8000-8000-00000000002a").unwrap();
    TemplateValues { identity, entry: "nightly", run_id, fire_time, attempt: 3, args }
}

fn request(url: &str, header: Option<&str>, body: &str) -> Request {
    let headers = header.map(|value| [Header::parse("X-A", value).unwrap()].into());
    let body = JsonText::from_raw(serde_json::from_str(body).unwrap());
    Request { headers, body, ..Request::post(TargetUrl::parse(url).unwrap()) }
}

fn filled_url(url: &str, values: TemplateValues<'_>) -> Result<String, TemplateError> {
    request(url, None, "null").filled_in(&values).map(|filled| filled.url.as_str().to_owned())
}

fn filled_header(value: &str, values: TemplateValues<'_>) -> String {
    let filled = request("http://h/", Some(value), "null").filled_in(&values).unwrap().into_owned();
    filled.headers.unwrap()[0].value().to_owned()
}

fn filled_body(body: &str, values: TemplateValues<'_>) -> String {
    request("http://h/", None, body).filled_in(&values).unwrap().body.as_ref().unwrap().as_str().to_owned()
}

#[test]
fn every_name_is_filled_in_with_or_without_spaces() {
    let all = "{{identity}} {{ entry }} {{run_id }} {{  fire_time}} {{attempt}} {{args}}";

    let filled = filled_header(all, values("backup", "a b"));

    assert_eq!(filled, format!("backup nightly 0193ab6c-5c12-8000-8000-00000000002a {FIRE_TIME} 3 a b"));
}

#[test]
fn what_is_no_template_stays_as_it_is() {
    for text in
        ["{identity}", "{{identity}", "{{Identity}}", "{{identity }", "{{}}", "{{ }}", "{{a-b}}", "{{nope}}", "{{"]
    {
        assert_eq!(filled_header(text, values("x", "")), text);
    }
    assert_eq!(filled_header("{{{identity}}}", values("x", "")), "{x}");
    assert_eq!(filled_header("{{ {{identity}} }}", values("x", "")), "{{ x }}");
}

#[test]
fn what_is_filled_in_is_not_looked_at_again() {
    assert_eq!(filled_header("{{identity}}", values("{{args}}", "secret")), "{{args}}");
    assert_eq!(filled_header("{{identity}}args}}", values("{{", "secret")), "{{args}}");
}

#[test]
fn in_a_url_it_is_percent_encoded() {
    let filled = filled_url("http://h/{{identity}}/x?a={{args}}&t={{fire_time}}", values("a/b?c#d é", "1&b=2 %"));

    assert_eq!(filled.unwrap(), "http://h/a%2Fb%3Fc%23d%20%C3%A9/x?a=1%26b%3D2%20%25&t=2026-11-21T07%3A15%3A30.250Z");
}

#[test]
fn in_a_url_nothing_leads_elsewhere() {
    for (url, identity) in [
        ("http://h/a/{{identity}}/b", ".."),
        ("http://h/a/{{identity}}/b", "."),
        ("http://h/a/.{{identity}}", "."),
        ("http://h/a/%2e{{identity}}", "."),
        ("http://{{identity}}/", "evil.example"),
        ("http://h.{{identity}}/", "evil.example"),
        ("http://{{identity}}@h/", "user"),
    ] {
        assert_eq!(filled_url(url, values(identity, "")), Err(TemplateError::LeadsElsewhere), "{url}");
    }
    assert_eq!(filled_url("http://h/a?b={{identity}}", values("..", "")).unwrap(), "http://h/a?b=..");
    assert_eq!(filled_url("http://h/{{args}}", values("", "")).unwrap(), "http://h/");
}

#[test]
fn in_a_header_what_http_forbids_is_left_out() {
    assert_eq!(filled_header("id={{args}}", values("", "a\r\nX-B: 1\u{0}\tb\u{7f}é")), "id=aX-B: 1\tbé");
}

#[test]
fn in_a_body_it_is_escaped_as_in_a_json_string() {
    let body = r#"{"{{identity}}":["{{args}}",{"n":"{{ attempt }}"}],"x":1.50}"#;

    assert_eq!(filled_body(body, values("a\"b", "c\\d\n")), r#"{"a\"b":["c\\d\n",{"n":"3"}],"x":1.50}"#);
}

#[test]
fn a_string_body_stays_what_it_is_json_a_form_or_text() {
    let args = values("", "x\" &y=1");

    assert_eq!(filled_body(r#""{\"a\":\"{{args}}\"}""#, args), r#""{\"a\":\"x\\\" &y=1\"}""#);
    assert_eq!(filled_body(r#""a={{args}}&b=2""#, args), r#""a=x%22%20%26y%3D1&b=2""#);
    assert_eq!(filled_body(r#""said: {{args}}""#, args), r#""said: x\" &y=1""#);
    assert_eq!(filled_body(r#""{\"n\":{{attempt}}}""#, args), r#""{\"n\":3}""#);
}

#[test]
fn a_request_without_templates_is_the_same_one() {
    let request = request("http://h/{{nope}}", Some("{{"), r#"{"a":"{identity}"}"#);

    assert!(matches!(request.filled_in(&values("x", "y")), Ok(Cow::Borrowed(same)) if *same == request));
}

#[test]
fn what_would_grow_too_large_is_refused() {
    let args = "x".repeat(100_000);
    let filled = |url: &str, header: Option<&str>, body: &str| {
        request(url, header, body).filled_in(&values("", &args)).unwrap_err().to_string()
    };

    assert_eq!(
        filled("http://h/{{args}}", None, "null"),
        "the URL is longer than 8192 bytes with its templates filled in"
    );
    assert_eq!(
        filled("http://h/", Some("{{args}}"), "null"),
        "the header is longer than 16392 bytes with its templates filled in"
    );
    let body = format!("[{}1]", r#""{{args}}","#.repeat(80_000));
    assert_eq!(filled("http://h/", None, &body), "the body is longer than 5074307 bytes with its templates filled in");
}

#[test]
fn a_request_may_grow_up_to_its_limits() {
    let grows = |header: Option<&str>, body: &str, by: usize| {
        request("http://h/", header, body).filled_in(&values("", &"x".repeat("{{args}}".len() + by))).is_ok()
    };

    assert!(grows(Some("{{args}}"), "null", 16 * 1024));
    assert!(!grows(Some("{{args}}"), "null", 16 * 1024 + 1));
    assert!(grows(None, r#"["{{args}}"]"#, 4 * 1024 * 1024));
    assert!(!grows(None, r#"["{{args}}"]"#, 4 * 1024 * 1024 + 1));
}

fn url_mistakes(url: &str) -> String {
    let mut mistakes = Mistakes::default();
    check_url(url, "url", &mut mistakes);
    mistakes.text()
}

#[test]
fn a_template_in_the_authority_of_a_url_is_refused() {
    for url in [
        "http://{{identity}}/",
        "http://{{ identity }}.example.com/",
        "http://example.{{identity}}/",
        "http://h{{attempt}}",
        "http://h:80{{attempt}}/",
        "http://{{identity}}:x@h/",
        "http://u:{{args}}@h/x",
        "http:{{identity}}/x",
        "http:\\\\{{identity}}\\x",
        " http://{{identity}}",
        "http{{attempt}}://h/",
        "http://h{{entry}}?x",
        "http://h{{entry}}#x",
    ] {
        let parses = TargetUrl::parse(url).is_ok();
        assert!(
            !parses || url_mistakes(url).starts_with("url: has a template in its scheme, user, host or port"),
            "{url}"
        );
    }
    for url in
        ["http://h/{{identity}}", "http://h?{{args}}", "http://u:p@h:8/x{{attempt}}#{{entry}}", "http://h/@{{args}}:1"]
    {
        assert_eq!(url_mistakes(url), "", "{url}");
    }
}

#[test]
fn a_name_that_is_not_known_is_told_once_with_the_nearest_one() {
    let mut mistakes = Mistakes::default();

    warn_of_unknown("{{Identity}} {{ arg }} {{arg}} {{identity}} {{zzz}}", "body", &mut mistakes);

    let expected = [
        "body: unknown template `{{Identity}}`, it is sent as it is, did you mean `{{identity}}`?",
        "body: unknown template `{{arg}}`, it is sent as it is, did you mean `{{args}}`?",
        "body: unknown template `{{zzz}}`, it is sent as it is",
    ];
    assert_eq!(mistakes.warnings, expected);
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("{{args}}".to_owned()),
        Just("{{ identity }}".to_owned()),
        Just("{{nope}}".to_owned()),
        "[ {}a-z/.:@?#&=\\\\\"]{0,6}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_parts_of_a_text_are_the_text(text in text()) {
        let joined: String = parts(&text).map(|part| match part {
            Part::Text(text) => text.to_owned(),
            Part::Unknown { whole, .. } => whole.to_owned(),
            Part::Known(name) => format!("<{name:?}>"),
        }).collect();
        let expected = text.replace("{{args}}", "<Args>").replace("{{ identity }}", "<Identity>");
        // A brace before a template belongs to the text, and so do templates with other spaces.
        prop_assert!(joined == expected || parts(&text).count() > 1, "{joined} {expected}");
        prop_assert_eq!(fill(&text, usize::MAX, |_| "".into()).is_some(), true);
    }

    #[test]
    fn whatever_is_filled_in_a_url_stays_on_its_server(path in text(), identity in "\\PC{0,20}|[./\\\\%2e@:?#]{0,6}", args in "\\PC{0,20}") {
        let url = format!("http://user:pw@host.example:8080/a/{path}");
        let Ok(parsed) = TargetUrl::parse(&url) else { return Ok(()) };
        let request = Request::post(parsed);
        if let Ok(filled) = request.filled_in(&values(&identity, &args)) {
            let (before, after) = (request.url.to_url(), filled.url.to_url());
            prop_assert!(is_same_server(&before, &after), "{after}");
        }
        prop_assert_eq!(url_mistakes(&url), "");
    }

    #[test]
    fn a_url_with_a_template_that_passes_keeps_its_server(url in "(https?:)?[/\\\\]{0,3}[a-z.:@0-9]{0,8}\\PC{0,5}", tail in text(), identity in "[a-z0-9.@:/]{1,8}") {
        let url = format!("{url}{tail}");
        let Ok(parsed) = TargetUrl::parse(&url) else { return Ok(()) };
        if has_templates(&url) && url_mistakes(&url).is_empty() && let Ok(filled) = Request::post(parsed).filled_in(&values(&identity, "")) {
            let harmless = Url::parse(&fill(&url, 99_999, |_| "q".into()).unwrap()).unwrap();
            prop_assert!(is_same_server(&filled.url.to_url(), &harmless), "{url}");
        }
    }

    #[test]
    fn a_header_is_never_split(value in "[ -~]{0,10}", args in any::<String>()) {
        let filled = filled_header(&format!("{value}{{{{args}}}}"), values("", &args));
        let is_whole = !filled.contains(['\r', '\n', '\u{0}']);
        prop_assert!(is_whole);
    }

    #[test]
    fn a_body_keeps_its_shape(key in "[a-z]{1,5}", inner in text(), identity in any::<String>(), args in any::<String>()) {
        let before = serde_json::json!({ key.clone(): [inner, 1, null] });
        let filled = filled_body(&before.to_string(), values(&identity, &args));
        let after: serde_json::Value = serde_json::from_str(&filled).unwrap();
        prop_assert!(after[&key][0].is_string() && after[&key][1] == 1 && after[&key].as_array().unwrap().len() == 3);
    }

    #[test]
    fn a_string_that_is_json_stays_json(inner in text(), identity in any::<String>(), args in any::<String>()) {
        let json = serde_json::json!({ "a": inner }).to_string();
        let filled = filled_body(&serde_json::json!(json).to_string(), values(&identity, &args));
        let string: String = serde_json::from_str(&filled).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&string).unwrap()["a"].is_string());
    }
}
