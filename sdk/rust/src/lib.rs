//! Write a pgcdc connector in Rust: one struct, one trait, one macro.
//!
//! ```
//! use pgcdc_sdk::{Batch, Context, Result, Sink, console, sink::Outcome, sink::WriteContext};
//!
//! struct Hello;
//!
//! impl Sink for Hello {
//!     type Config = ();
//!
//!     async fn open(_: (), _: &Context) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome> {
//!         console::write(console::Stream::Stdout, batch.lines()).await?;
//!         Ok(Outcome::Durable)
//!     }
//! }
//!
//! pgcdc_sdk::connector! {
//!     sink: Hello,
//!     name: "hello",
//!     description: "Prints what it gets",
//!     capabilities: { console: "prints events" },
//! }
//! # fn main() {}
//! ```
//!
//! Built for `wasm32-wasip2` as a `cdylib` this is a component. Built natively, the same code links against fakes of
//! the host ([`testing`]), so that `cargo test` is all that a test needs.

#![warn(missing_debug_implementations)]

// The macros name this crate from outside; its own doc tests and modules must find it by the same name.
extern crate self as pgcdc_sdk;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod backend;
pub mod batch;
pub mod columns;
pub mod config;
pub mod describe;
mod error;
mod host;
pub mod id;
mod kinds;
#[cfg(not(target_arch = "wasm32"))]
pub mod linked;
pub mod object;
pub mod payload;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use pgcdc_layout as layout;

pub use batch::{Batch, Body, Encoding, Rows};
pub use config::{ByteSize, Config, Endpoint, Secret};
pub use error::{Error, Result};
pub use host::{console, crypto, files, http, kv, log, metrics, postgres, snapshot, wal};
pub use kinds::checkpoint_store::{self, CheckpointStore};
pub use kinds::dlq::{self, Dlq};
pub use kinds::sink::{self, Sink};
pub use kinds::source::{self, Source};
pub use kinds::transform::{self, Transform};
pub use kinds::{Context, Facts, Resume};

/// Derives [`Config`](trait@Config) for a struct with named fields, or a choice for an enum of plain variants.
pub use pgcdc_sdk_macros::Config;

/// Makes a component of a type that implements one of the kinds.
///
/// Keys: one of `source`, `transform`, `sink`, `dlq`, `checkpoint_store` with the type; `name` and `description` (else the
/// crate's); `delivery`, the promise in a sentence; `capabilities`, each interface of the host with the reason for it;
/// `docs`, Markdown; `example`, a manifest.
pub use pgcdc_sdk_macros::connector;
