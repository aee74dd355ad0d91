//! The numbers of `wit/v1/batch.md`: limits, sizes, places of fields, operations, kinds.
//!
//! Nothing here may change for version 1 once it is released.

/// The first four bytes of every batch.
pub const MAGIC: [u8; 4] = *b"PGCB";
/// The layout's version.
pub const VERSION: u16 = 1;

/// Header flag: events are ordered inside their strand.
pub const FLAG_ORDERED: u16 = 1;
/// Header flag: payloads show `schema` and `columns`.
pub const FLAG_SCHEMA: u16 = 2;
/// Header flag: envelopes show `transaction`.
pub const FLAG_TRANSACTION: u16 = 4;

/// A whole batch, in bytes.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// All tuples, bodies and particulars, counted as often as events refer to them, in bytes.
pub const REFERRED_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// All names, counted as often as records refer to them, in bytes; the name of a column or field once more for
/// every relation or type that has it. A batch in which nothing is shared never reaches this.
pub const NAMES_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// Events of a batch.
pub const EVENTS_MAX: usize = 65_536;
/// Relations of a batch.
pub const RELATIONS_MAX: usize = 65_536;
/// Types of a batch.
pub const TYPES_MAX: usize = 65_536;
/// Transactions of a batch.
pub const TRANSACTIONS_MAX: usize = 65_536;
/// Columns and fields of a batch.
pub const COLUMNS_MAX: usize = 1_048_576;
/// Columns of one relation, and fields of one composite type.
pub const RELATION_COLUMNS_MAX: usize = 4_096;
/// A name of anything, the strand and the source, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
/// How deep types nest: an array of scalars is 1 deep.
pub const TYPE_DEPTH_MAX: usize = 32;
/// An event's particulars, in bytes.
pub const PARTICULARS_BYTES_MAX: usize = 64 << 10;
/// A resume token, in bytes.
pub const RESUME_BYTES_MAX: usize = 64 << 10;
/// The transaction's part of an order key, in bytes.
pub const TX_KEY_BYTES_MAX: usize = 40;
/// The event's own part of an order key, in bytes.
pub const EVENT_KEY_BYTES_MAX: usize = 20;
/// An order key with a derived index behind it, in bytes.
pub const POSITION_BYTES_MAX: usize = TX_KEY_BYTES_MAX + EVENT_KEY_BYTES_MAX + 4;

/// No transaction.
pub const NO_TX: u32 = u32::MAX;
/// An unknown commit time.
pub const NO_TIME: i64 = i64::MIN;

pub(crate) const HEADER_BYTES: usize = 112;
pub(crate) const TX_BYTES: usize = 48;
pub(crate) const RELATION_BYTES: usize = 48;
pub(crate) const COLUMN_BYTES: usize = 32;
pub(crate) const TYPE_BYTES: usize = 40;
pub(crate) const EVENT_BYTES: usize = 88;

pub(crate) const STATE_VALUE: u32 = 0;
pub(crate) const STATE_NULL: u32 = 1;
pub(crate) const STATE_UNCHANGED: u32 = 2;
pub(crate) const STATE_ABSENT: u32 = 3;
pub(crate) const STATE_SHIFT: u32 = 30;
pub(crate) const END_MASK: u32 = (1 << STATE_SHIFT) - 1;

pub(crate) const BODY_JSON: u16 = 1;
pub(crate) const BODY_TEXT: u16 = 2;
pub(crate) const BODY_BYTES: u16 = 4;
pub(crate) const BODY_ANY: u16 = BODY_JSON | BODY_TEXT | BODY_BYTES;
pub(crate) const COLUMN_IDENTITY: u32 = 1;
pub(crate) const COLUMN_PRIMARY: u32 = 2;
pub(crate) const TX_FIRST: u32 = 1;
pub(crate) const TX_LAST: u32 = 2;

pub(crate) mod header {
    pub(crate) const VERSION: usize = 4;
    pub(crate) const FLAGS: usize = 6;
    pub(crate) const TOTAL_LEN: usize = 8;
    /// Counts of events, relations, types, transactions, columns; then their offsets in the same order.
    pub(crate) const COUNTS: usize = 12;
    pub(crate) const OFFSETS: usize = 32;
    pub(crate) const STRAND: usize = 52;
    pub(crate) const RESUME: usize = 60;
    pub(crate) const SOURCE: usize = 68;
    pub(crate) const MORE: usize = 76;
    pub(crate) const DETECTED_US: usize = 88;
}

pub(crate) mod tx {
    pub(crate) const KEY: usize = 0;
    pub(crate) const COMMIT_LSN: usize = 8;
    pub(crate) const COMMIT_US: usize = 16;
    pub(crate) const XID: usize = 24;
    pub(crate) const FLAGS: usize = 28;
    pub(crate) const NAME: usize = 32;
}

pub(crate) mod relation {
    pub(crate) const OID: usize = 0;
    pub(crate) const IDENTITY: usize = 4;
    pub(crate) const SCHEMA: usize = 8;
    pub(crate) const NAME: usize = 16;
    pub(crate) const CHANNEL: usize = 24;
    pub(crate) const FIRST_COLUMN: usize = 32;
    pub(crate) const COLUMNS: usize = 36;
}

pub(crate) mod column {
    pub(crate) const NAME: usize = 0;
    pub(crate) const TYPE: usize = 8;
    pub(crate) const TYPMOD: usize = 12;
    pub(crate) const FLAGS: usize = 16;
}

pub(crate) mod typ {
    pub(crate) const OID: usize = 0;
    pub(crate) const KIND: usize = 4;
    pub(crate) const DELIM: usize = 5;
    pub(crate) const NAME: usize = 8;
    pub(crate) const ELEM: usize = 16;
    pub(crate) const FIRST_FIELD: usize = 20;
    pub(crate) const FIELDS: usize = 24;
}

pub(crate) mod event {
    pub(crate) const ID: usize = 0;
    pub(crate) const KEY: usize = 16;
    pub(crate) const KEY_LEN: usize = 36;
    pub(crate) const OP: usize = 37;
    pub(crate) const FLAGS: usize = 38;
    pub(crate) const TX: usize = 40;
    pub(crate) const RELATION: usize = 44;
    pub(crate) const AFTER: usize = 48;
    pub(crate) const BEFORE: usize = 52;
    pub(crate) const SEQ: usize = 56;
    pub(crate) const BODY: usize = 60;
    pub(crate) const INPUT: usize = 68;
    pub(crate) const DERIVED: usize = 72;
    pub(crate) const PARTICULARS: usize = 76;
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// A row was inserted.
    Insert = 1,
    /// A row was changed.
    Update = 2,
    /// A row was deleted.
    Delete = 3,
    /// A table was emptied.
    Truncate = 4,
    /// A row that was there when a snapshot was taken.
    Snapshot = 5,
    /// A notification.
    Notify = 6,
    /// A transaction's beginning.
    Begin = 7,
    /// A transaction's end.
    Commit = 8,
    /// A table's shape changed.
    SchemaChange = 9,
    /// A logical message.
    Message = 10,
    /// Named by the event's particulars.
    Named = 255,
}

impl Op {
    /// All operations.
    pub const ALL: [Op; 11] = [
        Op::Insert,
        Op::Update,
        Op::Delete,
        Op::Truncate,
        Op::Snapshot,
        Op::Notify,
        Op::Begin,
        Op::Commit,
        Op::SchemaChange,
        Op::Message,
        Op::Named,
    ];

    /// The operation of a number, if version 1 knows it.
    #[inline]
    pub fn from_u8(number: u8) -> Option<Op> {
        Some(match number {
            1 => Op::Insert,
            2 => Op::Update,
            3 => Op::Delete,
            4 => Op::Truncate,
            5 => Op::Snapshot,
            6 => Op::Notify,
            7 => Op::Begin,
            8 => Op::Commit,
            9 => Op::SchemaChange,
            10 => Op::Message,
            255 => Op::Named,
            _ => return None,
        })
    }

    /// The operation of a name as the envelope prints it; none for names that need particulars.
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| *op != Op::Named && op.name() == name)
    }

    /// The name as the envelope prints it. [`Op::Named`] has its name in the particulars.
    #[inline]
    pub fn name(self) -> &'static str {
        match self {
            Op::Insert => "INSERT",
            Op::Update => "UPDATE",
            Op::Delete => "DELETE",
            Op::Truncate => "TRUNCATE",
            Op::Snapshot => "SNAPSHOT",
            Op::Notify => "NOTIFY",
            Op::Begin => "BEGIN",
            Op::Commit => "COMMIT",
            Op::SchemaChange => "SCHEMA_CHANGE",
            Op::Message => "MESSAGE",
            Op::Named => "NAMED",
        }
    }

    /// Whether its payload is made of a table's rows (unless the event has a body).
    #[inline]
    pub fn is_row(self) -> bool {
        matches!(self, Op::Insert | Op::Update | Op::Delete | Op::Truncate | Op::Snapshot)
    }
}

/// How a value's text becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Kind {
    /// A string, as is.
    #[default]
    Text = 0,
    /// `t` and `f` become `true` and `false`.
    Bool = 1,
    /// The digits.
    Int = 2,
    /// The digits if they are a JSON number, else a string.
    Number = 3,
    /// The value itself.
    Json = 4,
    /// A string with `T` between date and time.
    Timestamp = 5,
    /// The same, with the zone's minutes.
    Timestamptz = 6,
    /// An array of the element type.
    Array = 7,
    /// An object of the fields.
    Composite = 8,
    /// `"a"=>"1", "b"=>NULL` becomes an object of strings and nulls.
    Hstore = 9,
}

impl Kind {
    /// The kind of a number, if it is one.
    #[inline]
    pub fn from_u8(number: u8) -> Option<Kind> {
        Some(match number {
            0 => Kind::Text,
            1 => Kind::Bool,
            2 => Kind::Int,
            3 => Kind::Number,
            4 => Kind::Json,
            5 => Kind::Timestamp,
            6 => Kind::Timestamptz,
            7 => Kind::Array,
            8 => Kind::Composite,
            9 => Kind::Hstore,
            _ => return None,
        })
    }
}
