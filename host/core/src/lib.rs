//! The pure part of the host: what pgcdc decides, apart from how bytes reach it.
//!
//! Nothing here opens a socket, reads a clock, draws a random number or waits: bytes, times and random
//! numbers are passed in, values come out. So every rule of this crate can be tested without a server, and
//! the same input always gives the same output.
//!
//! - From WAL to batches: [`pgoutput`] (bytes to messages), [`streamed`] (transactions in pieces to whole ones),
//!   [`catalog`] (types), [`assembler`] (messages to batches).
//! - From rows that are there already to batches: [`snapshot`] (what is asked for, and how far it is), [`assembler`].
//! - Names of places: [`lsn`], [`order_key`], [`id`].
//! - Who has got what: [`tracker`] (one lane), [`frontier`] (all lanes), [`acks`] (both, by batch), [`checkpoint`] (what
//!   is stored), [`owed`] (what a lane still has to get).
//! - What the server is told: [`confirm`].
//! - What to do next: [`resume`] (at a start), [`error`] and [`backoff`] (after a failure), [`pressure`] (when a slot lags).
//! - Around a sink: [`breaker`], [`bucket`] (rate limit), [`nack`] (too many dead letters).
//!
//! All of it runs, as it ships, under a seeded simulator: `tests/sim`. `--cfg pgcdc_sabotage="…"` breaks one rule, so that
//! the simulator can be seen to notice.

#[cfg(all(
    not(debug_assertions),
    any(
        pgcdc_sabotage = "ack_early",
        pgcdc_sabotage = "skip_by_lsn",
        pgcdc_sabotage = "max_slot_stored",
        pgcdc_sabotage = "confirm_before_store"
    )
))]
compile_error!(
    "a sabotaged core loses rows: it is built for its simulator alone, never optimised, never shipped"
);

pub mod acks;
pub mod assembler;
pub mod backoff;
pub mod breaker;
pub mod bucket;
pub mod catalog;
pub mod checkpoint;
pub mod confirm;
pub mod error;
pub mod frontier;
pub mod id;
pub mod identifier;
pub mod lsn;
pub mod nack;
pub mod order_key;
pub mod owed;
pub mod pgoutput;
pub mod pressure;
pub mod published;
pub mod resume;
pub mod settled;
pub mod snapshot;
pub mod streamed;
pub mod tracker;
