//! Opening and rotating on the file system; blocking.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use super::Error;

/// Rotated files that are ever kept.
const KEEP_MAX: u32 = 10_000;

/// Opens for appending, or makes the file and syncs its folder, so that the name survives a crash, too.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    if path.is_dir() {
        return Err(Error::io(path, "open", &std::io::Error::other("is a folder")));
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    if let Ok(file) = options.open(path) {
        return Ok(file);
    }
    let file = options.create(true).open(path).map_err(|e| Error::io(path, "open", &e))?;
    sync_folder(path)?;
    Ok(file)
}

/// Makes renames and new names in a file's folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| Error::io(folder, "sync the folder", &e))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// `.n` to `.n+1` from the oldest on, the file itself to `.1`; with `keep` 0 it is removed.
pub(super) fn rotate(path: &Path, keep: u32) -> Result<File, Error> {
    let keep = keep.min(KEEP_MAX);
    let missing_is_fine = |result: std::io::Result<()>, action| match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, action, &e)),
        _ => Ok(()),
    };
    if keep == 0 {
        missing_is_fine(fs::remove_file(path), "remove")?;
    } else {
        missing_is_fine(fs::remove_file(numbered(path, keep)), "remove the oldest")?;
        for number in (1..keep).rev() {
            missing_is_fine(fs::rename(numbered(path, number), numbered(path, number + 1)), "rename")?;
        }
        fs::rename(path, numbered(path, 1)).map_err(|e| Error::io(path, "rename", &e))?;
    }
    let file = open(path)?;
    sync_folder(path)?;
    Ok(file)
}
