//! Compiling ahead of time, and the one set of engine settings that compiled code is valid for.
//!
//! Code is compiled for a target triple's baseline, never for the CPU of the machine that builds. A
//! process that only runs never has a compiler in its engine. Loading compiled code is the host's, in the one
//! place that may: bytes that this module did not make must never get there.

use std::hash::{Hash, Hasher};

use wasmtime::{Config, Engine};

use crate::Refused;

/// How long one epoch is; the host's ticker runs at this pace, only while a guest is on a CPU.
pub const EPOCH_MS: u64 = 10;

/// The settings shared by whoever compiles and whoever runs.
fn settings() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.wasm_component_model_async(true);
    config.concurrency_support(true);
    config.epoch_interruption(true);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(24));
    config.max_wasm_stack(512 * 1024);
    config.async_stack_size(1024 * 1024);
    config
}

/// An engine that can only run what was compiled before.
pub fn running_engine() -> wasmtime::Result<Engine> {
    let mut config = settings();
    config.enable_compiler(false);
    Engine::new(&config)
}

/// An engine that compiles for the baseline CPU of `target`.
fn compiling_engine(target: &str) -> wasmtime::Result<Engine> {
    let mut config = settings();
    config.target(target)?;
    config.cranelift_opt_level(wasmtime::OptLevel::Speed);
    Engine::new(&config)
}

/// The triple this program was built for.
pub fn host_target() -> String {
    format!(
        "{}-{}",
        std::env::consts::ARCH,
        if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" }
    )
}

/// Compiles a component. The answer is native code for [`running_engine`].
pub fn compile(wasm: &[u8], target: &str) -> Result<Vec<u8>, Refused> {
    crate::section::check_kind(wasm)?;
    let refuse = |error: wasmtime::Error| Refused::Compile(format!("{error:#}"));
    compiling_engine(target).map_err(refuse)?.precompile_component(wasm).map_err(refuse)
}

/// Which compiled code [`running_engine`] takes: a part of every cache key.
pub fn compatibility(engine: &Engine) -> String {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
