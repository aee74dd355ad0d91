//! Typed reading of the host's own settings from a tree; what does not fit is a problem at its place.
//!
//! What is read here is no secret, and is marked so that its line may be printed. Text that came from
//! variables may stand for a number or a truth value; other text may not.

use std::time::Duration;

use super::nearest::hint;
use super::problem::{Problems, shown_key};
use super::quantity;
use super::source::{At, Span};
use super::tree::{Node, Text, Value};

/// A map whose keys were checked against the known ones.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n> {
    node: &'n Node,
}

impl<'n> Fields<'n> {
    /// Reads a map. `what` names it in messages, e.g. `sinks.audit`.
    pub(super) fn new(node: &'n Node, what: &str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            problems.error(node.span, format!("{what} must be a map, found {}", node.kind()));
            return None;
        }
        for entry in node.entries() {
            if !known.contains(&entry.key.as_str()) {
                let message = format!("{what} has no key `{}`", shown_key(&entry.key));
                problems.error_with(entry.key_span, message, hint(&entry.key, known.iter().copied()));
            }
        }
        Some(Fields { node })
    }

    /// The value of a key, unless it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Applies a reader to a key that may be absent.
    pub(super) fn read<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        reader: impl FnOnce(&'n Node, &str, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        reader(self.get(key)?, key, problems)
    }

    /// Where the map is.
    pub(super) fn span(&self) -> Span {
        self.node.span
    }
}

/// A setting of the host's own, no secret: it may be printed.
fn reveal(node: &Node, problems: &mut Problems) {
    if !matches!(node.value, Value::List(_) | Value::Map(_)) {
        problems.show(node.span);
    }
}

fn wrong(node: &Node, what: &str, want: &str, problems: &mut Problems) {
    let help = match (&node.value, want) {
        (Value::Text(_), "true or false") => Some("only true and false are truth values".to_owned()),
        (Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Huge, "text") => {
            Some("put it in quotes".to_owned())
        }
        _ => None,
    };
    problems.error_with(node.span, format!("{what} must be {want}, found {}", node.kind()), help);
}

/// Text.
pub(super) fn text(node: &Node, what: &str, problems: &mut Problems) -> Option<At<String>> {
    reveal(node, problems);
    match &node.value {
        Value::Text(text) => Some(At { value: text.expose().to_owned(), span: node.span }),
        _ => {
            wrong(node, what, "text", problems);
            None
        }
    }
}

/// Text that is not empty.
pub(super) fn name(node: &Node, what: &str, problems: &mut Problems) -> Option<At<String>> {
    let text = text(node, what, problems)?;
    if text.value.is_empty() {
        problems.error(node.span, format!("{what} is empty"));
        return None;
    }
    Some(text)
}

/// `true` or `false`.
pub(super) fn truth(node: &Node, what: &str, problems: &mut Problems) -> Option<bool> {
    reveal(node, problems);
    match &node.value {
        Value::Bool(value) => return Some(*value),
        Value::Text(text) if text.spelled().is_some() => {
            if let Ok(value) = text.expose().parse() {
                return Some(value);
            }
        }
        _ => {}
    }
    wrong(node, what, "true or false", problems);
    None
}

/// A whole number of at least `least`.
pub(super) fn count(least: u32) -> impl FnOnce(&Node, &str, &mut Problems) -> Option<u32> {
    move |node, what, problems| {
        reveal(node, problems);
        let value = match &node.value {
            Value::Integer(value) => Some(*value),
            Value::Text(text) if text.spelled().is_some() => text.expose().parse().ok(),
            _ => None,
        };
        let fits = value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value >= least);
        if fits.is_none() {
            problems.error(node.span, format!("{what} must be a whole number from {least} to {}", u32::MAX));
        }
        fits
    }
}

/// A finite number of more than 0.
pub(super) fn positive_number(node: &Node, what: &str, problems: &mut Problems) -> Option<f64> {
    reveal(node, problems);
    let value = match &node.value {
        Value::Integer(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        Value::Text(text) if text.spelled().is_some() => text.expose().parse().ok(),
        _ => None,
    };
    let fits = value.filter(|value| value.is_finite() && *value > 0.0);
    if fits.is_none() {
        problems.error(node.span, format!("{what} must be a number of more than 0"));
    }
    fits
}

/// A duration of more than 0.
pub(super) fn duration(node: &Node, what: &str, problems: &mut Problems) -> Option<Duration> {
    reveal(node, problems);
    let value = match &node.value {
        Value::Text(text) => quantity::duration(text.expose()).filter(|value| !value.is_zero()),
        _ => None,
    };
    if value.is_none() {
        problems.error(
            node.span,
            format!("{what} must be a duration of more than 0, such as 500ms, 10s or 1m30s"),
        );
    }
    value
}

/// A size of at least one byte.
pub(super) fn size(node: &Node, what: &str, problems: &mut Problems) -> Option<u64> {
    size_of(node, problems).filter(|bytes| *bytes > 0).or_else(|| {
        problems.error(
            node.span,
            format!("{what} must be a size of 1 byte or more, such as 65536, 64MiB or 100MB"),
        );
        None
    })
}

/// A size, or 0 for none.
pub(super) fn size_or_none(node: &Node, what: &str, problems: &mut Problems) -> Option<u64> {
    size_of(node, problems).or_else(|| {
        problems
            .error(node.span, format!("{what} must be a size such as 65536, 64MiB or 1GiB, or 0 for none"));
        None
    })
}

fn size_of(node: &Node, problems: &mut Problems) -> Option<u64> {
    reveal(node, problems);
    match &node.value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        Value::Text(text) => quantity::bytes(text.expose()),
        _ => None,
    }
}

/// One of a few words.
pub(super) fn word<T>(
    words: &'static [&'static str],
    from: impl FnOnce(&str) -> Option<T>,
) -> impl FnOnce(&Node, &str, &mut Problems) -> Option<T> {
    move |node, what, problems| {
        let text = text(node, what, problems)?;
        let value = from(&text.value);
        if value.is_none() {
            let message = format!("{what} must be one of {}", words.join(", "));
            problems.error_with(
                node.span,
                message,
                super::nearest::nearest(&text.value, words.iter().copied())
                    .map(|near| format!("did you mean `{near}`?")),
            );
        }
        value
    }
}

/// A list, item by item.
pub(super) fn list<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            problems.error(node.span, format!("{what} must be a list, found {}", node.kind()));
            None
        }
    }
}

/// A list of texts that may hold passwords: they are not shown.
pub(super) fn private_texts(node: &Node, what: &str, problems: &mut Problems) -> Option<Vec<At<Text>>> {
    let items = list(node, what, problems)?;
    let read = |item: &Node| match &item.value {
        Value::Text(text) => Some(At { value: text.clone(), span: item.span }),
        _ => {
            wrong(item, &format!("an item of {what}"), "text", problems);
            None
        }
    };
    Some(items.iter().filter_map(read).collect())
}

/// A list of texts, none empty.
pub(super) fn names(node: &Node, what: &str, problems: &mut Problems) -> Option<Vec<At<String>>> {
    let items = list(node, what, problems)?;
    Some(items.iter().filter_map(|item| name(item, &format!("an item of {what}"), problems)).collect())
}
