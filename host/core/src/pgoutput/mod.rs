//! PostgreSQL's `pgoutput` protocol, version 1, text values: bytes of one message in, a value that borrows
//! them out.
//!
//! - Every length is checked; what does not hold is [`Malformed`] with its offset, never a panic.
//! - Nothing is allocated: tuples and columns are iterated where they lie.
//! - A message must be used up to its last byte: what is left over would be a protocol that we do not speak.
//!
//! Streamed (version 2) and two-phase (version 3) messages are not requested, so their tags are refused.

mod head;
pub mod message;
mod reader;
mod tuple;

pub use head::Head;
pub use message::{Begin, Column, Commit, Delete, Identity, Insert, Logical, Message, OldKind, Origin};
pub use message::{Relation, Truncate, Type, Update};
pub use reader::Malformed;
pub use tuple::{Cell, Cells, Tuple, encode_tuple};

/// Microseconds from 1970 to 2000, where PostgreSQL's clock starts.
const EPOCH_2000_US: i64 = 946_684_800_000_000;
