use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Vec<String> {
    read(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).into_iter().map(|value| value.json).collect()
}

fn mistakes(text: &str) -> Vec<String> {
    read(text).unwrap_err()
}

#[test]
fn a_document_is_a_value_or_a_list_of_some_each_with_its_place() {
    let text =
        "# first\nidentity: a\nstart: true\n---\n- identity: b\n- identity: c\n  entries: {}\n---\n---\n[]\n...\n";

    let values = read(text).unwrap();

    let told: Vec<(usize, Option<usize>, usize, &str)> =
        values.iter().map(|value| (value.document, value.item, value.line, value.json.as_str())).collect();
    let expected = [
        (1, None, 2, r#"{"identity":"a","start":true}"#),
        (2, Some(1), 5, r#"{"identity":"b"}"#),
        (2, Some(2), 6, r#"{"identity":"c","entries":{}}"#),
    ];
    assert_eq!(told, expected);
    assert_eq!(json(""), [""; 0]);
    assert_eq!(json("\u{feff}a: 1"), [r#"{"a":1}"#]);
}

#[test]
fn scalars_are_those_of_yaml_1_2_and_numbers_stay_as_they_are_written() {
    let text = "[yes, no, On, off, y, ~, null, True, FALSE, 1.50, -0, 12345678901234567890123, 1E400, \
                12:30:00, 1_000, 2026-11-21, 0b1, '1', \"2\", !!str 3, !!int 4, 90s, 0 0 3 * * *, =, 1.2.3]";

    let expected = r#"["yes","no","On","off","y",null,null,true,false,1.50,-0,12345678901234567890123,1E400,"12:30:00","1_000","2026-11-21","0b1","1","2","3",4,"90s","0 0 3 * * *","=","1.2.3"]"#;
    assert_eq!(json(&format!("a: {text}")), [format!("{{\"a\":{expected}}}")]);
}

#[test]
fn numbers_that_json_writes_otherwise_are_refused_with_their_place() {
    for number in ["0x1F", "0o17", ".5", "1.", "+1", "007", ".inf", "-.INF", ".nan", "+.5e3"] {
        let text = format!("entries:\n  e:\n    body: [1, {number}]\n");
        let expected = format!(
            "line 3: entries.e.body[1]: is `{number}`, a number that JSON writes otherwise: write it so, or in quotes"
        );
        assert_eq!(mistakes(&text), [expected]);
    }
}

#[test]
fn keys_that_are_given_twice_are_all_told() {
    let text = "a: 1\nb:\n  c: 1\n  c: 2\n'a': 3\n---\n- x: {y: 1, y: 2}\n";

    let expected = ["line 4: b.c: is given twice", "line 5: a: is given twice", "line 7: x.y: is given twice"];
    assert_eq!(mistakes(text), expected);
}

#[test]
fn aliases_stand_for_what_they_name_but_not_for_very_much() {
    assert_eq!(
        json("a: &x {k: [1]}\nb: *x\nc: &y text\nd: *y"),
        [r#"{"a":{"k":[1]},"b":{"k":[1]},"c":"text","d":"text"}"#]
    );
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..20 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
    }
    assert!(mistakes(&bomb)[0].contains("the aliases make more than 268435456 bytes of this file"));
    assert_eq!(mistakes("a: &x [*x]"), ["line 1: a[0]: the alias stands within what it refers to"]);
    assert!(mistakes("a: *nobody")[0].starts_with("line 1: is no YAML"));
}

#[test]
fn what_json_does_not_know_is_told() {
    assert_eq!(
        mistakes("a: &b {c: 1}\nd:\n  <<: *b\n"),
        ["line 3: d: merging (`<<`) is not known to YAML 1.2, write the members out"]
    );
    assert_eq!(mistakes("? [a]\n: b\n"), ["line 1: a key is a list or a mapping, expected a text"]);
    assert_eq!(mistakes("a: !!binary aGk=\n"), ["line 1: a: has the tag `tag:yaml.org,2002:!binary`, expected none"]);
    assert_eq!(mistakes("a: !thing {}\n"), ["line 1: a: has the tag `!thing`, expected none"]);
    assert_eq!(json("1: a\ntrue: b\n~: c"), [r#"{"1":"a","true":"b","~":"c"}"#]);
    assert!(mistakes("a: [1\nb: 2")[0].contains("is no YAML"));
    assert!(mistakes("a: \"\\ud800\"")[0].contains("is no YAML"));
}

#[test]
fn a_value_as_deep_as_can_be_is_no_danger() {
    let deep = "[".repeat(100_000);
    assert_eq!(mistakes(&format!("a: {deep}")).len(), 1);
    let deep: String = (0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(mistakes(&deep)[0].contains("is nested deeper than 128 levels"), "{:?}", mistakes(&deep));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_it_panic_and_what_it_gives_is_json(text in "[-a-c:{}\\[\\]*&!|>#?'\"\\\\ \n~0-9.x,<]{0,40}|\\PC{0,30}") {
        match read(&text) {
            Ok(values) => prop_assert!(values.iter().all(|value| serde_json::from_str::<serde_json::Value>(&value.json).is_ok())),
            Err(mistakes) => prop_assert!(mistakes.iter().all(|mistake| mistake.starts_with("line "))),
        }
    }

    #[test]
    fn a_number_is_one_of_json_or_another_or_none(text in "[-+]?[0-9]{0,3}[.]?[0-9]{0,2}([eE][-+]?[0-9]{0,2})?") {
        if is_json_number(&text) {
            prop_assert!(is_other_number(&text), "YAML takes every number of JSON for one: {text}");
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok() || text.contains(['e', 'E']));
        }
    }
}
