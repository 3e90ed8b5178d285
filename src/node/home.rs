//! The home of a node: its folder, which only one process at a time has locked. Whoever starts in it later knows that the
//! process before has ended.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use uuid::Uuid;

/// Holds the name of the node: made at its first start.
const FILE: &str = "node-id";
/// Linux counts the starts of the machine by names.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The name of the home in a folder that is locked. It is another one for a copy of the folder, and after the machine was started
/// anew: the same folder may be on another machine then, and two may run in it.
pub(super) fn home(folder: &Path) -> anyhow::Result<Uuid> {
    let path = folder.join(FILE);
    let node = node_id(&path).with_context(|| format!("cannot use {} ([store] path)", path.display()))?;
    let place = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // Where there is none, only the folder itself tells homes apart.
    let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
    let parts = format!("{boot} {} {}", place.dev(), place.ino());
    Ok(Uuid::new_v5(&node, parts.as_bytes()))
}

fn node_id(path: &Path) -> io::Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|_| io::Error::other("it holds no UUID, delete it")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let node = Uuid::new_v4();
            let mut file = File::create_new(path)?;
            writeln!(file, "{node}")?;
            file.sync_all()?;
            Ok(node)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_same_home_at_each_start_and_a_copy_of_it_is_another() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at_first = home(folder.path()).unwrap();

        fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();

        assert_eq!(home(folder.path()).unwrap(), at_first);
        assert_ne!(home(copy.path()).unwrap(), at_first);
    }

    #[test]
    fn a_name_that_cannot_be_read_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "me").unwrap();

        let error = format!("{:#}", home(folder.path()).unwrap_err());

        assert!(error.ends_with("node-id ([store] path): it holds no UUID, delete it"), "{error}");
    }
}
