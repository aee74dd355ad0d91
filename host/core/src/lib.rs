//! The pure part of the host: what pgcdc decides, apart from how bytes reach it.
//!
//! Nothing here opens a socket, reads a clock, draws a random number or waits: bytes, times and random
//! numbers are passed in, values come out. So every rule of this crate can be tested without a server, and
//! the same input always gives the same output.
//!
//! - From WAL to batches: [`pgoutput`] (bytes to messages), [`catalog`] (types), [`assembler`] (messages to
//!   batches).
//! - Names of places: [`lsn`], [`order_key`], [`id`].
//! - Who has got what: [`tracker`] (one lane), [`frontier`] (all lanes), [`checkpoint`] (what is stored).
//! - What to do next: [`resume`] (at a start), [`error`] and [`backoff`] (after a failure), [`pressure`] (when a slot lags).

pub mod assembler;
pub mod backoff;
pub mod catalog;
pub mod checkpoint;
pub mod error;
pub mod frontier;
pub mod id;
pub mod lsn;
pub mod order_key;
pub mod pgoutput;
pub mod pressure;
pub mod resume;
pub mod tracker;
