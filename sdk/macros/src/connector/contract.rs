//! The text of the contract, so that a connector builds without it at hand.
//!
//! Several packages in one text take the nested form, so the `package …;` line of each file becomes braces
//! around all files of that package.

const HOST: [&str; 12] = [
    include_str!("../../../../wit/v1/deps/host/types.wit"),
    include_str!("../../../../wit/v1/deps/host/batches.wit"),
    include_str!("../../../../wit/v1/deps/host/log.wit"),
    include_str!("../../../../wit/v1/deps/host/metrics.wit"),
    include_str!("../../../../wit/v1/deps/host/console.wit"),
    include_str!("../../../../wit/v1/deps/host/http.wit"),
    include_str!("../../../../wit/v1/deps/host/postgres.wit"),
    include_str!("../../../../wit/v1/deps/host/wal.wit"),
    include_str!("../../../../wit/v1/deps/host/snapshot.wit"),
    include_str!("../../../../wit/v1/deps/host/files.wit"),
    include_str!("../../../../wit/v1/deps/host/crypto.wit"),
    include_str!("../../../../wit/v1/deps/host/kv.wit"),
];

const CONNECTOR: [&str; 7] = [
    include_str!("../../../../wit/v1/lifecycle.wit"),
    include_str!("../../../../wit/v1/source.wit"),
    include_str!("../../../../wit/v1/transform.wit"),
    include_str!("../../../../wit/v1/sink.wit"),
    include_str!("../../../../wit/v1/dlq.wit"),
    include_str!("../../../../wit/v1/checkpoint-store.wit"),
    include_str!("../../../../wit/v1/worlds.wit"),
];

/// The interfaces that every world may import: they have no effect outside.
pub(super) const PURE: [&str; 5] = ["types", "batches", "log", "metrics", "crypto"];
/// The interfaces that only a world with effects may import.
pub(super) const EFFECTS: [&str; 7] = ["console", "http", "postgres", "wal", "snapshot", "files", "kv"];

/// The version of every package of the contract.
pub(super) const VERSION: &str = "1.0.0-draft";

/// The whole contract as one WIT document.
pub(super) fn text() -> String {
    let mut out = format!("package pgcdc:component@{VERSION};\n");
    package(&mut out, "pgcdc:host", &HOST);
    package(&mut out, "pgcdc:connector", &CONNECTOR);
    out
}

fn package(out: &mut String, name: &str, files: &[&str]) {
    out.push_str(&format!("package {name}@{VERSION} {{\n"));
    for line in files.iter().flat_map(|file| file.lines()) {
        if !line.starts_with("package ") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.push_str("}\n");
}
