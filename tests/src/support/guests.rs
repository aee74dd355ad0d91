//! Connectors as a stranger would write them: `guests/` and the SDK's example, built once a program.
//!
//! Invariant: built with plain `cargo build`, into `$PGCDC_GUESTS_TARGET` or `guests` in the target folder that
//! this program was built into; the sources' folders are left as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::peers;
use super::repository::target_folder;

const TARGET: &str = "wasm32-wasip2";

/// A guest's file, e.g. `sink`. Without the compiler's Wasm target there is none, and `scenario` is noted as skipped.
#[must_use]
pub fn guest(name: &str, scenario: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    file(&BUILT, &checkout().join("tests/guests"), &format!("guest_{name}"), scenario)
}

/// The file of the example in the SDK's README.
#[must_use]
pub fn hello(scenario: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    file(&BUILT, &checkout().join("sdk/examples/hello-sink"), "hello_sink", scenario)
}

/// The root of the checkout, with links resolved: path dependencies lead out of the folder of a guest.
#[must_use]
pub fn checkout() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = tests.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", tests.display()));
    tests.parent().map(Path::to_path_buf).unwrap_or(tests)
}

fn file(built: &OnceLock<Option<PathBuf>>, folder: &Path, name: &str, scenario: &str) -> Option<PathBuf> {
    let Some(made) = built.get_or_init(|| has_target().then(|| build(folder))) else {
        peers::skipped(scenario, &format!("no Wasm target; `rustup target add {TARGET}` gets it"));
        return None;
    };
    let path = made.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is not what cargo made", path.display());
    Some(path)
}

fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
}

/// The folder of the components.
fn build(folder: &Path) -> PathBuf {
    let target = match std::env::var_os("PGCDC_GUESTS_TARGET") {
        Some(target) => PathBuf::from(target),
        None => target_folder().unwrap_or_else(std::env::temp_dir).join("guests"),
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(&target).current_dir(folder);
    // What holds for the host's own build is not for guests.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo does not run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} does not build:\n{said}", folder.display());
    target.join(TARGET).join("release")
}
