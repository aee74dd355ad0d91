//! Rows into the batch: the hot path. Values go straight from the message into the layout.

use pgcdc_layout::{BatchWriter, Op, TupleRef, WriteError};

use super::outcome::Error;
use super::tables::Table;
use super::toast::Kept;
use crate::pgoutput::{Cell, Delete, Insert, OldKind, Truncate, Tuple, Update};

/// A change of one row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) op: Op,
    pub(super) relation: u32,
    pub(super) before: Option<Tuple<'a>>,
    pub(super) after: Option<Tuple<'a>>,
    /// Whether `before` is the whole row.
    pub(super) before_is_full: bool,
    /// What else the payload shows: a JSON object of the layout's particulars, or empty.
    pub(super) particulars: &'static str,
}

impl<'a> Row<'a> {
    pub(super) fn insert(m: &Insert<'a>) -> Row<'a> {
        let after = Some(m.new);
        Row {
            op: Op::Insert,
            relation: m.relation,
            before: None,
            after,
            before_is_full: false,
            particulars: "",
        }
    }

    pub(super) fn update(m: &Update<'a>) -> Row<'a> {
        Row {
            op: Op::Update,
            relation: m.relation,
            before: m.old.map(|(_, old)| old),
            after: Some(m.new),
            before_is_full: matches!(m.old, Some((OldKind::Full, _))),
            particulars: "",
        }
    }

    pub(super) fn delete(m: &Delete<'a>) -> Row<'a> {
        let before_is_full = m.kind == OldKind::Full;
        Row {
            op: Op::Delete,
            relation: m.relation,
            before: Some(m.old),
            after: None,
            before_is_full,
            particulars: "",
        }
    }

    /// One table of a TRUNCATE, which shows what the command said besides.
    pub(super) fn truncate(relation: u32, of: &Truncate<'_>) -> Row<'a> {
        let particulars = match (of.cascade, of.restart_identity) {
            (false, false) => "",
            (true, false) => r#"{"payload":{"cascade":true}}"#,
            (false, true) => r#"{"payload":{"restart_identity":true}}"#,
            (true, true) => r#"{"payload":{"cascade":true,"restart_identity":true}}"#,
        };
        Row { op: Op::Truncate, relation, before: None, after: None, before_is_full: false, particulars }
    }

    /// Checks that the row's values are as many as its table's columns.
    #[inline]
    pub(super) fn check_columns(&self, table: &Table) -> Result<(), Error> {
        let expected = table.columns.len();
        for tuple in [self.before, self.after].into_iter().flatten() {
            let got = usize::from(tuple.columns());
            if got != expected {
                let (schema, table) = (table.schema.clone(), table.name.clone());
                return Err(Error::Columns { schema, table, expected, got });
            }
        }
        Ok(())
    }
}

/// Why a tuple was not written.
pub(super) enum Failed {
    Layout(WriteError),
    /// A binary value in this column.
    Binary(usize),
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Failed {
        Failed::Layout(error)
    }
}

/// Writes both tuples: (after, before). `kept` is what is remembered of the row.
#[inline]
pub(super) fn write(
    writer: &mut BatchWriter,
    table: &Table,
    row: &Row<'_>,
    kept: Option<&Kept>,
) -> Result<(Option<TupleRef>, Option<TupleRef>), Failed> {
    let before = match &row.before {
        Some(tuple) if row.before_is_full => Some(write_tuple(writer, tuple, None, None)?),
        Some(tuple) => Some(write_key(writer, table, tuple)?),
        None => None,
    };
    let after = match &row.after {
        Some(tuple) => Some(write_tuple(writer, tuple, row.before.as_ref(), kept)?),
        None => None,
    };
    Ok((after, before))
}

/// Writes an old row of which the server sent only the replica identity: the other columns are not known to
/// be NULL, although that is what it sent.
fn write_key(writer: &mut BatchWriter, table: &Table, tuple: &Tuple<'_>) -> Result<TupleRef, Failed> {
    let mut out = writer.tuple(table.columns.len())?;
    for (index, (cell, column)) in tuple.cells().zip(&table.columns).enumerate() {
        match cell {
            Cell::Text(text) => out.value(text),
            Cell::Null if column.identity => out.null(),
            Cell::Null | Cell::Unchanged => out.absent(),
            Cell::Binary(_) => return Err(Failed::Binary(index)),
        }
    }
    Ok(out.finish()?)
}

/// Writes one tuple. A value that did not change and was not sent is in the old row if that was sent as a
/// whole, or if it is part of the key; else it may be remembered.
#[inline]
fn write_tuple(
    writer: &mut BatchWriter,
    tuple: &Tuple<'_>,
    old: Option<&Tuple<'_>>,
    kept: Option<&Kept>,
) -> Result<TupleRef, Failed> {
    let mut out = writer.tuple(usize::from(tuple.columns()))?;
    for (column, cell) in tuple.cells().enumerate() {
        match cell {
            Cell::Text(text) => out.value(text),
            Cell::Null => out.null(),
            Cell::Unchanged => match old.and_then(|old| old.cells().nth(column)) {
                Some(Cell::Text(text)) => out.value(text),
                _ => match kept.and_then(|kept| kept.value(column)) {
                    Some(text) => out.value(text),
                    None => out.unchanged(),
                },
            },
            Cell::Binary(_) => return Err(Failed::Binary(column)),
        }
    }
    Ok(out.finish()?)
}
