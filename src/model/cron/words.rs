use super::Rule;
pub(super) fn describe(_rule: &Rule) -> String { String::new() }
