//! A tree to YAML that reads back as the same tree.

use std::fmt::Write;

use super::interpolate::escape;
use super::scalar::core_schema;
use super::tree::{Entry, Node, Value};

/// A whole document. The root is a map.
pub(super) fn document(root: &Node) -> String {
    let mut out = String::new();
    entries(&mut out, root.entries(), 0);
    out
}

fn entries(out: &mut String, entries: &[Entry], indent: usize) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 || indent == 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&word(&entry.key));
        out.push(':');
        nested(out, &entry.value, indent + 2);
    }
}

/// A value after its key.
fn nested(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        _ if is_short(node) => {
            out.push(' ');
            flow(out, node);
            out.push('\n');
        }
        Value::Map(map) => {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            entries(out, map, indent);
        }
        Value::List(items) => {
            out.push('\n');
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push('-');
                match &item.value {
                    Value::Map(map) if !is_short(item) => {
                        out.push(' ');
                        entries(out, map, indent + 2);
                    }
                    _ => nested(out, item, indent + 2),
                }
            }
        }
        _ => out.push('\n'),
    }
}

/// Fit for one line: scalars, empty collections, lists of scalars, maps of one scalar.
fn is_short(node: &Node) -> bool {
    let scalar = |node: &Node| !matches!(node.value, Value::List(_) | Value::Map(_));
    match &node.value {
        Value::List(items) => items.iter().all(scalar),
        Value::Map(entries) => entries.len() <= 1 && entries.iter().all(|entry| scalar(&entry.value)),
        _ => true,
    }
}

fn flow(out: &mut String, node: &Node) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => out.push_str(&value.to_string()),
        Value::Huge => out.push_str("null"),
        Value::Float(value) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{value:?}");
        }
        Value::Text(text) => match text.spelled() {
            Some(spelled) => out.push_str(&quoted(spelled)),
            None => out.push_str(&word(&escape(text.expose()))),
        },
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { " " } else { ", " });
                flow(out, item);
            }
            out.push_str(if items.is_empty() { "]" } else { " ]" });
        }
        Value::Map(entries) => {
            out.push('{');
            for (index, entry) in entries.iter().enumerate() {
                out.push_str(if index == 0 { " " } else { ", " });
                out.push_str(&word(&entry.key));
                out.push_str(": ");
                flow(out, &entry.value);
            }
            out.push_str(if entries.is_empty() { "}" } else { " }" });
        }
    }
}

/// Text as a plain scalar where no reader of YAML could take it for anything else.
fn word(text: &str) -> String {
    const TAKEN_FOR_TRUTH: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/' || c == '.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && core_schema(text).is_none()
        && !TAKEN_FOR_TRUTH.contains(&text.to_ascii_lowercase().as_str())
        && text.bytes().any(|b| b.is_ascii_alphabetic());
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
