//! What all events of a relation have in common, printed once.

use super::text::{write_number, write_string};
use crate::spec::Kind;
use crate::view::{Column, Relation};

/// Pieces of the output, and how each column's values are printed.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// From after the id to before the operation.
    pub(super) channel: Vec<u8>,
    /// From after the payload's operation to before the row.
    pub(super) table: Vec<u8>,
    /// The payload's `columns` with a comma before it, or nothing.
    pub(super) shape: Vec<u8>,
    pub(super) columns: Vec<ColumnPlan<'a>>,
    keys: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct ColumnPlan<'a> {
    pub(super) column: Column<'a>,
    pub(super) kind: Kind,
    key: core::ops::Range<usize>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(relation: &Relation<'a>, with_schema: bool) -> Self {
        let mut channel = Vec::from(*br#"","channel":"#);
        write_string(&mut channel, relation.channel().as_bytes());
        channel.extend_from_slice(br#","operation":"#);
        let mut table = Vec::new();
        let mut shape = Vec::new();
        if !relation.name().is_empty() {
            table.extend_from_slice(br#","table":"#);
            write_string(&mut table, relation.name().as_bytes());
        }
        if with_schema {
            table.extend_from_slice(br#","schema":"#);
            write_string(&mut table, relation.schema().as_bytes());
            write_shape(&mut shape, relation);
        }
        table.extend_from_slice(br#","row":"#);
        let mut plan = Plan { channel, table, shape, columns: Vec::new(), keys: Vec::new() };
        for column in relation.columns() {
            let start = plan.keys.len();
            plan.keys.push(b',');
            write_string(&mut plan.keys, column.name().as_bytes());
            plan.keys.push(b':');
            let kind = column.ty().map_or(Kind::Text, |ty| ty.kind());
            plan.columns.push(ColumnPlan { column, kind, key: start..plan.keys.len() });
        }
        plan
    }

    /// What it takes in memory, roughly, in bytes.
    pub(super) fn len_bytes(&self) -> usize {
        let columns = self.columns.len() * size_of::<ColumnPlan<'_>>();
        self.channel.len() + self.table.len() + self.shape.len() + self.keys.len() + columns
    }

    /// `,"name":`
    #[inline]
    pub(super) fn key(&self, column: &ColumnPlan<'_>) -> &[u8] {
        self.keys.get(column.key.clone()).unwrap_or_default()
    }
}

fn write_shape(out: &mut Vec<u8>, relation: &Relation<'_>) {
    out.extend_from_slice(br#","columns":["#);
    for (n, column) in relation.columns().enumerate() {
        out.extend_from_slice(if n == 0 { br#"{"name":"# } else { br#",{"name":"# });
        write_string(out, column.name().as_bytes());
        out.extend_from_slice(br#","type_oid":"#);
        write_number(out, column.ty().map_or(0, |ty| u64::from(ty.oid())));
        out.extend_from_slice(br#","type_name":"#);
        write_string(out, column.ty().map_or("", |ty| ty.name()).as_bytes());
        out.push(b'}');
    }
    out.push(b']');
}
