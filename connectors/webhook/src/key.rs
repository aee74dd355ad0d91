//! What an event is about: rows of a relation, or the relation as a whole. Pure.
//!
//! A key is a hash: two rows that collide wait for each other in vain, and nothing else happens.

use std::hash::{DefaultHasher, Hash, Hasher};

use pgcdc_sdk::layout::{Cell, Event, Op, RawTuple, Relation};

/// What an event has to be kept in order with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// These rows of a relation: two if the change has moved a row from one key to another.
    Rows { relation: u64, rows: Vec<u64> },
    /// Everything of a relation.
    Relation(u64),
}

/// The key of whatever has no row.
const NO_ROW: u64 = 0;

/// The keys of an event. Without a key that tells rows apart a relation is as one row.
pub(crate) fn of(event: &Event<'_>) -> Keys {
    let Some(relation) = event.relation() else { return Keys::Relation(NO_ROW) };
    let id =
        hash(|state| (relation.oid(), relation.schema(), relation.name(), relation.channel()).hash(state));
    if event.op() == Op::Truncate {
        return Keys::Relation(id);
    }
    let columns = key_columns(&relation);
    if columns.is_empty() {
        return Keys::Rows { relation: id, rows: vec![NO_ROW] };
    }
    let sides = [event.raw_before(), event.raw_after()];
    let mut rows: Vec<u64> = sides.iter().flatten().map(|row| row_key(row, &columns)).collect();
    rows.dedup();
    match rows.as_slice() {
        [] => Keys::Rows { relation: id, rows: vec![NO_ROW] },
        _ => Keys::Rows { relation: id, rows },
    }
}

/// The primary key, or else what identifies a row for the server, unless that is the whole row.
fn key_columns(relation: &Relation<'_>) -> Vec<usize> {
    let of = |wanted: fn(&pgcdc_sdk::layout::Column<'_>) -> bool| {
        let columns = relation.columns().enumerate();
        columns.filter(|(_, column)| wanted(column)).map(|(index, _)| index).collect::<Vec<_>>()
    };
    let primary = of(|column| column.primary());
    if !primary.is_empty() || relation.identity() == b'f' {
        return primary;
    }
    of(|column| column.identity())
}

fn row_key(row: &RawTuple<'_>, columns: &[usize]) -> u64 {
    hash(|state| {
        for &column in columns {
            match row.get(column) {
                Cell::Value(value) => value.hash(state),
                Cell::Null | Cell::Unchanged | Cell::Absent => state.write_u8(0),
            }
        }
    })
}

fn hash(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut state = DefaultHasher::new();
    write(&mut state);
    state.finish()
}
