//! The manifest: one file that says everything that runs.
//!
//! ```text
//! bytes ─ parse ─► tree (yaml, toml, interpolate) ─ read ─► Manifest ─ check ─► what each connector gets
//! flags ─ cli::listen ───────────────────────────────────────▲   └─ print ─► YAML
//! ```
//!
//! Invariants: nothing is opened before the whole file is found sound; every complaint has a file, a
//! line, a column and a way out; no complaint, `Debug` or print-out holds a secret.

pub mod address;
pub mod backpressure;
pub mod check;
mod check_config;
mod check_grants;
mod check_special;
pub mod description;
mod fields;
pub mod flag_name;
pub mod interpolate;
pub mod model;
pub mod nearest;
pub mod parse;
pub mod print;
pub mod problem;
pub mod quantity;
pub(crate) mod read;
pub(crate) mod read_sink;
pub mod ready;
mod scalar;
pub mod schema;
pub mod settings;
mod shield;
pub mod source;
mod toml;
pub mod tree;
mod yaml;
mod yaml_write;

pub use description::{Description, Kind};
pub use model::Manifest;
pub use problem::Report;
pub use read::is_name;

#[cfg(test)]
pub(crate) mod tests;
