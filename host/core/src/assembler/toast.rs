//! Values that an UPDATE did not touch and the server did not send, from memory.
//!
//! What is kept of a row is what may have been stored out of line, under the row's key. Invariants:
//! - What is filled in is what the row has. A row of which anything is in doubt is forgotten: its key could not
//!   be read, a value of it was refused, its table was described anew (it may have been rewritten, or have got
//!   another partition) or emptied. A value that is not known is never kept as if it were.
//! - Rows without a replica identity that is a key are not kept; with `REPLICA IDENTITY FULL` nothing is missing.
//! - At most `entries_max` rows and `bytes_max` bytes; the row that was looked at longest ago goes first.
//! - A message that was not taken has changed nothing: looking does not count, [`ToastCache::passed`] does.
//! - Neither keys nor ids know of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgcdc_layout::Op;
use rustc_hash::FxHashMap;

use super::row::Row;
use super::settings::ToastLimits;
use super::tables::Table;
use crate::pgoutput::{Cell, Identity, Tuple};

/// What an entry takes besides its key and its values' bytes: its places in the tables.
const ENTRY_BYTES: usize = 160;
/// What a value takes besides its bytes.
const VALUE_BYTES: usize = 24;
/// A shorter text is never stored out of line: PostgreSQL moves out nothing of 24 bytes or less, its header
/// included, and no encoding of a server takes more than twice the bytes of UTF-8.
const TEXT_BYTES_MIN: usize = 10;

/// What became of lookups and entries, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToastCounts {
    /// Updates of which every missing value was known.
    pub hits: u64,
    /// Updates of which a missing value stayed missing.
    pub misses: u64,
    /// Rows that were forgotten for want of room, or with their table.
    pub evictions: u64,
    /// Rows that are kept.
    pub entries: usize,
    /// What they take, in bytes.
    pub bytes: usize,
}

/// What is kept of one row: values by their column, in the order of columns.
#[derive(Debug, Default)]
pub(super) struct Kept {
    values: Vec<(u16, Box<[u8]>)>,
    used: u64,
    bytes: usize,
}

impl Kept {
    pub(super) fn value(&self, column: usize) -> Option<&[u8]> {
        let at = self.values.binary_search_by_key(&column, |(column, _)| usize::from(*column)).ok()?;
        self.values.get(at).map(|(_, value)| &**value)
    }

    fn value_bytes(&self) -> usize {
        self.values.iter().map(|(_, value)| value.len()).sum()
    }
}

type Key = Arc<[u8]>;

#[derive(Debug)]
pub(super) struct ToastCache {
    limits: ToastLimits,
    /// A row with what is filled in must not become larger than this, in bytes.
    row_bytes_max: usize,
    rows: FxHashMap<u32, FxHashMap<Key, Kept>>,
    /// By when they were last used.
    order: BTreeMap<u64, (u32, Key)>,
    clock: u64,
    counts: ToastCounts,
}

impl ToastCache {
    pub(super) fn new(limits: ToastLimits, row_bytes_max: usize) -> ToastCache {
        ToastCache {
            limits,
            row_bytes_max,
            rows: FxHashMap::default(),
            order: BTreeMap::new(),
            clock: 0,
            counts: ToastCounts::default(),
        }
    }

    pub(super) fn counts(&self) -> ToastCounts {
        self.counts
    }

    /// What is kept of an updated row of which the server left something out.
    pub(super) fn look(&self, table: &Table, row: &Row<'_>) -> Option<&Kept> {
        let after = row.after.as_ref().filter(|_| row.op == Op::Update && lacks(row))?;
        if !is_kept(table) {
            return None;
        }
        let key = old_key(table, row)?;
        let kept = self.rows.get(&table.oid)?.get(key.as_slice())?;
        (kept.value_bytes() + after.len_bytes() <= self.row_bytes_max).then_some(kept)
    }

    /// A row has been let through. `filled` says whether `look` had something for it.
    pub(super) fn passed(&mut self, table: &Table, row: &Row<'_>, filled: bool) {
        if row.op == Op::Truncate {
            return self.forget(table.oid);
        }
        if !is_kept(table) {
            return;
        }
        let old_key = old_key(table, row);
        let Some(after) = &row.after else {
            match old_key {
                Some(key) => drop(self.remove(table.oid, &key)),
                None => self.forget(table.oid),
            }
            return;
        };
        let new_key = key_of(table, after, row.before.as_ref());
        let (Some(old_key), Some(new_key)) = (old_key, new_key) else {
            if row.op == Op::Update && lacks(row) {
                self.counts.misses += 1;
            }
            return self.forget(table.oid);
        };
        let was = self.remove(table.oid, &old_key);
        let (now, missing) = merge(table, row, was.filter(|_| row.op == Op::Update));
        if row.op == Op::Update && lacks(row) {
            if filled && !missing { self.counts.hits += 1 } else { self.counts.misses += 1 }
        }
        self.remove(table.oid, &new_key);
        self.insert(table.oid, new_key, now);
    }

    /// A row was refused: what it has is not known.
    pub(super) fn refused(&mut self, table: &Table, row: &Row<'_>) {
        let after = row.after.as_ref().map(|after| key_of(table, after, row.before.as_ref()));
        match (old_key(table, row), after) {
            (Some(old), Some(Some(new))) => {
                self.remove(table.oid, &old);
                self.remove(table.oid, &new);
            }
            (Some(old), None) => drop(self.remove(table.oid, &old)),
            _ => self.forget(table.oid),
        }
    }

    /// Nothing of this table is certain any more.
    pub(super) fn forget(&mut self, oid: u32) {
        let Some(rows) = self.rows.remove(&oid) else { return };
        for kept in rows.values() {
            self.order.remove(&kept.used);
            self.counts.bytes -= kept.bytes;
        }
        self.counts.entries -= rows.len();
        self.counts.evictions += rows.len() as u64;
    }

    fn remove(&mut self, oid: u32, key: &[u8]) -> Option<Kept> {
        let kept = self.rows.get_mut(&oid)?.remove(key)?;
        self.order.remove(&kept.used);
        self.counts.bytes -= kept.bytes;
        self.counts.entries -= 1;
        Some(kept)
    }

    fn insert(&mut self, oid: u32, key: Vec<u8>, mut kept: Kept) {
        if kept.values.is_empty() {
            return;
        }
        kept.bytes = ENTRY_BYTES + key.len() + VALUE_BYTES * kept.values.len() + kept.value_bytes();
        self.clock += 1;
        kept.used = self.clock;
        let key: Key = key.into();
        self.counts.bytes += kept.bytes;
        self.counts.entries += 1;
        self.order.insert(kept.used, (oid, key.clone()));
        self.rows.entry(oid).or_default().insert(key, kept);
        while self.counts.entries > self.limits.entries_max || self.counts.bytes > self.limits.bytes_max {
            let Some((_, (oid, key))) = self.order.pop_first() else { return };
            self.remove(oid, &key);
            self.counts.evictions += 1;
        }
    }
}

/// Whether rows of this table have a key of their own by which they can be found.
fn is_kept(table: &Table) -> bool {
    matches!(table.identity, Identity::Default | Identity::Index)
        && table.columns.iter().any(|column| column.identity)
}

/// Whether the server left a value out that the old key does not have either.
fn lacks(row: &Row<'_>) -> bool {
    let mut cells = row.after.iter().flat_map(Tuple::cells).enumerate();
    cells.any(|(index, cell)| cell == Cell::Unchanged && !in_old(row, index))
}

/// The key that the row had: the old one was sent only if it is another one.
fn old_key(table: &Table, row: &Row<'_>) -> Option<Vec<u8>> {
    let tuple = row.before.as_ref().or(row.after.as_ref())?;
    key_of(table, tuple, row.before.as_ref())
}

/// The values of the replica identity, each with its length. A part that was not sent anew is in the old key.
fn key_of(table: &Table, tuple: &Tuple<'_>, old: Option<&Tuple<'_>>) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    for (index, (column, cell)) in table.columns.iter().zip(tuple.cells()).enumerate() {
        if !column.identity {
            continue;
        }
        let cell = match cell {
            Cell::Unchanged => old.and_then(|old| old.cells().nth(index)),
            cell => Some(cell),
        };
        let Some(Cell::Text(text)) = cell else { return None };
        key.extend_from_slice(&(text.len() as u32).to_le_bytes());
        key.extend_from_slice(text);
    }
    (!key.is_empty()).then_some(key)
}

/// What is known of a row now, and whether a value that was left out is not.
fn merge(table: &Table, row: &Row<'_>, was: Option<Kept>) -> (Kept, bool) {
    let mut was = was.unwrap_or_default().values.into_iter().peekable();
    let mut now = Vec::new();
    let mut missing = false;
    let cells = row.after.iter().flat_map(Tuple::cells);
    for (index, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        // A table has at most 1,600 columns.
        let Ok(at) = u16::try_from(index) else { break };
        while was.next_if(|(column, _)| *column < at).is_some() {}
        match cell {
            Cell::Text(text) if may_be_out_of_line(column.type_oid, text) => now.push((at, text.into())),
            Cell::Unchanged => match was.next_if(|(column, _)| *column == at) {
                Some(value) => now.push(value),
                None => missing |= !in_old(row, index),
            },
            _ => {}
        }
    }
    (Kept { values: now, ..Kept::default() }, missing)
}

/// A part of the key that the server sent with the old key.
fn in_old(row: &Row<'_>, column: usize) -> bool {
    matches!(row.before.and_then(|before| before.cells().nth(column)), Some(Cell::Text(_)))
}

/// Whether a value may have been moved out of its row, so that a later update may lack it.
fn may_be_out_of_line(type_oid: u32, text: &[u8]) -> bool {
    match type_oid {
        // Of fixed length: numbers, times, oids and their names, the simple shapes, and so on.
        16
        | 18..=21
        | 23
        | 24
        | 26..=29
        | 600
        | 601
        | 603
        | 628
        | 700
        | 701
        | 718
        | 774
        | 790
        | 829
        | 1082
        | 1083
        | 1114
        | 1184
        | 1186
        | 1266
        | 2202..=2206
        | 2950
        | 3220
        | 3734
        | 3769
        | 4089
        | 4096
        | 4191
        | 5069 => false,
        // json, xml, text, bpchar, varchar: as many bytes as the text has.
        114 | 142 | 25 | 1042 | 1043 => text.len() >= TEXT_BYTES_MIN,
        _ => true,
    }
}
