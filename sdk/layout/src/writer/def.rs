//! What a batch is built from, and why building may be refused.

use core::fmt;

use crate::spec::{Kind, NO_TIME, NO_TX, Op};

/// A column of a relation or a field of a composite type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDef<'a> {
    /// Its name.
    pub name: &'a str,
    /// The index of its type, as `add_type` gave it.
    pub ty: u32,
    /// The type modifier, or -1.
    pub typmod: i32,
    /// Whether it is part of the replica identity.
    pub identity: bool,
    /// Whether it is part of the primary key.
    pub primary: bool,
}

impl<'a> ColumnDef<'a> {
    /// A column that is part of no key and has no type modifier.
    pub const fn new(name: &'a str, ty: u32) -> Self {
        ColumnDef { name, ty, typmod: -1, identity: false, primary: false }
    }
}

/// A type, or rather how its values' text becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeDef<'a> {
    /// The type's oid at its source, or 0.
    pub oid: u32,
    /// The rule.
    pub kind: Kind,
    /// Arrays: what separates elements in the text form.
    pub delim: u8,
    /// Its name.
    pub name: &'a str,
    /// Arrays: the index of the element type.
    pub elem: u32,
    /// Composites: their fields.
    pub fields: &'a [ColumnDef<'a>],
}

impl<'a> TypeDef<'a> {
    /// A type that is neither an array nor a composite.
    pub const fn scalar(oid: u32, kind: Kind, name: &'a str) -> Self {
        TypeDef { oid, kind, delim: b',', name, elem: 0, fields: &[] }
    }

    /// An array of a type that was added before, separated by commas.
    pub const fn array(oid: u32, name: &'a str, elem: u32) -> Self {
        TypeDef { oid, kind: Kind::Array, delim: b',', name, elem, fields: &[] }
    }

    /// A composite of types that were added before.
    pub const fn composite(oid: u32, name: &'a str, fields: &'a [ColumnDef<'a>]) -> Self {
        TypeDef { oid, kind: Kind::Composite, delim: b',', name, elem: 0, fields }
    }
}

/// A table, or just a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationDef<'a> {
    /// The table's oid, or 0.
    pub oid: u32,
    /// Replica identity: `d`, `n`, `f`, `i`, or 0.
    pub identity: u8,
    /// The schema; may be empty.
    pub schema: &'a str,
    /// The table's name; empty for a channel alone.
    pub name: &'a str,
    /// The channel that its events show.
    pub channel: &'a str,
    /// The table's columns.
    pub columns: &'a [ColumnDef<'a>],
}

impl<'a> RelationDef<'a> {
    /// A channel with no table behind it.
    pub const fn channel(channel: &'a str) -> Self {
        RelationDef { oid: 0, identity: 0, schema: "", name: "", channel, columns: &[] }
    }
}

/// A transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxDef<'a> {
    /// The first part of the order key of its events; may be empty.
    pub key: &'a [u8],
    /// The commit's LSN, or 0.
    pub commit_lsn: u64,
    /// When it was committed, microseconds since 1970, or [`NO_TIME`].
    pub commit_us: i64,
    /// Its number at the source, or 0.
    pub xid: u32,
    /// Whether its first event is in this batch.
    pub first: bool,
    /// Whether its last event is in this batch.
    pub last: bool,
    /// Its name at the source, such as a GTID, or empty.
    pub name: &'a str,
}

impl Default for TxDef<'_> {
    fn default() -> Self {
        TxDef { key: &[], commit_lsn: 0, commit_us: NO_TIME, xid: 0, first: false, last: false, name: "" }
    }
}

/// A free-form payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyDef<'a> {
    /// The payload is made of the tuples, or absent.
    #[default]
    None,
    /// One JSON value.
    Json(&'a str),
    /// Text.
    Text(&'a str),
    /// Bytes; base64 in JSON.
    Bytes(&'a [u8]),
}

/// A tuple that a writer holds. It is of use to the writer that made it, until that finishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TupleRef {
    pub(crate) at: u32,
    pub(crate) columns: u32,
    pub(crate) bytes: u32,
}

impl TupleRef {
    /// What it takes in the batch, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.bytes as usize
    }
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventDef<'a> {
    /// A UUID of version 7; all zero: the host draws one.
    pub id: [u8; 16],
    /// The event's own part of the order key.
    pub key: &'a [u8],
    /// What happened.
    pub op: Op,
    /// The index of its transaction, or [`NO_TX`].
    pub tx: u32,
    /// The index of its relation.
    pub relation: u32,
    /// The row after the change.
    pub after: Option<TupleRef>,
    /// The row before it.
    pub before: Option<TupleRef>,
    /// The number of the row within its transaction, from 1; 0 = none.
    pub seq: u32,
    /// A free-form payload.
    pub body: BodyDef<'a>,
    /// The index of the input that it comes from; none = its own index.
    pub input: Option<u32>,
    /// n-th child of its source event; 0 = the event itself.
    pub derived: u32,
    /// A JSON object, or empty.
    pub particulars: &'a str,
}

impl EventDef<'_> {
    /// An event of which nothing else is known.
    pub const fn new(op: Op, relation: u32) -> Self {
        EventDef {
            id: [0; 16],
            key: &[],
            op,
            tx: NO_TX,
            relation,
            after: None,
            before: None,
            seq: 0,
            body: BodyDef::None,
            input: None,
            derived: 0,
            particulars: "",
        }
    }
}

/// Why something was not added. The batch is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// It does not fit any more: finish this batch, and put it into the next.
    Full {
        /// What there is too much of.
        what: &'static str,
    },
    /// It fits into no batch.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        len: usize,
        /// How large it may be.
        len_max: usize,
    },
    /// A tuple has not as many values as its relation has columns.
    Columns {
        /// The columns of the relation.
        expected: usize,
        /// The values of the tuple.
        got: usize,
    },
    /// An index of something that this batch does not have.
    Unknown {
        /// What it was to be an index of.
        what: &'static str,
        /// The index.
        index: u32,
    },
    /// Text that is not UTF-8.
    NotUtf8 {
        /// The first column that is at fault.
        column: usize,
    },
    /// What has to be JSON, or a JSON object, and is not.
    NotJson {
        /// What it is.
        what: &'static str,
    },
    /// A field with a value that it cannot have.
    Invalid {
        /// What it is.
        what: &'static str,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Full { what } => write!(f, "the batch is full: no room for more {what}"),
            WriteError::TooLarge { what, len, len_max } => {
                write!(f, "{what} too large for any batch: {len}, the limit is {len_max}")
            }
            WriteError::Columns { expected, got } => {
                write!(f, "the relation has {expected} columns, the tuple {got} values")
            }
            WriteError::Unknown { what, index } => write!(f, "the batch has no {what} {index}"),
            WriteError::NotUtf8 { column } => write!(f, "the value of column {column} is not UTF-8"),
            WriteError::NotJson { what } => write!(f, "{what}: not JSON of the kind it has to be"),
            WriteError::Invalid { what } => write!(f, "{what}: not a value that it can have"),
        }
    }
}

impl core::error::Error for WriteError {}
