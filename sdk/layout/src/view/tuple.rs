//! Rows, read in place.

use super::Malformed;
use crate::spec::*;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<T> {
    /// NULL.
    Null,
    /// Not changed by the event, and not sent by the source.
    Unchanged,
    /// Not known: an old row of which only the key was sent. `null` in JSON.
    Absent,
    /// A value, in its source's text form.
    Value(T),
}

impl<T> Cell<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Cell::Value(value) => Some(value),
            Cell::Null | Cell::Unchanged | Cell::Absent => None,
        }
    }
}

/// A row of which the values are bytes.
#[derive(Debug, Clone, Copy)]
pub struct RawTuple<'a> {
    image: &'a [u8],
    slots: &'a [[u8; 4]],
    data: &'a [u8],
}

impl<'a> RawTuple<'a> {
    /// Finds the parts of a tuple at `at`; none if they lead outside of the batch.
    #[inline]
    pub(super) fn find(batch: &'a [u8], at: usize) -> Option<Self> {
        let from = batch.get(at..)?;
        let (count, rest) = from.split_first_chunk::<4>()?;
        let columns = u32::from_le_bytes(*count) as usize;
        if columns > RELATION_COLUMNS_MAX {
            return None;
        }
        let (slots, data) = rest.split_at_checked(4 * columns)?;
        let slots = slots.as_chunks::<4>().0;
        let end = slots.last().map_or(0, |slot| end_of(*slot));
        Some(RawTuple { image: from.get(..4 + 4 * columns + end)?, slots, data: data.get(..end)? })
    }

    /// The number of columns.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no column.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The value of a column; of one that is not there, `Absent`.
    #[inline]
    pub fn get(&self, column: usize) -> Cell<&'a [u8]> {
        let Some(slot) = self.slots.get(column) else { return Cell::Absent };
        let start = match column {
            0 => 0,
            _ => self.slots.get(column - 1).map_or(0, |before| end_of(*before)),
        };
        cell(*slot, self.data.get(start..end_of(*slot)))
    }

    /// The values in the order of the columns.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Cell<&'a [u8]>> + use<'a> {
        let (data, mut start) = (self.data, 0);
        self.slots.iter().map(move |slot| {
            let end = end_of(*slot);
            let value = data.get(start..end);
            start = end;
            cell(*slot, value)
        })
    }

    /// The whole tuple as it is in the batch.
    #[inline]
    pub(crate) fn image(&self) -> &'a [u8] {
        self.image
    }

    /// The same row with its values as text; none if they are not UTF-8.
    #[inline]
    pub fn text(&self) -> Option<Tuple<'a>> {
        Some(Tuple { slots: self.slots, data: core::str::from_utf8(self.data).ok()? })
    }

    /// Everything that has to hold within a tuple; `at` is where it is.
    pub(super) fn check(&self, at: usize) -> Result<(), Malformed> {
        let bad = |column: usize, what| Err(Malformed { what, at: at + 4 + 4 * column });
        let mut start = 0;
        for (column, slot) in self.slots.iter().enumerate() {
            let end = end_of(*slot);
            if end < start {
                return bad(column, "a tuple's slot: the value ends before it starts");
            }
            if state_of(*slot) != STATE_VALUE && end != start {
                return bad(column, "a tuple's slot: what is no value has bytes");
            }
            start = end;
        }
        if !self.data.is_ascii()
            && let Some(column) = self.iter().position(|cell| !is_text(cell))
        {
            return bad(column, "a tuple's value: not UTF-8");
        }
        Ok(())
    }
}

fn is_text(cell: Cell<&[u8]>) -> bool {
    cell.value().is_none_or(|value| core::str::from_utf8(value).is_ok())
}

/// A row of which the values are text.
#[derive(Debug, Clone, Copy)]
pub struct Tuple<'a> {
    slots: &'a [[u8; 4]],
    data: &'a str,
}

impl<'a> Tuple<'a> {
    /// The number of columns.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no column.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The value of a column; of one that is not there, `Absent`.
    #[inline]
    pub fn get(&self, column: usize) -> Cell<&'a str> {
        let Some(slot) = self.slots.get(column) else { return Cell::Absent };
        let start = match column {
            0 => 0,
            _ => self.slots.get(column - 1).map_or(0, |before| end_of(*before)),
        };
        cell(*slot, self.data.get(start..end_of(*slot)))
    }

    /// The values in the order of the columns.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Cell<&'a str>> + use<'a> {
        let (data, mut start) = (self.data, 0);
        self.slots.iter().map(move |slot| {
            let end = end_of(*slot);
            let value = data.get(start..end);
            start = end;
            cell(*slot, value)
        })
    }
}

#[inline]
fn end_of(slot: [u8; 4]) -> usize {
    (u32::from_le_bytes(slot) & END_MASK) as usize
}

#[inline]
fn state_of(slot: [u8; 4]) -> u32 {
    u32::from_le_bytes(slot) >> STATE_SHIFT
}

#[inline]
fn cell<T>(slot: [u8; 4], value: Option<T>) -> Cell<T> {
    match (state_of(slot), value) {
        (STATE_VALUE, Some(value)) => Cell::Value(value),
        (STATE_NULL, _) => Cell::Null,
        (STATE_UNCHANGED, _) => Cell::Unchanged,
        _ => Cell::Absent,
    }
}
