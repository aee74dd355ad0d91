//! Which components there are: the shipped ones, compiled into this program, and files of the operator's.

use std::path::Path;
use std::sync::OnceLock;

use pgcdc_artifact::shape::{INERT, Kind as ShapeKind, Shape};
use pgcdc_artifact::{Refused, digest, section};
use wasmtime::component::Component;

use super::cache::Cache;
use super::engine::Runtime;
use super::grants::Grants;
use super::native::Trusted;
use crate::manifest::{Description, Kind};

/// A connector that is part of this program.
struct Embedded {
    /// The folder under `connectors/`.
    file: &'static str,
    description: &'static [u8],
    code: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// What a language's standard library drags in.
const WASI: [&str; 5] = ["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/"];

/// The descriptions of all shipped connectors.
pub(crate) fn shipped() -> &'static [Description] {
    static DESCRIPTIONS: OnceLock<Vec<Description>> = OnceLock::new();
    DESCRIPTIONS.get_or_init(|| {
        let read = |embedded: &Embedded| match Description::from_json(embedded.description) {
            Ok(description) => Some(description),
            Err(error) => {
                tracing::error!(connector = embedded.file, error, "shipped connector left out");
                None
            }
        };
        SHIPPED.iter().filter_map(read).collect()
    })
}

/// Connectors that exist in the source tree and were not built into this program.
pub(crate) fn absent() -> Vec<&'static str> {
    EXPECTED.iter().copied().filter(|name| SHIPPED.iter().all(|shipped| shipped.file != *name)).collect()
}

/// The native code of a shipped connector.
pub(crate) fn load_shipped(runtime: &Runtime, kind: Kind, name: &str) -> Result<Component, String> {
    let found = SHIPPED.iter().find(|embedded| {
        Description::from_json(embedded.description).is_ok_and(|d| d.name == name && d.kinds.contains(&kind))
    });
    let embedded =
        found.ok_or_else(|| format!("connector `{name}` is not built into this pgcdc; run `make build`"))?;
    Trusted::embedded(embedded.code).load(&runtime.engine).map_err(|e| format!("connector `{name}`: {e:#}"))
}

/// A component's file, looked into and not yet compiled.
pub(crate) struct Opened {
    /// Its bytes.
    pub(crate) wasm: Vec<u8>,
    /// sha256 of the bytes.
    pub(crate) digest: String,
    /// What it says about itself.
    pub(crate) description: Description,
    /// What it really imports and exports.
    pub(crate) shape: Shape,
}

/// Reads a component's file. The error is one line: what was expected and what was found.
pub(crate) fn open(path: &Path) -> Result<Opened, String> {
    let fail = |cause: String| format!("{}: {cause}", path.display());
    let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
    if size > pgcdc_artifact::FILE_BYTES_MAX {
        return Err(fail(Refused::TooLarge { bytes: size }.to_string()));
    }
    let wasm = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
    look_into(wasm).map_err(fail)
}

fn look_into(wasm: Vec<u8>) -> Result<Opened, String> {
    let found = section::read(&wasm).map_err(|e| e.to_string())?;
    let shape = Shape::read(&wasm).map_err(|e| e.to_string())?;
    if let Some(name) = shape.foreign_versions().first() {
        return Err(format!(
            "is made for `{name}`, this pgcdc speaks {}; rebuild it with the matching SDK",
            pgcdc_artifact::API
        ));
    }
    let description = Description::from_json(&found.json)?;
    let kinds = shape.kinds();
    for kind in &description.kinds {
        if !kinds.iter().any(|exported| exported.name() == kind.as_str()) {
            let exported: Vec<&str> = kinds.iter().copied().map(ShapeKind::name).collect();
            return Err(format!("says that it is a {}, and exports {exported:?}", kind.as_str()));
        }
    }
    let foreign = shape
        .imports
        .iter()
        .find(|name| !name.starts_with("pgcdc:host/") && !WASI.iter().any(|inert| name.starts_with(inert)));
    if let Some(name) = foreign {
        return Err(format!(
            "imports `{name}`, which no connector is given; what has an effect is a pgcdc:host interface"
        ));
    }
    let digest = digest::sha256(&wasm);
    Ok(Opened { wasm, digest, description, shape })
}

/// Compiles a component into the cache under the state directory.
pub(crate) fn compile(opened: &Opened, state_dir: &Path) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|e| format!("{e:#}"))?;
    let cache = Cache::open(&state_dir.join("components")).map_err(|e| e.to_string())?;
    opened.load(&runtime, &cache).map(drop)
}

impl Opened {
    /// Refuses a file whose digest is not the pinned one.
    pub(crate) fn check_pin(&self, pin: Option<&[u8; 32]>) -> Result<(), String> {
        let Some(pin) = pin else { return Ok(()) };
        let pinned: String = pin.iter().map(|byte| format!("{byte:02x}")).collect();
        if pinned == self.digest {
            return Ok(());
        }
        Err(format!("sha256 is {}, the manifest pins {pinned}", self.digest))
    }

    /// Refuses an import that was not granted, with the line that would grant it.
    pub(crate) fn check_grants(&self, grants: &Grants) -> Result<(), String> {
        for interface in self.shape.capabilities() {
            if INERT.contains(&interface) || grants.covers(interface) {
                continue;
            }
            let example = match interface {
                "http" => "http: [ https://HOST ]",
                "postgres" | "wal" => "postgres: [ \"postgres://USER@HOST/DATABASE\" ]",
                "files" => "files: [ /PATH/TO/FILE ]",
                "console" => "console: [ stdout ]",
                _ => return Err(format!("imports `{interface}`, which this pgcdc does not have")),
            };
            let reason = self.description.capabilities.iter().find(|c| c.interface == interface);
            let reason = reason.map_or(String::new(), |c| format!(" (\"{}\")", c.reason));
            return Err(format!(
                "asks for `{interface}`{reason}, which is not granted; to grant it, add: grants: {{ {example} }}"
            ));
        }
        Ok(())
    }

    /// The native code; compiles it if the cache has none.
    pub(crate) fn load(&self, runtime: &Runtime, cache: &Cache) -> Result<Component, String> {
        cache.load(runtime, &self.wasm).map_err(|e| e.to_string())
    }
}
