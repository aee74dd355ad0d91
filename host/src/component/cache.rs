//! Native code of third-party components: compiled once per file, in a child process, and kept in a folder that only
//! this user can write.
//!
//! ```text
//! <cache>/components/<sha256 of the wasm>-<engine>-<version>.cwasm      code, preceded by its own sha256
//! ```
//!
//! Invariants. Code is loaded only from a folder with mode 0700 that this user owns, and only if its digest is the one that was
//! written with it. A file appears whole or not at all. The compiler runs in a child, so that a file that makes it
//! eat memory or panic harms nobody.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgcdc_artifact::{digest, native as artifact};
use wasmtime::component::Component;

use super::engine::Runtime;
use super::grants::private_folder;
use super::native::Trusted;

/// The hidden command of this program that compiles: wasm on stdin, code on stdout.
pub(crate) const COMPILE_COMMAND: &str = "__compile";

const DIGEST_BYTES: usize = 64;

/// Why there is no native code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cache {path}: {cause}")]
    Folder { path: String, cause: String },
    #[error("{0}")]
    Compile(String),
}

/// The cache's folder, checked.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn open(folder: &Path) -> Result<Cache, Error> {
        use std::os::unix::fs::MetadataExt;
        let fail = |cause: String| Error::Folder { path: folder.display().to_string(), cause };
        private_folder(folder).map_err(|e| fail(e.to_string()))?;
        let found = std::fs::symlink_metadata(folder).map_err(|e| fail(e.to_string()))?;
        if !found.is_dir() {
            return Err(fail("is not a folder".into()));
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(fail("belongs to another user; remove it or set another --state-dir".into()));
        }
        if found.mode() & 0o077 != 0 {
            return Err(fail("others can enter it; run `chmod 700` on it".into()));
        }
        Ok(Cache { folder: folder.to_path_buf() })
    }

    /// The code of a component: from the cache, or compiled now.
    pub(crate) fn load(&self, runtime: &Runtime, wasm: &[u8]) -> Result<Component, Error> {
        let key = format!(
            "{}-{}-{}.cwasm",
            digest::sha256(wasm),
            artifact::compatibility(&runtime.engine),
            env!("CARGO_PKG_VERSION")
        );
        let path = self.folder.join(key);
        if let Some(component) =
            read(&path).and_then(|code| Trusted::cached(&code).load(&runtime.engine).ok())
        {
            return Ok(component);
        }
        let code = compile_in_child(wasm)?;
        self.keep(&path, &code)?;
        Trusted::cached(&code).load(&runtime.engine).map_err(|e| Error::Compile(format!("{e:#}")))
    }

    fn keep(&self, path: &Path, code: &[u8]) -> Result<(), Error> {
        let fail =
            |e: std::io::Error| Error::Folder { path: path.display().to_string(), cause: e.to_string() };
        let draft = path.with_extension(format!("draft-{}", std::process::id()));
        let mut file = std::fs::File::create(&draft).map_err(fail)?;
        file.write_all(digest::sha256(code).as_bytes()).map_err(fail)?;
        file.write_all(code).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        std::fs::rename(&draft, path).map_err(fail)
    }
}

/// The code in a file of the cache, if it is whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut content = std::fs::read(path).ok()?;
    if content.len() < DIGEST_BYTES {
        return None;
    }
    let code = content.split_off(DIGEST_BYTES);
    (digest::sha256(&code).as_bytes() == content).then_some(code)
}

fn compile_in_child(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let fail = |e: std::io::Error| Error::Compile(format!("the compiler did not run: {e}"));
    let program = std::env::current_exe().map_err(fail)?;
    let mut child = Command::new(program)
        .arg(COMPILE_COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(wasm)));
        child.wait_with_output()
    });
    let output = output.map_err(fail)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(Error::Compile(if said.is_empty() {
        format!("the compiler ended with {}", output.status)
    } else {
        said.into()
    }))
}

/// What the child does. Its exit code is 0 if the code is on stdout.
pub(crate) fn compile_command() -> std::process::ExitCode {
    let mut wasm = Vec::new();
    let read = std::io::stdin().lock().take(pgcdc_artifact::FILE_BYTES_MAX + 1).read_to_end(&mut wasm);
    let compiled = read
        .map_err(|e| e.to_string())
        .and_then(|_| artifact::compile(&wasm, &artifact::host_target()).map_err(|e| e.to_string()))
        .and_then(|code| std::io::stdout().lock().write_all(&code).map_err(|e| e.to_string()));
    match compiled {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            std::process::ExitCode::FAILURE
        }
    }
}
