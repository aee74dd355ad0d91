//! What is known about types: how the text of a value of each becomes JSON.
//!
//! Built-in types are known from the start. Of others the caller asks the server ([`TYPES_SQL`]) when a
//! relation names them, and hands the answer to [`TypeCatalog::learn`]. Invariants:
//! - an oid that was asked for is never asked for again, unless the server names the type anew: what the
//!   server does not know any more is text, called as the stream called it, else `oid:N`;
//! - the catalog may be ahead of the stream. A composite whose value does not fit its fields is printed as
//!   text by the layout, so that is a matter of looks, not of loss.

mod builtin;
mod query;

use pgcdc_layout::Kind;
use rustc_hash::{FxHashMap, FxHashSet};

pub use query::{TYPES_SQL, TypeRow};

/// Domains over domains, arrays of composites of arrays: as deep as this, then text.
pub const NESTING_MAX: usize = 16;

/// Names that the stream announced and that no question has been asked about yet; more are forgotten.
const HINTS_MAX: usize = 10_000;

/// oids below this are PostgreSQL's own and never change.
const FIRST_USER_OID: u32 = 16_384;

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing but itself.
    Plain(Kind),
    /// Elements of one type.
    Array {
        /// The element type's oid.
        elem: u32,
        /// What separates them; a space for the vectors, which have no braces.
        delim: u8,
    },
    /// Named fields: name and type oid.
    Composite(Vec<(String, u32)>),
    /// Another type with rules.
    Domain {
        /// The base type's oid.
        base: u32,
    },
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the schema.
    pub name: String,
    /// What it is made of.
    pub shape: Shape,
}

/// All known types.
#[derive(Clone, Debug)]
pub struct TypeCatalog {
    types: FxHashMap<u32, Entry>,
    hints: FxHashMap<u32, String>,
    stale: FxHashSet<u32>,
}

impl Default for TypeCatalog {
    fn default() -> Self {
        TypeCatalog::new()
    }
}

impl TypeCatalog {
    /// The built-in types.
    #[must_use]
    pub fn new() -> TypeCatalog {
        let mut types = FxHashMap::default();
        for (oid, array, name, kind) in builtin::BUILTINS {
            types.insert(*oid, Entry { name: (*name).into(), shape: Shape::Plain(*kind) });
            if *array != 0 {
                let delim = if *oid == builtin::BOX { b';' } else { b',' };
                let shape = Shape::Array { elem: *oid, delim };
                types.insert(*array, Entry { name: format!("_{name}"), shape });
            }
        }
        for (oid, array, name, elem) in builtin::VECTORS {
            let shape = Shape::Array { elem: *elem, delim: b' ' };
            types.insert(*oid, Entry { name: (*name).into(), shape });
            let shape = Shape::Array { elem: *oid, delim: b',' };
            types.insert(*array, Entry { name: format!("_{name}"), shape });
        }
        TypeCatalog { types, hints: FxHashMap::default(), stale: FxHashSet::default() }
    }

    /// The type of that oid, if it is known.
    #[must_use]
    pub fn get(&self, oid: u32) -> Option<&Entry> {
        self.types.get(&oid)
    }

    /// The type's name, or `oid:N`.
    #[must_use]
    pub fn name(&self, oid: u32) -> String {
        self.get(oid).map_or_else(|| unknown_name(oid), |entry| entry.name.clone())
    }

    /// Whether the server has to be asked about this type before it is used.
    #[must_use]
    pub fn is_missing(&self, oid: u32) -> bool {
        !self.types.contains_key(&oid) || self.stale.contains(&oid)
    }

    /// The stream names a type. If what it is made of may have changed, it will be asked for once more.
    pub fn announce(&mut self, oid: u32, name: &str) {
        match self.types.get(&oid).map(|entry| &entry.shape) {
            None if self.hints.len() < HINTS_MAX => {
                self.hints.insert(oid, name.into());
            }
            None | Some(Shape::Plain(_)) => {}
            Some(_) => {
                self.stale.insert(oid);
            }
        }
    }

    /// Takes in the server's answer about the types that were asked for. Afterwards none of them is missing.
    pub fn learn(&mut self, asked: &[u32], rows: Vec<TypeRow>) {
        let mut mentioned: Vec<u32> = asked.to_vec();
        for row in rows {
            mentioned.extend([row.elem, row.base].into_iter().filter(|oid| *oid != 0));
            mentioned.extend(&row.field_oids);
            self.add_row(row);
        }
        for oid in mentioned {
            self.stale.remove(&oid);
            let hint = self.hints.remove(&oid);
            self.types.entry(oid).or_insert_with(|| Entry {
                name: hint.unwrap_or_else(|| unknown_name(oid)),
                shape: Shape::Plain(Kind::Text),
            });
        }
    }

    /// Adds one type. Built-in ones stay as they are.
    pub fn add_row(&mut self, row: TypeRow) {
        if row.oid < FIRST_USER_OID && self.types.contains_key(&row.oid) {
            return;
        }
        let shape = if row.base != 0 {
            Shape::Domain { base: row.base }
        } else if row.elem != 0 {
            let delim = row.delim.bytes().next().unwrap_or(b',');
            Shape::Array { elem: row.elem, delim }
        } else if row.composite {
            Shape::Composite(row.field_names.into_iter().zip(row.field_oids).collect())
        } else {
            Shape::Plain(if row.hstore { Kind::Hstore } else { Kind::Text })
        };
        self.hints.remove(&row.oid);
        self.types.insert(row.oid, Entry { name: row.name, shape });
    }

    /// What a type is made of once domains are seen through; unknown types are text.
    #[must_use]
    pub fn resolve(&self, oid: u32) -> &Shape {
        const TEXT: &Shape = &Shape::Plain(Kind::Text);
        let mut oid = oid;
        for _ in 0..NESTING_MAX {
            match self.types.get(&oid).map(|entry| &entry.shape) {
                Some(Shape::Domain { base }) => oid = *base,
                Some(shape) => return shape,
                None => return TEXT,
            }
        }
        TEXT
    }
}

fn unknown_name(oid: u32) -> String {
    format!("oid:{oid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(oid: u32, name: &str) -> TypeRow {
        TypeRow { oid, name: name.into(), delim: ",".into(), ..TypeRow::default() }
    }

    #[test]
    fn built_in_types_have_the_kinds_of_row_to_json() {
        let catalog = TypeCatalog::new();
        for (oid, name, kind) in [
            (16, "bool", Kind::Bool),
            (20, "int8", Kind::Int),
            (26, "oid", Kind::Text),
            (701, "float8", Kind::Number),
            (790, "money", Kind::Text),
            (1184, "timestamptz", Kind::Timestamptz),
            (1082, "date", Kind::Text),
            (1700, "numeric", Kind::Number),
            (2950, "uuid", Kind::Text),
            (3220, "pg_lsn", Kind::Text),
            (3802, "jsonb", Kind::Json),
            (4072, "jsonpath", Kind::Text),
            (4451, "int4multirange", Kind::Text),
            (5069, "xid8", Kind::Text),
        ] {
            let entry = catalog.get(oid).unwrap();
            assert_eq!((entry.name.as_str(), &entry.shape), (name, &Shape::Plain(kind)));
        }
        assert_eq!(catalog.resolve(1007), &Shape::Array { elem: 23, delim: b',' });
        assert_eq!(catalog.resolve(2951), &Shape::Array { elem: 2950, delim: b',' });
        assert_eq!(catalog.resolve(22), &Shape::Array { elem: 21, delim: b' ' });
        assert_eq!(catalog.resolve(1013), &Shape::Array { elem: 30, delim: b',' });
        assert_eq!(catalog.resolve(1020), &Shape::Array { elem: 603, delim: b';' });
        assert_eq!(catalog.name(1007), "_int4");
    }

    #[test]
    fn the_table_of_built_in_types_has_no_oid_twice() {
        let mut seen = FxHashSet::default();
        for (oid, array, name, _) in builtin::BUILTINS {
            assert!(seen.insert(*oid), "{name}");
            assert!(*array == 0 || seen.insert(*array), "_{name}");
        }
    }

    #[test]
    fn what_was_asked_for_is_never_missing_again() {
        let mut catalog = TypeCatalog::new();
        catalog.announce(20_002, "gone");
        assert!(catalog.is_missing(20_000) && catalog.is_missing(20_002));
        let composite = TypeRow {
            composite: true,
            field_names: vec!["a".into(), "b".into()],
            field_oids: vec![23, 20_001],
            ..row(20_000, "pair")
        };
        catalog.learn(&[20_000, 20_002, 20_003], vec![composite]);
        for oid in [20_000, 20_001, 20_002, 20_003] {
            assert!(!catalog.is_missing(oid), "{oid}");
        }
        assert_eq!(catalog.name(20_001), "oid:20001");
        assert_eq!(catalog.name(20_002), "gone");
        assert_eq!(catalog.resolve(20_003), &Shape::Plain(Kind::Text));
    }

    #[test]
    fn a_composite_that_is_named_anew_is_asked_for_once_more_and_serves_meanwhile() {
        let mut catalog = TypeCatalog::new();
        let composite = TypeRow {
            composite: true,
            field_names: vec!["a".into()],
            field_oids: vec![23],
            ..row(20_000, "pair")
        };
        catalog.learn(&[20_000], vec![composite]);
        catalog.announce(20_000, "pair");
        assert!(catalog.is_missing(20_000));
        assert!(matches!(catalog.resolve(20_000), Shape::Composite(_)));
        catalog.learn(&[20_000], vec![]);
        assert!(!catalog.is_missing(20_000));
        assert!(matches!(catalog.resolve(20_000), Shape::Composite(_)));
    }

    #[test]
    fn domains_are_seen_through_but_not_without_end() {
        let mut catalog = TypeCatalog::new();
        catalog.add_row(TypeRow { base: 23, ..row(20_000, "positive") });
        catalog.add_row(TypeRow { base: 20_000, ..row(20_001, "small") });
        catalog.add_row(TypeRow { base: 20_002, ..row(20_002, "itself") });
        assert_eq!(catalog.resolve(20_001), &Shape::Plain(Kind::Int));
        assert_eq!(catalog.resolve(20_002), &Shape::Plain(Kind::Text));
    }

    #[test]
    fn a_server_cannot_redefine_a_built_in_type() {
        let mut catalog = TypeCatalog::new();
        catalog.add_row(row(23, "mine"));
        assert_eq!(catalog.name(23), "int4");
    }
}
