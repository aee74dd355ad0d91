//! Rows that are there already: what a snapshot asks for, how its lines become events, how far it is.
//!
//! ```text
//! shape ─► COPY (SELECT …) ─► line ─► cells ─► assembler/snapshot.rs ─► batch
//! record: which tables are done, and where the others go on
//! ```

pub mod line;
pub mod name;
pub mod record;
pub mod shape;
pub mod tokens;

/// The source as envelopes print it.
pub const SOURCE: &str = "snapshot";
