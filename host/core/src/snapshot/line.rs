//! One line of `COPY … TO STDOUT` in text format, cut into cells where it lies.
//!
//! Invariant: a cell is what the type's output function printed, so it is what pgoutput would have sent for it.

/// One value of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// `\N`.
    Null,
    /// The text as it stands.
    Plain(&'a [u8]),
    /// Text with escapes: see [`unescape`].
    Escaped(&'a [u8]),
}

/// The cells of a line without its line break. An empty line is one empty cell.
#[derive(Clone, Debug)]
pub struct Cells<'a>(Option<&'a [u8]>);

/// Cuts a line.
#[must_use]
pub fn cells(line: &[u8]) -> Cells<'_> {
    Cells(Some(line))
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        let line = self.0?;
        let stop = line.iter().position(|byte| matches!(byte, b'\t' | b'\\'));
        let Some(stop) = stop else {
            self.0 = None;
            return Some(Cell::Plain(line));
        };
        if line[stop] == b'\t' {
            self.0 = Some(&line[stop + 1..]);
            return Some(Cell::Plain(&line[..stop]));
        }
        // A tab inside of a value is written `\t`, so the next bare one ends it.
        let end = line[stop..].iter().position(|byte| *byte == b'\t').map_or(line.len(), |at| stop + at);
        self.0 = line.get(end + 1..);
        let cell = &line[..end];
        Some(if cell == b"\\N" { Cell::Null } else { Cell::Escaped(cell) })
    }
}

/// Appends what an escaped cell stands for.
pub fn unescape(cell: &[u8], out: &mut Vec<u8>) {
    let mut bytes = cell.iter();
    while let Some(byte) = bytes.next() {
        out.push(match (byte, byte == &b'\\') {
            (byte, false) => *byte,
            (_, true) => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0C,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0B,
                Some(other) => *other,
                None => b'\\',
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(line: &[u8]) -> Vec<Option<Vec<u8>>> {
        let value = |cell| match cell {
            Cell::Null => None,
            Cell::Plain(text) => Some(text.to_vec()),
            Cell::Escaped(text) => {
                let mut out = Vec::new();
                unescape(text, &mut out);
                Some(out)
            }
        };
        cells(line).map(value).collect()
    }

    /// As the server writes it.
    fn write(values: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut line = Vec::new();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                line.push(b'\t');
            }
            let Some(value) = value else {
                line.extend_from_slice(b"\\N");
                continue;
            };
            for byte in value {
                match byte {
                    0x08 => line.extend_from_slice(b"\\b"),
                    0x0C => line.extend_from_slice(b"\\f"),
                    b'\n' => line.extend_from_slice(b"\\n"),
                    b'\r' => line.extend_from_slice(b"\\r"),
                    b'\t' => line.extend_from_slice(b"\\t"),
                    0x0B => line.extend_from_slice(b"\\v"),
                    b'\\' => line.extend_from_slice(b"\\\\"),
                    byte => line.push(*byte),
                }
            }
        }
        line
    }

    #[test]
    fn nothing_null_and_empty_are_three_things() {
        let expected =
            [Some(b"".to_vec()), None, Some(b"\\N".to_vec()), Some(b"N".to_vec()), Some(b"".to_vec())];
        assert_eq!(values(b"\t\\N\t\\\\N\tN\t"), expected);
        assert_eq!(values(b""), [Some(b"".to_vec())]);
    }

    proptest! {
        #[test]
        fn what_the_server_writes_is_read_back(
            values_in in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..12)), 1..8)
        ) {
            prop_assert_eq!(values(&write(&values_in)), values_in);
        }

        #[test]
        fn foreign_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = values(&line);
        }
    }
}
