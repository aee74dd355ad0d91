//! See `manifest_toml` in ../../src/targets.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgcdc_fuzz::run("manifest_toml", bytes));
