//! How far a copy from one store to another has come: a small file in the node's folder, there until the copy is whole.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::transfer::{Kind, Position};

const FILE: &str = "migration.json";
/// Written whole under this name first: the other one never holds half a state.
const FILE_BESIDE: &str = "migration.json.new";

/// One of the two stores that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The folder that holds the file.
    Embedded,
    /// A cluster, by the name of its index.
    Elasticsearch(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("the embedded store"),
            Self::Elasticsearch(index) => write!(f, "elasticsearch index {index}"),
        }
    }
}

/// A copy that is not whole yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Where it comes from.
    pub from: Place,
    /// Where it goes.
    pub to: Place,
    /// The checksum of the source's leases when it began: another one means that a node has used the source since.
    pub leases: u64,
    /// What is being copied; `None`: everything is, but it was not seen to be the same yet.
    pub kind: Option<Kind>,
    /// How far that kind is copied; `None`: not at all.
    pub after: Option<Position>,
}

impl Unfinished {
    /// Where it stands in the folder of a node.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Reads it, if there is one.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(Self::path(folder)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it, whole or not at all. It is on the disk when this returns.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let beside = folder.join(FILE_BESIDE);
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&beside, Self::path(folder))?;
        File::open(folder)?.sync_all()
    }

    /// The copy is whole.
    pub fn remove(folder: &Path) -> io::Result<()> {
        fs::remove_file(Self::path(folder))?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_last_is_loaded_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let from = Place::Elasticsearch("schedule".to_owned());
        let first = Unfinished { from, to: Place::Embedded, leases: u64::MAX, kind: Some(Kind::Marks), after: None };
        let second = Unfinished { kind: None, after: Some(Position::of(("a\u{0}", 7))), ..first.clone() };

        assert_eq!(Unfinished::load(folder.path()).unwrap(), None);
        for state in [first, second] {
            state.save(folder.path()).unwrap();
            assert_eq!(Unfinished::load(folder.path()).unwrap(), Some(state));
        }
        Unfinished::remove(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
