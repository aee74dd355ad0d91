//! Column values of one row, in the order of its relation.
//!
//! A [`Tuple`] has been walked once, so its cells are known to lie inside of the message.

use super::reader::{Malformed, Reader};

/// One column's value as the server sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A TOAST value that the change did not touch and the server did not send.
    Unchanged,
    /// The text form.
    Text(&'a [u8]),
    /// The binary form; sent only when it was asked for.
    Binary(&'a [u8]),
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    data: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// How many columns it has.
    #[must_use]
    pub fn columns(&self) -> u16 {
        self.columns
    }

    /// Its cells, in order.
    #[must_use]
    pub fn cells(&self) -> Cells<'a> {
        Cells { left: self.columns, data: self.data }
    }

    /// How many bytes it has in the message.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Tuple<'a>, Malformed> {
        let columns = reader.count_u16("the number of columns")?;
        let data = reader.rest();
        for _ in 0..columns {
            match reader.u8("a column's kind")? {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    let len = reader.count_u32("a column's length")?;
                    reader.bytes(len, "a column's value")?;
                }
                _ => return reader.fail("an unknown kind of column before here"),
            }
        }
        let used = data.len() - reader.rest().len();
        Ok(Tuple { columns, data: &data[..used] })
    }

    /// The cells of the start of a tuple whose rest is missing: as many as are there in full.
    pub(crate) fn read_start(reader: &mut Reader<'a>) -> Result<Tuple<'a>, Malformed> {
        let columns = reader.count_u16("the number of columns")?;
        Ok(Tuple { columns, data: reader.rest() })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.columns.to_be_bytes());
        out.extend_from_slice(self.data);
    }
}

/// Iterates over the cells of a [`Tuple`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    left: u16,
    data: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        if self.left == 0 {
            return None;
        }
        let (kind, rest) = self.data.split_first()?;
        let cell = match kind {
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            _ => {
                let (len, rest) = rest.split_first_chunk::<4>()?;
                let len = u32::from_be_bytes(*len) as usize;
                let (value, rest) = rest.split_at_checked(len)?;
                self.left -= 1;
                self.data = rest;
                return Some(if *kind == b't' { Cell::Text(value) } else { Cell::Binary(value) });
            }
        };
        self.left -= 1;
        self.data = rest;
        Some(cell)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}

/// Writes a tuple as the server does: for tests and simulated servers. Columns over 32,767 are left out.
pub fn encode_tuple(out: &mut Vec<u8>, cells: &[Cell<'_>]) {
    let cells = &cells[..cells.len().min(i16::MAX as usize)];
    out.extend_from_slice(&(cells.len() as u16).to_be_bytes());
    for cell in cells {
        let (kind, value) = match cell {
            Cell::Null => (b'n', None),
            Cell::Unchanged => (b'u', None),
            Cell::Text(value) => (b't', Some(value)),
            Cell::Binary(value) => (b'b', Some(value)),
        };
        out.push(kind);
        if let Some(value) = value {
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_went_in() {
        let cells =
            [Cell::Text(b"abc"), Cell::Null, Cell::Unchanged, Cell::Text(b""), Cell::Binary(&[0, 255])];
        let mut bytes = Vec::new();
        encode_tuple(&mut bytes, &cells);
        let mut reader = Reader::new(&bytes);
        let tuple = Tuple::read(&mut reader).unwrap();
        assert_eq!(tuple.cells().collect::<Vec<_>>(), cells);
        assert_eq!(tuple.columns(), 5);
        let mut again = Vec::new();
        tuple.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn lengths_that_lead_outside_are_refused() {
        let refused = |bytes: &[u8]| Tuple::read(&mut Reader::new(bytes)).unwrap_err();
        assert_eq!(refused(&[0]).offset, 0);
        assert_eq!(refused(&[0xFF, 0xFF]).what, "the number of columns");
        assert_eq!(refused(&[0, 1]).what, "a column's kind");
        assert_eq!(refused(&[0, 1, b'x']).offset, 3);
        assert_eq!(refused(&[0, 1, b't', 0xFF, 0xFF, 0xFF, 0xFF]).what, "a column's length");
        assert_eq!(refused(&[0, 1, b't', 0, 0, 0, 2, b'a']).what, "a column's value");
    }
}
