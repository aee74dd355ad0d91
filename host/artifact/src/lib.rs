//! What a connector's file is, before anything of it runs.
//!
//! - [`section`]: the self-description that a component carries, and lifting it to the top level;
//! - [`shape`]: what a component imports and exports, read without compiling;
//! - [`native`]: compiling ahead of time, under the one set of engine settings;
//! - [`digest`]: sha256 of the file, as the manifest pins it.
//!
//! Its own crate, because compiling the shipped connectors has to come before the host that
//! embeds them is built, and wasmtime is not to be built twice. Nothing here executes a guest,
//! and nothing here panics on foreign bytes.

pub mod digest;
pub mod native;
pub mod section;
pub mod shape;

/// The largest file that is looked at; a connector is a few hundred kilobytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The version of the contract (`wit/v1`) that this host speaks.
pub const API: &str = "1.0.0-draft";

/// Why a file is not a connector that can run here.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not WebAssembly at all.
    #[error("not a WebAssembly file: it starts with {found}, expected `\\0asm`")]
    NotWasm {
        /// The first bytes, printable.
        found: String,
    },
    /// Native code made elsewhere.
    #[error(
        "a precompiled file (.cwasm) is native code and is never loaded; give the .wasm component it was made from"
    )]
    Precompiled,
    /// A core module.
    #[error("a core WebAssembly module, expected a component; build with `--target wasm32-wasip2`")]
    CoreModule,
    /// Truncated or damaged.
    #[error("damaged at byte {offset}: {message}")]
    Damaged {
        /// Where, from the start of the file.
        offset: usize,
        /// What the parser found.
        message: String,
    },
    /// The file is larger than [`FILE_BYTES_MAX`].
    #[error("{bytes} bytes; a connector has at most {FILE_BYTES_MAX}")]
    TooLarge {
        /// The file's size.
        bytes: u64,
    },
    /// There is no self-description.
    #[error("carries no `{}` section; build it with the pgcdc SDK's `connector!`", section::NAME)]
    NoDescription,
    /// Compiling failed.
    #[error("does not compile: {0}")]
    Compile(String),
}
