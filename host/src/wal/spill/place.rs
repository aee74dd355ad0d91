//! Where transactions in progress are kept, and who is told how much that is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of this process alone, and somebody to tell.
#[derive(Clone)]
pub struct SpillPlace {
    folder: PathBuf,
    told: Arc<dyn Fn(News) + Send + Sync>,
}

/// How one session fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// On the disk now.
    pub disk_bytes: u64,
    /// Transactions in progress of which something is kept.
    pub open: usize,
    /// Written since the last news.
    pub written_bytes: u64,
    /// Transactions that have committed since the last news.
    pub committed: u64,
}

impl SpillPlace {
    /// The folder need not exist; it is made, for its owner alone, when something is too large for memory.
    pub fn new(folder: PathBuf, told: impl Fn(News) + Send + Sync + 'static) -> SpillPlace {
        SpillPlace { folder, told: Arc::new(told) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn file(&self, session: u32, xid: u32) -> PathBuf {
        self.folder.join(format!("wal-{session}-{xid}"))
    }

    pub(super) fn tell(&self, news: News) {
        (self.told)(news);
    }
}

impl fmt::Debug for SpillPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpillPlace({})", self.folder.display())
    }
}

/// Removes what an earlier process has left: the server sends it again.
pub fn forget(folder: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: leftovers of an earlier run cannot be removed: {e}", folder.display()))
        }
        _ => Ok(()),
    }
}
