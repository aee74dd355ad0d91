//! Builds a batch: the header's place and the arena grow in one vector, the tables wait beside it and
//! are appended at the end, so that no offset ever changes and the arena is never copied.
//!
//! Invariants: every limit of `spec` holds after each call that returns `Ok`, and a call that returns an
//! error has changed nothing; so `finish` cannot fail, and [`View::parse`](crate::View::parse) takes its
//! result.

mod def;
mod event;
mod tables;
mod tuple;

pub use def::{BodyDef, ColumnDef, EventDef, RelationDef, TupleRef, TxDef, TypeDef, WriteError};
pub use tuple::TupleWriter;

use crate::bytes::{Ref, put, put_ref, put_u32};
use crate::json::check;
use crate::spec::*;
use crate::view::RawTuple;

/// Reserved for the first batch, at most.
const ROOM_BYTES_FIRST: usize = 64 * 1024;

/// A batch that is being built. Reusable: after `finish` or `reset` it is empty and keeps its tables' memory.
#[derive(Debug, Clone)]
pub struct BatchWriter {
    header: [u8; HEADER_BYTES],
    buf: Vec<u8>,
    events: Vec<[u8; EVENT_BYTES]>,
    relations: Vec<[u8; RELATION_BYTES]>,
    types: Vec<[u8; TYPE_BYTES]>,
    depths: Vec<u8>,
    transactions: Vec<[u8; TX_BYTES]>,
    columns: Vec<[u8; COLUMN_BYTES]>,
    referred_bytes: usize,
    /// The most that is ever reserved.
    capacity: usize,
    /// What is reserved for the next batch: as much as the last one took, and a quarter.
    room: usize,
}

impl Default for BatchWriter {
    fn default() -> Self {
        BatchWriter::with_capacity(0)
    }
}

impl BatchWriter {
    /// An empty batch.
    pub fn new() -> Self {
        BatchWriter::default()
    }

    /// An empty batch that reserves, now and after every `finish`, what the last batch took and a quarter more, up to that many
    /// bytes: small batches, one after the other, never ask the system for memory.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut writer = BatchWriter {
            header: [0; HEADER_BYTES],
            buf: Vec::new(),
            events: Vec::new(),
            relations: Vec::new(),
            types: Vec::new(),
            depths: Vec::new(),
            transactions: Vec::new(),
            columns: Vec::new(),
            referred_bytes: 0,
            capacity: bytes.clamp(HEADER_BYTES, BATCH_BYTES_MAX),
            room: bytes.clamp(HEADER_BYTES, ROOM_BYTES_FIRST),
        };
        writer.reset();
        writer
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.header = [0; HEADER_BYTES];
        put(&mut self.header, 0, &MAGIC);
        put(&mut self.header, header::VERSION, &VERSION.to_le_bytes());
        self.buf.clear();
        self.buf.reserve(self.room);
        self.buf.resize(HEADER_BYTES, 0);
        self.events.clear();
        self.relations.clear();
        self.types.clear();
        self.depths.clear();
        self.transactions.clear();
        self.columns.clear();
        self.referred_bytes = 0;
    }

    /// The number of events so far.
    #[inline]
    pub fn event_count(&self) -> usize {
        self.events.len()
    }

    /// How large the batch would be if it were finished now, in bytes.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.buf.len().next_multiple_of(4)
            + self.events.len() * EVENT_BYTES
            + self.relations.len() * RELATION_BYTES
            + self.types.len() * TYPE_BYTES
            + self.transactions.len() * TX_BYTES
            + self.columns.len() * COLUMN_BYTES
    }

    /// Sets the header's flags: any of `FLAG_ORDERED`, `FLAG_SCHEMA`, `FLAG_TRANSACTION`.
    pub fn flags(&mut self, flags: u16) -> &mut Self {
        put(&mut self.header, header::FLAGS, &flags.to_le_bytes());
        self
    }

    /// Sets when the changes were detected, microseconds since 1970.
    pub fn detected_us(&mut self, at_us: i64) -> &mut Self {
        put(&mut self.header, header::DETECTED_US, &at_us.to_le_bytes());
        self
    }

    /// Sets the strand, inside which order is kept.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    pub fn strand(&mut self, strand: &str) -> Result<(), WriteError> {
        self.header_bytes(header::STRAND, "the strand", strand.as_bytes(), NAME_BYTES_MAX)
    }

    /// Sets the resume token.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    pub fn resume(&mut self, token: &[u8]) -> Result<(), WriteError> {
        self.header_bytes(header::RESUME, "the resume token", token, RESUME_BYTES_MAX)
    }

    /// Sets the source as the envelope prints it.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    pub fn source(&mut self, source: &str) -> Result<(), WriteError> {
        self.header_bytes(header::SOURCE, "the source", source.as_bytes(), NAME_BYTES_MAX)
    }

    /// Sets the header's JSON object for what later versions add.
    ///
    /// # Errors
    /// `NotJson`, `Full`, `TooLarge`.
    pub fn more(&mut self, object: &str) -> Result<(), WriteError> {
        if !object.is_empty() && !check::is_object(object.as_bytes()) {
            return Err(WriteError::NotJson { what: "the header's JSON" });
        }
        self.header_bytes(header::MORE, "the header's JSON", object.as_bytes(), BATCH_BYTES_MAX)
    }

    /// Begins a row of that many values.
    ///
    /// # Errors
    /// `TooLarge` for more than 1,664.
    #[inline]
    pub fn tuple(&mut self, columns: usize) -> Result<TupleWriter<'_>, WriteError> {
        limit("a tuple's values", columns, RELATION_COLUMNS_MAX)?;
        Ok(TupleWriter::start(self, columns))
    }

    /// Copies a row of another batch as a whole.
    ///
    /// # Errors
    /// `Full`, `TooLarge`.
    pub fn copy_tuple(&mut self, from: &RawTuple<'_>) -> Result<TupleRef, WriteError> {
        limit("a tuple's values", from.len(), RELATION_COLUMNS_MAX)?;
        let start = self.align();
        let bytes = from.image();
        self.buf.extend_from_slice(bytes);
        if self.len_bytes() > BATCH_BYTES_MAX {
            let error = self.no_room(start, "tuples");
            self.buf.truncate(start);
            return Err(error);
        }
        Ok(TupleRef { at: start as u32, columns: from.len() as u32, bytes: bytes.len() as u32 })
    }

    /// The batch; the writer is empty afterwards and ready for the next.
    pub fn finish(&mut self) -> Vec<u8> {
        self.align();
        self.buf.reserve_exact(self.len_bytes() - self.buf.len());
        let tables: [(&[u8], usize); 5] = [
            (self.events.as_flattened(), self.events.len()),
            (self.relations.as_flattened(), self.relations.len()),
            (self.types.as_flattened(), self.types.len()),
            (self.transactions.as_flattened(), self.transactions.len()),
            (self.columns.as_flattened(), self.columns.len()),
        ];
        for (n, (bytes, count)) in tables.into_iter().enumerate() {
            put_u32(&mut self.header, header::COUNTS + 4 * n, count as u32);
            put_u32(&mut self.header, header::OFFSETS + 4 * n, self.buf.len() as u32);
            self.buf.extend_from_slice(bytes);
        }
        put_u32(&mut self.header, header::TOTAL_LEN, self.buf.len() as u32);
        put(&mut self.buf, 0, &self.header);
        let batch = core::mem::take(&mut self.buf);
        self.room = (batch.len() + batch.len() / 4).clamp(HEADER_BYTES, self.capacity);
        self.reset();
        batch
    }

    fn header_bytes(
        &mut self,
        at: usize,
        what: &'static str,
        bytes: &[u8],
        len_max: usize,
    ) -> Result<(), WriteError> {
        limit(what, bytes.len(), len_max)?;
        let place = self.checked(what, 0, |w| Ok(w.push(bytes)))?;
        put_ref(&mut self.header, at, place);
        Ok(())
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Ref {
        if bytes.is_empty() {
            return Ref::default();
        }
        let at = self.buf.len() as u32;
        self.buf.extend_from_slice(bytes);
        Ref { at, len: bytes.len() as u32 }
    }

    #[inline]
    fn align(&mut self) -> usize {
        let start = self.buf.len().next_multiple_of(4);
        self.buf.resize(start, 0);
        start
    }

    /// Runs what appends to the arena, and takes it back if that fails or passes a limit once a record of
    /// `record_bytes` comes on top.
    fn checked<T>(
        &mut self,
        what: &'static str,
        record_bytes: usize,
        append: impl FnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let (start, columns, referred_bytes) = (self.buf.len(), self.columns.len(), self.referred_bytes);
        let result = append(self).and_then(|done| {
            let fits = self.len_bytes() + record_bytes <= BATCH_BYTES_MAX;
            let fair = self.referred_bytes <= REFERRED_BYTES_MAX;
            if fits && fair { Ok(done) } else { Err(self.no_room(start, what)) }
        });
        if result.is_err() {
            self.buf.truncate(start);
            self.columns.truncate(columns);
            self.referred_bytes = referred_bytes;
        }
        result
    }

    /// What to tell whoever wanted to add `what`: the next batch helps only if this one has events.
    #[cold]
    fn no_room(&self, start: usize, what: &'static str) -> WriteError {
        if self.events.is_empty() {
            WriteError::TooLarge { what, len: self.buf.len() - start, len_max: BATCH_BYTES_MAX }
        } else {
            WriteError::Full { what }
        }
    }

    fn room(&self, what: &'static str, count: usize, count_max: usize) -> Result<(), WriteError> {
        if count < count_max { Ok(()) } else { Err(self.no_room(self.buf.len(), what)) }
    }

    fn known(&self, what: &'static str, index: u32, count: usize) -> Result<(), WriteError> {
        if (index as usize) < count { Ok(()) } else { Err(WriteError::Unknown { what, index }) }
    }
}

fn limit(what: &'static str, len: usize, len_max: usize) -> Result<(), WriteError> {
    if len > len_max { Err(WriteError::TooLarge { what, len, len_max }) } else { Ok(()) }
}
