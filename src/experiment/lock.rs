//! One process at a time writes a folder of results.
//!
//! The lock is the system's (`flock`), on a hidden file beside the folder, so that it ends with its process however that ends: a file that
//! is left behind by a `kill -9` holds nobody up.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// That nobody else writes a folder, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// The file to take away at the end; `None` where the file system has no locks, so that it may be somebody else's.
    path: Option<PathBuf>,
    /// Closed, and by that unlocked, after the file is gone.
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it; its id, if it could be read.
    #[error("another kilopod{} is writing {folder}; its lock is {lock}", holder_text(.holder))]
    Taken { folder: String, lock: String, holder: Option<u32> },
    #[error("{path}: {error}")]
    Trouble { path: String, error: io::Error },
}

fn holder_text(holder: &Option<u32>) -> String {
    holder.map_or(String::new(), |pid| format!(" (process {pid})"))
}

impl Lock {
    /// Takes the lock `path` for the folder that is `named`, at once or not at all. The folders above it are made.
    ///
    /// # Errors
    /// If another process has it, or files cannot be made there.
    pub(super) fn take(path: &Path, named: &Path) -> Result<Lock, LockError> {
        let trouble = |error| LockError::Trouble { path: path.display().to_string(), error };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(trouble)?;
        }
        loop {
            // Processes of several containers may have the same id: the instant tells them apart.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let own = format!("{} {since}", std::process::id());
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let mut file = open.map_err(trouble)?;
            let locked = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => {
                    let text = fs::read_to_string(path).unwrap_or_default();
                    let holder = text.split(' ').next().and_then(|pid| pid.parse().ok());
                    let (folder, lock) = (named.display().to_string(), path.display().to_string());
                    return Err(LockError::Taken { folder, lock, holder });
                }
                // Some file systems over a network have no locks: there the user sees to it.
                Err(TryLockError::Error(_)) => false,
            };
            file.set_len(0).and_then(|()| file.write_all(own.as_bytes())).map_err(trouble)?;
            // Who had it before takes the file away last: then this one is nobody's, and the next is not held up by it.
            if !locked || fs::read_to_string(path).is_ok_and(|text| text == own) {
                return Ok(Lock { path: locked.then(|| path.to_path_buf()), _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If it stays, it holds nobody up.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_what_is_left_behind_holds_nobody_up() {
        let folder = std::env::temp_dir().join(format!("kilopod-lock-{}", std::process::id()));
        let (path, named) = (folder.join(".out.lock"), folder.join("out"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, "4294967295").unwrap();
        let first = Lock::take(&path, &named).unwrap();
        let second = Lock::take(&path, &named);
        let own = Some(std::process::id());
        assert!(matches!(second, Err(LockError::Taken { holder, .. }) if holder == own), "{second:?}");
        drop(first);
        assert!(!path.exists());
        drop(Lock::take(&path, &named).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }
}
