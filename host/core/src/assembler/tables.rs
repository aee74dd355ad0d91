//! The tables of the stream as it last described them: what a row's relation number means from here on.

use pgcdc_layout::spec::RELATION_COLUMNS_MAX;
use rustc_hash::FxHashMap;

use super::Error;
use super::pattern::TableFilter;
use crate::identifier::quote;
use crate::pgoutput::{Identity, Relation};

/// Tables of one connection; more are refused.
const TABLES_MAX: usize = 1 << 20;

/// What channels of pgcdc's own are called after the colon.
const OWN: [&str; 5] = ["_txn", "_schema", "_message", "_snapshot", "_mongo"];

/// A table's shape.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) channel: String,
    pub(super) identity: Identity,
    pub(super) columns: Vec<Column>,
    pub(super) wanted: bool,
    /// Its index in the open batch, with that batch's number.
    pub(super) placed: Option<(u64, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_oid: u32,
    pub(super) type_modifier: i32,
    /// Part of the replica identity.
    pub(super) identity: bool,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: Vec<Table>,
    by_oid: FxHashMap<u32, usize>,
    last: Option<(u32, usize)>,
}

impl Tables {
    /// The table of a relation number. Rows come in runs of one table, so the last one is looked at first.
    #[inline]
    pub(super) fn get(&mut self, oid: u32) -> Result<&mut Table, Error> {
        let index = match self.last {
            Some((last, index)) if last == oid => index,
            _ => *self.by_oid.get(&oid).ok_or(Error::UnknownRelation { oid })?,
        };
        self.last = Some((oid, index));
        self.tables.get_mut(index).ok_or(Error::UnknownRelation { oid })
    }

    /// Takes in a shape, and gives back another one that the table had. The same shape again keeps its place in
    /// the open batch.
    pub(super) fn put(
        &mut self,
        relation: &Relation<'_>,
        filter: &TableFilter,
    ) -> Result<Option<Table>, Error> {
        let table = Table::new(relation, filter);
        if let Some(index) = self.by_oid.get(&table.oid) {
            let old = self.tables.get_mut(*index).filter(|old| !old.is_like(&table));
            return Ok(old.map(|old| std::mem::replace(old, table)));
        }
        if self.tables.len() >= TABLES_MAX {
            return Err(Error::TooMany { what: "tables", max: TABLES_MAX });
        }
        self.by_oid.insert(table.oid, self.tables.len());
        self.tables.push(table);
        Ok(None)
    }
}

impl Table {
    fn new(relation: &Relation<'_>, filter: &TableFilter) -> Table {
        let schema = schema_name(relation);
        let columns = relation.columns().map(|column| Column {
            name: column.name.into(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            identity: column.key,
        });
        Table {
            oid: relation.oid,
            schema: schema.into(),
            name: relation.name.into(),
            channel: channel_of(schema, relation.name),
            identity: relation.identity,
            columns: columns.collect(),
            wanted: filter.wants(schema, relation.name),
            placed: None,
        }
    }

    pub(super) fn column_name(&self, column: usize) -> String {
        self.columns.get(column).map(|column| column.name.clone()).unwrap_or_default()
    }

    fn is_like(&self, other: &Table) -> bool {
        self.schema == other.schema
            && self.name == other.name
            && self.identity == other.identity
            && self.columns == other.columns
    }
}

/// The channel of a table's rows: `pgcdc:table` in `public`, else `pgcdc:schema.table`. No two tables share one, and
/// none has one of pgcdc's own: a name with a dot in it, or a quote at its start, is quoted as in SQL, and a name in
/// `public` that is pgcdc's own has its schema before it.
#[must_use]
pub fn channel_of(schema: &str, table: &str) -> String {
    let part = |name: &str| {
        if name.contains('.') || name.starts_with('"') { quote(name) } else { name.to_owned() }
    };
    if schema == "public" && !OWN.contains(&table) && !table.starts_with("_view:") {
        format!("pgcdc:{}", part(table))
    } else {
        format!("pgcdc:{}.{}", part(schema), part(table))
    }
}

/// The schema's name: the protocol leaves out that of the system catalog.
pub(super) fn schema_name<'a>(relation: &Relation<'a>) -> &'a str {
    if relation.schema.is_empty() { "pg_catalog" } else { relation.schema }
}

/// A relation that no batch could describe.
pub(super) fn check_width(relation: &Relation<'_>) -> Result<(), Error> {
    if usize::from(relation.columns_len()) > RELATION_COLUMNS_MAX {
        return Err(Error::TooMany { what: "columns of a table", max: RELATION_COLUMNS_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::channel_of;

    #[test]
    fn no_two_tables_share_a_channel() {
        for (schema, table, channel) in [
            ("public", "orders", "pgcdc:orders"),
            ("shop", "orders", "pgcdc:shop.orders"),
            ("public", "shop.orders", r#"pgcdc:"shop.orders""#),
            ("a.b", "c", r#"pgcdc:"a.b".c"#),
            ("a", "b.c", r#"pgcdc:a."b.c""#),
            ("a", "\"b\"", r#"pgcdc:a."""b""""#),
            ("a", "b\"c", r#"pgcdc:a.b"c"#),
            ("public", "_txn", "pgcdc:public._txn"),
            ("public", "_view:x", "pgcdc:public._view:x"),
            ("public", "_orders", "pgcdc:_orders"),
        ] {
            assert_eq!(channel_of(schema, table), channel);
        }
    }
}
