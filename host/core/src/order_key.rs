//! Order keys: where an event stands inside its strand, as bytes that compare.
//!
//! PostgreSQL's key has two parts, as `wit/v1/batch.md` splits it. All numbers are big-endian.
//!
//! | part | bytes | meaning |
//! |---|---|---|
//! | transaction | 8 | commit LSN that Begin announces; of a message outside of transactions, its own LSN |
//! | event | 1 | kind: 0 row of a snapshot, 1 message outside of transactions, 2 inside a transaction, 3 its COMMIT marker |
//! | | 8 | LSN of a row's record; 0 for the BEGIN marker; of the COMMIT marker, the commit LSN; of a logical message inside a transaction, its record's last byte; of a change of a table's shape, the byte in front of the record that it was told with |
//! | | 4 | n-th row at that LSN, or n-th change of shape, from 1; 0 for markers and logical messages |
//!
//! Of a row of a snapshot the transaction's part is the LSN that the snapshot is of: it sees what commits before it. The
//! event's eight bytes are the row's number in its table, from 1, and its four are the table's oid.
//!
//! Invariants:
//! - Keys ascend strictly in the order in which the server sends events. The rows of a COPY share one LSN,
//!   hence n. A message outside of transactions that is the last record before a commit carries that commit's
//!   LSN and is sent before it, hence its lower kind. A logical message inside a transaction carries the LSN
//!   at which its record ends, which is where the next row's record starts. Between those two stands what the
//!   server tells of that row's table: hence the byte before, with an n of 0 for the message and from 1 on for
//!   the shape. No record is shorter than 24 bytes, so that nothing else ever stands there.
//! - A key depends on the WAL alone: switching markers, messages or filters on or off never shifts
//!   another event's key.

use std::fmt;

use crate::lsn::Lsn;

/// The longest order key of any source, in bytes.
pub const ORDER_KEY_BYTES_MAX: usize = 64;

/// Bytes of the event part of a PostgreSQL key.
pub const EVENT_PART_BYTES: usize = 13;

/// Bytes of a whole PostgreSQL key.
pub const POSTGRES_KEY_BYTES: usize = 8 + EVENT_PART_BYTES;

const KIND_SNAPSHOT: u8 = 0;
const KIND_MESSAGE: u8 = 1;
const KIND_INSIDE: u8 = 2;
const KIND_MARKER: u8 = 3;

/// The key of one PostgreSQL event. Compares as its bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostgresKey {
    commit: Lsn,
    kind: u8,
    change: Lsn,
    nth: u32,
}

impl PostgresKey {
    /// The n-th row (from 1) of the change at an LSN, in the transaction that commits at another.
    #[must_use]
    pub fn row(commit: Lsn, change: Lsn, nth: u32) -> PostgresKey {
        PostgresKey { commit, kind: KIND_INSIDE, change, nth }
    }

    /// A logical message inside of a transaction, by the LSN that it carries: its record's end.
    #[must_use]
    pub fn message_inside(commit: Lsn, message: Lsn) -> PostgresKey {
        PostgresKey { commit, kind: KIND_INSIDE, change: before(message), nth: 0 }
    }

    /// The n-th (from 1) of the changes of shape that the server tells in front of the change at an LSN.
    #[must_use]
    pub fn shape(commit: Lsn, change: Lsn, nth: u32) -> PostgresKey {
        PostgresKey { commit, kind: KIND_INSIDE, change: before(change), nth }
    }

    /// A logical message outside of transactions.
    #[must_use]
    pub fn message_outside(message: Lsn) -> PostgresKey {
        PostgresKey { commit: message, kind: KIND_MESSAGE, change: message, nth: 0 }
    }

    /// The BEGIN marker: after every message in front of the transaction, before all that is in it.
    #[must_use]
    pub fn begin(commit: Lsn) -> PostgresKey {
        PostgresKey { commit, kind: KIND_INSIDE, change: Lsn::ZERO, nth: 0 }
    }

    /// The COMMIT marker: after all that is in the transaction.
    #[must_use]
    pub fn commit(commit: Lsn) -> PostgresKey {
        PostgresKey { commit, kind: KIND_MARKER, change: commit, nth: 0 }
    }

    /// The n-th row (from 1) that a snapshot reads of a table, by its oid. It stands before all that commits at `point` or
    /// later, and after all that commits earlier.
    #[must_use]
    pub fn snapshot(point: Lsn, row: u64, table: u32) -> PostgresKey {
        PostgresKey { commit: point, kind: KIND_SNAPSHOT, change: Lsn(row), nth: table }
    }

    /// The part that all events of a transaction share.
    #[must_use]
    pub fn transaction_part(&self) -> [u8; 8] {
        self.commit.to_bytes()
    }

    /// The part of the event alone.
    #[must_use]
    pub fn event_part(&self) -> [u8; EVENT_PART_BYTES] {
        let mut out = [0; EVENT_PART_BYTES];
        out[0] = self.kind;
        out[1..9].copy_from_slice(&self.change.to_bytes());
        out[9..].copy_from_slice(&self.nth.to_be_bytes());
        out
    }

    /// Both parts.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; POSTGRES_KEY_BYTES] {
        let mut out = [0; POSTGRES_KEY_BYTES];
        out[..8].copy_from_slice(&self.transaction_part());
        out[8..].copy_from_slice(&self.event_part());
        out
    }

    /// The same as an order key of any source.
    #[must_use]
    pub fn to_order_key(&self) -> OrderKey {
        OrderKey::short(&self.to_bytes())
    }
}

fn before(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}

/// An order key of any source: at most 64 bytes, compared as bytes. The empty one has no place in an order.
#[derive(Clone, Copy)]
pub struct OrderKey {
    len: u8,
    bytes: [u8; ORDER_KEY_BYTES_MAX],
}

/// The bytes are no order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrderKey {
    /// More than 64 bytes.
    #[error("an order key has at most 64 bytes, this one has {0}")]
    TooLong(usize),
    /// Not lower-case hexadecimal.
    #[error("an order key is written in lower-case hexadecimal")]
    NotHex,
}

impl OrderKey {
    /// The key with no place in an order.
    pub const EMPTY: OrderKey = OrderKey { len: 0, bytes: [0; ORDER_KEY_BYTES_MAX] };

    /// A key of these bytes.
    pub fn new(bytes: &[u8]) -> Result<OrderKey, BadOrderKey> {
        if bytes.len() > ORDER_KEY_BYTES_MAX {
            return Err(BadOrderKey::TooLong(bytes.len()));
        }
        Ok(OrderKey::short(bytes))
    }

    /// A key from the form that `position` has in an envelope.
    pub fn from_hex(text: &str) -> Result<OrderKey, BadOrderKey> {
        if text.len() > 2 * ORDER_KEY_BYTES_MAX {
            return Err(BadOrderKey::TooLong(text.len().div_ceil(2)));
        }
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| BadOrderKey::NotHex)?;
        OrderKey::new(&bytes)
    }

    /// The form that `position` has in an envelope.
    #[must_use]
    pub fn to_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(self.as_bytes())
    }

    /// The bytes that compare.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Of a PostgreSQL event: a server whose WAL ends before this has never had it. Otherwise no position.
    #[must_use]
    pub fn wal_needed(&self) -> Lsn {
        let (Some(transaction), Some(kind)) = (self.as_bytes().first_chunk::<8>(), self.as_bytes().get(8))
        else {
            return Lsn::ZERO;
        };
        let lsn = u64::from_be_bytes(*transaction);
        // A message names where its record ends, a snapshot what is before it, a transaction where its commit record begins.
        Lsn(if *kind <= KIND_MESSAGE { lsn } else { lsn.saturating_add(1) })
    }

    /// Whether it has no place in an order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Of bytes that are known to fit; more would be cut.
    fn short(bytes: &[u8]) -> OrderKey {
        let len = bytes.len().min(ORDER_KEY_BYTES_MAX);
        let mut key = OrderKey::EMPTY;
        key.bytes[..len].copy_from_slice(&bytes[..len]);
        key.len = len as u8;
        key
    }
}

impl PartialEq for OrderKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for OrderKey {}

impl PartialOrd for OrderKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderKey({})", self.to_hex())
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_in_the_order_of_sending() {
        let commit = Lsn(0x500);
        let sent = [
            PostgresKey::message_outside(Lsn(0x480)),
            PostgresKey::snapshot(commit, 1, 70_000),
            PostgresKey::snapshot(commit, 1 << 40, 5),
            PostgresKey::message_outside(commit),
            PostgresKey::begin(commit),
            PostgresKey::row(commit, Lsn(0x300), 1),
            PostgresKey::row(commit, Lsn(0x300), 2),
            PostgresKey::message_inside(commit, Lsn(0x400)),
            PostgresKey::shape(commit, Lsn(0x400), 1),
            PostgresKey::shape(commit, Lsn(0x400), 2),
            PostgresKey::row(commit, Lsn(0x400), 1),
            PostgresKey::row(commit, Lsn(0x400), 256),
            PostgresKey::message_inside(commit, commit),
            PostgresKey::shape(commit, commit, 1),
            PostgresKey::commit(commit),
            PostgresKey::message_outside(Lsn(0x580)),
            PostgresKey::begin(Lsn(0x600)),
        ];
        for pair in sent.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
            assert!(pair[0].to_bytes() < pair[1].to_bytes(), "{pair:?}");
            assert!(pair[0].to_order_key() < pair[1].to_order_key(), "{pair:?}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_layout() {
        let key = PostgresKey::row(Lsn(0x0102_0304_0506_0708), Lsn(0x0A), 3);
        assert_eq!(key.transaction_part(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(key.event_part(), [2, 0, 0, 0, 0, 0, 0, 0, 0x0A, 0, 0, 0, 3]);
        assert_eq!(key.to_order_key().to_hex(), "010203040506070802000000000000000a00000003");
    }

    #[test]
    fn hex_goes_there_and_back_and_nothing_else_is_taken() {
        let key = PostgresKey::commit(Lsn(99)).to_order_key();
        assert_eq!(OrderKey::from_hex(&key.to_hex()), Ok(key));
        assert_eq!(OrderKey::from_hex(""), Ok(OrderKey::EMPTY));
        assert_eq!(OrderKey::from_hex("0"), Err(BadOrderKey::NotHex));
        assert_eq!(OrderKey::from_hex("AB"), Err(BadOrderKey::NotHex));
        assert_eq!(OrderKey::from_hex(&"00".repeat(65)), Err(BadOrderKey::TooLong(65)));
        assert_eq!(OrderKey::from_hex(&"zz".repeat(65)), Err(BadOrderKey::TooLong(65)), "not even looked at");
        let longest = OrderKey::from_hex(&"07".repeat(64)).unwrap();
        assert_eq!(longest.as_bytes(), [7; 64]);
        assert_ne!(longest, OrderKey::from_hex(&"07".repeat(63)).unwrap());
        let key = OrderKey::new(&[0x1f]).unwrap();
        assert_eq!((key.to_string(), format!("{key:?}")), ("1f".into(), "OrderKey(1f)".into()));
        assert_eq!(OrderKey::new(&[0; 65]), Err(BadOrderKey::TooLong(65)));
    }

    #[test]
    fn says_how_much_wal_its_event_needs() {
        assert_eq!(PostgresKey::message_outside(Lsn(9)).to_order_key().wal_needed(), Lsn(9));
        assert_eq!(PostgresKey::row(Lsn(9), Lsn(3), 1).to_order_key().wal_needed(), Lsn(10));
        assert_eq!(PostgresKey::snapshot(Lsn(9), 3, 1).to_order_key().wal_needed(), Lsn(9));
        assert_eq!(PostgresKey::commit(Lsn(u64::MAX)).to_order_key().wal_needed(), Lsn(u64::MAX));
        assert_eq!(OrderKey::EMPTY.wal_needed(), Lsn::ZERO);
        assert_eq!(OrderKey::new(&[9; 8]).unwrap().wal_needed(), Lsn::ZERO);
    }

    #[test]
    fn a_prefix_stands_before_what_it_starts() {
        let (short, long) = (OrderKey::new(&[1]).unwrap(), OrderKey::new(&[1, 0]).unwrap());
        assert!(short < long && OrderKey::EMPTY < short);
    }
}
