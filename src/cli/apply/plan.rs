//! What there is to do: a comparison of files with a service, without doing anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::FileTask;
use crate::api;
use crate::model::Timestamp;

/// One change.
pub(super) struct Step<'a> {
    pub(super) identity: String,
    pub(super) deed: Deed<'a>,
}

/// What is done to a task.
pub(super) enum Deed<'a> {
    /// The service does not have it.
    Create { task: &'a FileTask },
    /// The service has it otherwise.
    Change { task: &'a FileTask, revision: u64, old: String },
    /// It stands in no file.
    Delete { revision: u64 },
}

/// All changes, in the order of identities.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) unchanged: usize,
}

impl Plan<'_> {
    /// How many tasks are created, changed and deleted.
    pub(super) fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for step in &self.steps {
            counts[step.deed.index()] += 1;
        }
        counts
    }
}

impl Deed<'_> {
    /// Its place in counts.
    pub(super) fn index(&self) -> usize {
        match self {
            Self::Create { .. } => 0,
            Self::Change { .. } => 1,
            Self::Delete { .. } => 2,
        }
    }
}

/// A task as the service has it.
#[derive(Deserialize)]
struct Exported {
    identity: String,
    revision: u64,
}

/// A comparison on its way.
pub(super) struct Planning<'a> {
    wanted: &'a BTreeMap<String, FileTask>,
    /// What stands in no file is deleted if it begins so.
    prune: Option<&'a str>,
    seen: BTreeSet<&'a str>,
    plan: Plan<'a>,
}

impl<'a> Planning<'a> {
    pub(super) fn new(wanted: &'a BTreeMap<String, FileTask>, prune: Option<&'a str>) -> Self {
        Self { wanted, prune, seen: BTreeSet::new(), plan: Plan::default() }
    }

    /// Takes in one task of the service, a line of its export. The error says what is wrong with the line.
    pub(super) fn note(&mut self, line: &[u8], now: Timestamp) -> Result<(), String> {
        let not_understood = |error| format!("expected a task in each line ({error})");
        let Exported { identity, revision } = serde_json::from_slice(line).map_err(not_understood)?;
        let Some((name, task)) = self.wanted.get_key_value(&identity) else {
            if self.prune.is_some_and(|prefix| identity.starts_with(prefix)) {
                self.plan.steps.push(Step { identity, deed: Deed::Delete { revision } });
            }
            return Ok(());
        };
        self.seen.insert(name);
        // Read and written again here: another version of the service may write it otherwise. One that cannot be read any
        // more is different.
        let old = match api::read_draft(line, now) {
            Ok(draft) => draft.normal,
            Err(_) => String::from_utf8_lossy(line).into_owned(),
        };
        if old == task.draft.normal {
            self.plan.unchanged += 1;
        } else {
            self.plan.steps.push(Step { identity, deed: Deed::Change { task, revision, old } });
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Plan<'a> {
        let new = self.wanted.iter().filter(|(identity, _)| !self.seen.contains(identity.as_str()));
        let create = |(identity, task): (&String, &'a FileTask)| Step {
            identity: identity.clone(),
            deed: Deed::Create { task },
        };
        self.plan.steps.extend(new.map(create));
        self.plan.steps.sort_by(|one, other| one.identity.cmp(&other.identity));
        self.plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::files::Tasks;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn task(identity: &str, more: &str) -> String {
        format!(
            r#"{{"identity":"{identity}","time_zone":"UTC","start":true,{more}"entries":{{"e":{{"cron_time":"@daily","url":"http://a/"}}}}}}"#
        )
    }

    fn told(files: &str, exported: &[String], prune: Option<&str>) -> (Vec<String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.ndjson");
        std::fs::write(&path, files).unwrap();
        let tasks = Tasks::read(&[path], NOW);
        assert_eq!(tasks.mistakes, [""; 0]);
        let mut planning = Planning::new(&tasks.tasks, prune);
        exported.iter().for_each(|line| planning.note(line.as_bytes(), NOW).unwrap());
        let plan = planning.end();
        let word = |step: &Step<'_>| match &step.deed {
            Deed::Create { .. } => format!("create {}", step.identity),
            Deed::Change { revision, .. } => format!("change {} {revision}", step.identity),
            Deed::Delete { revision } => format!("delete {} {revision}", step.identity),
        };
        (plan.steps.iter().map(word).collect(), plan.unchanged)
    }

    #[test]
    fn what_is_missing_is_created_what_differs_changed_and_what_stands_nowhere_deleted_if_that_is_wanted() {
        let files = format!("{}\n{}\n{}", task("same", ""), task("new", ""), task("other", ""));
        let other = task("other", r#""revision":4,"#).replace("@daily", "@hourly");
        let exported = [task("gone/1", r#""revision":3,"#), other, task("same", r#""revision":9,"#)];

        let (steps, unchanged) = told(&files, &exported, None);

        assert_eq!((steps.as_slice(), unchanged), (&["create new".to_owned(), "change other 4".to_owned()][..], 1));
        let (steps, _) = told(&files, &exported, Some(""));
        assert_eq!(steps, ["delete gone/1 3", "create new", "change other 4"]);
        assert_eq!(told(&files, &exported, Some("gone/2")).0.len(), 2);
    }

    #[test]
    fn what_means_the_same_is_no_change_however_it_is_written() {
        let file = r#"{"entries":{"b":{"url":"http://a/","tags":["x"],"retry":{"attempts_max":2},"every":"90s","next_date":"2027-01-01T00:00:00Z"},
            "a":{"headers":null,"body":{"k" : 1.50},"cron_time":"@daily","url":"http:\/\/a/"}},"start":true,"time_zone":"UTC","identity":"t"}"#;
        let exported = r#"{"identity":"t","time_zone":"UTC","start":true,"revision":2,"entries":{"a":{"cron_time":"@daily","url":"http://a/","body":{"k":1.50}},
            "b":{"every":"90s","url":"http://a/","retry":{"attempts_max":2},"tags":["x"]}}}"#;

        let file = file.replace('\n', "");
        assert_eq!(told(&file, &[exported.replace('\n', "")], Some("")), (Vec::new(), 1));
        let numbers = exported.replace("1.50", "1.5").replace('\n', "");
        assert_eq!(told(&file, &[numbers], Some("")), (vec!["change t 2".to_owned()], 0));
    }
}
