//! The command line: what may be typed, and what is printed back.
//!
//! ```text
//! argv ─ args ─► Invocation ─┬─ run, validate …   a manifest's file
//!                            └─ listen ─► manifest::Manifest, the same structure
//! ```
//!
//! Invariants: no option of a connector is listed here, they come from descriptions (`flags`); no output
//! holds a secret; what comes from a component or a server is printed without control characters.

pub mod args;
mod ask;
mod database;
pub mod describe;
mod dlq;
pub mod dlq_args;
mod dlq_replay;
mod doctor;
mod doctor_judge;
mod doctor_slots;
mod doctor_tables;
pub mod flags;
pub mod init;
mod life;
pub mod list;
pub mod listen;
pub mod main;
mod memory;
mod policy_flags;
mod pressure_flags;
mod signals;
mod slot;
pub mod slot_args;
pub mod snapshot;
mod standby;
pub mod status;
mod table;

pub use args::{Command, Invocation, parse};

#[cfg(test)]
mod tests;
