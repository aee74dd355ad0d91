//! From pgoutput bytes to batches: what the server was recorded to send, what it might send, and what it
//! never should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

mod mutated;
mod random;
mod recorded;
mod rows;
mod shapes;
mod support;
mod toast;
