//! Writes YAML that every reader takes for the same: of YAML 1.1 or 1.2, a text that could be anything else is in quotes.

use super::Node;
use super::yaml::{is_json_number, is_other_number};

/// Longer keys cannot stand before a `:` in one line.
const KEY_LEN_MAX: usize = 1_000;

/// Writes a value as a document. The error says what YAML cannot hold.
pub(in crate::cli) fn write_yaml(node: &Node) -> Result<String, String> {
    let mut out = String::new();
    match node {
        Node::Map(members) if !members.is_empty() => map(members, 0, false, &mut out)?,
        Node::List(items) if !items.is_empty() => list(items, 0, false, &mut out)?,
        scalar => {
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
    Ok(out)
}

/// `is_begun`: the first line has its indent already.
fn map(members: &[(String, Node)], indent: usize, is_begun: bool, out: &mut String) -> Result<(), String> {
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 || !is_begun {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        let key = text(key);
        if key.len() > KEY_LEN_MAX {
            return Err(format!("has a key of {} bytes, expected at most {KEY_LEN_MAX}", key.len()));
        }
        out.push_str(&key);
        out.push(':');
        match value {
            Node::Map(members) if !members.is_empty() => {
                out.push('\n');
                map(members, indent + 2, false, out)?;
            }
            Node::List(items) if !items.is_empty() => {
                out.push('\n');
                list(items, indent + 2, false, out)?;
            }
            scalar => {
                out.push(' ');
                out.push_str(&inline(scalar));
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn list(items: &[Node], indent: usize, is_begun: bool, out: &mut String) -> Result<(), String> {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !is_begun {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str("- ");
        match item {
            Node::Map(members) if !members.is_empty() => map(members, indent + 2, true, out)?,
            Node::List(items) if !items.is_empty() => list(items, indent + 2, true, out)?,
            scalar => {
                out.push_str(&inline(scalar));
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn inline(node: &Node) -> String {
    match node {
        Node::Text(value) => text(value),
        Node::Plain(value) => value.clone(),
        Node::List(_) => "[]".to_owned(),
        Node::Map(_) => "{}".to_owned(),
    }
}

fn text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether no reader can take a text without quotes for anything else.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_allowed = |letter: char| letter.is_alphanumeric() || " /_.,:;=?*+-@%$()<>^|&~!#".contains(letter);
    let begins_well = text.starts_with(|first: char| first.is_alphanumeric() || first == '/' || first == '_');
    let has_break = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    begins_well
        && !has_break
        && text.chars().all(is_allowed)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && !is_json_number(text)
        && !is_other_number(text)
        && !(text.starts_with(|first: char| first.is_ascii_digit()) && may_be_number(text))
}

/// Numbers and dates of YAML 1.1: digits, and what may stand between them. A duration and a cron expression are none.
fn may_be_number(text: &str) -> bool {
    let is_date = text
        .bytes()
        .position(|byte| byte == b'-')
        .is_some_and(|at| text.as_bytes()[..at].iter().all(u8::is_ascii_digit));
    let is_cron = text.contains(' ') && !is_date;
    let is_duration =
        text.ends_with(['s', 'm', 'h']) && text.bytes().all(|byte| byte.is_ascii_digit() || b"smhd".contains(&byte));
    !is_cron && !is_duration
}

/// In double quotes, with everything escaped that could not be seen.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(letter),
            _ if letter.is_alphanumeric() => out.push(letter),
            _ if (letter as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", letter as u32)),
            _ if (letter as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", letter as u32)),
            _ => out.push_str(&format!("\\U{:08x}", letter as u32)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::yaml;
    use super::*;

    fn yaml_of(json: &str) -> String {
        write_yaml(&Node::parse(json).unwrap()).unwrap()
    }

    /// Without white space and with texts written one way.
    fn plain_json(node: &Node) -> String {
        let join = |parts: Vec<String>| parts.join(",");
        match node {
            Node::Text(text) => serde_json::to_string(text).unwrap(),
            Node::Plain(text) => text.clone(),
            Node::List(items) => format!("[{}]", join(items.iter().map(plain_json).collect())),
            Node::Map(members) => {
                let member = |(key, value): &(String, Node)| {
                    format!("{}:{}", serde_json::to_string(key).unwrap(), plain_json(value))
                };
                format!("{{{}}}", join(members.iter().map(member).collect()))
            }
        }
    }

    #[test]
    fn a_task_is_written_as_people_would() {
        let json = r#"{"identity":"backup","time_zone":"Europe/Berlin","start":true,"entries":{"a b":{"cron_time":"0 30 2 * * MON-FRI","url":"https://example.com/x?y=1","headers":{"X":"1"},"body":{"list":[1.50,[],{"k":null,"l":[[1],["a"]]}],"none":{}},"timeout":"1m30s","tags":["no","2026-11-21","12:30","x"],"every":"* * * * * *"}}}"#;

        let expected = r#"identity: backup
time_zone: Europe/Berlin
start: true
entries:
  a b:
    cron_time: 0 30 2 * * MON-FRI
    url: https://example.com/x?y=1
    headers:
      X: "1"
    body:
      list:
        - 1.50
        - []
        - k: null
          l:
            - - 1
            - - a
      none: {}
    timeout: 1m30s
    tags:
      - "no"
      - "2026-11-21"
      - "12:30"
      - x
    every: "* * * * * *"
"#;
        assert_eq!(yaml_of(json), expected);
    }

    #[test]
    fn what_could_be_taken_for_anything_else_is_in_quotes() {
        for word in [
            "",
            "~",
            "null",
            "Yes",
            "OFF",
            "n",
            "1",
            "1.5",
            "0x1F",
            "0o7",
            "1_000",
            "1e3",
            "12:30:00",
            "2026-11-21",
            ".inf",
            "- a",
            "a: b",
            "a #b",
            "a:",
            " a",
            "a ",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "a\nb",
            "\u{1b}[31m",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "---",
            "...",
            "#a",
            "<<",
            "=",
            "?",
            "0d",
            "007",
            "1h 30",
            "2026-11-21 10:00:00",
        ] {
            let yaml = text(word);
            let is_quoted = yaml.starts_with('"') && yaml.ends_with('"');
            assert!(is_quoted || ["0d", "1h 30"].contains(&word), "{word:?} became {yaml}");
            assert!(!yaml.contains(char::is_control), "{yaml:?}");
        }
        assert_eq!(text("\u{1f600}\u{7}é"), "\"\\U0001f600\\x07é\"");
        assert!(write_yaml(&Node::parse(&format!("{{\"{}\":1}}", "k".repeat(2_000))).unwrap()).is_err());
        assert!(Node::parse(r#"{"a":"\ud800"}"#).is_err());
        assert!(Node::parse(&format!("{}1{}", "[".repeat(200), "]".repeat(200))).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn what_is_written_is_read_back_the_same(json in json()) {
            let node = Node::parse(&json).unwrap();
            let yaml = write_yaml(&Node::Map(vec![("root".to_owned(), node.clone())])).unwrap();
            let values = yaml::read(&yaml).map_err(|mistakes| TestCaseError::fail(format!("{mistakes:?}\n{yaml}")))?;
            prop_assert_eq!(&values[0].json, &format!("{{\"root\":{}}}", plain_json(&node)), "{}", yaml);
        }

        #[test]
        fn every_text_is_read_back_the_same(text in "\\PC{0,20}|[-0-9a-f_.:xT+ ]{0,12}|.{0,10}", key in "\\PC{0,12}") {
            let yaml = write_yaml(&Node::Map(vec![(key.clone(), Node::List(vec![Node::Text(text.clone())]))])).unwrap();
            let expected = serde_json::json!({ &key: [text] }).to_string();
            let values = yaml::read(&yaml).map_err(|mistakes| TestCaseError::fail(format!("{mistakes:?}\n{yaml}")))?;
            prop_assert_eq!(&values[0].json, &expected, "{}", yaml);
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,5})?([eE][-+]?[0-9]{1,3})?",
            "[a-z0-9 :#~*&!%@`\\[\\]{},?|>-]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let member = ("[a-z0-9: #]{0,8}", inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::btree_map(member.0, member.1, 0..5).prop_map(|members| {
                    let member =
                        |(key, value): (String, String)| format!("{}:{value}", serde_json::to_string(&key).unwrap());
                    format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }
}
