//! What comes out of the assembler.

use pgcdc_layout::{Op, WriteError};

use crate::id::Id;
use crate::lsn::Lsn;
use crate::order_key::{OrderKey, PostgresKey};
use crate::pgoutput::Malformed;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It was taken.
    Taken,
    /// It was not taken: these types have to be learnt first. Then feed it again.
    NeedTypes(Vec<u32>),
    /// It was not taken, or not all of it: the batch has to be taken first. Then feed it again.
    Full,
}

/// A batch, and where it stands.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The batch in the flat layout.
    pub bytes: Vec<u8>,
    /// How many events it has; 0 if all were refused, or if it only moves the resume position.
    pub events: u32,
    /// Events that cannot be delivered as they are, in order.
    pub refused: Vec<Refused>,
    /// The key of the first event, refused ones included; empty if there is none.
    pub first_key: OrderKey,
    /// The key of the last event, refused ones included; empty if there is none.
    pub last_key: OrderKey,
    /// Where the source can go on once this batch and all before are settled: the end of the last transaction
    /// that has no event in a later batch.
    pub resume: Lsn,
    /// Whether the batch ends inside of a transaction.
    pub open_tx: bool,
}

/// An event that is named instead of delivered. It keeps its key, its id and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its id.
    pub id: Id,
    /// Its place.
    pub key: PostgresKey,
    /// How many events of the same batch come before it.
    pub after_events: u32,
    /// Its operation.
    pub op: Op,
    /// Its transaction; 0 outside of one.
    pub xid: u32,
    /// When that was committed, microseconds since 1970; `i64::MIN` outside of one.
    pub commit_us: i64,
    /// The number of the row within its transaction; 0 = none.
    pub seq: u32,
    /// Its channel.
    pub channel: String,
    /// The table's schema; empty if it has no table.
    pub schema: String,
    /// The table's name; empty if it has no table.
    pub table: String,
    /// The columns of the replica identity that could be read and are not too long: name and text.
    pub row_key: Vec<(String, String)>,
    /// Why.
    pub reason: Reason,
}

/// Why an event cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is too large.
    #[error("the change has {bytes} bytes, max_event_bytes is {bytes_max}")]
    TooLarge {
        /// How large.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A value is not UTF-8, as in a database with the encoding SQL_ASCII.
    #[error("the value of column {column:?} is not UTF-8")]
    NotUtf8 {
        /// The first such column.
        column: String,
    },
}

/// The stream cannot be read any further: reconnect, and start again at the last confirmed position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A message that breaks the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A message where it cannot be.
    #[error("unexpected {message}: {why}")]
    Unexpected {
        /// The message.
        message: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A row of a table that was not described.
    #[error("a change of relation {oid}, which the server has not described")]
    UnknownRelation {
        /// The relation's number.
        oid: u32,
    },
    /// A row that does not fit its table.
    #[error("a row of {schema}.{table} has {got} values, the table was described with {expected} columns")]
    Columns {
        /// The table's schema.
        schema: String,
        /// The table's name.
        table: String,
        /// The columns of the table.
        expected: usize,
        /// The values of the row.
        got: usize,
    },
    /// A value in binary form, which was not asked for.
    #[error("a binary value in column {column:?} of {schema}.{table}, but text was asked for")]
    Binary {
        /// The table's schema.
        schema: String,
        /// The table's name.
        table: String,
        /// The column.
        column: String,
    },
    /// More of something than can be.
    #[error("more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many can be.
        max: usize,
    },
    /// A message other than a change that is larger than any of its kind.
    #[error("a message of {bytes} bytes that is no change of a row")]
    TooLarge {
        /// How large.
        bytes: u64,
    },
    /// The batch layout has no room for it.
    #[error("the change does not fit into the batch layout")]
    Layout(#[from] WriteError),
}
