//! The host's files that take foreign text, at the paths that they have there.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::all,
    reason = "not ours to change"
)]

#[path = "../../../host/src/manifest/mod.rs"]
pub(crate) mod manifest;
#[path = "postgres.rs"]
pub(crate) mod postgres;
