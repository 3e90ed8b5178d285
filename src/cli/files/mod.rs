//! Tasks in files: YAML, JSON and NDJSON, read so that every mistake names its file and its place.

mod find;
mod json;
mod node;
mod write_yaml;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::find::{FileFormat, find};
pub(super) use self::node::Node;
pub(super) use self::write_yaml::write_yaml;

use crate::api::{self, Draft};
use crate::model::Timestamp;

/// The largest file that is read, in bytes. A larger one is refused.
const FILE_MAX: u64 = 1024 * 1024 * 1024;

/// How many mistakes are told. Further ones are counted.
const MISTAKES_MAX: usize = 1_000;

/// A value in a file.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    /// Counts the documents of the file from 1.
    document: usize,
    /// Counts the values of a document that is a list, from 1.
    item: Option<usize>,
    line: usize,
    json: String,
}

/// Where a task stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: Arc<Path>,
    document: usize,
    item: Option<usize>,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, document, line) = (self.file.display(), self.document, self.line);
        match self.item {
            Some(item) => write!(f, "{file}: document {document}, item {item} (line {line})"),
            None => write!(f, "{file}: document {document} (line {line})"),
        }
    }
}

/// A task in a file.
pub(super) struct FileTask {
    /// Where it stands.
    pub(super) place: Place,
    /// As JSON.
    pub(super) body: String,
    /// What `/put` makes of it.
    pub(super) draft: Draft,
}

/// What files hold.
#[derive(Default)]
pub(super) struct Tasks {
    /// By their identities.
    pub(super) tasks: BTreeMap<String, FileTask>,
    /// What is wrong, one line each.
    pub(super) mistakes: Vec<String>,
    /// What is odd, one line each.
    pub(super) warnings: Vec<String>,
    /// How many files there are.
    pub(super) files: usize,
}

impl Tasks {
    /// Reads files and folders, with every mistake at once. `now` tells which instants have passed.
    pub(super) fn read(paths: &[PathBuf], now: Timestamp) -> Self {
        let mut read = Self::default();
        for (path, format) in find(paths, &mut read.mistakes) {
            read.files += 1;
            match values(&path, format) {
                Ok(values) => {
                    let file: Arc<Path> = path.into();
                    values.into_iter().for_each(|value| read.add(&file, value, now));
                }
                Err(mistakes) => {
                    let file = path.display();
                    read.mistakes.extend(mistakes.into_iter().map(|mistake| format!("{file}: {mistake}")));
                }
            }
        }
        read
    }

    /// The same, or all mistakes as an error.
    pub(super) fn without_mistakes(self) -> anyhow::Result<Self> {
        let count = self.mistakes.len();
        if count == 0 {
            return Ok(self);
        }
        let mut text =
            format!("the files have {count} mistake{}, nothing was changed", if count == 1 { "" } else { "s" });
        for mistake in self.mistakes.iter().take(MISTAKES_MAX) {
            text.push_str("\n  ");
            text.extend(mistake.chars().map(|letter| if letter.is_control() { ' ' } else { letter }));
        }
        if count > MISTAKES_MAX {
            text.push_str(&format!("\n  and {} more", count - MISTAKES_MAX));
        }
        Err(anyhow::anyhow!(text))
    }

    fn add(&mut self, file: &Arc<Path>, value: Value, now: Timestamp) {
        let Value { document, item, line, json } = value;
        let place = Place { file: file.clone(), document, item, line };
        match api::read_draft(json.as_bytes(), now) {
            Ok(draft) => {
                self.warnings.extend(draft.warnings.iter().map(|warning| format!("{place}: {warning}")));
                if let Some(other) = self.tasks.get(&draft.identity) {
                    let text = format!(
                        "{place}: identity: `{}` stands in {} already",
                        draft.identity.escape_debug(),
                        other.place
                    );
                    self.mistakes.push(text);
                    return;
                }
                self.tasks.insert(draft.identity.clone(), FileTask { place, body: json, draft });
            }
            Err(text) => self.mistakes.extend(text.lines().map(|mistake| format!("{place}: {mistake}"))),
        }
    }
}

/// What a file holds, or every mistake in it.
fn values(path: &Path, format: FileFormat) -> Result<Vec<Value>, Vec<String>> {
    let text = find::text(path, FILE_MAX).map_err(|mistake| vec![mistake])?;
    match format {
        FileFormat::Yaml => yaml::read(&text),
        FileFormat::Json => json::read(&text),
        FileFormat::Ndjson => json::read_lines(&text),
    }
}
