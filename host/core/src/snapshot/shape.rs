//! What a table is as a snapshot reads it, and the SQL that reads it.
//!
//! Invariants: columns are those of the WAL, in its order; what an operator or a catalog named reaches the server quoted
//! (but for `filter`, which is SQL on purpose). With a key, rows come in its order, so that its values say how far the
//! reading is.

use serde::Deserialize;

use super::name::TableName;
use crate::identifier::{quote, quote_text};
use crate::pgoutput::{self, Identity, Relation};

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's oid.
    #[serde(rename = "type")]
    pub type_oid: u32,
    /// Its type's modifier, or -1.
    pub typmod: i32,
    /// Its type as SQL writes it, for casts.
    pub cast: String,
    /// Part of the replica identity.
    pub identity: bool,
    /// Its place in the primary key, from 1; 0: none.
    pub key: u16,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Shape {
    /// Its oid.
    pub oid: u32,
    /// Its names.
    pub schema: String,
    /// See `schema`.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// `pg_class.relreplident`.
    pub identity: char,
    /// Which rows are meant; SQL.
    #[serde(default)]
    pub filter: Option<String>,
    /// How many rows the server thinks it has; -1: it does not know.
    pub estimate: i64,
    /// Those of the WAL, in its order.
    pub columns: Vec<Column>,
    /// Whether all columns of the primary key, if there is one, are among them.
    pub whole_key: bool,
}

/// Where to go on in a table: the values of its key, as the server printed them, with their types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After<'a> {
    /// Of the row that was read last.
    pub values: &'a [String],
}

impl Shape {
    /// Its names.
    #[must_use]
    pub fn table(&self) -> TableName {
        TableName { schema: self.schema.clone(), table: self.name.clone() }
    }

    /// The primary key's columns, in its order; none if there is none, or not all of it is read.
    #[must_use]
    pub fn key(&self) -> Vec<&Column> {
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        if self.whole_key { key } else { Vec::new() }
    }

    /// How many columns stand before the table's own, because they name the row where no key does.
    #[must_use]
    pub fn hidden(&self) -> usize {
        match (self.key().is_empty(), self.kind) {
            (true, 'r' | 'p' | 'm') => 2,
            _ => 0,
        }
    }

    /// Which columns of a line name its row, hidden ones counted. None for a view: there the row's number has to do.
    #[must_use]
    pub fn key_cells(&self) -> Vec<usize> {
        let key = self.key();
        if key.is_empty() {
            return (0..self.hidden()).collect();
        }
        let place = |wanted: &&Column| self.columns.iter().position(|column| column == *wanted);
        key.iter().filter_map(place).collect()
    }

    /// The question for all of its rows, or for those after a row. `ordered`: by the key, if there is one.
    #[must_use]
    pub fn copy(&self, ordered: bool, after: Option<&After<'_>>) -> String {
        let mut columns: Vec<String> = Vec::with_capacity(self.columns.len() + 2);
        if self.hidden() > 0 {
            columns.extend(["tableoid".to_owned(), "ctid".to_owned()]);
        }
        columns.extend(self.columns.iter().map(|column| quote(&column.name)));
        // Partitions belong to their root; tables that inherit are tables of their own.
        let only = if self.kind == 'r' { "ONLY " } else { "" };
        let mut sql =
            format!("SELECT {} FROM {only}{}.{}", columns.join(", "), quote(&self.schema), quote(&self.name));
        let mut conditions: Vec<String> = self.filter.iter().map(|filter| format!("({filter}\n)")).collect();
        let key = self.key();
        let names: Vec<String> = key.iter().map(|column| quote(&column.name)).collect();
        let names = names.join(", ");
        if let Some(after) = after.filter(|after| !key.is_empty() && after.values.len() == key.len()) {
            let value =
                |(value, column): (&String, &&Column)| format!("{}::{}", quote_text(value), column.cast);
            let values: Vec<String> = after.values.iter().zip(&key).map(value).collect();
            conditions.push(format!("({names}) > ({})", values.join(", ")));
        }
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        if ordered && !key.is_empty() {
            sql.push_str(" ORDER BY ");
            sql.push_str(&names);
        }
        format!("COPY ({sql}) TO STDOUT")
    }

    /// The table as pgoutput would describe it: what a batch says of it is then made by the same code.
    #[must_use]
    pub fn relation(&self) -> Vec<u8> {
        let identity = match self.identity {
            'd' => Identity::Default,
            'f' => Identity::Full,
            'i' => Identity::Index,
            _ => Identity::Nothing,
        };
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(pgoutput::Column {
                key: column.identity,
                name: &column.name,
                type_oid: column.type_oid,
                type_modifier: column.typmod,
            });
        }
        let mut out = Vec::new();
        Relation::encode_new(&mut out, self.oid, &self.schema, &self.name, identity, &columns);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, cast: &str, key: u16) -> Column {
        Column { name: name.into(), type_oid: 25, typmod: -1, cast: cast.into(), identity: key > 0, key }
    }

    fn shape(columns: Vec<Column>) -> Shape {
        Shape {
            oid: 16_400,
            schema: "shop".into(),
            name: "Orders".into(),
            kind: 'r',
            identity: 'd',
            filter: None,
            estimate: -1,
            columns,
            whole_key: true,
        }
    }

    #[test]
    fn the_rest_of_a_table_is_asked_for_by_its_key_with_casts() {
        let mut table =
            shape(vec![column("note", "text", 0), column("b", "uuid", 2), column("a", "bigint", 1)]);
        assert_eq!(
            table.copy(true, None),
            r#"COPY (SELECT "note", "b", "a" FROM ONLY "shop"."Orders" ORDER BY "a", "b") TO STDOUT"#
        );
        assert_eq!((table.key_cells(), table.hidden()), (vec![2, 1], 0));
        table.filter = Some("x = 'y' -- why".into());
        let values = ["9007199254740993".to_owned(), "a'b\\".to_owned()];
        let sql = table.copy(true, Some(&After { values: &values }));
        assert!(
            sql.ends_with(
                "WHERE (x = 'y' -- why\n) AND (\"a\", \"b\") > ('9007199254740993'::bigint,  E'a''b\\\\'::uuid) ORDER BY \"a\", \"b\") TO STDOUT"
            ),
            "{sql}"
        );
    }

    #[test]
    fn without_a_key_a_row_is_named_by_its_place() {
        let mut table = shape(vec![column("a", "text", 0)]);
        assert_eq!(
            table.copy(true, None),
            r#"COPY (SELECT tableoid, ctid, "a" FROM ONLY "shop"."Orders") TO STDOUT"#
        );
        assert_eq!((table.key_cells(), table.hidden()), (vec![0, 1], 2));
        table.kind = 'v';
        assert_eq!(table.copy(false, None), r#"COPY (SELECT "a" FROM "shop"."Orders") TO STDOUT"#);
        assert!(table.key_cells().is_empty());
    }

    #[test]
    fn a_key_that_is_not_read_as_a_whole_is_none() {
        let mut table = shape(vec![column("a", "bigint", 1)]);
        table.whole_key = false;
        assert_eq!((table.key().len(), table.hidden()), (0, 2));
    }
}
