use ::url::Url;
use proptest::prelude::*;

use super::in_url::is_same_server;
use super::*;
use crate::model::{SecretText, TargetUrl};

const FIRE_TIME: &str = "2026-11-21T07:15:30.250Z";

fn values<'a>(identity: &'a str, args: &'a str) -> TemplateValues<'a> {
    let fire_time = Timestamp::parse_rfc3339(FIRE_TIME).unwrap();
    let run_id = RunId::parse("0193ab6c-5c12-8000-8000-00000000002a").unwrap();
    let (secrets, growth) = (SecretTexts::none(), TemplateGrowth::default());
    TemplateValues { identity, entry: "nightly", run_id, fire_time, attempt: 3, args, secrets, growth }
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
    let small = TemplateGrowth { header_bytes_max: 10, body_bytes_max: 20 };
    for growth in [TemplateGrowth::default(), small] {
        let grows = |header: Option<&str>, body: &str, by: usize| {
            let args = "x".repeat("{{args}}".len() + by);
            request("http://h/", header, body).filled_in(&TemplateValues { growth, ..values("", &args) }).is_ok()
        };
        let (header, body) = (growth.header_bytes_max, growth.body_bytes_max);

        assert!(grows(Some("{{args}}"), "null", header) && !grows(Some("{{args}}"), "null", header + 1));
        assert!(grows(None, r#"["{{args}}"]"#, body) && !grows(None, r#"["{{args}}"]"#, body + 1));
    }
    assert_eq!(TemplateGrowth::default(), TemplateGrowth { header_bytes_max: 16_384, body_bytes_max: 4_194_304 });
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

const NAME: &str = "db-pass.1_X";

fn secret(value: &str) -> SecretTexts {
    SecretTexts::from_iter([(SecretName::parse(NAME).unwrap(), SecretText::new(value))])
}

fn with<'a>(secrets: &'a SecretTexts) -> TemplateValues<'a> {
    TemplateValues { secrets, ..values("task", "") }
}

#[test]
fn a_secret_is_filled_in_wherever_it_is_named_and_escaped_as_its_place_wants_it() {
    let secrets = secret("p@ss/\"w\\o rd\u{e9}%");
    let reference = "${secret:db-pass.1_X}";

    let url = filled_url(&format!("http://u{reference}:{reference}@h/a/{reference}?q={reference}"), with(&secrets));
    let value = "p%40ss%2F%22w%5Co%20rd%C3%A9%25";
    assert_eq!(url.unwrap(), format!("http://u{value}:{value}@h/a/{value}?q={value}"));
    assert_eq!(filled_header(&format!("Bearer {reference}"), with(&secrets)), "Bearer p@ss/\"w\\o rd\u{e9}%");
    let in_json = "p@ss/\\\"w\\\\o rd\u{e9}%";
    assert_eq!(filled_body(&format!(r#"{{"k":"{reference}"}}"#), with(&secrets)), format!(r#"{{"k":"{in_json}"}}"#));
    let form = serde_json::json!(format!("a={reference}")).to_string();
    assert_eq!(filled_body(&form, with(&secrets)), format!(r#""a={value}""#));
}

#[test]
fn a_secret_is_not_looked_at_again_and_nothing_that_is_filled_in_names_one() {
    let secrets = secret("{{args}}${secret:db-pass.1_X}");
    let filled = filled_header(
        "${secret:db-pass.1_X} {{args}}",
        TemplateValues { secrets: &secrets, ..values("", "${secret:db-pass.1_X}") },
    );

    assert_eq!(filled, "{{args}}${secret:db-pass.1_X} ${secret:db-pass.1_X}");
}

#[test]
fn a_lone_beginning_or_another_word_stays_text() {
    let secrets = secret("s3cret");
    for text in [
        "${",
        "$",
        "${secret:db-pass.1_X",
        "${secret:}",
        "${secret: db-pass.1_X}",
        "${secret:a b}",
        "${env:X}",
        "$${x}",
        "${secret:..}",
    ] {
        assert_eq!(filled_header(text, with(&secrets)), text);
    }
    assert_eq!(filled_header("$${secret:db-pass.1_X}}", with(&secrets)), "$s3cret}");
    assert_eq!(filled_header("${secret:${secret:db-pass.1_X}", with(&secrets)), "${secret:s3cret");
}

#[test]
fn a_secret_that_http_forbids_in_a_header_is_refused_and_not_cut() {
    for value in ["a\nb", "a\r", "\u{0}", "x\u{7f}"] {
        let secrets = secret(value);
        let refused =
            request("http://h/", Some("Bearer ${secret:db-pass.1_X}"), "null").filled_in(&with(&secrets)).unwrap_err();
        assert_eq!(refused.to_string(), "secret db-pass.1_X holds a control character, which HTTP forbids in a header");
    }
    let missing = request("http://h/", Some("${secret:other}"), "null");
    assert_eq!(missing.filled_in(&with(&secret("x"))).unwrap_err().to_string(), "secret other is not filled in");
}

#[test]
fn the_secrets_of_a_request_are_told_with_their_places() {
    let request = request("http://${secret:U}@h/", Some("a ${secret:T}${secret:U}"), r#"{"k":"${secret:B}"}"#);

    let named: Vec<String> = request.secrets().map(|(place, name)| format!("{place} {name}")).collect();

    assert_eq!(named, ["url U", "headers.X-A T", "headers.X-A U", "body B"]);
    assert!(request.may_name_secrets());
}

#[test]
fn a_secret_may_be_the_user_or_the_password_of_a_url_and_no_part_of_its_server() {
    for url in [
        "http://${secret:a}/",
        "http://h.${secret:a}/x",
        "http://h:${secret:a}/",
        "http${secret:a}://h/",
        "http:${secret:a}",
    ] {
        let parses = TargetUrl::parse(url).is_ok();
        assert!(!parses || url_mistakes(url).starts_with("url: has a secret in its scheme, host or port"), "{url}");
    }
    for url in ["http://u:${secret:a}@h/", "http://${secret:a}@h:8/x", "http://h/${secret:a}?b=${secret:b}#${secret:c}"]
    {
        assert_eq!(url_mistakes(url), "", "{url}");
    }
    assert!(url_mistakes("http://{{entry}}:${secret:a}@h/").starts_with("url: has a template in its scheme, user"));
}

#[test]
fn what_begins_like_a_reference_and_names_nothing_is_told() {
    let mut mistakes = Mistakes::default();

    warn_of_unknown("${secret:} ${secret:ok} ${other}", "body", &mut mistakes);

    let expected = "body: `${secret:…}` names no secret, expected 1 to 64 letters, digits, `_`, `-` or `.`, the first a letter, \
                    a digit or `_`: it is sent as it is";
    assert_eq!(mistakes.warnings, [expected]);
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("{{args}}".to_owned()),
        Just("{{ identity }}".to_owned()),
        Just("{{nope}}".to_owned()),
        Just("${secret:db-pass.1_X}".to_owned()),
        Just("${secret: ".to_owned()),
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
            Part::Slot(slot) => format!("<{slot:?}>"),
            Part::Nameless(text) => text.to_owned(),
        }).collect();
        let expected = text.replace("{{args}}", "<Value(Args)>").replace("{{ identity }}", "<Value(Identity)>").replace("${secret:db-pass.1_X}", "<Secret(\"db-pass.1_X\")>");
        // A brace before a template belongs to the text, and so do templates with other spaces.
        prop_assert!(joined == expected || parts(&text).count() > 1, "{joined} {expected}");
        prop_assert_eq!(fill(&text, usize::MAX, |_| "".into()).is_some(), true);
    }

    #[test]
    fn whatever_is_filled_in_a_url_stays_on_its_server(path in text(), identity in "\\PC{0,20}|[./\\\\%2e@:?#]{0,6}", args in "\\PC{0,20}") {
        let url = format!("http://user:pw@host.example:8080/a/{path}");
        let Ok(parsed) = TargetUrl::parse(&url) else { return Ok(()) };
        let request = Request::post(parsed);
        if let Ok(filled) = request.filled_in(&TemplateValues { secrets: &secret(&args), ..values(&identity, &args) }) {
            let (before, after) = (request.url.to_url(), filled.url.to_url());
            prop_assert!(is_same_server(&before, &after), "{after}");
        }
        prop_assert_eq!(url_mistakes(&url), "");
    }

    #[test]
    fn a_url_with_a_template_that_passes_keeps_its_server(url in "(https?:)?[/\\\\]{0,3}[a-z.:@0-9]{0,8}\\PC{0,5}", tail in text(), identity in "[a-z0-9.@:/]{1,8}") {
        let url = format!("{url}{tail}");
        let Ok(parsed) = TargetUrl::parse(&url) else { return Ok(()) };
        if has_slots(&url) && url_mistakes(&url).is_empty() && let Ok(filled) = Request::post(parsed).filled_in(&TemplateValues { secrets: &secret("q"), ..values(&identity, "") }) {
            let harmless = Url::parse(&fill(&url, 99_999, |_| "q".into()).unwrap()).unwrap();
            prop_assert!(is_same_server(&filled.url.to_url(), &harmless), "{url}");
        }
    }

    #[test]
    fn whatever_a_secret_holds_it_arrives_as_itself(value in "\\PC{1,30}", user in any::<bool>()) {
        let (secrets, place) = (secret(&value), if user { "u:${secret:db-pass.1_X}@h/" } else { "h/?${secret:db-pass.1_X}" });
        let filled = request(&format!("http://{place}"), Some("<${secret:db-pass.1_X}>"), r#"["${secret:db-pass.1_X}"]"#);
        let filled = filled.filled_in(&with(&secrets)).unwrap();
        let url = filled.url.to_url();
        let in_url = if user { url.password().unwrap() } else { url.query().unwrap() };
        prop_assert_eq!(percent_encoding::percent_decode_str(in_url).decode_utf8().unwrap(), value.as_str());
        prop_assert_eq!(filled.headers.as_ref().unwrap()[0].value(), format!("<{value}>"));
        let body: Vec<String> = serde_json::from_str(filled.body.as_ref().unwrap().as_str()).unwrap();
        prop_assert_eq!(&body[0], &value);
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
        let filled = filled_body(&before.to_string(), TemplateValues { secrets: &secret(&args), ..values(&identity, &args) });
        let after: serde_json::Value = serde_json::from_str(&filled).unwrap();
        prop_assert!(after[&key][0].is_string() && after[&key][1] == 1 && after[&key].as_array().unwrap().len() == 3);
    }

    #[test]
    fn a_string_that_is_json_stays_json(inner in text(), identity in any::<String>(), args in any::<String>()) {
        let json = serde_json::json!({ "a": inner }).to_string();
        let filled = filled_body(&serde_json::json!(json).to_string(), TemplateValues { secrets: &secret(&args), ..values(&identity, &args) });
        let string: String = serde_json::from_str(&filled).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&string).unwrap()["a"].is_string());
    }
}
