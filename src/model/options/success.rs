//! Which answers are a success.

use regex::{Regex, RegexBuilder};
use serde_json::value::RawValue;

use super::SuccessRule;
use super::status::{hold, read_list, words};
use crate::model::object::{Mistakes, Object, shown, string};

const KEYS: [&str; 3] = ["status", "body_contains", "body_matches"];
/// The longest text or expression, in bytes. Longer ones are refused.
const TEXT_LEN_MAX: usize = 1_024;
/// How much of a text stands in a message, in characters.
const QUOTED_MAX: usize = 60;
/// How large an expression may become in memory, in bytes. Larger ones are refused.
const REGEX_SIZE_MAX: usize = 1024 * 1024;
/// How deep the groups of an expression may be nested. Deeper ones are refused.
const REGEX_NEST_MAX: u32 = 100;

impl SuccessRule {
    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Self {
        members.refuse_unknown(&KEYS, mistakes);
        let status = members.get("status").and_then(|raw| read_list(raw, &members.path_of("status"), mistakes));
        let contains = members.get("body_contains");
        let matches = members.get("body_matches");
        Self {
            status: status.unwrap_or_default(),
            body_contains: contains.and_then(|raw| text(raw, &members.path_of("body_contains"), mistakes)),
            body_matches: matches.and_then(|raw| regex(raw, &members.path_of("body_matches"), mistakes)),
        }
    }

    /// Whether an answer is a success. `body` is as much of it as was kept; the error is the message for the record.
    pub fn judge(&self, status: u16, body: &[u8]) -> Result<(), String> {
        if self.status.is_empty() && !(200..300).contains(&status) {
            return Err(format!("answered with status {status}"));
        }
        if !self.status.is_empty() && !hold(&self.status, status) {
            return Err(format!("answered with status {status}, expected {}", words(&self.status)));
        }
        if !self.looks_at_body() {
            return Ok(());
        }
        // What is no UTF-8 becomes replacement characters: no expression is about them.
        let body = String::from_utf8_lossy(body);
        if let Some(wanted) = &self.body_contains
            && !body.contains(&**wanted)
        {
            return Err(format!("answered with status {status}, but the body does not contain `{}`", quoted(wanted)));
        }
        if let Some(wanted) = &self.body_matches
            && !wanted.is_match(&body)
        {
            let wanted = quoted(wanted.as_str());
            return Err(format!("answered with status {status}, but nothing in the body matches `{wanted}`"));
        }
        Ok(())
    }

    /// Whether the body of an answer is needed to judge it.
    pub fn looks_at_body(&self) -> bool {
        self.body_contains.is_some() || self.body_matches.is_some()
    }
}

/// The start of a text of the rule on one line. A backslash stays one: expressions are full of them.
fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_MAX).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn text(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Box<str>> {
    let text = string(raw, path, mistakes)?;
    if (1..=TEXT_LEN_MAX).contains(&text.len()) {
        return Some(text.into());
    }
    mistakes.add(path, format_args!("is {} bytes long, expected 1 to {TEXT_LEN_MAX}", text.len()));
    None
}

fn regex(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Regex> {
    let text = text(raw, path, mistakes).filter(|_| mistakes.note_expression(path))?;
    let mut builder = RegexBuilder::new(&text);
    builder.size_limit(REGEX_SIZE_MAX).dfa_size_limit(REGEX_SIZE_MAX).nest_limit(REGEX_NEST_MAX);
    let explain = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(max) => {
            mistakes.add(path, format_args!("is an expression that needs more than {max} bytes of memory"));
        }
        // The last line says what is wrong; those before it draw where.
        other => {
            let text = other.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            mistakes.add(
                path,
                format_args!("is no regular expression ({}), expected one such as `\"ok\": *true`", shown(why)),
            );
        }
    };
    builder.build().map_err(explain).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<SuccessRule, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        let rule =
            Object::read(raw, "success".to_owned(), &mut mistakes).map(|it| SuccessRule::read(&it, &mut mistakes));
        rule.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.text())
    }

    #[test]
    fn where_nothing_is_said_any_2xx_is_a_success() {
        let rule = SuccessRule::default();

        for status in [200, 204, 299] {
            assert_eq!(rule.judge(status, b""), Ok(()));
        }
        assert_eq!(rule.judge(500, b"").unwrap_err(), "answered with status 500");
        assert_eq!(rule.judge(302, b"").unwrap_err(), "answered with status 302");
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let rule = read(r#"{"status":["2xx",304],"body_contains":"ok","body_matches":"job \\d+ done"}"#).unwrap();

        assert_eq!(rule.judge(304, b"ok, job 17 done"), Ok(()));
        assert_eq!(rule.judge(500, b"ok, job 17 done").unwrap_err(), "answered with status 500, expected 2xx, 304");
        assert_eq!(
            rule.judge(200, b"job 17 done").unwrap_err(),
            "answered with status 200, but the body does not contain `ok`"
        );
        assert_eq!(
            rule.judge(200, b"ok\xff").unwrap_err(),
            "answered with status 200, but nothing in the body matches `job \\d+ done`"
        );
    }

    #[test]
    fn a_rule_about_the_body_alone_wants_a_2xx_too() {
        let rule = read(r#"{"body_contains":"\u00e9"}"#).unwrap();

        assert_eq!(rule.judge(200, "é".as_bytes()), Ok(()));
        assert_eq!(rule.judge(404, "é".as_bytes()).unwrap_err(), "answered with status 404");
    }

    #[test]
    fn every_mistake_is_told() {
        let refusal = read(r#"{"status":[1],"body_contains":"","body_matches":"(","bodymatches":1}"#).unwrap_err();

        let lines: Vec<&str> = refusal.lines().collect();
        assert_eq!(lines[0], "success.bodymatches: is not known, did you mean `body_matches`?");
        assert!(lines[1].starts_with("success.status[0]: is `1`, expected a status from 100 to 999"), "{refusal}");
        assert_eq!(lines[2], "success.body_contains: is 0 bytes long, expected 1 to 1024");
        assert!(lines[3].starts_with("success.body_matches: is no regular expression (unclosed group)"), "{refusal}");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn an_expression_that_would_grow_large_is_refused() {
        for pattern in [r"\\w{1000}{1000}", r"(\\pL{50}){90}"] {
            let refusal = read(&format!(r#"{{"body_matches":"{pattern}"}}"#)).unwrap_err();
            assert!(refusal.ends_with("needs more than 1048576 bytes of memory"), "{refusal}");
        }
        let nested = format!(r#"{{"body_matches":"{}a{}"}}"#, "(".repeat(500), ")".repeat(500));
        assert!(read(&nested).unwrap_err().contains("is no regular expression"));
        assert!(
            read(&format!(r#"{{"body_matches":"{}"}}"#, "a".repeat(1_025))).unwrap_err().contains("1025 bytes long")
        );
    }

    proptest! {
        #[test]
        fn a_status_is_judged_by_the_ranges_alone(status in 100_u16..1_000, first in 100_u16..900, by in 0_u16..99) {
            let rule = SuccessRule { status: [(first, first + by)].into(), ..SuccessRule::default() };
            prop_assert_eq!(rule.judge(status, b"").is_ok(), status >= first && status <= first + by);
        }

        #[test]
        fn no_pattern_and_no_body_make_it_panic(pattern in "\\PC{1,40}", body in prop::collection::vec(any::<u8>(), 0..200)) {
            let json = serde_json::json!({ "body_matches": pattern, "body_contains": "x" }).to_string();
            match read(&json) {
                Ok(rule) => drop(rule.judge(200, &body)),
                Err(refusal) => prop_assert_eq!(refusal.lines().count(), 1, "{}", refusal),
            }
        }
    }
}
