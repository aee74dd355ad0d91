//! Relations, columns, types and transactions, read in place.
//!
//! What is not there, or leads outside of the batch, reads as empty.

use super::{View, str_of};
use crate::bytes::{ref_at, u8_at, u32_at, u64_at};
use crate::spec::*;

/// A table, or just a channel.
#[derive(Debug, Clone, Copy)]
pub struct Relation<'a> {
    pub(super) view: View<'a>,
    pub(super) record: &'a [u8; RELATION_BYTES],
    pub(super) index: u32,
}

impl<'a> Relation<'a> {
    /// Its index in the batch.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The table's oid, or 0.
    #[inline]
    pub fn oid(&self) -> u32 {
        u32_at(self.record, relation::OID)
    }

    /// Replica identity: `d`, `n`, `f`, `i`, or 0.
    #[inline]
    pub fn identity(&self) -> u8 {
        u8_at(self.record, relation::IDENTITY)
    }

    /// The schema; may be empty.
    #[inline]
    pub fn schema(&self) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, relation::SCHEMA))
    }

    /// The table's name; empty for a channel alone.
    #[inline]
    pub fn name(&self) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, relation::NAME))
    }

    /// The channel that its events show.
    #[inline]
    pub fn channel(&self) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, relation::CHANNEL))
    }

    /// The number of columns.
    #[inline]
    pub fn column_count(&self) -> usize {
        self.records().len()
    }

    /// The columns in order.
    #[inline]
    pub fn columns(&self) -> impl ExactSizeIterator<Item = Column<'a>> + use<'a> {
        let view = self.view;
        self.records().iter().map(move |record| Column { view, record })
    }

    /// A column.
    #[inline]
    pub fn column(&self, index: usize) -> Option<Column<'a>> {
        Some(Column { view: self.view, record: self.records().get(index)? })
    }

    /// Which column has this name.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns().position(|column| column.name_bytes() == name.as_bytes())
    }

    #[inline]
    fn records(&self) -> &'a [[u8; COLUMN_BYTES]] {
        let first = u32_at(self.record, relation::FIRST_COLUMN);
        self.view.column_range(first, u32_at(self.record, relation::COLUMNS))
    }
}

/// A column of a relation, or a field of a composite type.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    pub(super) view: View<'a>,
    pub(super) record: &'a [u8; COLUMN_BYTES],
}

impl<'a> Column<'a> {
    /// Its name.
    #[inline]
    pub fn name(&self) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, column::NAME))
    }

    #[inline]
    fn name_bytes(&self) -> &'a [u8] {
        ref_at(self.record, column::NAME).of(self.view.bytes).unwrap_or_default()
    }

    /// The index of its type.
    #[inline]
    pub fn type_index(&self) -> u32 {
        u32_at(self.record, column::TYPE)
    }

    /// Its type. None only in a batch that was not checked.
    #[inline]
    pub fn ty(&self) -> Option<Type<'a>> {
        self.view.ty(self.type_index())
    }

    /// The type modifier, or -1.
    #[inline]
    pub fn typmod(&self) -> i32 {
        u32_at(self.record, column::TYPMOD) as i32
    }

    /// Whether it is part of the replica identity.
    #[inline]
    pub fn identity(&self) -> bool {
        u32_at(self.record, column::FLAGS) & COLUMN_IDENTITY != 0
    }

    /// Whether it is part of the primary key.
    #[inline]
    pub fn primary(&self) -> bool {
        u32_at(self.record, column::FLAGS) & COLUMN_PRIMARY != 0
    }
}

/// A type, or rather how its values' text becomes JSON.
#[derive(Debug, Clone, Copy)]
pub struct Type<'a> {
    pub(super) view: View<'a>,
    pub(super) record: &'a [u8; TYPE_BYTES],
    pub(super) index: u32,
}

impl<'a> Type<'a> {
    /// Its index in the batch.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its oid at the source, or 0.
    #[inline]
    pub fn oid(&self) -> u32 {
        u32_at(self.record, typ::OID)
    }

    /// The rule; `Text` where it is none that is known.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::from_u8(u8_at(self.record, typ::KIND)).unwrap_or_default()
    }

    /// Its name.
    #[inline]
    pub fn name(&self) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, typ::NAME))
    }

    /// Arrays: what separates elements in the text form.
    #[inline]
    pub fn delimiter(&self) -> u8 {
        u8_at(self.record, typ::DELIM)
    }

    /// Arrays: the type of the elements. Its index is smaller than the array's.
    #[inline]
    pub fn element(&self) -> Option<Type<'a>> {
        if self.kind() != Kind::Array {
            return None;
        }
        self.view.ty(u32_at(self.record, typ::ELEM)).filter(|element| element.index < self.index)
    }

    /// Composites: the fields in order. The indexes of their types are smaller than the composite's.
    #[inline]
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Column<'a>> + use<'a> {
        let view = self.view;
        let count = if self.kind() == Kind::Composite { u32_at(self.record, typ::FIELDS) } else { 0 };
        let records = view.column_range(u32_at(self.record, typ::FIRST_FIELD), count);
        records.iter().map(move |record| Column { view, record })
    }
}

/// A transaction.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    pub(super) view: View<'a>,
    pub(super) record: &'a [u8; TX_BYTES],
}

impl<'a> Transaction<'a> {
    /// The first part of the order key of its events.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        ref_at(self.record, tx::KEY).of(self.view.bytes).unwrap_or_default()
    }

    /// The commit's LSN, or 0.
    #[inline]
    pub fn commit_lsn(&self) -> u64 {
        u64_at(self.record, tx::COMMIT_LSN)
    }

    /// When it was committed, microseconds since 1970.
    #[inline]
    pub fn commit_us(&self) -> Option<i64> {
        Some(u64_at(self.record, tx::COMMIT_US) as i64).filter(|at| *at != NO_TIME)
    }

    /// Its number at the source, or 0.
    #[inline]
    pub fn xid(&self) -> u32 {
        u32_at(self.record, tx::XID)
    }

    /// Whether its first event is in this batch.
    #[inline]
    pub fn first(&self) -> bool {
        u32_at(self.record, tx::FLAGS) & TX_FIRST != 0
    }

    /// Whether its last event is in this batch.
    #[inline]
    pub fn last(&self) -> bool {
        u32_at(self.record, tx::FLAGS) & TX_LAST != 0
    }

    /// Its name at the source, such as a GTID, or empty.
    pub fn name(&self) -> &'a str {
        str_of(self.view.bytes, ref_at(self.record, tx::NAME))
    }
}
