//! The lock on a state directory: one pgcdc at a time, and the file says which.
//!
//! The operating system frees the lock with its process, however that ends; what the file says is only for people.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Another pgcdc has the state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    folder: PathBuf,
    /// As it wrote it; empty if it did not.
    pub(crate) pid: String,
}

impl Holder {
    /// One line for the operator.
    pub(crate) fn refusal(&self) -> String {
        let (folder, pid) = (self.folder.display(), &self.pid);
        format!(
            "another pgcdc (PID {pid}) uses the state directory {folder}: stop it, give this one its own --state-dir, or start it with --standby to wait for its turn"
        )
    }
}

/// Takes the lock of a state directory, for as long as the file lives. The error is one line.
pub(super) fn take(folder: &Path) -> Result<Result<File, Holder>, String> {
    let path = folder.join("lock");
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    // Not cut to nothing on opening: until the lock is ours, what it says is another's.
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut said = String::new();
            let _ = Read::by_ref(&mut file).take(32).read_to_string(&mut said);
            let digits: String = said.chars().take_while(char::is_ascii_digit).collect();
            let pid = if digits.is_empty() { "not known".to_owned() } else { digits };
            return Ok(Err(Holder { folder: folder.to_owned(), pid }));
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    // The lock is what counts: a full disk must not keep pgcdc from starting.
    let said = file.set_len(0).and_then(|()| file.rewind());
    if let Err(error) = said.and_then(|()| writeln!(file, "{}", std::process::id())) {
        tracing::warn!(path = %path.display(), %error, "the lock does not say whose it is");
    }
    Ok(Ok(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder =
            std::env::temp_dir().join(format!("pgcdc-lock-{}-{:x}", std::process::id(), crate::random()));
        std::fs::create_dir(&folder).unwrap();
        let first = take(&folder).unwrap().unwrap();
        let holder = take(&folder).unwrap().unwrap_err();
        assert_eq!(holder.pid, std::process::id().to_string());
        assert!(holder.refusal().contains(&holder.pid), "{}", holder.refusal());
        drop(first);
        assert!(take(&folder).unwrap().is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
