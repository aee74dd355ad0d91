//! What YAML and TOML are both read to: a tree that knows where everything was written.
//!
//! Invariants: maps keep the order of the file; no key is there twice; `Debug` shows the shape and
//! never a value, because any value may turn out to be a secret; equality ignores places.

use std::fmt;
use std::sync::Arc;

use super::source::Span;

/// A value and its place.
#[derive(Clone)]
pub struct Node {
    /// Where it was written.
    pub span: Span,
    /// What was written.
    pub value: Value,
}

/// What a node may be.
#[derive(Clone)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`; nothing else is a truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number that does not fit 64 bits.
    Huge,
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Text, with `${…}` already replaced.
    Text(Text),
    /// Items in order.
    List(Vec<Node>),
    /// Entries in the order of the file.
    Map(Vec<Entry>),
}

/// One line of a map.
#[derive(Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub key_span: Span,
    /// What it stands for.
    pub value: Node,
}

/// Text, and how it was spelled when a variable stood in it.
#[derive(Clone)]
pub struct Text {
    resolved: Arc<str>,
    spelled: Option<Arc<str>>,
}

impl Text {
    /// Text without variables.
    pub fn plain(text: &str) -> Self {
        Text { resolved: text.into(), spelled: None }
    }

    /// Text that came from variables; `spelled` holds the `${…}`.
    pub fn from_variables(resolved: &str, spelled: &str) -> Self {
        Text { resolved: resolved.into(), spelled: Some(spelled.into()) }
    }

    /// The text itself. It may be a secret: never print it.
    pub fn expose(&self) -> &str {
        &self.resolved
    }

    /// The spelling with its `${…}`, if there were any.
    pub fn spelled(&self) -> Option<&str> {
        self.spelled.as_deref()
    }
}

impl Node {
    /// A value that no file spells out.
    pub fn nowhere(value: Value) -> Self {
        Node { span: Span::default(), value }
    }

    /// Text that no file spells out.
    pub fn text(text: &str) -> Self {
        Node::nowhere(Value::Text(Text::plain(text)))
    }

    /// An empty map.
    pub fn empty_map(span: Span) -> Self {
        Node { span, value: Value::Map(Vec::new()) }
    }

    /// The entries of a map; nothing for any other value.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Sets a key of a map; any other value becomes a map first.
    pub fn set(&mut self, key: &str, value: Node) {
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        if let Value::Map(entries) = &mut self.value {
            match entries.iter_mut().find(|entry| entry.key == key) {
                Some(entry) => entry.value = value,
                None => entries.push(Entry { key: key.to_owned(), key_span: Span::default(), value }),
            }
        }
    }

    /// What a person would call it: `a whole number`, `a list`, …
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Huge => "a number beyond 64 bits",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Calls back with every key's and every scalar's place.
    pub(super) fn visit(&self, seen: &mut impl FnMut(Mark<'_>)) {
        match &self.value {
            Value::List(items) => items.iter().for_each(|item| item.visit(seen)),
            Value::Map(entries) => {
                for entry in entries {
                    seen(Mark::Key(&entry.key, entry.key_span));
                    entry.value.visit(seen);
                }
            }
            _ => seen(Mark::Scalar(self.span)),
        }
    }
}

/// What [`Node::visit`] meets.
pub(super) enum Mark<'a> {
    /// A key of a map.
    Key(&'a str, Span),
    /// Anything that is neither list nor map.
    Scalar(Span),
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.resolved == other.resolved
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) | (Value::Huge, Value::Huge) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::List(items) => f.debug_list().entries(items).finish(),
            Value::Map(entries) => {
                f.debug_map().entries(entries.iter().map(|entry| (&entry.key, &entry.value))).finish()
            }
            Value::Null => f.write_str("null"),
            _ => f.write_str("***"),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.key, self.value)
    }
}
