//! Reads a batch in place.
//!
//! Invariants: [`View::parse`] accepts exactly what `wit/v1/batch.md` allows, in time linear in the batch;
//! [`View::of_valid`] trusts and still never reads out of bounds: what leads nowhere reads as empty.

mod check;
mod event;
mod malformed;
mod order;
pub(crate) mod rules;
mod table;
mod tuple;

pub use event::{Body, Event};
pub use malformed::Malformed;
pub use table::{Column, Relation, Transaction, Type};
pub use tuple::{Cell, RawTuple, Tuple};

use crate::bytes::{Ref, ref_at, u16_at, u32_at, u64_at};
use crate::spec::*;

/// A batch. Small and free to copy.
#[derive(Clone, Copy)]
pub struct View<'a> {
    bytes: &'a [u8],
    events: &'a [[u8; EVENT_BYTES]],
    relations: &'a [[u8; RELATION_BYTES]],
    types: &'a [[u8; TYPE_BYTES]],
    transactions: &'a [[u8; TX_BYTES]],
    columns: &'a [[u8; COLUMN_BYTES]],
}

impl<'a> View<'a> {
    /// Checks everything, then gives the batch.
    ///
    /// # Errors
    /// What is wrong first, and where.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check::parse(bytes)
    }

    /// The batch of bytes that were checked before, or that a writer of this process has finished. Of bytes
    /// that have not even a header, a batch without events.
    pub fn of_valid(bytes: &'a [u8]) -> Self {
        let total = u32_at(bytes, header::TOTAL_LEN) as usize;
        let bytes = bytes.get(..total).filter(|bytes| bytes.starts_with(&MAGIC)).unwrap_or_default();
        View {
            bytes,
            events: table(bytes, 0).unwrap_or_default(),
            relations: table(bytes, 1).unwrap_or_default(),
            types: table(bytes, 2).unwrap_or_default(),
            transactions: table(bytes, 3).unwrap_or_default(),
            columns: table(bytes, 4).unwrap_or_default(),
        }
    }

    /// The batch if the header and the places of its tables are in order; the tables' records are not looked
    /// at.
    pub(crate) fn tables(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check::tables(bytes)
    }

    /// The records of the transactions.
    pub(crate) fn transactions(&self) -> &'a [[u8; TX_BYTES]] {
        self.transactions
    }

    /// The bytes of the batch.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header's flags.
    #[inline]
    pub fn flags(&self) -> u16 {
        u16_at(self.bytes, header::FLAGS)
    }

    /// The strand, inside which order is kept.
    pub fn strand(&self) -> &'a str {
        str_of(self.bytes, ref_at(self.bytes, header::STRAND))
    }

    /// Where to go on once this batch and all before it are settled.
    pub fn resume(&self) -> &'a [u8] {
        ref_at(self.bytes, header::RESUME).of(self.bytes).unwrap_or_default()
    }

    /// The source, as the envelope prints it.
    pub fn source(&self) -> &'a str {
        str_of(self.bytes, ref_at(self.bytes, header::SOURCE))
    }

    /// A JSON object for what later versions add, or empty.
    pub fn more(&self) -> &'a str {
        str_of(self.bytes, ref_at(self.bytes, header::MORE))
    }

    /// When the changes were detected, microseconds since 1970.
    #[inline]
    pub fn detected_us(&self) -> i64 {
        u64_at(self.bytes, header::DETECTED_US) as i64
    }

    /// The number of events.
    #[inline]
    pub fn event_count(&self) -> usize {
        self.events.len()
    }

    /// An event.
    #[inline]
    pub fn event(&self, index: u32) -> Option<Event<'a>> {
        let record = self.events.get(index as usize)?;
        Some(Event { view: *self, record, index })
    }

    /// The events in order.
    #[inline]
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'a>> + use<'a> {
        let view = *self;
        view.events.iter().enumerate().map(move |(n, record)| Event { view, record, index: n as u32 })
    }

    /// Appends the order key of an event.
    pub fn order_key(&self, index: u32, out: &mut Vec<u8>) {
        if let Some(event) = self.event(index) {
            event.order_key(out);
        }
    }

    /// The number of relations.
    #[inline]
    pub fn relation_count(&self) -> usize {
        self.relations.len()
    }

    /// A relation.
    #[inline]
    pub fn relation(&self, index: u32) -> Option<Relation<'a>> {
        let record = self.relations.get(index as usize)?;
        Some(Relation { view: *self, record, index })
    }

    /// The number of types.
    #[inline]
    pub fn type_count(&self) -> usize {
        self.types.len()
    }

    /// A type.
    #[inline]
    pub fn ty(&self, index: u32) -> Option<Type<'a>> {
        let record = self.types.get(index as usize)?;
        Some(Type { view: *self, record, index })
    }

    /// The number of transactions.
    #[inline]
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    /// A transaction.
    #[inline]
    pub fn transaction(&self, index: u32) -> Option<Transaction<'a>> {
        let record = self.transactions.get(index as usize)?;
        Some(Transaction { view: *self, record })
    }

    /// Where the record of an event is, from the start of the batch.
    fn event_offset(&self, index: u32) -> usize {
        u32_at(self.bytes, header::OFFSETS) as usize + index as usize * EVENT_BYTES
    }

    #[inline]
    fn column_range(&self, first: u32, count: u32) -> &'a [[u8; COLUMN_BYTES]] {
        let from = self.columns.get(first as usize..).unwrap_or_default();
        from.get(..count as usize).unwrap_or_default()
    }
}

impl core::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (bytes, events) = (self.bytes.len(), self.events.len());
        f.debug_struct("View").field("bytes", &bytes).field("events", &events).finish_non_exhaustive()
    }
}

/// The n-th table of the header: events, relations, types, transactions, columns.
fn table<const N: usize>(bytes: &[u8], n: usize) -> Option<&[[u8; N]]> {
    let count = u32_at(bytes, header::COUNTS + 4 * n) as usize;
    let start = u32_at(bytes, header::OFFSETS + 4 * n) as usize;
    let end = start.checked_add(count.checked_mul(N)?)?;
    Some(bytes.get(start..end)?.as_chunks::<N>().0)
}

/// The text of a ref; empty if it leads outside of the batch or is not UTF-8.
#[inline]
fn str_of(bytes: &[u8], place: Ref) -> &str {
    place.of(bytes).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
}
