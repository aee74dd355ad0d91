//! Packs the shipped connectors: reads the guests that cargo built, lifts their descriptions, checks
//! them against the components' real types, compiles them, and writes for each `NAME.wasm`, `NAME.cwasm`, and the description
//! as `NAME.json`.
//!
//! Usage: `pgcdc-artifact [--target TRIPLE] OUT-FOLDER GUEST.wasm…`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pgcdc_artifact::shape::{INERT, Shape};
use pgcdc_artifact::{Refused, digest, native, section};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut target = native::host_target();
    if arguments.first().is_some_and(|flag| flag == "--target") && arguments.len() > 1 {
        target = arguments.remove(1);
        arguments.remove(0);
    }
    let Some((out, guests)) = arguments.split_first() else {
        eprintln!("usage: pgcdc-artifact [--target TRIPLE] OUT-FOLDER GUEST.wasm…");
        return ExitCode::FAILURE;
    };
    for guest in guests {
        if let Err(message) = pack(Path::new(guest), Path::new(out), &target) {
            eprintln!("{guest}: {message}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn pack(guest: &Path, out: &Path, target: &str) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let refused = |error: Refused| error.to_string();
    let built = std::fs::read(guest).map_err(io)?;
    let lifted = section::lift(&built).map_err(refused)?;
    let shape = Shape::read(&lifted).map_err(refused)?;
    let found = section::read(&lifted).map_err(refused)?;
    agree(&found.json, &shape)?;
    let name = guest.file_stem().and_then(|stem| stem.to_str()).ok_or("has no file name")?;
    std::fs::create_dir_all(out).map_err(io)?;
    let wasm: PathBuf = out.join(format!("{name}.wasm"));
    let cwasm = out.join(format!("{name}.cwasm"));
    let key = out.join(format!("{name}.key"));
    let current = format!("{} {target} {}", digest::sha256(&lifted), env!("CARGO_PKG_VERSION"));
    let engine = native::running_engine().map_err(|e| e.to_string())?;
    let current = format!("{current} {}", native::compatibility(&engine));
    if cwasm.exists() && wasm.exists() && std::fs::read_to_string(&key).is_ok_and(|old| old == current) {
        return Ok(());
    }
    let code = native::compile(&lifted, target).map_err(refused)?;
    std::fs::write(&wasm, &lifted).map_err(io)?;
    std::fs::write(&cwasm, &code).map_err(io)?;
    std::fs::write(out.join(format!("{name}.json")), &found.json).map_err(io)?;
    std::fs::write(&key, &current).map_err(io)?;
    println!("{name}: {} KiB of wasm, {} KiB of code for {target}", lifted.len() / 1024, code.len() / 1024);
    Ok(())
}

/// What the description claims, against what the component is.
fn agree(json: &[u8], shape: &Shape) -> Result<(), String> {
    let description: serde_json::Value =
        serde_json::from_slice(json).map_err(|e| format!("description: {e}"))?;
    let strings = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_string)).collect()
    };
    let claimed = strings(&description["kinds"]);
    let exported: Vec<String> = shape.kinds().into_iter().map(|kind| kind.name().to_string()).collect();
    if claimed.is_empty() || claimed.iter().any(|kind| !exported.contains(kind)) {
        return Err(format!("describes itself as {claimed:?} and exports {exported:?}"));
    }
    if let Some(name) = shape.foreign_versions().first() {
        return Err(format!("is made for `{name}`, this is {}", pgcdc_artifact::API));
    }
    let requested: Vec<&str> = description["capabilities"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["interface"].as_str())
        .collect();
    let mut imported = shape.capabilities().into_iter().filter(|interface| !INERT.contains(interface));
    match imported.find(|interface| !requested.contains(interface)) {
        Some(interface) => {
            Err(format!("imports `{interface}` and does not say why: add it to `capabilities`"))
        }
        None => Ok(()),
    }
}
