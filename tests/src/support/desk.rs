//! The folder that one pgcdc works in: manifest, state, output; it outlives crashes of its pgcdc.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::account::Account;
use super::manifest::Manifest;
use super::pgcdc::Pgcdc;
use super::watchdog::Watchdog;

/// A folder, gone with its owner.
pub struct Desk {
    folder: TempDir,
    _watchdog: Watchdog,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pgcdc-desk-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let text = folder.path().to_string_lossy().into_owned();
        let watchdog = Watchdog::arm(r#"rm -rf -- "$1""#, &[&text], Account::own());
        Self { folder, _watchdog: watchdog }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in it.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A file's text; empty if there is none yet.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Starts `pgcdc run` with this manifest, and with the state that an earlier one has left here.
    #[must_use]
    pub fn run(&self, manifest: &Manifest) -> Pgcdc {
        self.run_text(&manifest.text(), &[])
    }

    /// The same with a manifest as text, and with variables in the environment.
    #[must_use]
    pub fn run_text(&self, manifest: &str, environment: &[(&str, &str)]) -> Pgcdc {
        self.write("pgcdc.yaml", manifest);
        self.start(&["run", "pgcdc.yaml"], environment)
    }

    /// Starts pgcdc with these arguments, here.
    #[must_use]
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Pgcdc {
        Pgcdc::start(self.folder.path(), arguments, environment)
    }
}
