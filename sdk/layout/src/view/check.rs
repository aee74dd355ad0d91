//! The full check of a batch that came from somewhere else.
//!
//! Its time is linear in the batch: what records refer to, shared or not, is bounded as a whole
//! (`REFERRED_BYTES_MAX`, `NAMES_BYTES_MAX`, `COLUMNS_MAX`), and every byte of it is looked at a fixed number
//! of times.

use super::{Malformed, RawTuple, View, rules, table};
use crate::bytes::{Ref, ref_at, u8_at, u16_at, u32_at};
use crate::json::check::{is_json, is_object, member_string};
use crate::spec::*;

type Checked = Result<(), Malformed>;

/// The header itself and where the tables are, not what is in them.
pub(super) fn tables(bytes: &[u8]) -> Result<View<'_>, Malformed> {
    check_head(bytes)?;
    let view = View {
        bytes,
        events: checked_table(bytes, 0, EVENTS_MAX, "the event table")?,
        relations: checked_table(bytes, 1, RELATIONS_MAX, "the relation table")?,
        types: checked_table(bytes, 2, TYPES_MAX, "the type table")?,
        transactions: checked_table(bytes, 3, TRANSACTIONS_MAX, "the transaction table")?,
        columns: checked_table(bytes, 4, COLUMNS_MAX, "the column table")?,
    };
    tables_apart(bytes)?;
    Ok(view)
}

pub(super) fn parse(bytes: &[u8]) -> Result<View<'_>, Malformed> {
    let view = tables(bytes)?;
    let mut check = Check { view, referred_bytes: 0, names_bytes: 0, columns: 0, names_before: Vec::new() };
    check.header()?;
    check.columns()?;
    check.types()?;
    check.relations()?;
    check.transactions()?;
    check.events()?;
    Ok(view)
}

fn bad<T>(what: &'static str, at: usize) -> Result<T, Malformed> {
    Err(Malformed { what, at })
}

fn check_head(bytes: &[u8]) -> Checked {
    if bytes.len() < HEADER_BYTES {
        return bad("the header is cut off", bytes.len());
    }
    if !bytes.starts_with(&MAGIC) {
        return bad("the magic is not PGCB", 0);
    }
    if u16_at(bytes, header::VERSION) != VERSION {
        return bad("the version is not 1", header::VERSION);
    }
    if u32_at(bytes, header::TOTAL_LEN) as usize != bytes.len() {
        return bad("total_len is not the number of bytes", header::TOTAL_LEN);
    }
    if bytes.len() > BATCH_BYTES_MAX {
        return bad("total_len is more than 64 MiB", header::TOTAL_LEN);
    }
    Ok(())
}

fn checked_table<'a, const N: usize>(
    bytes: &'a [u8],
    n: usize,
    count_max: usize,
    what: &'static str,
) -> Result<&'a [[u8; N]], Malformed> {
    if u32_at(bytes, header::COUNTS + 4 * n) as usize > count_max {
        return bad(what, header::COUNTS + 4 * n);
    }
    let offset = header::OFFSETS + 4 * n;
    match table(bytes, n) {
        Some(table) if u32_at(bytes, offset).is_multiple_of(4) => Ok(table),
        _ => bad(what, offset),
    }
}

fn element_depth(record: &[u8; TYPE_BYTES], at: usize, depths: &[u8]) -> Result<u8, Malformed> {
    if !rules::is_delimiter(u8_at(record, typ::DELIM)) {
        return bad("an array's delimiter", at + typ::DELIM);
    }
    match depths.get(u32_at(record, typ::ELEM) as usize) {
        Some(depth) => Ok(*depth),
        None => bad("an array's element type does not come before it", at + typ::ELEM),
    }
}

/// Tables overlap neither each other nor the header, so that one who overwrites the fields of one changes no
/// other.
fn tables_apart(bytes: &[u8]) -> Checked {
    let sizes = [EVENT_BYTES, RELATION_BYTES, TYPE_BYTES, TX_BYTES, COLUMN_BYTES];
    let mut ranges = [(0, 0); 5];
    for (n, (range, size)) in ranges.iter_mut().zip(sizes).enumerate() {
        let start = u32_at(bytes, header::OFFSETS + 4 * n) as usize;
        *range = (start, start + size * u32_at(bytes, header::COUNTS + 4 * n) as usize);
    }
    ranges.sort_unstable();
    let mut end = HEADER_BYTES;
    for (start, next) in ranges.into_iter().filter(|(start, next)| start < next) {
        if start < end {
            return bad("tables overlap each other or the header", start);
        }
        end = next;
    }
    Ok(())
}

struct Check<'a> {
    view: View<'a>,
    referred_bytes: usize,
    names_bytes: usize,
    /// How many columns and fields the relations and types so far have.
    columns: usize,
    /// How long the names of the columns before each one are, and at the end those of all.
    names_before: Vec<usize>,
}

impl<'a> Check<'a> {
    fn bytes(
        &self,
        place: Ref,
        at: usize,
        len_max: usize,
        what: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        match place.of(self.view.bytes) {
            Some(bytes) if bytes.len() <= len_max => Ok(bytes),
            _ => bad(what, at),
        }
    }

    fn text(&self, place: Ref, at: usize, len_max: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let bytes = self.bytes(place, at, len_max, what)?;
        if bytes.is_ascii() || core::str::from_utf8(bytes).is_ok() { Ok(bytes) } else { bad(what, at) }
    }

    fn name(&mut self, record: &[u8], field: usize, at: usize, what: &'static str) -> Checked {
        let place = ref_at(record, field);
        self.charge_names(place.len as usize, at + field)?;
        self.text(place, at + field, NAME_BYTES_MAX, what).map(drop)
    }

    fn charge_names(&mut self, len: usize, at: usize) -> Checked {
        self.names_bytes += len;
        if self.names_bytes > NAMES_BYTES_MAX {
            return bad("all names, shared ones counted each time, are longer than 128 MiB", at);
        }
        Ok(())
    }

    /// The columns of a relation or the fields of a type, the two fields of the record `at` which say so.
    fn owned(&mut self, first: u32, count: u32, at: usize) -> Result<&'a [[u8; COLUMN_BYTES]], Malformed> {
        let columns = self.view.column_range(first, count);
        if columns.len() != count as usize || columns.len() > RELATION_COLUMNS_MAX {
            return bad("columns or fields: out of bounds, or more than 4,096", at);
        }
        self.columns += columns.len();
        if self.columns > COLUMNS_MAX {
            return bad("all relations and types together have more than 1,048,576 columns and fields", at);
        }
        let names = |index: usize| self.names_before.get(index).copied().unwrap_or_default();
        let first = first as usize;
        self.charge_names(names(first + columns.len()).saturating_sub(names(first)), at)?;
        Ok(columns)
    }

    /// Counts what an event refers to.
    #[inline]
    fn charge(&mut self, len: usize, at: usize) -> Checked {
        self.referred_bytes += len;
        if self.referred_bytes > REFERRED_BYTES_MAX {
            return bad("all that events refer to, shared bytes counted each time, is more than 64 MiB", at);
        }
        Ok(())
    }

    /// Where the n-th record of a table is.
    fn place(&self, table: usize, n: usize, size: usize) -> usize {
        u32_at(self.view.bytes, header::OFFSETS + 4 * table) as usize + n * size
    }

    fn header(&mut self) -> Checked {
        let bytes = self.view.bytes;
        self.name(
            bytes,
            header::STRAND,
            0,
            "the strand: out of bounds, longer than 1,024 bytes, or not UTF-8",
        )?;
        self.name(
            bytes,
            header::SOURCE,
            0,
            "the source: out of bounds, longer than 1,024 bytes, or not UTF-8",
        )?;
        let what = "the resume token: out of bounds, or longer than 64 KiB";
        self.bytes(ref_at(bytes, header::RESUME), header::RESUME, RESUME_BYTES_MAX, what)?;
        let what = "the header's JSON: out of bounds, or not an object";
        let more = self.text(ref_at(bytes, header::MORE), header::MORE, BATCH_BYTES_MAX, what)?;
        if more.is_empty() || is_object(more) { Ok(()) } else { bad(what, header::MORE) }
    }

    fn columns(&mut self) -> Checked {
        let mut before = 0;
        for (n, record) in self.view.columns.iter().enumerate() {
            self.names_before.push(before);
            before += ref_at(record, column::NAME).len as usize;
            let at = self.place(4, n, COLUMN_BYTES);
            let what = "a column's name: out of bounds, longer than 1,024 bytes, or not UTF-8";
            self.name(record, column::NAME, at, what)?;
            if u32_at(record, column::TYPE) as usize >= self.view.types.len() {
                return bad("a column's type: no such index", at + column::TYPE);
            }
        }
        self.names_before.push(before);
        Ok(())
    }

    fn types(&mut self) -> Checked {
        let mut depths: Vec<u8> = Vec::with_capacity(self.view.types.len());
        for (n, record) in self.view.types.iter().enumerate() {
            let at = self.place(2, n, TYPE_BYTES);
            let what = "a type's name: out of bounds, longer than 1,024 bytes, or not UTF-8";
            self.name(record, typ::NAME, at, what)?;
            let depth = match Kind::from_u8(u8_at(record, typ::KIND)) {
                Some(Kind::Array) => 1 + element_depth(record, at, &depths)?,
                Some(Kind::Composite) => 1 + self.fields_depth(record, at, &depths)?,
                _ => 0,
            };
            if usize::from(depth) > TYPE_DEPTH_MAX {
                return bad("a type nests more than 32 deep", at + typ::KIND);
            }
            depths.push(depth);
        }
        Ok(())
    }

    /// How deep the deepest of a composite's fields nests, of types that all come before it.
    fn fields_depth(&mut self, record: &[u8; TYPE_BYTES], at: usize, depths: &[u8]) -> Result<u8, Malformed> {
        let (first, count) = (u32_at(record, typ::FIRST_FIELD), u32_at(record, typ::FIELDS));
        let fields = self.owned(first, count, at + typ::FIRST_FIELD)?;
        let mut deepest = 0;
        for field in fields {
            match depths.get(u32_at(field, column::TYPE) as usize) {
                Some(depth) => deepest = deepest.max(*depth),
                None => {
                    return bad("a composite's field type does not come before it", at + typ::FIRST_FIELD);
                }
            }
        }
        Ok(deepest)
    }

    fn relations(&mut self) -> Checked {
        for (n, record) in self.view.relations.iter().enumerate() {
            let at = self.place(1, n, RELATION_BYTES);
            let what = "a relation's name: out of bounds, longer than 1,024 bytes, or not UTF-8";
            for field in [relation::SCHEMA, relation::NAME, relation::CHANNEL] {
                self.name(record, field, at, what)?;
            }
            if !rules::is_identity(u8_at(record, relation::IDENTITY)) {
                return bad("a relation's replica identity: unknown", at + relation::IDENTITY);
            }
            let (first, count) = (u32_at(record, relation::FIRST_COLUMN), u32_at(record, relation::COLUMNS));
            self.owned(first, count, at + relation::FIRST_COLUMN)?;
        }
        Ok(())
    }

    fn transactions(&mut self) -> Checked {
        for (n, record) in self.view.transactions.iter().enumerate() {
            let at = self.place(3, n, TX_BYTES);
            let what = "a transaction's part of the order key: out of bounds, or longer than 40 bytes";
            self.bytes(ref_at(record, tx::KEY), at + tx::KEY, TX_KEY_BYTES_MAX, what)?;
            let what = "a transaction's name: out of bounds, longer than 1,024 bytes, or not UTF-8";
            self.name(record, tx::NAME, at, what)?;
        }
        Ok(())
    }

    fn events(&mut self) -> Checked {
        for (n, record) in self.view.events.iter().enumerate() {
            self.event(record, self.place(0, n, EVENT_BYTES))?;
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8; EVENT_BYTES], at: usize) -> Checked {
        let Some(relation) = self.view.relations.get(u32_at(record, event::RELATION) as usize) else {
            return bad("an event's relation: no such index", at + event::RELATION);
        };
        let tx = u32_at(record, event::TX);
        if tx != NO_TX && tx as usize >= self.view.transactions.len() {
            return bad("an event's transaction: no such index", at + event::TX);
        }
        let op = Op::from_u8(u8_at(record, event::OP)).unwrap_or(Op::Named);
        if usize::from(u8_at(record, event::KEY_LEN)) > EVENT_KEY_BYTES_MAX {
            return bad("an event's part of the order key: longer than 20 bytes", at + event::KEY_LEN);
        }
        let columns = u32_at(relation, relation::COLUMNS) as usize;
        self.tuple(record, event::AFTER, columns, at)?;
        self.tuple(record, event::BEFORE, columns, at)?;
        let body = ref_at(record, event::BODY);
        let particulars = ref_at(record, event::PARTICULARS);
        if body.len != 0 || u16_at(record, event::FLAGS) & BODY_ANY != 0 {
            self.body(record, body, at)?;
        }
        if particulars.len != 0 || op == Op::Named {
            self.particulars(op, particulars, at + event::PARTICULARS)?;
        }
        Ok(())
    }

    #[inline]
    fn tuple(&mut self, record: &[u8; EVENT_BYTES], field: usize, columns: usize, at: usize) -> Checked {
        let place = u32_at(record, field) as usize;
        if place == 0 {
            return Ok(());
        }
        if !place.is_multiple_of(4) || place < HEADER_BYTES {
            return bad("a tuple's offset: not a multiple of 4, or within the header", at + field);
        }
        let Some(tuple) = RawTuple::find(self.view.bytes, place) else {
            return bad("a tuple: out of bounds", at + field);
        };
        if tuple.len() != columns {
            return bad("a tuple: not as many values as its relation has columns", place);
        }
        self.charge(tuple.image().len(), at + field)?;
        tuple.check(place)
    }

    fn body(&mut self, record: &[u8; EVENT_BYTES], place: Ref, at: usize) -> Checked {
        let flags = u16_at(record, event::FLAGS) & BODY_ANY;
        if !flags.is_power_of_two() {
            return bad("an event's flags: a body is one of JSON, text or bytes", at + event::FLAGS);
        }
        let at = at + event::BODY;
        self.charge(place.len as usize, at)?;
        if flags == BODY_BYTES {
            return self.bytes(place, at, BATCH_BYTES_MAX, "an event's body: out of bounds").map(drop);
        }
        let body = self.text(place, at, BATCH_BYTES_MAX, "an event's body: out of bounds, or not UTF-8")?;
        if flags == BODY_TEXT || is_json(body) {
            Ok(())
        } else {
            bad("an event's body: not JSON, as it says", at)
        }
    }

    fn particulars(&mut self, op: Op, place: Ref, at: usize) -> Checked {
        let what = "an event's particulars: out of bounds, longer than 64 KiB, or not a JSON object";
        self.charge(place.len as usize, at)?;
        let particulars = self.text(place, at, PARTICULARS_BYTES_MAX, what)?;
        if !particulars.is_empty() && !is_object(particulars) {
            return bad(what, at);
        }
        if op == Op::Named && member_string(particulars, "operation").is_none() {
            return bad("an event's operation: unknown, and its particulars do not name it", at);
        }
        Ok(())
    }
}
