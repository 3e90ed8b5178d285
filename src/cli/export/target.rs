//! Where exported tasks go. A file is there whole or not at all: it gets its name when it is done.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use xxhash_rust::xxh64::xxh64;

use crate::cli::files::{FileFormat, Node, write_yaml};

/// The longest name of a file without its end, in bytes. A longer one is cut and told apart by a hash.
const NAME_LEN_MAX: usize = 180;
/// What an identity keeps of itself in the name of a file.
const IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b' ');

/// Takes tasks, each a line of JSON.
pub(super) enum Target<'a, W: Write> {
    Output(Writing<&'a mut W>),
    File { writing: Writing<BufWriter<File>>, unfinished: Unfinished },
    Folder { folder: PathBuf, format: FileFormat, names: HashSet<String> },
}

impl<'a, W: Write> Target<'a, W> {
    pub(super) fn open(path: Option<&Path>, format: Option<FileFormat>, output: &'a mut W) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Output(Writing::new(output, format.unwrap_or(FileFormat::Yaml))));
        };
        if is_folder(path) {
            std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
            let format = format.unwrap_or(FileFormat::Yaml);
            return Ok(Self::Folder { folder: path.to_owned(), format, names: HashSet::new() });
        }
        let format = format.or_else(|| FileFormat::of(path)).unwrap_or(FileFormat::Yaml);
        let (file, unfinished) = Unfinished::create(path)?;
        Ok(Self::File { writing: Writing::new(BufWriter::new(file), format), unfinished })
    }

    /// Takes a task. The inner error says why it cannot be written in this format; the others can.
    pub(super) fn put(&mut self, task: &str) -> anyhow::Result<Result<(), String>> {
        match self {
            Self::Output(writing) => Ok(writing.put(task)?),
            Self::File { writing, unfinished } => writing.put(task).with_context(|| unfinished.complaint()),
            Self::Folder { folder, format, names } => {
                let path = folder.join(file_name(&identity_of(task)?, *format, names));
                let (file, unfinished) = Unfinished::create(&path)?;
                let mut writing = Writing::new(BufWriter::new(file), *format);
                let put = writing.put(task).and_then(|put| writing.end().map(|()| put));
                let put = put.with_context(|| unfinished.complaint())?;
                if put.is_ok() {
                    unfinished.finish()?;
                }
                Ok(put)
            }
        }
    }

    /// All tasks were taken.
    pub(super) fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Output(mut writing) => Ok(writing.end()?),
            Self::File { mut writing, unfinished } => {
                writing.end().with_context(|| unfinished.complaint())?;
                unfinished.finish()
            }
            Self::Folder { .. } => Ok(()),
        }
    }
}

/// A name without an end is one: as a file, no apply would take it.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") || !path.exists() && path.extension().is_none()
}

/// Writes tasks one after the other.
pub(super) struct Writing<W: Write> {
    out: W,
    format: FileFormat,
    count: u64,
}

impl<W: Write> Writing<W> {
    fn new(out: W, format: FileFormat) -> Self {
        Self { out, format, count: 0 }
    }

    fn put(&mut self, task: &str) -> std::io::Result<Result<(), String>> {
        match self.format {
            FileFormat::Ndjson => writeln!(self.out, "{task}")?,
            FileFormat::Json => {
                let before = if self.count == 0 { "[\n" } else { ",\n" };
                write!(self.out, "{before}{task}")?;
            }
            FileFormat::Yaml => match Node::parse(task).and_then(|node| write_yaml(&node)) {
                Ok(yaml) => write!(self.out, "---\n{yaml}")?,
                Err(text) => return Ok(Err(format!("{} {text}", shown_identity(task)))),
            },
        }
        self.count += 1;
        Ok(Ok(()))
    }

    fn end(&mut self) -> std::io::Result<()> {
        if self.format == FileFormat::Json {
            self.out.write_all(if self.count == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()
    }
}

fn identity_of(task: &str) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Named {
        identity: String,
    }
    let named: Named = serde_json::from_str(task).context("the service wrote a line that is no task")?;
    Ok(named.identity)
}

fn shown_identity(task: &str) -> String {
    identity_of(task).map_or_else(|error| error.to_string(), |identity| format!("{identity:?}"))
}

/// A name that every file system takes, and that no other task has, also where cases are not told apart.
fn file_name(identity: &str, format: FileFormat, names: &mut HashSet<String>) -> String {
    let mut name = utf8_percent_encode(identity, IN_NAMES).to_string();
    if let Some(rest) = name.strip_prefix('.') {
        // Files that begin with a dot are hidden.
        name = format!("%2E{rest}");
    }
    let is_long = name.len() > NAME_LEN_MAX;
    if is_long || !names.insert(name.to_lowercase()) {
        name.truncate(NAME_LEN_MAX);
        name = format!("{name}~{:016x}", xxh64(identity.as_bytes(), 0));
        names.insert(name.to_lowercase());
    }
    format!("{name}.{}", format.extension())
}

/// A file that is being written under another name. It is deleted if it is not finished.
pub(super) struct Unfinished {
    path: PathBuf,
    part: PathBuf,
    is_finished: bool,
}

impl Unfinished {
    fn create(path: &Path) -> anyhow::Result<(File, Self)> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Headers may hold credentials.
            options.mode(0o600);
        }
        let file = options.open(&part).with_context(|| format!("cannot write {}", path.display()))?;
        Ok((file, Self { path: path.to_owned(), part, is_finished: false }))
    }

    fn complaint(&self) -> String {
        format!("cannot write {}", self.path.display())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        std::fs::rename(&self.part, &self.path).with_context(|| self.complaint())?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be deleted stays behind under a name that nobody takes for the whole.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_has_a_file_name_of_its_own() {
        let mut names = HashSet::new();
        let mut name = |identity: &str| file_name(identity, FileFormat::Yaml, &mut names);

        assert_eq!(name("backup"), "backup.yaml");
        assert_eq!(name("a/b c.é"), "a%2Fb c%2E%C3%A9.yaml".replace("%2E", "."));
        assert_eq!(name(".."), "%2E..yaml");
        assert_eq!(name("\u{0}"), "%00.yaml");
        let upper = name("BACKUP");
        assert!(upper.starts_with("BACKUP~") && upper.len() == "BACKUP~.yaml".len() + 16, "{upper}");
        let long = [name(&"é".repeat(128)), name(&format!("{}x", "é".repeat(127)))];
        assert!(long[0] != long[1] && long.iter().all(|name| name.len() < 255), "{long:?}");
    }

    #[test]
    fn a_name_without_an_end_is_a_folder_unless_there_is_such_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| is_folder(&folder.path().join(name));
        std::fs::write(folder.path().join("there"), "").unwrap();

        assert_eq!(["tasks", "tasks/", "tasks.yaml/", "."].map(of), [true; 4]);
        assert_eq!(["tasks.yaml", "tasks.old", "there"].map(of), [false; 3]);
    }

    #[test]
    fn an_array_of_no_or_several_tasks_is_json() {
        let write = |tasks: &[&str]| {
            let mut writing = Writing::new(Vec::new(), FileFormat::Json);
            tasks.iter().for_each(|task| writing.put(task).unwrap().unwrap());
            writing.end().unwrap();
            String::from_utf8(writing.out).unwrap()
        };

        assert_eq!(write(&[]), "[]\n");
        assert_eq!(write(&["{}", "{\"a\":1}"]), "[\n{},\n{\"a\":1}\n]\n");
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "old").unwrap();

        let (mut file, unfinished) = Unfinished::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        drop(unfinished);

        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
