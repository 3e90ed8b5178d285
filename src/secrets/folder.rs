//! A folder with a file for each secret, as Docker and Kubernetes make them.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use secrecy::zeroize::Zeroizing;

use crate::model::{SecretName, SecretText, Timestamp};

/// How many files are read. Further ones are passed over, in the order of their names.
const FILES_MAX: usize = 1_000;

/// The files of a folder, as they were when it was looked at.
#[derive(Debug, Default)]
pub(super) struct Files {
    found: BTreeMap<SecretName, SecretFile>,
    /// Why the folder itself cannot be read.
    pub(super) problem: Option<String>,
}

#[derive(Clone, Debug)]
struct SecretFile {
    mark: Mark,
    /// What it holds, or why that cannot be read.
    text: Result<SecretText, String>,
}

/// What shows that a file has changed, or that another one has taken its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    changed: Option<SystemTime>,
    len: u64,
    place: (u64, u64),
    /// In whole and in parts of a second: a file may be replaced within the same moment of the other clock.
    changed_inside: (i64, i64),
}

impl Mark {
    /// Of a file; links are followed.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::new(&metadata))
    }

    #[cfg(unix)]
    fn new(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let place = (metadata.dev(), metadata.ino());
        let changed_inside = (metadata.ctime(), metadata.ctime_nsec());
        Self { changed: metadata.modified().ok(), len: metadata.len(), place, changed_inside }
    }

    #[cfg(not(unix))]
    fn new(metadata: &Metadata) -> Self {
        Self { changed: metadata.modified().ok(), len: metadata.len(), place: (0, 0), changed_inside: (0, 0) }
    }
}

impl Files {
    /// Looks at a folder. What is as it was is not read again.
    pub(super) fn look(folder: &Path, before: &Self) -> Self {
        let names = match names(folder) {
            Ok(names) => names,
            Err(error) => {
                let problem = Some(format!("the folder {} cannot be read ({error})", folder.display()));
                return Self { found: BTreeMap::new(), problem };
            }
        };
        let look = |name: SecretName| {
            let path = folder.join(name.as_str());
            let mark = fs::metadata(&path).ok().filter(Metadata::is_file).map(|metadata| Mark::new(&metadata))?;
            let same = before.found.get(&name).filter(|known| known.mark == mark && known.text.is_ok());
            let file = same.cloned().unwrap_or_else(|| SecretFile { text: read(&path), mark });
            Some((name, file))
        };
        Self { found: names.into_iter().take(FILES_MAX).filter_map(look).collect(), problem: None }
    }

    /// What a file holds; `None`: there is no such file.
    pub(super) fn get(&self, name: &SecretName) -> Option<Result<SecretText, String>> {
        self.found.get(name).map(|file| file.text.clone())
    }

    /// Of all files: when each was changed, and why it cannot be read.
    pub(super) fn all(&self) -> impl Iterator<Item = (&SecretName, Option<Timestamp>, Option<&str>)> {
        self.found.iter().map(|(name, file)| {
            let since_epoch = file.mark.changed.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            let changed = since_epoch.and_then(|span| i64::try_from(span.as_millis()).ok()).map(Timestamp::from_millis);
            (name, changed, file.text.as_ref().err().map(String::as_str))
        })
    }
}

/// The names of secrets that a folder holds, in their order. What is no name, such as `..data` of Kubernetes, is something else.
fn names(folder: &Path) -> std::io::Result<Vec<SecretName>> {
    let mut names = Vec::new();
    for item in fs::read_dir(folder)? {
        names.extend(item?.file_name().to_str().and_then(|name| SecretName::parse(name).ok()));
    }
    names.sort_unstable();
    Ok(names)
}

fn read(path: &Path) -> Result<SecretText, String> {
    let max = SecretText::LEN_MAX;
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 3));
    // With its line end a value may be longer.
    let read = File::open(path).and_then(|file| file.take(max as u64 + 3).read_to_end(&mut bytes));
    read.map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
    let Ok(text) = std::str::from_utf8(&bytes) else { return Err(format!("{} is not UTF-8", path.display())) };
    match text_of(text) {
        "" => Err(format!("{} is empty", path.display())),
        text if text.len() > max => Err(format!("{} is longer than {max} bytes", path.display())),
        text => Ok(SecretText::new(text)),
    }
}

/// A text without the line end that editors and `echo` put behind it.
pub(super) fn text_of(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        SecretName::parse(text).unwrap()
    }

    fn shown(files: &Files, text: &str) -> Option<Result<String, String>> {
        files.get(&name(text)).map(|found| found.map(|text| text.expose().to_owned()))
    }

    #[test]
    fn a_file_is_a_secret_without_the_line_end_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write("plain", b"hunter2");
        write("line", b" two\nlines \n\n");
        write("windows", b"x\r\n");
        write("empty", b"\n");
        write("latin", b"\xe9");
        write("long", &vec![b'x'; SecretText::LEN_MAX + 1]);
        write("longest", &[&vec![b'x'; SecretText::LEN_MAX][..], b"\n"].concat());
        write("no name", b"x");
        fs::create_dir(folder.path().join("folder")).unwrap();

        let files = Files::look(folder.path(), &Files::default());

        assert_eq!(shown(&files, "plain"), Some(Ok("hunter2".to_owned())));
        assert_eq!(shown(&files, "line"), Some(Ok(" two\nlines \n".to_owned())));
        assert_eq!(shown(&files, "windows"), Some(Ok("x".to_owned())));
        assert_eq!(shown(&files, "longest").unwrap().unwrap().len(), SecretText::LEN_MAX);
        for (name, why) in [("empty", "is empty"), ("latin", "is not UTF-8"), ("long", "is longer than 65536 bytes")] {
            assert!(shown(&files, name).unwrap().unwrap_err().ends_with(why), "{name}");
        }
        assert_eq!((shown(&files, "folder"), shown(&files, "none")), (None, None));
        assert!(!format!("{files:?}").contains("hunter2"));
    }

    #[cfg(unix)]
    #[test]
    fn files_that_are_swapped_by_a_link_are_read_again_and_others_are_not() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("token"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/token", at("token")).unwrap();
        fs::write(at("same"), "same").unwrap();

        let before = Files::look(folder.path(), &Files::default());
        symlink("..2", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        let after = Files::look(folder.path(), &before);

        assert_eq!(shown(&before, "token"), Some(Ok("old".to_owned())));
        assert_eq!(shown(&after, "token"), Some(Ok("new".to_owned())));
        let text = |files: &Files| files.get(&name("same")).unwrap().unwrap().expose().as_ptr();
        assert_eq!(text(&before), text(&after), "the same memory: it was not read again");
        fs::remove_file(at("token")).unwrap();
        assert_eq!(shown(&Files::look(folder.path(), &after), "token"), None);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let files = Files::look(Path::new("/nowhere/at/all"), &Files::default());

        assert!(files.problem.unwrap().starts_with("the folder /nowhere/at/all cannot be read (No such file"));
    }
}
