//! The batch that is being filled: the layout's writer, and what of the stream's tables, types and
//! transactions it has been told already.
//!
//! Definitions are added when the first event needs them, once a batch.

use pgcdc_layout::spec::{FLAG_ORDERED, FLAG_SCHEMA, FLAG_TRANSACTION};
use pgcdc_layout::{BatchWriter, ColumnDef, Kind, RelationDef, TxDef, TypeDef, WriteError};
use rustc_hash::FxHashMap;

use super::known::Known;
use super::outcome::{Finished, Refused};
use super::settings::{Settings, Values};
use super::tables::Table;
use super::transaction::{Placed, Transaction};
use crate::catalog::{NESTING_MAX, Shape, TypeCatalog};
use crate::lsn::Lsn;
use crate::order_key::{OrderKey, PostgresKey};
use crate::pgoutput::{Begin, Identity};

/// The channel of BEGIN and COMMIT.
pub const TXN_CHANNEL: &str = "pgcdc:_txn";
/// The channel of logical messages.
pub const MESSAGE_CHANNEL: &str = "pgcdc:_message";
/// The channel of SCHEMA_CHANGE.
pub const SCHEMA_CHANNEL: &str = "pgcdc:_schema";

#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) writer: BatchWriter,
    /// Counts batches, so that indexes of an earlier one are known to be stale.
    number: u64,
    /// The resume position that the batches before this one have told.
    told: Lsn,
    started: bool,
    types: FxHashMap<u32, u32>,
    channels: [Option<u32>; 3],
    keys: Option<(PostgresKey, PostgresKey)>,
    refused: Vec<Refused>,
}

impl OpenBatch {
    pub(super) fn new(settings: &Settings, resume: Lsn) -> OpenBatch {
        OpenBatch {
            writer: BatchWriter::with_capacity(settings.batch_bytes + settings.batch_bytes / 4),
            number: 1,
            told: resume,
            started: false,
            types: FxHashMap::default(),
            channels: [None; 3],
            keys: None,
            refused: Vec::new(),
        }
    }

    /// Whether it has neither an event nor news of where to resume.
    pub(super) fn is_empty(&self, resume: Lsn) -> bool {
        self.events() == 0 && self.told == resume
    }

    /// Events and refused events.
    pub(super) fn events(&self) -> usize {
        self.writer.event_count() + self.refused.len()
    }

    pub(super) fn is_full(&self, settings: &Settings) -> bool {
        self.events() >= settings.batch_events || self.writer.len_bytes() >= settings.batch_bytes
    }

    /// Writes the header before the first event.
    #[inline]
    pub(super) fn start(&mut self, known: &Known) -> Result<(), WriteError> {
        if self.started { Ok(()) } else { self.write_header(known) }
    }

    #[cold]
    fn write_header(&mut self, known: &Known) -> Result<(), WriteError> {
        let settings = &known.settings;
        let mut flags = FLAG_ORDERED;
        if settings.include_schema {
            flags |= FLAG_SCHEMA;
        }
        if settings.tx_metadata || settings.tx_markers {
            flags |= FLAG_TRANSACTION;
        }
        self.writer.flags(flags).detected_us(known.now_us);
        self.writer.strand(&settings.strand)?;
        self.writer.source(settings.source)?;
        self.writer.resume(&known.resume.to_bytes())?;
        self.started = true;
        Ok(())
    }

    #[inline]
    pub(super) fn add_key(&mut self, key: PostgresKey) {
        match &mut self.keys {
            Some((_, last)) => *last = key,
            None => self.keys = Some((key, key)),
        }
    }

    pub(super) fn refuse(&mut self, mut refused: Refused) {
        self.add_key(refused.key);
        refused.after_events = self.writer.event_count() as u32;
        self.refused.push(refused);
    }

    /// The types may have changed: later tables are described anew.
    pub(super) fn forget_types(&mut self) {
        self.types.clear();
    }

    /// What has been gathered, if anything.
    pub(super) fn finish(&mut self, known: &Known, open_tx: bool) -> Option<Finished> {
        let resume = known.resume;
        if self.is_empty(resume) {
            return None;
        }
        let (first_key, last_key) = match self.keys.take() {
            Some((first, last)) => (first.to_order_key(), last.to_order_key()),
            None => (OrderKey::EMPTY, OrderKey::EMPTY),
        };
        // Into an empty batch it fits.
        let _ = self.start(known);
        // If these eight bytes do not fit any more, the header keeps the earlier token, which is as true.
        let _ = self.writer.resume(&resume.to_bytes());
        let events = self.writer.event_count() as u32;
        let mut bytes = self.writer.finish();
        // Many small batches may wait somewhere; each keeps only what it needs.
        bytes.shrink_to_fit();
        let finished = Finished {
            events,
            bytes,
            refused: std::mem::take(&mut self.refused),
            first_key,
            last_key,
            resume,
            open_tx,
        };
        self.number += 1;
        self.told = resume;
        self.started = false;
        self.types.clear();
        self.channels = [None; 3];
        Some(finished)
    }

    #[inline]
    pub(super) fn transaction(&mut self, tx: &mut Transaction) -> Result<u32, WriteError> {
        if let Some(placed) = tx.placed.filter(|placed| placed.batch == self.number) {
            return Ok(placed.index);
        }
        let first = !tx.begun;
        let key = tx.begin.commit_lsn.to_bytes();
        let index = self.writer.add_transaction(&TxDef { first, ..tx_def(&tx.begin, &key) })?;
        tx.placed = Some(Placed { batch: self.number, index, first });
        Ok(index)
    }

    /// All events of a transaction are out: says so in this batch, if one of them is in it.
    pub(super) fn close_transaction(&mut self, tx: &Transaction) -> Result<(), WriteError> {
        let placed = tx.placed.filter(|placed| placed.batch == self.number && tx.begun);
        let Some(Placed { index, first, .. }) = placed else { return Ok(()) };
        let key = tx.begin.commit_lsn.to_bytes();
        self.writer.set_transaction(index, &TxDef { first, last: true, ..tx_def(&tx.begin, &key) })
    }

    /// A place in the transaction table for one message outside of transactions.
    pub(super) fn no_transaction(&mut self, message: Lsn) -> Result<u32, WriteError> {
        let key = message.to_bytes();
        self.writer.add_transaction(&TxDef {
            key: &key,
            commit_lsn: message.0,
            first: true,
            last: true,
            ..TxDef::default()
        })
    }

    /// A place in the transaction table for what a snapshot reads: made once a batch, and remembered in `placed`.
    #[inline]
    pub(super) fn snapshot(
        &mut self,
        point: Lsn,
        at_us: i64,
        placed: &mut Option<(u64, u32)>,
    ) -> Result<u32, WriteError> {
        if let Some((_, index)) = placed.filter(|(batch, _)| *batch == self.number) {
            return Ok(index);
        }
        let key = point.to_bytes();
        let index = self.writer.add_transaction(&TxDef {
            key: &key,
            commit_lsn: point.0,
            commit_us: at_us,
            ..TxDef::default()
        })?;
        *placed = Some((self.number, index));
        Ok(index)
    }

    pub(super) fn txn_channel(&mut self) -> Result<u32, WriteError> {
        self.channel(0, TXN_CHANNEL)
    }

    pub(super) fn message_channel(&mut self) -> Result<u32, WriteError> {
        self.channel(1, MESSAGE_CHANNEL)
    }

    pub(super) fn schema_channel(&mut self) -> Result<u32, WriteError> {
        self.channel(2, SCHEMA_CHANNEL)
    }

    fn channel(&mut self, which: usize, name: &str) -> Result<u32, WriteError> {
        if let Some(index) = self.channels[which] {
            return Ok(index);
        }
        let index = self.writer.add_relation(&RelationDef::channel(name))?;
        self.channels[which] = Some(index);
        Ok(index)
    }

    #[inline]
    pub(super) fn relation(&mut self, known: &Known, table: &mut Table) -> Result<u32, WriteError> {
        match table.placed {
            Some((number, index)) if number == self.number => Ok(index),
            _ => self.add_relation(known, table),
        }
    }

    #[cold]
    fn add_relation(&mut self, known: &Known, table: &mut Table) -> Result<u32, WriteError> {
        let catalog = &known.catalog;
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let ty = match known.settings.values {
                Values::Typed => self.typed(catalog, column.type_oid, 0)?,
                Values::Text => self.text(catalog, column.type_oid)?,
            };
            // With the default replica identity, and only then, the identity is the primary key.
            let primary = column.identity && table.identity == Identity::Default;
            columns.push(ColumnDef {
                name: &column.name,
                ty,
                typmod: column.type_modifier,
                identity: column.identity,
                primary,
            });
        }
        let index = self.writer.add_relation(&RelationDef {
            oid: table.oid,
            identity: table.identity.letter(),
            schema: &table.schema,
            name: &table.name,
            channel: &table.channel,
            columns: &columns,
        })?;
        table.placed = Some((self.number, index));
        Ok(index)
    }

    /// The index of a type whose values are all strings.
    fn text(&mut self, catalog: &TypeCatalog, oid: u32) -> Result<u32, WriteError> {
        if let Some(index) = self.types.get(&oid) {
            return Ok(*index);
        }
        let index = self.writer.add_type(&TypeDef::scalar(oid, Kind::Text, &catalog.name(oid)))?;
        self.types.insert(oid, index);
        Ok(index)
    }

    /// The index of a type and of all that it is made of. A domain has its own oid and name, and its base's
    /// shape.
    fn typed(&mut self, catalog: &TypeCatalog, oid: u32, depth: usize) -> Result<u32, WriteError> {
        if depth > NESTING_MAX {
            return self.writer.add_type(&TypeDef::scalar(oid, Kind::Text, &catalog.name(oid)));
        }
        if let Some(index) = self.types.get(&oid) {
            return Ok(*index);
        }
        let name = catalog.name(oid);
        let index = match catalog.resolve(oid) {
            Shape::Plain(kind) => self.writer.add_type(&TypeDef::scalar(oid, *kind, &name))?,
            Shape::Array { elem, delim } => {
                let elem = self.typed(catalog, *elem, depth + 1)?;
                match self.writer.add_type(&TypeDef { delim: *delim, ..TypeDef::array(oid, &name, elem) }) {
                    // A delimiter that the layout does not know: the server's text is still exact.
                    Err(WriteError::Invalid { .. }) => {
                        self.writer.add_type(&TypeDef::scalar(oid, Kind::Text, &name))?
                    }
                    index => index?,
                }
            }
            Shape::Composite(fields) => {
                let mut defs = Vec::with_capacity(fields.len());
                for (name, field) in fields {
                    let ty = self.typed(catalog, *field, depth + 1)?;
                    defs.push(ColumnDef::new(name, ty));
                }
                self.writer.add_type(&TypeDef::composite(oid, &name, &defs))?
            }
            Shape::Domain { .. } => self.writer.add_type(&TypeDef::scalar(oid, Kind::Text, &name))?,
        };
        self.types.insert(oid, index);
        Ok(index)
    }
}

fn tx_def<'a>(begin: &Begin, key: &'a [u8]) -> TxDef<'a> {
    TxDef {
        key,
        commit_lsn: begin.commit_lsn.0,
        commit_us: begin.commit_us,
        xid: begin.xid,
        ..TxDef::default()
    }
}
