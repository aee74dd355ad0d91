//! What changed in a table's shape, told by the server in front of the first row that uses it.
//!
//! The payload is `{"op":"SCHEMA_CHANGE","table":…,"schema":…,"changes":[…]}`, of the table as it is called from
//! here on. Changes come in the order of columns: what is gone first, then what is new or different.
//!
//! - Only what the server says counts. The stream names no column but by its name, so that a renamed column is
//!   one removed and one added; and it does not say whether a column may be NULL.
//! - Invariant: a change waits here until there is a place for it that shifts nothing else, which is in front of
//!   the first row at an LSN, or at the transaction's end; it is late then, and never lost.

use std::collections::VecDeque;

use pgcdc_layout::json::write_string;

use super::Error;
use super::known::Known;
use super::open_batch::OpenBatch;
use super::tables::{Column, Table};
use super::transaction::{Place, Transaction};
use crate::catalog::TypeCatalog;
use crate::pgoutput::Identity;

/// Changes of shape that no row has used yet, in bytes; more are no stream of a PostgreSQL.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Changes of shape that are not events yet.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    /// How many became events in front of the present record.
    told: u32,
}

impl Shapes {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A table that was `old` is `new` from here on.
    pub(super) fn note(&mut self, old: &Table, new: &Table, known: &Known) -> Result<(), Error> {
        if !known.settings.schema_events || !(old.wanted || new.wanted) {
            return Ok(());
        }
        let Some(body) = payload(old, new, &known.catalog, known.settings.include_schema) else {
            return Ok(());
        };
        self.waiting_bytes += body.len();
        self.waiting.push_back(body);
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(Error::TooMany { what: "bytes of changed shapes at once", max: WAITING_BYTES_MAX });
        }
        Ok(())
    }

    /// Makes events of them, in front of the row at this place or, if there is none, of the COMMIT.
    #[cold]
    pub(super) fn tell(
        &mut self,
        batch: &mut OpenBatch,
        known: &Known,
        tx: &mut Transaction,
        place: Option<Place>,
    ) -> Result<(), Error> {
        while let Some(body) = self.waiting.front() {
            let nth = self.told + 1;
            let key = match place {
                Some(place) => tx.shape_key(place, nth),
                None => Some(tx.last_shape_key(nth)),
            };
            let Some(key) = key else { return Ok(()) };
            batch.add_shape(known, tx, body, key)?;
            self.waiting_bytes -= body.len();
            self.waiting.pop_front();
            self.told = nth;
        }
        self.told = 0;
        Ok(())
    }
}

/// The event's payload; none if nothing that can be told has changed.
fn payload(old: &Table, new: &Table, catalog: &TypeCatalog, with_columns: bool) -> Option<String> {
    let mut out = Changes { out: Vec::new(), catalog };
    if (&old.schema, &old.name) != (&new.schema, &new.name) {
        out.start("table_renamed");
        out.text("old_schema", &old.schema);
        out.text("old_table", &old.name);
        out.end();
    }
    for column in &old.columns {
        if named(new, &column.name).is_none() {
            out.start("column_removed");
            out.text("column", &column.name);
            out.end();
        }
    }
    for column in &new.columns {
        match named(old, &column.name) {
            None => out.added(column),
            Some(before) => out.different(before, column),
        }
    }
    out.order(old, new);
    out.keys(old, new);
    let changes = (!out.out.is_empty()).then_some(out.out)?;
    let mut body = b"{\"op\":\"SCHEMA_CHANGE\",\"table\":".to_vec();
    write_string(&mut body, new.name.as_bytes());
    body.extend_from_slice(b",\"schema\":");
    write_string(&mut body, new.schema.as_bytes());
    body.extend_from_slice(b",\"changes\":[");
    body.extend_from_slice(&changes);
    body.push(b']');
    if with_columns {
        write_columns(&mut body, new, catalog);
    }
    body.push(b'}');
    // Only UTF-8 has been written.
    String::from_utf8(body).ok()
}

fn named<'t>(table: &'t Table, name: &str) -> Option<&'t Column> {
    table.columns.iter().find(|column| column.name == name)
}

/// The new shape, as rows show it with `include_schema`.
fn write_columns(out: &mut Vec<u8>, table: &Table, catalog: &TypeCatalog) {
    out.extend_from_slice(b",\"columns\":[");
    for (n, column) in table.columns.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"{\"name\":" } else { b",{\"name\":" });
        write_string(out, column.name.as_bytes());
        out.extend_from_slice(format!(",\"type_oid\":{},\"type_name\":", column.type_oid).as_bytes());
        write_string(out, catalog.name(column.type_oid).as_bytes());
        out.push(b'}');
    }
    out.push(b']');
}

/// The array of changes in the making.
struct Changes<'a> {
    out: Vec<u8>,
    catalog: &'a TypeCatalog,
}

impl Changes<'_> {
    fn start(&mut self, what: &str) {
        self.out.extend_from_slice(if self.out.is_empty() { b"{\"type\":" } else { b",{\"type\":" });
        write_string(&mut self.out, what.as_bytes());
    }

    fn key(&mut self, key: &str) {
        self.out.push(b',');
        write_string(&mut self.out, key.as_bytes());
        self.out.push(b':');
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(&mut self.out, value.as_bytes());
    }

    fn number(&mut self, key: &str, value: i32) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn names<'n>(&mut self, key: &str, names: impl Iterator<Item = &'n str>) {
        self.key(key);
        self.out.push(b'[');
        for (n, name) in names.enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            write_string(&mut self.out, name.as_bytes());
        }
        self.out.push(b']');
    }

    fn end(&mut self) {
        self.out.push(b'}');
    }

    fn added(&mut self, column: &Column) {
        self.start("column_added");
        self.text("column", &column.name);
        self.text("type_name", &self.catalog.name(column.type_oid));
        self.end();
    }

    fn different(&mut self, old: &Column, new: &Column) {
        let modified = old.type_modifier != new.type_modifier;
        if old.type_oid == new.type_oid && !modified {
            return;
        }
        self.start("column_type_changed");
        self.text("column", &new.name);
        self.text("old_type", &self.catalog.name(old.type_oid));
        self.text("new_type", &self.catalog.name(new.type_oid));
        if modified {
            self.number("old_type_modifier", old.type_modifier);
            self.number("new_type_modifier", new.type_modifier);
        }
        self.end();
    }

    /// PostgreSQL moves no column; but one that was dropped and added again has another place, and all its old
    /// values are gone.
    fn order(&mut self, old: &Table, new: &Table) {
        let common = |of: &'_ Table, other: &Table| -> Vec<String> {
            let names = of.columns.iter().map(|column| &column.name);
            names.filter(|name| named(other, name).is_some()).cloned().collect()
        };
        if common(old, new) != common(new, old) {
            self.start("columns_reordered");
            self.names("columns", new.columns.iter().map(|column| column.name.as_str()));
            self.end();
        }
    }

    fn keys(&mut self, old: &Table, new: &Table) {
        if old.identity != new.identity {
            self.start("replica_identity_changed");
            self.text("old_identity", identity(old.identity));
            self.text("new_identity", identity(new.identity));
            self.end();
        }
        // With FULL every column counts as part of the key, so that its key says nothing of its own.
        if old.identity == Identity::Full || new.identity == Identity::Full {
            return;
        }
        let key = |of: &Table| -> Vec<String> {
            of.columns.iter().filter(|column| column.identity).map(|column| column.name.clone()).collect()
        };
        let (old_key, new_key) = (key(old), key(new));
        if old_key != new_key {
            self.start("key_changed");
            self.names("old_key", old_key.iter().map(String::as_str));
            self.names("new_key", new_key.iter().map(String::as_str));
            self.end();
        }
    }
}

fn identity(identity: Identity) -> &'static str {
    match identity {
        Identity::Default => "default",
        Identity::Nothing => "nothing",
        Identity::Full => "full",
        Identity::Index => "index",
    }
}
