//! How two states of a task differ, in lines of YAML, without showing a credential.

use similar::{ChangeTag, TextDiff};

use crate::cli::files::{Node, write_yaml};
use crate::model::Header;

/// How many lines are shown around what differs.
const CONTEXT: usize = 3;
/// What stands in place of a credential, and of one that is another.
const MASK: &str = "***";
const OTHER_MASK: &str = "*** (another)";

/// What a line of a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Old,
    New,
    Both,
    /// Lines that are the same are left out here.
    Gap,
}

/// The lines in which a task differs from the state before; all of them if there was none.
pub(super) fn difference(old: Option<&str>, new: Option<&str>) -> Vec<(Sign, String)> {
    let (mut old, mut new) = (old.map(Node::parse), new.map(Node::parse));
    if let Some(Ok(new)) = &mut new {
        mask(new, old.as_ref().and_then(|old| old.as_ref().ok()), OTHER_MASK);
    }
    if let Some(Ok(old)) = &mut old {
        mask(old, None, MASK);
    }
    let text = |node: Option<Result<Node, String>>| match node {
        None => String::new(),
        Some(node) => node.and_then(|node| write_yaml(&node)).unwrap_or_else(|text| format!("({text})\n")),
    };
    let (old, new) = (text(old), text(new));
    let diff = TextDiff::from_lines(&old, &new);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            lines.push((Sign::Gap, "…".to_owned()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => Sign::Old,
                ChangeTag::Insert => Sign::New,
                ChangeTag::Equal => Sign::Both,
            };
            lines.push((sign, change.value().trim_end_matches('\n').to_owned()));
        }
    }
    lines
}

/// Hides credentials in the headers of entries and of their callbacks; one that is not that of `before` is shown as
/// another.
fn mask(task: &mut Node, before: Option<&Node>, other: &str) {
    for (key, entries) in task.members_mut().iter_mut().filter(|(key, _)| key == "entries") {
        let before = before.and_then(|before| before.get(key));
        for (name, entry) in entries.members_mut() {
            let before = before.and_then(|before| before.get(name));
            mask_headers(entry, before, other);
            for (key, callback) in entry.members_mut().iter_mut().filter(|(key, _)| key.starts_with("on_")) {
                mask_headers(callback, before.and_then(|before| before.get(key)), other);
            }
        }
    }
}

fn mask_headers(request: &mut Node, before: Option<&Node>, other: &str) {
    let before = before.and_then(|before| before.get("headers"));
    for (_, headers) in request.members_mut().iter_mut().filter(|(key, _)| key == "headers") {
        for (name, value) in headers.members_mut() {
            if Header::parse(name, "").is_ok_and(|header| header.is_credential()) {
                let is_other = before.is_some_and(|before| before.get(name).is_some_and(|before| before != value));
                *value = Node::Text(if is_other { other } else { MASK }.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(cron: &str, secret: &str) -> String {
        let headers = format!(r#"{{"X-A":"1","Authorization":"{secret}"}}"#);
        format!(
            r#"{{"identity":"t","time_zone":"UTC","start":true,"entries":{{"e":{{"cron_time":"{cron}","url":"http://a/","headers":{headers},"on_failure":{{"url":"http://b/","headers":{headers}}}}}}}}}"#
        )
    }

    fn told(old: Option<&str>, new: Option<&str>) -> Vec<String> {
        let sign = |sign| match sign {
            Sign::Old => '-',
            Sign::New => '+',
            Sign::Both => ' ',
            Sign::Gap => '@',
        };
        difference(old, new).into_iter().map(|(of, text)| format!("{}{text}", sign(of))).collect()
    }

    #[test]
    fn lines_that_differ_are_shown_with_some_around_them() {
        let (old, new) = (task("@daily", "s3cret"), task("@hourly", "s3cret"));

        let lines = told(Some(&old), Some(&new));

        let expected = [
            " start: true",
            " entries:",
            "   e:",
            "-    cron_time: \"@daily\"",
            "+    cron_time: \"@hourly\"",
            "     url: http://a/",
            "     headers:",
            "       X-A: \"1\"",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn credentials_are_never_shown_but_whether_they_differ() {
        let (old, new) = (task("@daily", "s3cret"), task("@daily", "oth3r"));

        let lines = told(Some(&old), Some(&new)).join("\n");
        let created = told(None, Some(&new)).join("\n");
        let deleted = told(Some(&old), None).join("\n");

        for text in [&lines, &created, &deleted] {
            assert!(!text.contains("s3cret") && !text.contains("oth3r"), "{text}");
        }
        assert_eq!(lines.matches("-        Authorization: \"***\"").count(), 1, "{lines}");
        assert_eq!(lines.matches("Authorization: \"*** (another)\"").count(), 2, "{lines}");
        assert_eq!(created.matches("Authorization: \"***\"").count(), 2, "{created}");
        assert_eq!(told(Some(&old), Some(&old)), [""; 0]);
    }

    #[test]
    fn what_yaml_cannot_hold_is_told_in_place_of_it() {
        let old = task("@daily", "x").replace("http://a/", "\\ud800");

        assert!(told(Some(&old), None)[0].starts_with("-(holds a text that is no Unicode"));
    }
}
