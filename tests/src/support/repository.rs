//! Where things are: the checkout, the pgcdc binary, shipped components.

use std::path::{Path, PathBuf};

/// The root of the checkout.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// The binary under test: `$PGCDC_BIN`, or `release/pgcdc` in the target folder that this program was built into.
#[must_use]
pub fn pgcdc_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PGCDC_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "PGCDC_BIN is {}, which is no file", path.display());
        return path;
    }
    let found = target_folder().map(|target| target.join("release/pgcdc")).filter(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no pgcdc binary: run `make build`, or set PGCDC_BIN"))
}

/// Another program of this build, e.g. `bench-boundary`.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let found = target_folder().map(|target| target.join("release").join(name)).filter(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no {name}: run `make build`"))
}

/// The same with places that can be told to fail: `$PGCDC_FAULTS_BIN`, or what `make faults` leaves in the target folder.
#[must_use]
pub fn faulty_binary() -> Option<PathBuf> {
    let named = std::env::var_os("PGCDC_FAULTS_BIN").map(PathBuf::from);
    let path = named.or_else(|| target_folder().map(|target| target.join("faults/pgcdc")))?;
    path.is_file().then_some(path)
}

/// The folder that this program was built into.
#[must_use]
pub fn target_folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    // A test is in <target>/release/deps, a program in <target>/release.
    let profile = if folder.ends_with("deps") { folder.parent()? } else { folder };
    profile.parent().map(Path::to_path_buf)
}

/// A shipped connector as a component file, e.g. `stdout`; `$PGCDC_CONNECTORS` names their folder if it is
/// not where `make build` leaves them.
#[must_use]
pub fn component(name: &str) -> Option<PathBuf> {
    let folders = match std::env::var_os("PGCDC_CONNECTORS") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => {
            let target = target_folder()?;
            vec![target.join("connectors"), target.join("wasm32-wasip2/guest")]
        }
    };
    folders.into_iter().map(|folder| folder.join(format!("{name}.wasm"))).find(|path| path.is_file())
}
