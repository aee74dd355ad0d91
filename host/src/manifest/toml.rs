//! TOML text to the same tree as YAML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::interpolate::Lookup;
use super::problem::Problems;
use super::scalar;
use super::source::Span;
use super::tree::{Entry, Node, Value};

/// Reads one document. `None` if it is not TOML; `problems` then says why.
pub(super) fn read(text: &str, lookup: Lookup<'_>, problems: &mut Problems) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let sound = errors.is_empty();
    for error in errors {
        let span = error.span().map_or(Span::default(), |range| Span { start: range.start, end: range.end });
        problems.error(span, format!("not valid TOML: {}", error.message()));
    }
    let span = place(&table);
    sound.then(|| Node { span, value: map(table.into_inner(), lookup, problems) })
}

fn place<T>(spanned: &Spanned<T>) -> Span {
    let range = spanned.span();
    Span { start: range.start, end: range.end }
}

fn map(table: DeTable<'_>, lookup: Lookup<'_>, problems: &mut Problems) -> Value {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let key_span = place(&key);
        let key = key.into_inner().into_owned();
        if key.contains("${") {
            problems.error(key_span, "variables are not replaced in keys");
            continue;
        }
        entries.push(Entry { key, key_span, value: node(value, lookup, problems) });
    }
    Value::Map(entries)
}

fn node(value: Spanned<DeValue<'_>>, lookup: Lookup<'_>, problems: &mut Problems) -> Node {
    let span = place(&value);
    let value = match value.into_inner() {
        DeValue::String(text) => scalar::text(&text, span, lookup, problems),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Huge, Value::Integer)
        }
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(_) => {
            problems.error_with(span, "no setting is a date", Some("put text in quotes".into()));
            Value::Null
        }
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(item, lookup, problems)).collect())
        }
        DeValue::Table(table) => map(table, lookup, problems),
    };
    Node { span, value }
}
