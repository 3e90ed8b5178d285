//! The lock of a folder: one process at a time uses what lies in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "lock";

/// Why a folder is not locked.
#[derive(Debug, thiserror::Error)]
pub enum FolderLockError {
    /// Somebody else has it.
    #[error("{} is in use by {owner}; stop it, or set [store] path to another folder", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who has it, for people.
        owner: String,
    },
    /// The system refuses something.
    #[error("cannot {doing} {}: {source} ([store] path)", .path.display())]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// With which folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A folder that only this process uses, until this is dropped. The system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock(File);

impl FolderLock {
    /// Makes the folder if there is none, and locks it.
    pub fn take(folder: &Path) -> Result<Self, FolderLockError> {
        let refused = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| FolderLockError::Refused { doing, path, source }
        };
        fs::create_dir_all(folder).map_err(refused("make the folder", folder))?;
        let path = folder.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(refused("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(folder, file)),
            Err(TryLockError::Error(error)) => return Err(refused("lock", &path)(error)),
        }
        let mut lock = Self(file);
        lock.note_owner().map_err(refused("write", &path))?;
        Ok(lock)
    }

    fn note_owner(&mut self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        write!(self.0, "{}", std::process::id())
    }
}

impl Drop for FolderLock {
    /// To close the file is not enough: a process that was just forked to become another program holds it too, for a moment.
    fn drop(&mut self) {
        // A file that cannot be unlocked is closed now all the same.
        let _ = self.0.unlock();
    }
}

fn in_use(folder: &Path, mut lock: File) -> FolderLockError {
    let mut owner = String::new();
    // Only for the text: a lock whose owner cannot be read is a lock all the same.
    let _ = lock.read_to_string(&mut owner);
    let owner = if owner.is_empty() { "another process".to_owned() } else { format!("process {owner}") };
    FolderLockError::InUse { folder: folder.to_owned(), owner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_who_has_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = FolderLock::take(folder.path()).unwrap();

        let told = FolderLock::take(folder.path()).unwrap_err().to_string();

        let owner = format!("is in use by process {}; stop it", std::process::id());
        assert!(told.contains(&owner), "{told}");
    }

    #[test]
    fn a_lock_that_is_dropped_is_free_also_while_a_forked_process_still_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let in_the_fork = lock.0.try_clone().unwrap();

        drop(lock);

        assert!(FolderLock::take(folder.path()).is_ok());
        drop(in_the_fork);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();

        let told = FolderLock::take(&file).unwrap_err().to_string();

        assert!(told.starts_with(&format!("cannot make the folder {}: ", file.display())), "{told}");
    }
}
