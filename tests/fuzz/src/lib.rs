//! What must hold of bytes that come from outside, one function a parser: `cargo fuzz` calls it with whatever it comes up
//! with, `tests/mutated.rs` with seeds and their mutations.
//!
//! The host's parsers are taken in as files: the host itself brings wasmtime along, which no fuzzer has to instrument.

// The tests inside of the host's files are the host's.
#![cfg(not(test))]

mod host;
#[path = "../../../sdk/layout/tests/support/read_all.rs"]
mod read_all;
pub mod seeds;
mod targets;

pub use targets::{Target, all, run};
