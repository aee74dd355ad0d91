//! Which tables are wanted: patterns over `schema.table`.
//!
//! `*` stands for any characters of the part that it is in; there is nothing else that is special. A pattern
//! without a dot means a table in `public`. A part in double quotes is meant literally, with `""` for a
//! quote, so that `"a.b"."c*"` is one table. Letter case counts, as in the catalog. Exclusion wins over
//! inclusion; an empty list of inclusions includes everything.

use std::str::FromStr;

use crate::identifier::unquote;

/// A pattern over schema and table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePattern {
    schema: Part,
    table: Part,
}

/// One part: what must appear, in order, between the asterisks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part(Vec<String>);

/// The pattern's text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no table pattern: {why}; write schema.table, schema.* or \"quoted\".\"parts\"")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong.
    pub why: &'static str,
}

impl TablePattern {
    /// Whether a table is meant.
    #[must_use]
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.matches(schema) && self.table.matches(table)
    }
}

impl FromStr for TablePattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<TablePattern, BadPattern> {
        let bad = |why| BadPattern { pattern: text.into(), why };
        let (first, rest) = part(text).map_err(bad)?;
        let Some(rest) = rest.strip_prefix('.') else {
            let public = Part(vec!["public".into()]);
            return if rest.is_empty() {
                Ok(TablePattern { schema: public, table: first })
            } else {
                Err(bad(QUOTE))
            };
        };
        let (second, rest) = part(rest).map_err(bad)?;
        match rest {
            "" => Ok(TablePattern { schema: first, table: second }),
            _ if rest.starts_with('.') => Err(bad("it has more than two parts")),
            _ => Err(bad(QUOTE)),
        }
    }
}

const QUOTE: &str = "something follows a closing quote";

/// The part that a text starts with, and the rest.
fn part(text: &str) -> Result<(Part, &str), &'static str> {
    let (part, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (name, rest) = unquote(quoted)?;
            (Part(vec![name]), rest)
        }
        None => {
            let (bare, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
            if bare.contains('"') {
                return Err("a quote inside of a part that does not start with one");
            }
            (Part(bare.split('*').map(String::from).collect()), rest)
        }
    };
    if part.0 == [""] { Err("a part of it is empty") } else { Ok((part, rest)) }
}

impl Part {
    fn matches(&self, name: &str) -> bool {
        let Some((first, others)) = self.0.split_first() else { return false };
        let Some((last, middle)) = others.split_last() else { return name == first };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

/// What is wanted and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Only these; empty means all.
    pub include: Vec<TablePattern>,
    /// None of these.
    pub exclude: Vec<TablePattern>,
}

impl TableFilter {
    /// Whether a table's changes are wanted.
    #[must_use]
    pub fn wants(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[TablePattern]| patterns.iter().any(|p| p.matches(schema, table));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, schema: &str, table: &str) -> bool {
        pattern.parse::<TablePattern>().unwrap().matches(schema, table)
    }

    #[test]
    fn asterisks_stay_in_their_part() {
        assert!(matches("orders", "public", "orders"));
        assert!(!matches("orders", "shop", "orders"));
        assert!(matches("shop.*", "shop", "a.b"));
        assert!(!matches("shop*", "shop", "x"));
        assert!(matches("*.*", "s", "t"));
        assert!(matches("s.a*b*c", "s", "a--b--bc"));
        assert!(!matches("s.a*b*c", "s", "ac"));
        assert!(!matches("s.ab*ba", "s", "aba"));
        assert!(matches("s.*ä*", "s", "xäy"));
        assert!(!matches("s.Orders", "s", "orders"));
    }

    #[test]
    fn quoted_parts_are_literal() {
        assert!(matches(r#""a.b"."c*""#, "a.b", "c*"));
        assert!(!matches(r#""a.b"."c*""#, "a.b", "cd"));
        assert!(matches(r#""say ""hi"""."#.trim_end_matches('.'), "public", "say \"hi\""));
        assert!(matches(r#"*."x""#, "anything", "x"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (text, why) in [
            ("", "a part of it is empty"),
            ("a.", "a part of it is empty"),
            ("a.b.c", "it has more than two parts"),
            ("\"a", "a quote is not closed"),
            ("\"a\"b", QUOTE),
            ("a.\"b\"c", QUOTE),
            ("a\"b", "a quote inside of a part that does not start with one"),
        ] {
            assert_eq!(text.parse::<TablePattern>().unwrap_err().why, why, "{text}");
        }
    }

    #[test]
    fn exclusion_wins() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let filter = TableFilter { include: patterns(&["shop.*"]), exclude: patterns(&["shop.tmp*"]) };
        assert!(filter.wants("shop", "orders"));
        assert!(!filter.wants("shop", "tmp_1"));
        assert!(!filter.wants("public", "orders"));
        assert!(TableFilter::default().wants("any", "thing"));
    }
}
