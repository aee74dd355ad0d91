//! Types, relations and transactions: what events refer to by index.
//!
//! Invariant: an element or field type has a smaller index than the type that uses it.

use super::{BatchWriter, ColumnDef, RelationDef, TxDef, TypeDef, WriteError, limit};
use crate::bytes::{Ref, put, put_ref, put_u32};
use crate::spec::*;
use crate::view::rules;

impl BatchWriter {
    /// Adds a type; its element and field types must be there. Its index.
    ///
    /// # Errors
    /// `Unknown` for an element or field type, `Invalid` for a delimiter, `TooLarge` also for types that nest
    /// too deep, `Full`.
    pub fn add_type(&mut self, def: &TypeDef<'_>) -> Result<u32, WriteError> {
        let index = self.types.len();
        limit("a composite's fields", def.fields.len(), RELATION_COLUMNS_MAX)?;
        if def.kind == Kind::Array {
            self.known("type", def.elem, index)?;
            if !rules::is_delimiter(def.delim) {
                return Err(WriteError::Invalid { what: "an array's delimiter" });
            }
        }
        let fields = if def.kind == Kind::Composite { def.fields } else { &[] };
        let depth = self.depth(def)?;
        self.room("types", index, TYPES_MAX)?;
        let record = self.checked("types", TYPE_BYTES, |w| {
            let mut record = [0; TYPE_BYTES];
            put_u32(&mut record, typ::OID, def.oid);
            put(&mut record, typ::KIND, &[def.kind as u8]);
            put_ref(&mut record, typ::NAME, w.name("a type's name", def.name)?);
            if def.kind == Kind::Array {
                put(&mut record, typ::DELIM, &[def.delim]);
                put_u32(&mut record, typ::ELEM, def.elem);
            }
            if def.kind == Kind::Composite {
                put_u32(&mut record, typ::FIRST_FIELD, w.columns.len() as u32);
                put_u32(&mut record, typ::FIELDS, fields.len() as u32);
            }
            w.push_columns(fields, index)?;
            Ok(record)
        })?;
        self.types.push(record);
        self.depths.push(depth);
        Ok(index as u32)
    }

    /// Adds a relation; its columns' types must be there. Its index.
    ///
    /// # Errors
    /// `Unknown` for a column's type, `Invalid` for a replica identity, `Full`, `TooLarge`.
    pub fn add_relation(&mut self, def: &RelationDef<'_>) -> Result<u32, WriteError> {
        limit("a relation's columns", def.columns.len(), RELATION_COLUMNS_MAX)?;
        if !rules::is_identity(def.identity) {
            return Err(WriteError::Invalid { what: "a replica identity" });
        }
        let index = self.relations.len();
        self.room("relations", index, RELATIONS_MAX)?;
        let record = self.checked("relations", RELATION_BYTES, |w| {
            let mut record = [0; RELATION_BYTES];
            put_u32(&mut record, relation::OID, def.oid);
            put(&mut record, relation::IDENTITY, &[def.identity]);
            put_ref(&mut record, relation::SCHEMA, w.name("a schema's name", def.schema)?);
            put_ref(&mut record, relation::NAME, w.name("a table's name", def.name)?);
            put_ref(&mut record, relation::CHANNEL, w.name("a channel's name", def.channel)?);
            put_u32(&mut record, relation::FIRST_COLUMN, w.columns.len() as u32);
            put_u32(&mut record, relation::COLUMNS, def.columns.len() as u32);
            w.push_columns(def.columns, w.types.len())?;
            Ok(record)
        })?;
        self.relations.push(record);
        Ok(index as u32)
    }

    /// Adds a transaction. Its index.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    pub fn add_transaction(&mut self, def: &TxDef<'_>) -> Result<u32, WriteError> {
        let index = self.transactions.len();
        self.room("transactions", index, TRANSACTIONS_MAX)?;
        let record = self.checked("transactions", TX_BYTES, |w| w.transaction_record(def))?;
        self.transactions.push(record);
        Ok(index as u32)
    }

    /// Sets a transaction that was added before its commit was known.
    ///
    /// # Errors
    /// `Unknown` for the index, `Full`, `TooLarge`.
    pub fn set_transaction(&mut self, index: u32, def: &TxDef<'_>) -> Result<(), WriteError> {
        self.known("transaction", index, self.transactions.len())?;
        let record = self.checked("transactions", 0, |w| w.transaction_record(def))?;
        if let Some(old) = self.transactions.get_mut(index as usize) {
            *old = record;
        }
        Ok(())
    }

    /// Sets whether a transaction's first and last event are in the batch.
    pub(crate) fn set_transaction_ends(&mut self, index: u32, first: bool, last: bool) {
        if let Some(record) = self.transactions.get_mut(index as usize) {
            put_u32(record, tx::FLAGS, tx_flags(first, last));
        }
    }

    fn transaction_record(&mut self, def: &TxDef<'_>) -> Result<[u8; TX_BYTES], WriteError> {
        limit("the transaction's part of the order key", def.key.len(), TX_KEY_BYTES_MAX)?;
        let mut record = [0; TX_BYTES];
        put_ref(&mut record, tx::KEY, self.push(def.key));
        put(&mut record, tx::COMMIT_LSN, &def.commit_lsn.to_le_bytes());
        put(&mut record, tx::COMMIT_US, &def.commit_us.to_le_bytes());
        put_u32(&mut record, tx::XID, def.xid);
        put_u32(&mut record, tx::FLAGS, tx_flags(def.first, def.last));
        put_ref(&mut record, tx::NAME, self.name("a transaction's name", def.name)?);
        Ok(record)
    }

    fn push_columns(&mut self, defs: &[ColumnDef<'_>], types: usize) -> Result<(), WriteError> {
        if self.columns.len() + defs.len() > COLUMNS_MAX {
            return Err(WriteError::Full { what: "columns" });
        }
        for def in defs {
            self.known("type", def.ty, types)?;
            let mut record = [0; COLUMN_BYTES];
            put_ref(&mut record, column::NAME, self.name("a column's name", def.name)?);
            put_u32(&mut record, column::TYPE, def.ty);
            put(&mut record, column::TYPMOD, &def.typmod.to_le_bytes());
            let flag = |set, flag| if set { flag } else { 0 };
            let flags = flag(def.identity, COLUMN_IDENTITY) | flag(def.primary, COLUMN_PRIMARY);
            put_u32(&mut record, column::FLAGS, flags);
            self.columns.push(record);
        }
        Ok(())
    }

    /// How deep a type nests whose element and field types are there.
    fn depth(&self, def: &TypeDef<'_>) -> Result<u8, WriteError> {
        let of = |ty: u32| self.depths.get(ty as usize).copied().unwrap_or_default();
        let within = match def.kind {
            Kind::Array => of(def.elem),
            Kind::Composite => def.fields.iter().map(|field| of(field.ty)).max().unwrap_or_default(),
            _ => return Ok(0),
        };
        let depth = within + 1;
        limit("the depth of a type", usize::from(depth), TYPE_DEPTH_MAX)?;
        Ok(depth)
    }

    fn name(&mut self, what: &'static str, name: &str) -> Result<Ref, WriteError> {
        limit(what, name.len(), NAME_BYTES_MAX)?;
        Ok(self.push(name.as_bytes()))
    }
}

fn tx_flags(first: bool, last: bool) -> u32 {
    let flag = |set, flag| if set { flag } else { 0 };
    flag(first, TX_FIRST) | flag(last, TX_LAST)
}
