//! Which files are meant, and their text.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How a file is written, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum FileFormat {
    /// YAML 1.2, several documents
    Yaml,
    /// A JSON array
    Json,
    /// One JSON object in each line
    Ndjson,
}

impl FileFormat {
    /// As the end of the name says.
    pub(in crate::cli) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// The end of a name.
    pub(in crate::cli) fn extension(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }
}

/// The standard input.
const STDIN: &str = "-";

/// The files that are meant: those named, and of folders all below them that hold tasks by their names, in order and each
/// once. What begins with a dot is left out. Links to folders could lead in circles, so none is followed: one that leads to what is
/// not gone through anyway is a mistake, as tasks that are passed over would count as standing in no file.
pub(in crate::cli) fn find(paths: &[PathBuf], mistakes: &mut Vec<String>) -> Vec<(PathBuf, FileFormat)> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let roots: Vec<PathBuf> =
        paths.iter().filter(|path| path.is_dir()).filter_map(|path| path.canonicalize().ok()).collect();
    for path in paths {
        let before = found.len();
        if path.as_os_str() == STDIN {
            // YAML holds JSON.
            found.push((path.clone(), FileFormat::Yaml));
        } else if path.is_dir() {
            walk(path, &roots, &mut found, mistakes);
            if found.len() == before {
                mistakes.push(format!("{}: holds no .yaml, .yml, .json, .ndjson or .jsonl file", path.display()));
            }
        } else if let Some(format) = FileFormat::of(path) {
            found.push((path.clone(), format));
        } else {
            let expected = "its name ends with none of .yaml, .yml, .json, .ndjson and .jsonl";
            mistakes.push(format!("{}: {expected}", path.display()));
        }
    }
    found.retain(|(path, _)| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    found
}

fn walk(folder: &Path, roots: &[PathBuf], found: &mut Vec<(PathBuf, FileFormat)>, mistakes: &mut Vec<String>) {
    let items = match std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(items) => items,
        Err(error) => return mistakes.push(format!("{}: cannot be read ({error})", folder.display())),
    };
    let is_hidden = |path: &Path| path.file_name().is_some_and(is_hidden);
    let mut paths: Vec<PathBuf> = items.into_iter().map(|item| item.path()).filter(|path| !is_hidden(path)).collect();
    paths.sort_unstable();
    for path in paths {
        let (format, shown) = (FileFormat::of(&path), path.display());
        match (path.is_dir(), path.is_symlink()) {
            (true, false) => walk(&path, roots, found, mistakes),
            (true, true) if is_gone_through(&path, roots) => {}
            (true, true) => {
                let remedy = "name it with -f (import: beside the others)";
                mistakes.push(format!("{shown}: is a link to a folder: {remedy}"));
            }
            // It may have been one to a folder.
            (false, true) if format.is_none() && !path.exists() => {
                mistakes.push(format!("{shown}: is a link that leads nowhere"));
            }
            (false, _) => found.extend(format.map(|format| (path, format))),
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a link leads to a folder whose files are found without it.
fn is_gone_through(link: &Path, roots: &[PathBuf]) -> bool {
    let Ok(target) = link.canonicalize() else { return false };
    let below = roots.iter().filter_map(|root| target.strip_prefix(root).ok());
    below.into_iter().any(|below| !below.iter().any(is_hidden))
}

/// The text of a file of at most `max` bytes.
pub(super) fn text(path: &Path, max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == STDIN {
        std::io::stdin().lock().take(max + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("cannot be read ({error})"))?;
    if bytes.len() as u64 > max {
        return Err(format!("is too long, expected at most {max} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("line {}: is no UTF-8", good.iter().filter(|&&byte| byte == b'\n').count() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_folder_stands_for_the_files_below_it_in_order_each_once_and_links_lead_in_no_circle() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/.git")).unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        for name in ["b/2.JSON", "a.yml", "b/1.ndjson", "b/.git/x.json", ".x.yaml", "c.txt", "z.jsonl"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("b/circle")).unwrap();
        std::os::unix::fs::symlink(at("a.yml"), at("y.yaml")).unwrap();
        let mut mistakes = Vec::new();

        let found = find(&[at("z.jsonl"), folder.path().to_owned(), at("a.yml"), at("empty")], &mut mistakes);

        let told: Vec<(String, FileFormat)> = found
            .into_iter()
            .map(|(path, format)| (path.strip_prefix(folder.path()).unwrap().display().to_string(), format))
            .collect();
        let expected = [
            ("z.jsonl", FileFormat::Ndjson),
            ("a.yml", FileFormat::Yaml),
            ("b/1.ndjson", FileFormat::Ndjson),
            ("b/2.JSON", FileFormat::Json),
        ];
        assert_eq!(told, expected.map(|(name, format)| (name.to_owned(), format)));
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].ends_with("empty: holds no .yaml, .yml, .json, .ndjson or .jsonl file"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_is_never_passed_over_in_silence() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name);
        for path in [at("a.yaml"), elsewhere.path().join("b.yaml")] {
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(elsewhere.path(), at("team")).unwrap();
        std::os::unix::fs::symlink(at("gone"), at("was")).unwrap();
        let (mut mistakes, mut when_named) = (Vec::new(), Vec::new());

        find(&[folder.path().to_owned()], &mut mistakes);
        let found = find(&[folder.path().to_owned(), at("team")], &mut when_named);

        let nowhere = format!("{}: is a link that leads nowhere", at("was").display());
        let team =
            format!("{}: is a link to a folder: name it with -f (import: beside the others)", at("team").display());
        assert_eq!(mistakes, [team, nowhere.clone()]);
        assert_eq!((when_named, found.len()), (vec![nowhere], 2));
    }

    #[test]
    fn a_text_has_its_limit_and_is_unicode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, b"a\nb\xff").unwrap();

        assert_eq!(text(&path, 4).unwrap_err(), "line 2: is no UTF-8");
        assert_eq!(text(&path, 3).unwrap_err(), "is too long, expected at most 3 bytes");
        assert!(text(folder.path(), 3).unwrap_err().starts_with("cannot be read"));
    }
}
