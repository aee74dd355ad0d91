//! Embeds the shipped connectors: what `make build` packed into `target/connectors` (or where `PGCDC_CONNECTORS` says).
//! Without it the host builds, and says at run time which connectors are absent.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=PGCDC_CONNECTORS");
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let packed =
        std::env::var("PGCDC_CONNECTORS").map_or_else(|_| here.join("../target/connectors"), PathBuf::from);
    let sources = here.join("../connectors");
    println!("cargo:rerun-if-changed={}", packed.display());
    println!("cargo:rerun-if-changed={}", sources.display());

    let mut code = String::from("static SHIPPED: &[Embedded] = &[\n");
    for name in stems(&packed, "cwasm") {
        let file = |extension: &str| packed.join(format!("{name}.{extension}"));
        for extension in ["cwasm", "json"] {
            println!("cargo:rerun-if-changed={}", file(extension).display());
        }
        let _ = writeln!(
            code,
            "    Embedded {{ file: {name:?}, description: include_bytes!({:?}), code: include_bytes!({:?}) }},",
            file("json").canonicalize().unwrap_or_else(|_| file("json")),
            file("cwasm").canonicalize().unwrap_or_else(|_| file("cwasm")),
        );
    }
    let mut expected = folders(&sources);
    expected.sort();
    let _ = writeln!(code, "];\nstatic EXPECTED: &[&str] = &{expected:?};");
    let out = PathBuf::from(std::env::var("OUT_DIR").unwrap_or_default()).join("shipped.rs");
    if let Err(error) = std::fs::write(&out, code) {
        println!("cargo:warning=cannot write {}: {error}", out.display());
    }
}

fn stems(folder: &Path, extension: &str) -> Vec<String> {
    let mut stems: Vec<String> = entries(folder)
        .filter(|path| {
            path.extension().is_some_and(|e| e == extension) && path.with_extension("json").exists()
        })
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    stems.sort();
    stems
}

fn folders(folder: &Path) -> Vec<String> {
    entries(folder)
        .filter(|path| path.join("Cargo.toml").exists())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_string()))
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
}
