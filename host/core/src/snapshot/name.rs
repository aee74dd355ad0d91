//! Names of tables as an operator types them, and as SQL takes them.
//!
//! `schema.table`, cut at the first dot outside of quotes; without a schema it is `public`, as in the channels of events.
//! Letter case counts, as in the catalog. Double quotes are only needed around what has a dot or a quote in it.

use std::str::FromStr;

use crate::identifier::{quote, unquote};

/// A table by its names in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
}

/// The text names no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no table: {why}; write table, schema.table or \"quoted\".\"parts\"")]
pub struct BadName {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub why: &'static str,
}

impl FromStr for TableName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<TableName, BadName> {
        let bad = |why| BadName { text: text.into(), why };
        let (first, rest) = part(text).map_err(bad)?;
        let Some(rest) = rest else { return Ok(TableName { schema: "public".into(), table: first }) };
        match part(rest).map_err(bad)? {
            (table, None) => Ok(TableName { schema: first, table }),
            _ => Err(bad("it has more than two parts")),
        }
    }
}

/// The first part, and what follows the dot behind it.
fn part(text: &str) -> Result<(String, Option<&str>), &'static str> {
    let (name, rest) = match text.strip_prefix('"') {
        None => match text.split_once('.') {
            Some((name, rest)) => (name.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        },
        Some(quoted) => match unquote(quoted)? {
            (name, "") => (name, None),
            (name, rest) => (name, Some(rest.strip_prefix('.').ok_or("something follows a closing quote")?)),
        },
    };
    match name.is_empty() || name.contains('\0') {
        true => Err("a part of it is empty"),
        false => Ok((name, rest)),
    }
}

impl std::fmt::Display for TableName {
    /// For people, and as the name of a strand.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = |name: &str| !name.contains(['.', '"']);
        if plain(&self.schema) && plain(&self.table) {
            write!(f, "{}.{}", self.schema, self.table)
        } else {
            write!(f, "{}.{}", quote(&self.schema), quote(&self.table))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_at_the_first_dot_outside_of_quotes() {
        for (text, schema, table) in [
            ("orders", "public", "orders"),
            ("Shop.Orders", "Shop", "Orders"),
            ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d"),
            ("\"a.b\"", "public", "a.b"),
            ("a.\"b.c\"", "a", "b.c"),
        ] {
            let name: TableName = text.parse().unwrap();
            assert_eq!((name.schema.as_str(), name.table.as_str()), (schema, table));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for bad in ["", ".a", "a.", "a.b.c", "\"a", "\"a\"b", "\"\"", "a.\"b\".c"] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }
}
