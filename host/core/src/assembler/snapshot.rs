//! Rows that a snapshot reads, into the open batch: by the code that takes rows of the WAL, so that they are the same.
//!
//! The id of such a row names {system identifier u64, database oid u32, the bytes `snapshot`, LSN u64, what else tells the
//! snapshot from others at that LSN (u32 length, bytes), table oid u32, then each value that names the row (u32 length,
//! bytes), in the order of the table's columns: those of the primary key, or `tableoid` and `ctid`, or the row's number}, all numbers big-endian; its time is
//! the snapshot's.

use pgcdc_layout::{EventDef, Op, WriteError};

use super::events::Stamp;
use super::{Assembler, Error, Fed, Reason, refusal};
use crate::id::{Origin, image_id};
use crate::lsn::Lsn;
use crate::order_key::PostgresKey;
use crate::snapshot::line::{Cell, cells, unescape};
use crate::snapshot::shape::Shape;

/// Which snapshot rows are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// It sees what commits before this.
    pub point: Lsn,
    /// What else tells it from others at that LSN; empty if nothing has to.
    pub view: Vec<u8>,
    /// When it was taken, microseconds since 1970.
    pub at_us: i64,
}

/// A table while it is read.
#[derive(Debug)]
pub struct SnapshotTable {
    oid: u32,
    point: Lsn,
    at_us: i64,
    hidden: usize,
    key: Vec<usize>,
    /// What ids of its rows begin with.
    prefix_bytes: usize,
    /// That, and the values that name the row under way.
    image: Vec<u8>,
    /// The same of the last row that was named by its key.
    last: Vec<u8>,
    /// Whether the row under way is named by its key, not by its number.
    by_key: bool,
    scratch: Vec<u8>,
    /// Rows taken, refused ones included.
    rows: u64,
    placed: Option<(u64, u32)>,
}

impl SnapshotTable {
    /// None of its rows is read yet.
    #[must_use]
    pub fn new(origin: Origin, subject: &Subject, shape: &Shape) -> SnapshotTable {
        let mut image = Vec::with_capacity(128);
        image.extend_from_slice(&origin.system_identifier.to_be_bytes());
        image.extend_from_slice(&origin.database_oid.to_be_bytes());
        image.extend_from_slice(b"snapshot");
        image.extend_from_slice(&subject.point.to_bytes());
        name(&mut image, &subject.view);
        image.extend_from_slice(&shape.oid.to_be_bytes());
        SnapshotTable {
            oid: shape.oid,
            point: subject.point,
            at_us: subject.at_us,
            hidden: shape.hidden(),
            key: shape.key_cells(),
            prefix_bytes: image.len(),
            image,
            last: Vec::new(),
            by_key: false,
            scratch: Vec::new(),
            rows: 0,
            placed: None,
        }
    }

    /// How many rows were taken.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The key of the last row of which it is known, in the key's order, as the server printed it; `None` before the first,
    /// and for what is not text. Rows behind it may have been refused.
    #[must_use]
    pub fn last_key(&self) -> Option<Vec<String>> {
        let mut rest = self.last.get(self.prefix_bytes..)?;
        let mut values = Vec::with_capacity(self.key.len());
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (value, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            values.push(String::from_utf8(value.to_vec()).ok()?);
            rest = after;
        }
        in_key_order(&self.key, values)
    }

    fn stamp(&self) -> Stamp {
        let key = PostgresKey::snapshot(self.point, self.rows + 1, self.oid);
        let id = image_id(self.at_us.div_euclid(1_000), &self.image);
        Stamp { op: Op::Snapshot, id, key, xid: 0, commit_us: self.at_us, seq: 0 }
    }

    /// A row begins.
    fn begin(&mut self) {
        self.image.truncate(self.prefix_bytes);
    }

    /// The row under way is named; `named`: all values that do so were there.
    fn named(&mut self, named: bool) {
        self.by_key = named && !self.key.is_empty();
        if !self.by_key {
            self.image.truncate(self.prefix_bytes);
            let number = (self.rows + 1).to_string();
            name(&mut self.image, number.as_bytes());
        }
    }

    /// The row is in the batch, or refused.
    fn pass(&mut self) {
        // A row that is named by its number says nothing of where to go on.
        if self.by_key {
            std::mem::swap(&mut self.image, &mut self.last);
            if self.image.len() < self.prefix_bytes {
                self.image.clear();
                self.image.extend_from_slice(&self.last[..self.prefix_bytes]);
            }
        }
        self.rows += 1;
    }
}

/// Values came in the order of the line's cells, which need not be that of the key's columns.
fn in_key_order(key: &[usize], values: Vec<String>) -> Option<Vec<String>> {
    let mut cells = key.to_vec();
    cells.sort_unstable();
    let value = |cell: &usize| values.get(cells.binary_search(cell).ok()?).cloned();
    key.iter().map(value).collect::<Option<Vec<String>>>().filter(|_| values.len() == key.len())
}

fn name(image: &mut Vec<u8>, value: &[u8]) {
    image.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    image.extend_from_slice(value);
}

impl Assembler {
    /// Takes a line of `COPY … TO STDOUT`, without its line break, of a table that was described by
    /// [`Shape::relation`]. Of a longer line the first bytes are enough: `bytes` is its length. A row that is too large
    /// or no text is refused, and keeps its number.
    pub fn feed_line(
        &mut self,
        table: &mut SnapshotTable,
        line: &[u8],
        bytes: u64,
        now_us: i64,
    ) -> Result<Fed, Error> {
        self.known.now_us = now_us;
        let fed = self.line(table, line, bytes);
        self.full_is_no_error(fed)
    }

    fn line(&mut self, table: &mut SnapshotTable, line: &[u8], bytes: u64) -> Result<Fed, Error> {
        table.begin();
        let bytes_max = self.known.settings.max_event_bytes as u64;
        if bytes > bytes_max || bytes > line.len() as u64 {
            return self.refuse_line(table, line, Reason::TooLarge { bytes, bytes_max });
        }
        let relation = self.tables.get(table.oid)?;
        self.batch.start(&self.known)?;
        let index = self.batch.relation(&self.known, relation)?;
        let tx = self.batch.snapshot(table.point, table.at_us, &mut table.placed)?;
        let mut out = self.batch.writer.tuple(relation.columns.len())?;
        for (at, cell) in cells(line).enumerate() {
            let text = match cell {
                Cell::Null => None,
                Cell::Plain(text) => Some(text),
                Cell::Escaped(text) => {
                    table.scratch.clear();
                    unescape(text, &mut table.scratch);
                    Some(table.scratch.as_slice())
                }
            };
            if table.key.contains(&at) {
                name(&mut table.image, text.unwrap_or_default());
            }
            match text {
                _ if at < table.hidden => {}
                Some(text) => out.value(text),
                None => out.null(),
            }
        }
        let after = match out.finish() {
            Ok(after) => Some(after),
            Err(WriteError::NotUtf8 { column }) => {
                let reason = Reason::NotUtf8 { column: relation.column_name(column) };
                return self.refuse_line(table, line, reason);
            }
            Err(error) => return Err(error.into()),
        };
        table.named(true);
        self.batch.add(&table.stamp(), EventDef { tx, after, ..EventDef::new(Op::Snapshot, index) })?;
        table.pass();
        Ok(Fed::Taken)
    }

    /// Names the row instead of taking it. Its key is what of it stands in front of the line's end.
    #[cold]
    fn refuse_line(&mut self, table: &mut SnapshotTable, line: &[u8], reason: Reason) -> Result<Fed, Error> {
        table.begin();
        let relation = self.tables.get(table.oid)?;
        self.batch.start(&self.known)?;
        let whole = line.iter().rposition(|byte| *byte == b'\t').unwrap_or(0);
        let mut row_key = Vec::new();
        let mut named = 0;
        for (at, cell) in cells(&line[..whole]).enumerate() {
            let text = match cell {
                Cell::Null => continue,
                Cell::Plain(text) => text,
                Cell::Escaped(text) => {
                    table.scratch.clear();
                    unescape(text, &mut table.scratch);
                    &table.scratch
                }
            };
            if table.key.contains(&at) {
                name(&mut table.image, text);
                named += 1;
            }
            let column = at.checked_sub(table.hidden).and_then(|at| relation.columns.get(at));
            if let (Some(column), Ok(text)) =
                (column.filter(|column| column.identity), std::str::from_utf8(text))
            {
                row_key.push((column.name.clone(), text.to_owned()));
            }
        }
        table.named(named == table.key.len());
        let refused = refusal::of_snapshot(&table.stamp(), relation, row_key, reason);
        self.batch.refuse(refused);
        table.pass();
        Ok(Fed::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::catalog::TypeCatalog;
    use crate::snapshot::shape::Column;

    const ORIGIN: Origin = Origin { system_identifier: 1, database_oid: 2 };

    /// A table whose key has its columns in another order than the table.
    fn shape() -> Shape {
        let column = |name: &str, type_oid, key| Column {
            name: name.into(),
            type_oid,
            typmod: -1,
            cast: "text".into(),
            identity: key > 0,
            key,
        };
        Shape {
            oid: 16_400,
            schema: "public".into(),
            name: "t".into(),
            kind: 'r',
            identity: 'd',
            filter: None,
            estimate: 0,
            columns: vec![column("big", 20, 2), column("note", 25, 0), column("u", 25, 1)],
            whole_key: true,
        }
    }

    fn start(max_event_bytes: usize) -> (Assembler, SnapshotTable) {
        let settings = Settings { max_event_bytes, ..Settings::new(ORIGIN) };
        let mut assembler = Assembler::new(settings, TypeCatalog::new(), Lsn(9)).unwrap();
        assert_eq!(assembler.feed(Lsn::ZERO, &shape().relation(), 0), Ok(Fed::Taken));
        let subject = Subject { point: Lsn(9), view: Vec::new(), at_us: 1_767_605_400_250_999 };
        let table = SnapshotTable::new(ORIGIN, &subject, &shape());
        (assembler, table)
    }

    #[test]
    fn a_row_is_named_by_its_key_in_the_keys_order() {
        let (mut assembler, mut table) = start(1 << 20);
        assert_eq!(table.last_key(), None);
        for line in [&b"9007199254740993\tx\ta\\tb"[..], b"7\t\\N\tc"] {
            assert_eq!(assembler.feed_line(&mut table, line, line.len() as u64, 5), Ok(Fed::Taken));
            let key = table.last_key().unwrap();
            let expected = if line[0] == b'7' { ["c", "7"] } else { ["a\tb", "9007199254740993"] };
            assert_eq!(key, expected);
        }
        let finished = assembler.take_batch().unwrap();
        let view = pgcdc_layout::View::parse(&finished.bytes).unwrap();
        let lines = pgcdc_layout::json::lines(&view, 1 << 20).unwrap();
        let text = String::from_utf8(lines.bytes).unwrap();
        assert!(
            text.contains(r#""operation":"SNAPSHOT","payload":{"op":"SNAPSHOT","table":"t","row":{"big":7,"note":null,"u":"c"},"old":null}"#),
            "{text}"
        );
        assert!(text.contains(r#""position":"000000000000000900000000000000000200004010""#), "{text}");
        let ids: Vec<_> = view.events().map(|event| event.id()).collect();
        assert_ne!(ids[0], ids[1]);
        let (mut again, mut other) = start(1 << 20);
        again.feed_line(&mut other, b"7\tanother\tc", 11, 99).unwrap();
        let finished = again.take_batch().unwrap();
        let view = pgcdc_layout::View::parse(&finished.bytes).unwrap();
        assert_eq!(view.event(0).unwrap().id(), ids[1], "the same snapshot, table and key");
    }

    #[test]
    fn a_row_that_is_too_large_or_no_text_keeps_its_number() {
        let (mut assembler, mut table) = start(1 << 10);
        assembler.feed_line(&mut table, b"1\tlong", 4_000, 5).unwrap();
        assembler.feed_line(&mut table, b"2\t\xff\tc", 5, 5).unwrap();
        assert_eq!(table.last_key(), None, "numbers are no keys");
        assembler.feed_line(&mut table, b"3\tfine\tc", 8, 5).unwrap();
        assert_eq!(table.last_key().unwrap(), ["c", "3"]);
        let finished = assembler.take_batch().unwrap();
        assert_eq!((finished.events, finished.refused.len(), table.rows()), (1, 2, 3));
        assert!(matches!(finished.refused[0].reason, Reason::TooLarge { bytes: 4_000, bytes_max: 1_024 }));
        assert_eq!(finished.refused[0].row_key, [("big".to_owned(), "1".to_owned())]);
        assert!(matches!(&finished.refused[1].reason, Reason::NotUtf8 { column } if column == "note"));
        assert_eq!(finished.first_key, PostgresKey::snapshot(Lsn(9), 1, 16_400).to_order_key());
        assert_eq!(finished.last_key, PostgresKey::snapshot(Lsn(9), 3, 16_400).to_order_key());
    }
}
