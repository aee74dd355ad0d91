//! One row, written straight into the batch.
//!
//! Invariant: a tuple that is not finished, or finished with an error, leaves nothing behind.

use std::io::Write as _;

use super::{BatchWriter, TupleRef, WriteError};
use crate::bytes::put_u32;
use crate::spec::*;

/// Takes the values of a row, one for each column, in order. What is wrong is told by `finish`.
#[derive(Debug)]
pub struct TupleWriter<'w> {
    writer: &'w mut BatchWriter,
    start: usize,
    slot: usize,
    data: usize,
    surplus: usize,
    overflow: bool,
    done: bool,
}

impl<'w> TupleWriter<'w> {
    pub(super) fn start(writer: &'w mut BatchWriter, columns: usize) -> Self {
        let start = writer.align();
        writer.buf.extend_from_slice(&(columns as u32).to_le_bytes());
        let slot = writer.buf.len();
        let data = slot + 4 * columns;
        writer.buf.resize(data, 0);
        TupleWriter { writer, start, slot, data, surplus: 0, overflow: false, done: false }
    }

    /// A value, in its source's text form; UTF-8.
    #[inline]
    pub fn value(&mut self, text: &[u8]) {
        if self.writer.buf.len() + text.len() > BATCH_BYTES_MAX {
            self.overflow = true;
            return self.end(STATE_NULL);
        }
        self.writer.buf.extend_from_slice(text);
        self.end(STATE_VALUE);
    }

    /// A value that is printed into its place.
    pub fn display(&mut self, value: &dyn core::fmt::Display) {
        // Writing to a vector fails only if `value` itself refuses to be printed; then what it printed
        // stands.
        let _ = write!(self.writer.buf, "{value}");
        self.overflow |= self.writer.buf.len() > BATCH_BYTES_MAX;
        self.end(STATE_VALUE);
    }

    /// NULL.
    #[inline]
    pub fn null(&mut self) {
        self.end(STATE_NULL);
    }

    /// A value that did not change and was not sent.
    #[inline]
    pub fn unchanged(&mut self) {
        self.end(STATE_UNCHANGED);
    }

    /// Not known: an old row of which only the key was sent.
    #[inline]
    pub fn absent(&mut self) {
        self.end(STATE_ABSENT);
    }

    #[inline]
    fn end(&mut self, state: u32) {
        if self.slot == self.data {
            self.surplus += 1;
            return;
        }
        let end = (self.writer.buf.len() - self.data) as u32;
        put_u32(&mut self.writer.buf, self.slot, state << STATE_SHIFT | end);
        self.slot += 4;
    }

    /// The tuple, for one or more events of this batch.
    ///
    /// # Errors
    /// `Columns` if there were more or fewer values than columns, `NotUtf8`, `Full`, `TooLarge`.
    #[inline]
    pub fn finish(mut self) -> Result<TupleRef, WriteError> {
        let slots = self.start + 4;
        let columns = (self.data - slots) / 4;
        if self.surplus > 0 || self.slot != self.data {
            let got = (self.slot - slots) / 4 + self.surplus;
            return Err(WriteError::Columns { expected: columns, got });
        }
        let bytes = self.writer.buf.len() - self.start;
        if self.overflow || self.writer.len_bytes() > BATCH_BYTES_MAX {
            return Err(self.writer.no_room(self.start, "tuples"));
        }
        if !self.writer.buf[self.data..].is_ascii() {
            check_utf8(&self.writer.buf[slots..self.data], &self.writer.buf[self.data..])?;
        }
        self.done = true;
        Ok(TupleRef { at: self.start as u32, columns: columns as u32, bytes: bytes as u32 })
    }
}

impl Drop for TupleWriter<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.done {
            self.writer.buf.truncate(self.start);
        }
    }
}

#[cold]
fn check_utf8(slots: &[u8], data: &[u8]) -> Result<(), WriteError> {
    let mut start = 0;
    for (column, slot) in slots.as_chunks::<4>().0.iter().enumerate() {
        let end = (u32::from_le_bytes(*slot) & END_MASK) as usize;
        let value = data.get(start..end).unwrap_or_default();
        if core::str::from_utf8(value).is_err() {
            return Err(WriteError::NotUtf8 { column });
        }
        start = end;
    }
    Ok(())
}
