//! Events as JSON: the envelope, its payload, and values as PostgreSQL's `row_to_json` prints them.
//!
//! Invariants: of a checked batch every line is one JSON value of valid UTF-8 without a line break in it,
//! whatever the values are; text that is not what its type promises is printed as a JSON string.

pub mod check;
mod composite;
mod envelope;
mod hstore;
mod plan;
mod text;
mod time;
mod value;

mod array;

pub use envelope::{Encoder, LINES_BYTES_MAX, Lines, TooLong, lines};
pub use text::{write_base64, write_escaped, write_hex, write_string, write_uuid};
pub use time::write_time;
pub use value::{write_cell, write_json, write_row};
