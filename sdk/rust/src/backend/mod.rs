//! Who does what the host is asked for: the host itself through the contract, or fakes in native builds.
//!
//! Both sides have the same functions over the same types of this crate.

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native;

#[cfg(target_arch = "wasm32")]
pub(crate) use guest::pgcdc::host::{
    batches, console, crypto, files, http, kv, log, metrics, postgres, snapshot, wal,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{batches, console, crypto, files, http, kv, log, metrics, postgres, snapshot, wal};

/// The bytes of rows, as whoever brings them holds them.
#[cfg(target_arch = "wasm32")]
pub(crate) type RowBytes = Vec<u8>;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type RowBytes = bytes::Bytes;
