//! The five kinds of connector, one trait each, and what they share.
//!
//! A connector is one instance in one WebAssembly memory: no threads, `&self` everywhere, calls may overlap at
//! every `await` where a kind says so. A panic ends the instance; the host makes a new one and replays.

pub mod checkpoint_store;
pub mod dlq;
pub mod sink;
pub mod source;
pub mod transform;

mod context;
mod facts;

pub use context::{Context, Resume};
pub use facts::Facts;
