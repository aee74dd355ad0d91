//! How far a snapshot is that joins a stream: what the checkpoint keeps of it, a strand for each table and one for the whole.
//!
//! Strand `snapshot` has a token once every table is done. Strand `snapshot/schema.table` has one for a table that is done,
//! or that was read in part: the values of its key, as text, with their types. Invariants:
//! - a token covers only what every lane has settled;
//! - a table goes on by its token only if it is the same table with the same key; otherwise it is read from its start;
//! - what cannot be read is an error, never "nothing done".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::name::TableName;
use super::shape::Shape;
use crate::checkpoint::Checkpoint;

/// The strand of the whole.
pub const WHOLE: &str = "snapshot";
const OF_TABLE: &str = "snapshot/";
/// So many tables may be under way: their strands have to fit into one checkpoint.
pub const TABLES_MAX: usize = 4_000;

/// The strand of a table.
#[must_use]
pub fn strand(table: &TableName) -> String {
    format!("{OF_TABLE}{table}")
}

/// Where one table, or the whole, stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Nothing is left to read.
    pub done: bool,
    /// The table's oid; of the whole 0.
    #[serde(default)]
    pub oid: u32,
    /// Rows that were read, over all attempts.
    #[serde(default)]
    pub rows: u64,
    /// The types of the key, as SQL writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The key of the last row, as the server printed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// A token that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("what is stored of strand {strand:?} cannot be read: {source}")]
pub struct BadToken {
    /// Its strand.
    pub strand: String,
    /// Why.
    pub source: serde_json::Error,
}

impl Token {
    /// What is stored of a strand, if it is one of a snapshot and can be read.
    #[must_use]
    pub fn decode(strand: &str, token: &[u8]) -> Option<Token> {
        let ours = strand == WHOLE || strand.starts_with(OF_TABLE);
        serde_json::from_slice(token).ok().filter(|_| ours)
    }

    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What of a snapshot is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// All of it.
    pub done: bool,
    /// By strand.
    tables: BTreeMap<String, Token>,
}

/// What is left of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// All of it; `again`: some of it was read before, and is read once more.
    All {
        /// See above.
        again: bool,
    },
    /// What is behind a row.
    After {
        /// The row's key.
        values: Vec<String>,
        /// Rows that were read before.
        rows: u64,
    },
}

impl Record {
    /// What a checkpoint says.
    pub fn of(checkpoint: Option<&Checkpoint>) -> Result<Record, BadToken> {
        let mut record = Record::default();
        for (strand, stored) in checkpoint.iter().flat_map(|checkpoint| &checkpoint.strands) {
            record.take(strand, &stored.resume)?;
        }
        Ok(record)
    }

    /// Takes in what is known of a strand. Others than those of a snapshot are left alone.
    pub fn take(&mut self, strand: &str, token: &[u8]) -> Result<(), BadToken> {
        let whole = strand == WHOLE;
        if !whole && !strand.starts_with(OF_TABLE) {
            return Ok(());
        }
        let token: Token =
            serde_json::from_slice(token).map_err(|source| BadToken { strand: strand.into(), source })?;
        if whole {
            self.done = token.done;
        } else {
            self.tables.insert(strand.into(), token);
        }
        Ok(())
    }

    /// What is left of a table as it is now.
    #[must_use]
    pub fn left(&self, shape: &Shape) -> Left {
        let Some(token) = self.tables.get(&strand(&shape.table())) else { return Left::All { again: false } };
        if token.oid != shape.oid {
            return Left::All { again: true };
        }
        if token.done {
            return Left::Nothing;
        }
        let types: Vec<String> = shape.key().iter().map(|column| column.cast.clone()).collect();
        if types.is_empty() || types != token.types || token.after.len() != types.len() {
            return Left::All { again: true };
        }
        Left::After { values: token.after.clone(), rows: token.rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Identity, Strand};
    use crate::snapshot::shape::Column;

    fn shape() -> Shape {
        let column = |name: &str, cast: &str, key| Column {
            name: name.into(),
            type_oid: 20,
            typmod: -1,
            cast: cast.into(),
            identity: true,
            key,
        };
        Shape {
            oid: 7,
            schema: "public".into(),
            name: "t".into(),
            kind: 'r',
            identity: 'd',
            filter: None,
            estimate: 0,
            columns: vec![column("id", "bigint", 1), column("u", "uuid", 2)],
            whole_key: true,
        }
    }

    fn token() -> Token {
        Token {
            done: false,
            oid: 7,
            rows: 9,
            types: vec!["bigint".into(), "uuid".into()],
            after: vec!["9007199254740993".into(), "00000000-0000-7000-8000-00000000000a".into()],
        }
    }

    fn left(token: &Token) -> Left {
        let strand = Strand { resume: token.encode(), ..Strand::default() };
        let strands = [("snapshot/public.t".to_owned(), strand), (String::new(), Strand::default())].into();
        let checkpoint = Checkpoint { identity: Identity::Other(BTreeMap::new()), strands };
        Record::of(Some(&checkpoint)).unwrap().left(&shape())
    }

    #[test]
    fn keys_go_on_digit_for_digit() {
        assert_eq!(left(&token()), Left::After { values: token().after, rows: 9 });
    }

    #[test]
    fn a_table_that_is_not_what_it_was_is_read_from_its_start() {
        let again = Left::All { again: true };
        assert_eq!(left(&Token { oid: 8, ..token() }), again);
        assert_eq!(left(&Token { oid: 8, done: true, ..token() }), again);
        assert_eq!(left(&Token { types: vec!["text".into(), "uuid".into()], ..token() }), again);
        assert_eq!(left(&Token { after: vec!["1".into()], ..token() }), again);
        assert_eq!(left(&Token { done: true, ..Token { oid: 7, ..Token::default() } }), Left::Nothing);
        assert_eq!(Record::default().left(&shape()), Left::All { again: false });
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        let mut record = Record::default();
        assert!(record.take("snapshot", b"x").is_err());
        assert!(record.take("snapshot/a.b", b"{\"dune\":true}").is_err());
        assert!(record.take("", b"\0\0").is_ok());
        assert!(record.take("snapshot", &Token { done: true, ..Token::default() }.encode()).is_ok());
        assert!(record.done);
    }
}
