//! Under which user servers run: PostgreSQL refuses root, so a test run as root borrows another account.
//!
//! Invariant: no server started here ever runs as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

/// A user other than root, or nobody at all when this process is not root and needs none.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    /// The account `postgres`, or else `nobody`, if this process is root; its own account otherwise.
    #[must_use]
    pub fn for_servers() -> Self {
        if !Uid::effective().is_root() {
            return Self { ids: None };
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Self { ids: Some((user.uid.as_raw(), user.gid.as_raw())) };
            }
        }
        panic!("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`");
    }

    /// This process's own account.
    #[must_use]
    pub const fn own() -> Self {
        Self { ids: None }
    }

    /// Has `command` run under this account.
    pub fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives `path` to this account.
    pub fn give(self, path: &Path) {
        if let Some((uid, gid)) = self.ids {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .unwrap_or_else(|error| panic!("cannot give {} to uid {uid}: {error}", path.display()));
        }
    }
}
