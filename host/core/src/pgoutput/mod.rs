//! PostgreSQL's `pgoutput` protocol, versions 1 and 2, text values: bytes of one message in, a value that borrows
//! them out.
//!
//! - Every length is checked; what does not hold is [`Malformed`] with its offset, never a panic.
//! - Nothing is allocated: tuples and columns are iterated where they lie.
//! - A message must be used up to its last byte: what is left over would be a protocol that we do not speak.
//!
//! [`Message`] is what a transaction is made of; what version 2 puts around the pieces of one that is in progress is in
//! [`stream`]. Two-phase messages (version 3) are not requested, so their tags are refused.

mod head;
pub mod message;
mod reader;
pub mod stream;
mod tuple;

pub use head::Head;
pub use message::{Begin, Column, Commit, Delete, Identity, Insert, Logical, Message, OldKind, Origin};
pub use message::{Relation, Truncate, Type, Update};
pub use reader::Malformed;
pub use tuple::{Cell, Cells, Tuple, encode_tuple};

/// Microseconds from 1970 to 2000, where PostgreSQL's clock starts.
const EPOCH_2000_US: i64 = 946_684_800_000_000;
